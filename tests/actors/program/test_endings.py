"""Whatever a user's code raises is described, and whatever it leaves behind is thrown away."""

import asyncio
import gc
import sys
from contextvars import ContextVar, copy_context
from typing import Any, NoReturn

import pytest

from greenroom.actors.failures.description import describe_exception, explain, explain_without_source, failed_calls
from greenroom.actors.program import endings
from greenroom.actors.program.endings import NOTHING_LEFT, discard_task, raise_command, stuck_command
from greenroom.messages.codecs.codec import FROM_WORKER
from greenroom.messages.core.errors import Fatal, RetryAfter, RunFailed, StepFailed
from greenroom.messages.frames.worker import Halt, Raise, Turn


class OddError(BaseException):
    """Neither an Exception nor anything known."""


def refuse(*_args: Any) -> NoReturn:
    raise OddError


class Names(type):
    __name__ = property(refuse)  # type: ignore[assignment]
    mro = type.mro


class Text(str):
    __slots__ = ()
    encode = __getitem__ = __len__ = refuse  # type: ignore[assignment]


class RaisingError(Exception):
    __str__ = __repr__ = refuse


class ExitsError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NoTextError(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307  the worst case


class OwnTextError(Exception):
    def __str__(self) -> str:
        return Text("said")


class HidesError(Exception):
    __cause__ = __context__ = __traceback__ = __suppress_context__ = property(refuse)  # type: ignore[assignment]
    __notes__ = property(refuse)
    args = property(refuse)  # type: ignore[assignment]


class UnnamedError(Exception, metaclass=Names):
    pass


class ElsewhereError(Exception):
    __module__ = 7  # type: ignore[assignment]


class Group(ExceptionGroup[Exception]):
    exceptions = property(refuse)  # type: ignore[assignment]


class NoStep(StepFailed):
    def __init__(self) -> None:
        Exception.__init__(self, "made by hand")


class Stepless(StepFailed):
    step = property(refuse)  # type: ignore[assignment]

    def __init__(self) -> None:
        Exception.__init__(self, "its step cannot be told")


class Later(RetryAfter):
    seconds = property(refuse)  # type: ignore[assignment]

    def __init__(self) -> None:
        Exception.__init__(self, "later")


def circle() -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def chain(link: str, length: int = 3000) -> BaseException:
    error: Exception = ValueError("the last")
    for _ in range(length):
        outer = ValueError("outer")
        setattr(outer, link, error)
        error = outer
    return error


def nested(depth: int = 5000) -> BaseException:
    error: Exception = ValueError("inside")
    for _ in range(depth):
        error = ExceptionGroup("around", [error])
    return error


def own_circle() -> BaseException:
    error = ExceptionGroup("around", [ValueError("inside")])
    error.exceptions[0].__cause__ = error
    return error


SURROGATE = "half \ud83e"


def later(seconds: float) -> RetryAfter:
    error = RetryAfter(1)
    error.seconds = seconds
    return error


BAD = {
    "a circle of causes": circle(),
    "a cause in its own group": own_circle(),
    "3,000 causes": chain("__cause__"),
    "3,000 contexts": chain("__context__"),
    "5,000 groups": nested(),
    "an exception of its own": OddError("odd"),
    "a group of those": BaseExceptionGroup("odd", [OddError("odd")]),
    "a text that raises": RaisingError(),
    "a text that exits": ExitsError(),
    "a text that is none": NoTextError(),
    "a text with its own ways": OwnTextError(),
    "attributes that raise": HidesError("hides"),
    "a name that raises": UnnamedError("unnamed"),
    "a module that is none": ElsewhereError("elsewhere"),
    "a group that hides its members": Group("hides", [ValueError("inside")]),
    "a step that is missing": NoStep(),
    "a step that raises": Stepless(),
    "seconds that raise": Later(),
    "seconds without end": RetryAfter(float("inf")),
    "seconds that are none": later(float("nan")),
    "100 MB": ValueError("x" * 100_000_000),
    "half a character": ValueError(SURROGATE),
    "a step with half a character": StepFailed("said", step=SURROGATE),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration(),
    "CancelledError": asyncio.CancelledError(),
    "MemoryError": MemoryError(),
    "RecursionError": RecursionError("too deep"),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "SystemExit": SystemExit(object()),
}


@pytest.mark.parametrize("what", BAD)
def test_every_exception_can_be_told_to_the_orchestrator(what: str) -> None:
    error = BAD[what]
    command = raise_command(error, cancelled=False, stop=True)
    frame = FROM_WORKER.encode(Turn(run_id="r", commands=(command,)))
    assert len(frame) < 200_000
    assert command.failure.type
    assert command.failure.outcome == "error"
    assert command.stop
    assert explain(error)
    assert explain_without_source(error)


def test_what_an_exception_hides_is_told_all_the_same() -> None:
    try:
        raise HidesError("hidden")  # noqa: TRY301  to have a traceback
    except HidesError as error:
        failure = describe_exception(error)
        place = explain(error)
        mentioned = explain_without_source(error)
    assert 'raise HidesError("hidden")' in failure.traceback
    assert f"{__file__}:" in place
    assert mentioned.endswith(place[place.index(" (") :])
    assert describe_exception(UnnamedError("x")).type == "UnnamedError"
    assert describe_exception(OwnTextError()).message == "said"
    assert describe_exception(Fatal("x")).fatal


def test_a_long_traceback_keeps_both_of_its_ends() -> None:
    def even(depth: int) -> None:
        odd(depth - 1)

    def odd(depth: int) -> None:
        if not depth:
            raise ValueError("this is the last line")
        even(depth)

    try:
        odd(400)
    except ValueError as error:
        text = describe_exception(error).traceback
    assert "odd(400)" in text
    assert "this is the last line" in text
    assert len(text) <= 16 * 1024


def test_the_calls_that_an_exception_comes_from_are_found_wherever_they_are() -> None:
    step, child = StepFailed("x", step="a#1"), RunFailed("x", run_id="r")
    child.call = "b#1"
    deep = chain("__context__")
    last: BaseException = deep
    while last.__context__ is not None:
        last = last.__context__
    last.__cause__ = BaseExceptionGroup("g", [step, ValueError("x"), child, step])
    assert failed_calls(deep) == ("a#1", "b#1")
    assert failed_calls(circle()) == ()
    nothing = ExceptionGroup("g", [ValueError("x")])
    nothing.__cause__ = step
    assert failed_calls(nothing) == ("a#1",), "where no member comes from a call, the group itself may"
    several = ExceptionGroup("g", [child])
    several.__cause__ = step
    assert failed_calls(several) == ("b#1",)
    hidden = ValueError("x")
    hidden.__context__, hidden.__suppress_context__ = step, True
    assert failed_calls(hidden) == ()


def test_only_a_cancellation_that_was_asked_for_counts_as_one() -> None:
    asked = raise_command(asyncio.CancelledError(), cancelled=True, stop=False)
    assert (asked.cancelled, asked.failure.outcome) == (True, "cancelled")
    own = raise_command(asyncio.CancelledError(), cancelled=False, stop=False)
    assert (own.cancelled, own.failure.outcome) == (False, "error")
    assert "nobody has cancelled it" in own.failure.message


def test_a_run_that_is_stuck_is_parked_and_a_message_fails() -> None:
    places = [f"/app.py:{line}" for line in range(7)]
    run = stuck_command(NOTHING_LEFT, places, session=False, stop=False)
    assert isinstance(run, Halt)
    assert run.reason.endswith("it waits at /app.py:0, /app.py:1, /app.py:2, /app.py:3, /app.py:4 and others")
    turn = stuck_command(NOTHING_LEFT, places[:1], session=True, stop=True)
    assert isinstance(turn, Raise)
    assert turn.failure.message == f"{NOTHING_LEFT}; it waits at /app.py:0"
    assert turn.stop


# ---------------------------------------------------------------- what is left behind

whose: ContextVar[str] = ContextVar("whose", default="another's")


def thrown_away(*coroutines: Any) -> list[str]:
    """Run coroutines until they wait, throw their tasks away, collect garbage, and give what they said meanwhile."""
    said.clear()

    async def main() -> None:
        context = copy_context()
        context.run(whose.set, "its own")
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # the host's loop is as quiet
        for each in coroutines:
            context.run(asyncio.create_task, each)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            discard_task(task, context.copy())
        assert all(task.done() for task in tasks)
        del task, tasks
        gc.collect()
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    return said


said: list[str] = []


def say(what: str) -> None:
    said.append(f"{what} in {whose.get()}")


async def waits() -> None:
    await asyncio.get_running_loop().create_future()


async def cleans_up() -> None:
    try:
        try:
            await waits()
        finally:
            say("inner")
            await waits()
            say("never")
    finally:
        say("outer")
        await waits()
        say("never")


async def swallows(until: list[str]) -> None:
    while not until:
        try:
            await asyncio.sleep(0)
        except BaseException:  # noqa: BLE001  the worst case
            if len(said) < 1000:
                say("swallowed")


async def awaits_what_swallows(until: list[str]) -> None:
    await swallows(until)
    say("never")


class Complains:
    def __del__(self) -> None:
        raise RuntimeError("not to be kept quiet")


async def complains() -> None:
    complaint = Complains()
    await waits()
    del complaint


async def exits() -> None:
    try:
        await waits()
    finally:
        raise SystemExit(3)


async def in_groups() -> None:
    async with asyncio.TaskGroup() as group, asyncio.timeout(50):
        group.create_task(cleans_up())
        await waits()


def test_what_is_thrown_away_runs_its_cleanup_in_its_own_context_and_never_again() -> None:
    assert thrown_away(cleans_up()) == ["inner in its own", "outer in its own"]
    assert thrown_away(exits()) == []
    assert thrown_away(in_groups()) == ["inner in its own", "outer in its own"]


@pytest.fixture
def remarks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give what Python remarks on where nobody can be told of an exception."""
    heard: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: heard.append(str(found.exc_value)))
    return heard


@pytest.mark.parametrize("stubborn", [swallows, awaits_what_swallows])
def test_what_refuses_to_end_is_left_to_rest_without_a_remark(
    stubborn: Any, remarks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(endings, "_unending", kept)
    until: list[str] = []
    hook = sys.unraisablehook
    assert set(thrown_away(stubborn(until))) == {"swallowed in its own"}
    assert len(said) < 1000
    assert remarks == []
    assert sys.unraisablehook is hook
    until.append("this process would say at its end that they were never closed")
    for each in kept:
        each.close()


def test_what_goes_wrong_besides_while_something_is_thrown_away_is_remarked_on(remarks: list[str]) -> None:
    thrown_away(complains())
    assert remarks == ["not to be kept quiet"]
