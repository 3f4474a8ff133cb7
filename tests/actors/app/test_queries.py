"""Every frame that a worker is sent is answered, with a fault where the app's own code raises."""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import (
    Abort,
    AppDescribed,
    ArgumentsChecked,
    CheckArguments,
    CheckEdit,
    CheckMessage,
    CheckResult,
    CheckSignal,
    Completed,
    DescribeApp,
    Diverge,
    EndProgram,
    Environment,
    Evaluate,
    Execute,
    Failed,
    Halt,
    Judged,
    MessageChecked,
    Raise,
    Ready,
    Resolution,
    Resolve,
    ResultChecked,
    ScheduleStep,
    SessionTurn,
    StartProgram,
    Stop,
    ToWorker,
    Turn,
)
from greenroom.messages.options.policy import WorkerKind
from tests.actors.worker_process import Worker, evaluate, execute

APP = """
    import asyncio
    import sys
    from typing import Annotated, Any

    from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer
    from greenroom import Score, evaluator, session, tool, workflow

    class Odd(BaseException):
        def __str__(self):
            raise Odd

    def deeper(value):
        return deeper(value)

    def look(value):
        match value:
            case "KeyError": raise KeyError("colour")
            case "Odd": raise Odd
            case "SystemExit": sys.exit(3)
            case "KeyboardInterrupt": raise KeyboardInterrupt
            case "CancelledError": raise asyncio.CancelledError
            case "GeneratorExit": raise GeneratorExit
            case "RecursionError": return deeper(value)
            case "MemoryError": return bytearray(1 << 62)
            case "surrogate": return chr(0xd83e)
            case "unknown": return object()
        return value

    Looked = Annotated[Any, BeforeValidator(look)]
    Written = Annotated[Any, PlainSerializer(look)]

    class Message(BaseModel):
        value: Looked

    class State(BaseModel):
        value: Looked = None

    class Born(BaseModel):
        value: Any = Field(default_factory=lambda: look("Odd"))

    @tool
    def echo(value: Looked) -> Looked:
        return value

    @tool
    def write(value: Any) -> Written:
        return value

    @evaluator
    def judge(value: Looked) -> Score:
        return Score(1.0)

    @workflow
    async def plain(value: Looked = None) -> Written:
        return value

    @workflow
    async def born(state: Born) -> None: ...

    @workflow
    async def steps(value: Any = None) -> Any:
        try:
            return await echo(1)
        finally:
            look(value)

    @session(state=State)
    async def chat(state: State, message: Message) -> Looked:
        return message.value
"""
FAULTS = {
    "KeyError": "KeyError: 'colour'",
    "Odd": "Odd: its text cannot be made, that raises Odd",
    "SystemExit": "SystemExit: 3",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "CancelledError": "CancelledError",
    "GeneratorExit": "GeneratorExit",
    "RecursionError": "RecursionError: maximum recursion depth exceeded",
    "MemoryError": "MemoryError",
}
UNWRITABLE = ("surrogate", "unknown")


def begun(app: Path, kind: WorkerKind) -> Worker:
    worker = Worker(str(app), kind)
    assert isinstance(worker.receive(), Ready)
    return worker


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an app whose validators raise what they are given the name of."""
    path = tmp_path_factory.mktemp("questions") / "app.py"
    path.write_text(textwrap.dedent(APP))
    return path


@pytest.fixture(scope="module")
def program(app: Path) -> Iterator[Worker]:
    """Give one program worker for all tests: whatever they do to it, it must answer the next."""
    worker = begun(app, "program")
    yield worker
    worker.close()


def nested(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return value


DEEP = [nested(depth) for depth in (100, 170)]


def asked(worker: Worker, message: ToWorker) -> Any:
    worker.send(message)
    return worker.receive()


def start(workflow: str, value: Json = None, run_id: str = "r", **fields: Any) -> StartProgram:
    arguments = {} if value is None else {"value": value}
    return StartProgram(run_id=run_id, workflow=workflow, arguments=arguments, started_at=0.0, **fields)


def turn(state: Any = None, value: Any = None) -> SessionTurn:
    return SessionTurn(number=1, name="Message", value={"value": value}, state=state)


QUESTIONS: dict[type[Any], tuple[Callable[[Any], Any], type[Any]]] = {
    CheckArguments: (lambda v: CheckArguments(id="q", workflow="plain", arguments={"value": v}), ArgumentsChecked),
    CheckResult: (lambda v: CheckResult(id="q", step="app:echo", value=v), ResultChecked),
    CheckEdit: (lambda v: CheckEdit(id="q", form="app:Message", value={"value": v}), ResultChecked),
    CheckMessage: (lambda v: CheckMessage(id="q", session="chat", name="Message", value={"value": v}), MessageChecked),
}
READ_ONLY: dict[type[Any], tuple[Callable[[Any], Any], type[Any]]] = {
    CheckSignal: (lambda v: CheckSignal(id="q", name="Message", value={"value": v}), MessageChecked),
}
"""Questions for which a value is read and not written again."""


@pytest.mark.parametrize("question", QUESTIONS | READ_ONLY)
@pytest.mark.parametrize("value", FAULTS)
def test_a_check_that_raises_is_answered_with_what_it_raised_and_where(
    program: Worker, app: Path, question: type[Any], value: str
) -> None:
    ask, kind = (QUESTIONS | READ_ONLY)[question]
    answer = asked(program, ask(value))
    assert isinstance(answer, kind)
    (fault,) = answer.faults
    assert fault.sentence.startswith(f"the app's own code raised {FAULTS[value]}")
    assert f"({app}:" in fault.sentence


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("value", [*UNWRITABLE, *DEEP])
def test_a_check_whose_value_cannot_be_written_is_answered(program: Worker, question: type[Any], value: Json) -> None:
    ask, kind = QUESTIONS[question]
    answer = asked(program, ask(value))
    assert isinstance(answer, kind)
    assert (not answer.faults) == (value in DEEP)
    assert all("the app's own code" not in fault.sentence for fault in answer.faults)


# ---------------------------------------------------------------- programs


ENDING = {"SystemExit", "KeyboardInterrupt"}
"""What ends the process where a program raises it: see the tests of hostile code."""


@pytest.mark.parametrize("value", [*(value for value in FAULTS if value not in ENDING), *UNWRITABLE])
def test_a_program_that_cannot_read_its_arguments_or_write_its_result_ends(program: Worker, value: Json) -> None:
    answer = asked(program, start("plain", value))
    assert isinstance(answer, Turn)
    assert [type(command) for command in answer.commands] == [Raise]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (start("nowhere"), "no workflow is called `nowhere`"),
        (start("nowhere", turn=turn()), "no session is called `nowhere`"),
        (start("born"), "the state it begins with cannot be made: Odd"),
        *(
            (start("chat", turn=turn({"value": value})), f"the state it begins with cannot be made: {FAULTS[value]}")
            for value in FAULTS
        ),
        (start("chat", turn=turn({"value": 1, "state": nested(170)})), ""),
    ],
)
def test_a_program_that_cannot_begin_says_why(program: Worker, frame: StartProgram, reason: str) -> None:
    answer = asked(program, frame)
    assert isinstance(answer, Turn)
    (command,) = answer.commands
    if reason:
        assert isinstance(command, (Halt, Diverge))
        assert (command.reason if isinstance(command, Halt) else command.detail).startswith(reason)


@pytest.mark.parametrize("value", [value for value in FAULTS if value not in ENDING])
def test_an_outcome_that_cannot_be_read_ends_its_program(program: Worker, value: str) -> None:
    scheduled = asked(program, start("steps", 1))
    assert [type(command) for command in scheduled.commands] == [ScheduleStep]
    result = Resolution(key="echo#1", kind="result", value=value)
    ended = asked(program, Resolve(run_id="r", resolution=result))
    assert [type(command) for command in ended.commands] == [Raise]


@pytest.mark.parametrize("value", [*FAULTS, None])
def test_a_program_that_raises_when_it_is_ended_harms_no_other(program: Worker, value: str | None) -> None:
    other = asked(program, start("steps", 2, run_id="other"))
    scheduled = asked(program, start("steps", value))
    assert len(scheduled.commands) == 1
    program.send(EndProgram(run_id="r"), EndProgram(run_id="never was"))
    program.send(Resolve(run_id="r", resolution=Resolution(key="echo#1", kind="result", value=1)))
    done = asked(program, Resolve(run_id="other", resolution=Resolution(key="echo#1", kind="result", value=2)))
    assert (done.run_id, [command.type for command in done.commands]) == ("other", ["return"])
    assert other.run_id == "other"


def test_an_app_that_cannot_be_described_is_answered(app: Path) -> None:
    path = app.with_name("twice.py")
    path.write_text(
        textwrap.dedent(
            """
            from typing import Annotated, Any
            from pydantic import BeforeValidator
            from greenroom import workflow

            def define(value):
                async def first() -> None: ...
                async def second() -> None: ...
                workflow(name="twice")(first), workflow(name="twice")(second)
                return value

            @workflow
            async def plain(value: Annotated[Any, BeforeValidator(define)]) -> None: ...
            """
        )
    )
    worker = begun(path, "program")
    try:
        described = asked(worker, DescribeApp(id="q"))
        assert [each.name for each in described.definitions] == ["plain"]
        asked(worker, CheckArguments(id="q", workflow="plain", arguments={"value": 1}))
        answer = asked(worker, DescribeApp(id="q"))
        assert isinstance(answer, AppDescribed)
        assert "there are several workflows called `twice`" in answer.faults[0].sentence
    finally:
        worker.close()


# ---------------------------------------------------------------- steps


DEADLY = {*ENDING, "Odd", "CancelledError", "GeneratorExit"}
"""What ends a worker of steps, which is an answer too: its process is seen to die."""


@pytest.mark.parametrize("step", ["app:echo", "app:write"])
@pytest.mark.parametrize("value", [*(value for value in FAULTS if value not in DEADLY), *UNWRITABLE])
def test_a_step_that_cannot_read_its_arguments_or_write_its_result_fails(tools: Worker, step: str, value: Json) -> None:
    assert isinstance(tools.call(step, value), Failed)
    assert isinstance(tools.call(step, 1), Completed)


@pytest.fixture(scope="module")
def tools(app: Path) -> Iterator[Worker]:
    """Give one tool worker for all tests."""
    worker = begun(app, "tool")
    yield worker
    worker.close()


def test_an_evaluation_that_cannot_read_its_subject_is_answered(app: Path) -> None:
    worker = begun(app, "evaluator")
    try:
        for value in FAULTS:
            if value not in DEADLY:
                answer = asked(worker, evaluate("app:judge", value))
                assert isinstance(answer, Judged)
                assert answer.failure.told()
    finally:
        worker.close()


def test_a_step_that_nobody_defines_fails(tools: Worker) -> None:
    assert isinstance(tools.call("app:nowhere"), Failed)


def test_every_kind_of_frame_is_tried_here() -> None:
    tried = {*QUESTIONS, *READ_ONLY, StartProgram, Resolve, EndProgram, DescribeApp, Execute, Evaluate}
    unanswered = {Abort, Environment, Stop}
    kinds = {*get_args(get_args(ToWorker)[0])}
    assert kinds == tried | unanswered
    assert execute("app:echo").type == "execute"
