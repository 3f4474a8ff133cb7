"""What authors write, called where authors call it: in place, and inside a program."""

import asyncio
import inspect
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from greenroom import (
    LLM,
    DefinitionError,
    Fatal,
    InvalidInput,
    MockModel,
    NotSerializable,
    Retry,
    Score,
    StepFailed,
    current,
    evaluator,
    sleep,
    tool,
    workflow,
)
from greenroom.actors.context import program
from greenroom.messages.core.message import Json
from greenroom.messages.options.policy import Limits, StepOptions


class Brief(BaseModel):
    title: str
    bullets: list[str] = []
    due: date | None = None


class Progress(BaseModel):
    done: int = 0
    thread: str = ""


@tool
def search(query: str, limit: int = 3) -> list[str]:
    """Find things."""
    if query == "nothing":
        raise LookupError(query)
    return [threading.current_thread().name] * limit


@tool(timeout=10, retry=Retry(attempts=5), memory_mb=512, env=("TOKEN",), once=True, crash_attempts=2, name="find")
async def search_again(query: str) -> Brief:
    await asyncio.sleep(0)
    return Brief(title=query)


@evaluator
def concise(brief: Brief) -> bool:
    return len(brief.bullets) < 3


@evaluator(timeout=5)
async def graded(brief: Brief, arguments: dict[str, Any]) -> float:
    return 0.5 if arguments else 0.0


writer = LLM(
    "writer", output=Brief, accept=[concise, graded], threshold=0.8, on_reject="flag", model=MockModel(latency=0)
)
plain = LLM("plain", model=MockModel(latency=0))


@workflow
async def research(state: Progress, topic: str, *, limit: int = 2) -> Brief:
    """Research a topic."""
    hits = await search(topic, limit)
    state.done = len(hits)
    return Brief(title=f"{topic} {state.done}")


@workflow(name="plan")
async def plan_things(topic: str, due: date) -> list[Brief]:
    return [await research(topic), Brief(title=str(due))]


@dataclass
class Recorder:
    """A program that answers calls from a list, and remembers what it was asked."""

    answers: list[Json]
    asked: list[dict[str, Any]] = field(default_factory=list)
    run_id: str = "run-1"

    async def call_step(self, **call: Any) -> Json:
        self.asked.append(call)
        await asyncio.sleep(0)
        return self.answers.pop(0)

    async def call_child(self, **call: Any) -> Json:
        return await self.call_step(**call)


def in_program(coroutine: Any, *answers: Json) -> tuple[Any, list[dict[str, Any]]]:
    """Run what ``coroutine()`` gives as the code of a workflow."""
    port = Recorder(list(answers))

    async def body() -> Any:
        program.set(port)  # type: ignore[arg-type]  # the loop's part of the port is not asked here
        return await coroutine()

    return asyncio.run(body()), port.asked


# ---------------------------------------------------------------- in place


def test_a_plain_step_called_in_place_runs_in_a_thread() -> None:
    assert asyncio.run(search("x", limit=2)) == asyncio.run(search("x", limit=2))
    assert "MainThread" not in asyncio.run(search("x"))


def test_an_async_step_called_in_place_runs_on_the_loop() -> None:
    assert asyncio.run(search_again("x")) == Brief(title="x")


def test_what_a_step_raises_in_place_is_raised_at_once() -> None:
    with pytest.raises(LookupError, match="nothing"):
        asyncio.run(search("nothing"))


def test_an_evaluator_called_in_place_gives_a_score() -> None:
    assert asyncio.run(concise(Brief(title="a"))) == Score(1.0)
    assert asyncio.run(graded(Brief(title="a"), {})) == Score(0.0)


def test_an_llm_called_in_place_asks_its_model() -> None:
    assert isinstance(asyncio.run(writer("Summarise:\n\nOtters swim very well.")), Brief)
    assert asyncio.run(plain("Summarise:\n\nOtters swim very well.")) == "Otters swim very well."
    broken = LLM("broken", output=int, model=MockModel(latency=0, replies=["many"]))
    with pytest.raises(StepFailed, match="LLM `broken` gave no valid answer: the answer is not JSON") as caught:
        asyncio.run(broken("how many?"))
    assert (caught.value.step, caught.value.outcome) == ("broken", "invalid")


def test_a_workflow_called_in_place_gets_a_fresh_state() -> None:
    for _ in range(2):
        assert asyncio.run(research("otters", limit=3)) == Brief(title="otters 3")


def test_the_plain_function_stays_at_hand() -> None:
    assert search.fn("x", 1) == ["MainThread"]
    assert inspect.iscoroutinefunction(search_again.fn)
    assert list(inspect.signature(research.fn).parameters) == ["state", "topic", "limit"]


def test_a_call_is_a_coroutine_that_every_part_of_asyncio_takes() -> None:
    async def body() -> list[Any]:
        call = search_again("a")
        assert isinstance(call, Coroutine)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call), group.create_task(search("b"))]
        async with asyncio.timeout(5):
            return [*(task.result() for task in tasks), *await asyncio.gather(search_again("c"), research("d"))]

    assert len(asyncio.run(body())) == 4


def test_a_call_that_python_would_refuse_is_refused_before_it_is_awaited() -> None:
    with pytest.raises(TypeError, match="tool `search`: missing a required argument: 'query'"):
        search()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="tool `search`: got an unexpected keyword argument 'limt'"):
        search("a", limt=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="workflow `research`: too many positional arguments"):
        research("a", 3)  # type: ignore[call-arg, misc]


def test_a_wait_in_place_is_an_ordinary_wait() -> None:
    async def waited() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await sleep(0.05)
        return loop.time() - began

    assert asyncio.run(waited()) > 0.04


def test_the_running_step_is_unknown_outside_of_steps() -> None:
    with pytest.raises(RuntimeError, match=r"current\(\) is known in a step that a run asked for"):
        current()


# ---------------------------------------------------------------- inside a program


def test_a_step_in_a_program_is_asked_for_by_reference_with_json_and_options() -> None:
    result, asked = in_program(lambda: search("otters", limit=1), ["a"])
    assert result == ["a"]
    assert asked == [
        {
            "name": "search",
            "kind": "tool",
            "step": search.definition.ref,
            "arguments": {"args": ["otters"], "kwargs": {"limit": 1}},
            "options": StepOptions(),
            "key": None,
        }
    ]


def test_a_result_comes_back_as_the_annotated_type() -> None:
    result, _ = in_program(lambda: search_again("x"), {"title": "x", "due": "2024-02-29"})
    assert result == Brief(title="x", due=date(2024, 2, 29))
    score, _ = in_program(lambda: concise(Brief(title="a")), {"value": 0.5, "reason": "so", "label": None})
    assert score == Score(0.5, "so")


def test_a_recorded_result_that_no_longer_fits_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"the result of tool `find` does not fit Brief: title: Field required"):
        in_program(lambda: search_again("x"), {})


def test_arguments_are_taken_as_they_are_at_the_call() -> None:
    async def body() -> Any:
        brief = Brief(title="first")
        call = concise(brief)
        brief.title = "second"
        return await call

    _, asked = in_program(body, {"value": 1.0})
    assert asked[0]["arguments"].read()["args"][0]["title"] == "first"


def test_an_argument_that_is_no_json_is_refused_at_the_call() -> None:
    with pytest.raises(NotSerializable, match="argument `query` of tool `search` does not fit str"):
        in_program(lambda: search(object()), [])  # type: ignore[arg-type]


def test_options_make_a_copy_that_is_called_differently() -> None:
    other = search.options(timeout=None, retry=Retry(attempts=1), name="look up", key="eu")
    _, (call,) = in_program(lambda: other("x"), ["a"])
    assert (call["name"], call["key"], call["step"]) == ("look up", "eu", search.definition.ref)
    assert (call["options"].timeout, call["options"].retry.attempts) == (None, 1)
    _, (call,) = in_program(lambda: search("x"), ["a"])
    assert (call["name"], call["key"], call["options"]) == ("search", None, StepOptions())
    assert other.options(key="us").options(timeout=3).name == "look up"


def test_what_was_said_at_the_decorator_travels_with_the_call() -> None:
    _, (call,) = in_program(lambda: search_again("x"), {"title": "x"})
    assert call["name"] == "find"
    assert call["options"] == StepOptions(
        timeout=10.0,
        retry=Retry(attempts=5),
        crash_attempts=2,
        once=True,
        pool="tool:find",
        limits=Limits(memory_mb=512, env=("TOKEN",)),
    )


def test_an_llm_is_asked_for_with_its_evaluators() -> None:
    result, (call,) = in_program(lambda: writer("a prompt"), {"title": "x"})
    assert result == Brief(title="x")
    assert (call["kind"], call["arguments"]) == ("llm", {"args": ["a prompt"], "kwargs": {}})
    options = call["options"]
    assert options.accept == (concise.definition.ref, graded.definition.ref)
    assert (options.threshold, options.on_reject) == (0.8, "flag")


def test_a_workflow_in_a_program_is_a_child_run() -> None:
    result, (call,) = in_program(lambda: plan_things("otters", date(2024, 2, 29)), [{"title": "a"}])
    assert result == [Brief(title="a")]
    assert (call["workflow"], call["version"]) == ("plan", 1)
    assert call["arguments"] == {"topic": "otters", "due": "2024-02-29"}
    assert call["fingerprint"] == plan_things.definition.fingerprint


def test_a_child_run_that_cannot_start_names_every_field() -> None:
    with pytest.raises(InvalidInput) as caught:
        in_program(lambda: plan_things(topc="otters", due="soon"), [])  # type: ignore[call-arg, arg-type]
    assert [name for name, _ in caught.value.errors] == ["topic", "due", "topc"]


def test_what_no_worker_could_find_is_refused_when_a_run_uses_it() -> None:
    @tool
    def local() -> None: ...

    @evaluator
    def local_judge(text: str) -> bool:
        return bool(text)

    @workflow
    async def local_child() -> None: ...

    judged = search.options()
    judged._accept = (local_judge,)
    for step, arguments in ((local, ()), (judged, ("x",)), (local_child, ())):
        with pytest.raises(
            DefinitionError, match=r"is defined inside a function, .*: move it to the top level of a file"
        ):
            in_program(lambda step=step, arguments=arguments: step(*arguments), None)


# ---------------------------------------------------------------- definitions


def test_wrong_options_are_told_all_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:

        @tool(timeout=-1, retry=3, memory_mb=0, threshold=2.0, accept=[search])  # type: ignore[arg-type, call-overload]
        def wrong() -> None: ...

    text = str(caught.value)
    assert text.startswith("tool `wrong` has invalid options:")
    for fault in (
        "timeout: Input should be greater than 0",
        "retry: Input should be a valid dictionary or instance of Retry",
        "limits.memory_mb: Input should be greater than 0",
        "threshold: Input should be less than or equal to 1",
        "accept: takes functions decorated with @evaluator, and a Judge, Rule or Panel",
    ):
        assert f"\n  {fault}" in text
    with pytest.raises(DefinitionError, match="accept: takes functions decorated with @evaluator"):
        LLM("w", accept=concise.fn)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="timeout: Input should be greater than 0"):
        search.options(timeout=0)
    with pytest.raises(DefinitionError, match="tries: Extra inputs are not permitted"):
        search.options(tries=3)  # type: ignore[call-arg]


def test_what_is_no_function_is_not_decorated() -> None:
    with pytest.raises(DefinitionError, match="tool `search` is a step, a workflow or a session already"):
        workflow(search)  # type: ignore[type-var]
    with pytest.raises(DefinitionError, match="@tool decorates a function, not 'search'"):
        tool("search")  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match="cannot be made a step or workflow"):
        tool(len)


def test_a_workflow_is_a_coroutine_function_with_named_parameters() -> None:
    with pytest.raises(DefinitionError, match="workflow `sync` is not a coroutine function: write `async def sync`"):

        @workflow  # type: ignore[arg-type]
        def sync() -> None: ...

    with pytest.raises(DefinitionError, match=r"workflow `loose` takes \*args and \*\*kwargs: name its parameters"):

        @workflow
        async def loose(*args: int, **kwargs: int) -> None: ...


def test_state_without_defaults_is_refused() -> None:
    class Needy(BaseModel):
        a: int
        b: str
        c: float = 1.0

    with pytest.raises(DefinitionError, match="Needy has none for `a`, `b`: give each field a default"):

        @workflow
        async def needs(state: Needy) -> None: ...


def test_reprs_say_what_a_thing_is() -> None:
    module = __name__
    assert repr(search) == f"<tool `search` of {module}: up to 4 attempts, 300 s each>"
    assert repr(search.options(timeout=None, retry=Retry(attempts=1))) == (
        f"<tool `search` of {module}: 1 attempt, no timeout>"
    )
    assert repr(writer) == f"<LLM `writer` of {module}: up to 4 attempts, 300 s each>"
    assert repr(research) == f"<workflow `research` of {module}>"


def test_help_shows_the_function_behind_a_step() -> None:
    assert search.__doc__ == "Find things."
    assert str(inspect.signature(search)) == "(query: str, limit: int = 3) -> list[str]"
    assert research.__doc__ == "Research a topic."


def test_an_exception_class_of_a_retry_policy_is_kept_by_name() -> None:
    @tool(retry=Retry(on=(LookupError,), never=(Fatal,)))
    def steered() -> None: ...

    assert steered.definition.options.retry.on == ("builtins.LookupError",)
    assert steered.definition.options.retry.never == ("greenroom.messages.core.errors.Fatal",)


def test_an_option_that_no_model_step_has_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"LLM\(\) got an unexpected keyword argument 'temperature'"):
        LLM("warm", temperature=1)  # type: ignore[call-overload]
    options = LLM("given", threshold=0.5, timeout=None, settings={"temperature": 1}).definition.options
    assert (options.threshold, options.timeout, options.on_reject, options.retry) == (0.5, None, "retry", Retry())


def test_what_becomes_of_a_rejected_result_is_one_of_four() -> None:
    unknown: Any = "shrug"
    with pytest.raises(DefinitionError, match="on_reject: Input should be 'retry', 'flag', 'fail' or 'escalate'"):
        LLM("careful", on_reject=unknown)
    assert LLM("patient", on_reject="escalate").definition.options.on_reject == "escalate"
