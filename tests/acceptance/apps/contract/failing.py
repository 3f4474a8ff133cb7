"""Code that fails, each in a way of its own. A test finds the line by the words of the comment beside it."""

# ruff: noqa: N818, PT017, PLR0911, RSE102  errors named and caught as authors do it

import asyncio
import ctypes
import json
from dataclasses import dataclass

from pydantic import BaseModel

from greenroom import Retry, RunFailed, StepFailed, approve, current, emit, receive, run, session, sleep, tool, workflow


class Base(Exception):
    pass


class Quota(Base):
    """Cannot be made again by its arguments alone."""

    def __init__(self, who: str, *, limit: int) -> None:
        super().__init__(who)
        self.limit = limit
        self.lock = object()

    def __str__(self) -> str:
        return f"{self.args[0]} has used up {self.limit}"


@dataclass
class Refused(Exception):
    code: int


ERRORS = {
    "quota": lambda: Quota("ada", limit=3),
    "refused": lambda: Refused(404),
    "value": lambda: ValueError("bad"),
    "key": lambda: KeyError("colour"),
    "file": lambda: FileNotFoundError(2, "No such file", "paper"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad start"),
    "stop": lambda: StopIteration(4),
    "group": lambda: ExceptionGroup("several", [ValueError("bad"), Quota("bob", limit=1)]),
}


@tool(retry=Retry(attempts=2, initial=0.0))
def fail(kind: str) -> str:
    raise ERRORS[kind]()  # the tool's line


@tool(retry=Retry(attempts=1))
def look_up(name: str) -> str:
    try:
        return {"red": "f00"}[name]  # the inner line
    except KeyError as error:
        error.add_note("only red is known")
        raise Quota(name, limit=1) from error  # the outer line


def lower(depth: int) -> None:
    if depth == 0:
        raise ValueError("at the bottom")  # the bottom line
    lower(depth - 1)


@tool(retry=Retry(attempts=1))
def recursive() -> None:
    lower(500)


@tool(retry=Retry(attempts=1), crash_attempts=1)
def crash() -> None:
    ctypes.string_at(0)  # the crashing line


@tool
def fine(word: str) -> str:
    return word


class Local:
    """Makes a class that no other process can have, below one that they have."""

    @staticmethod
    def error() -> Exception:
        class Derived(Base):
            pass

        return Derived("from below")


ERRORS["derived"] = Local.error


@workflow
async def own() -> str:
    return {"red": "f00"}["blue"]  # the workflow's line


@workflow
async def step(kind: str) -> str:
    return await fail(kind)  # the workflow's await


@workflow
async def linked() -> str:
    return await look_up("blue")


@workflow
async def crashing() -> None:
    await crash()


@workflow
async def reads() -> object:
    return json.loads("{")  # the reading line


@workflow
async def deep() -> None:
    await recursive()


@workflow
async def grouped() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fine("x"))
        tasks.create_task(fail("quota"))


@workflow
async def nested() -> None:
    try:
        await grouped.fn()
    except* Quota as found:
        raise ExceptionGroup("outer", [ValueError("first"), found]) from None


@workflow
async def chained() -> None:
    try:
        await fail("value")
    except StepFailed as error:
        raise RuntimeError("no luck") from error  # the raising line


@workflow
async def later() -> None:
    saved: Exception | None = None
    try:
        await fail("value")
    except ValueError as error:
        saved = error
    await fine("between")
    assert saved is not None
    raise saved


@workflow
async def parent() -> str:
    return await step("quota")


@workflow
async def grandparent() -> str:
    return await parent()


@workflow
async def catches(kind: str) -> list[object]:
    """Say by which class the failure of a step is caught, and what is known of it."""
    try:
        await fail(kind)
    except Quota as error:
        assert isinstance(error, StepFailed)
        return ["Quota", error.limit, error.args[0], error.step, error.attempts, type(error.cause).__name__]
    except Refused as error:
        return ["Refused", error.code]
    except Base as error:
        return ["Base", str(error)]
    except KeyError as error:
        return ["KeyError", error.args[0], str(error)]
    except FileNotFoundError as error:
        return ["FileNotFoundError", error.errno, error.filename]
    except UnicodeError as error:
        return ["UnicodeError", str(error)]
    except StepFailed as error:
        return ["StepFailed", error.error, str(error.cause)]
    return []


@workflow
async def catches_star() -> str:
    caught = ""
    try:
        await grouped.fn()
    except* Base as found:
        (error,) = found.exceptions
        assert isinstance(error, StepFailed)
        caught = f"{error.step} {error.cause}"
    return caught


@workflow
async def catches_child() -> str:
    try:
        await parent()
    except Quota as error:
        assert isinstance(error, RunFailed)
        return f"{error.step} {error.limit} {len(error.attempts)}"
    return ""


@workflow
async def catches_and_waits(seconds: float) -> str:
    """Be replayed after the failure."""
    caught = "nothing"
    try:
        await fail("quota")
    except Quota as error:
        caught = f"{error.limit} {error}"
    await sleep(seconds)
    return await fine(caught)


class Go(BaseModel):
    word: str = ""


@workflow
async def forgets(what: str) -> str:  # noqa: C901  a line for each
    if what == "step":
        fine("x")  # a forgotten step
    if what == "held":
        held = fine("x")  # a held step
        await fine("y")
        del held
    if what == "child":
        own()  # a forgotten child
    if what == "sleep":
        sleep(1)  # a forgotten sleep
    if what == "asyncio.sleep":
        asyncio.sleep(1)  # a forgotten asyncio.sleep
    if what == "receive":
        receive(Go)  # a forgotten receive
    if what == "approve":
        approve("go")  # a forgotten approve
    if what == "emit":
        emit(1)  # a forgotten emit
    if what == "run":
        run(own)  # a forgotten run
    if what == "tell":
        handler.tell("ada", Go(word="x"))  # a forgotten tell
    if what == "closed":
        fine("x").close()
    if what == "task":
        asyncio.create_task(fine("x")).cancel()
    return await fine("done")


@workflow
async def leaves() -> str:
    done = await fine("done")
    asyncio.create_task(fine("x"))  # noqa: RUF006  # a task that is left
    return done


@tool(retry=Retry(attempts=1))  # the tool with a set
def spreads():  # type: ignore[no-untyped-def]
    return {"x"}


@workflow
async def spread() -> None:
    await spreads()


@workflow  # the workflow with a call
async def hands_out() -> list[str]:
    return [fine("x")]  # type: ignore[list-item]


class Nothing(BaseModel):
    pass


@session(state=Nothing)
async def handler(state: Nothing, message: Go) -> str:
    return await fail(message.word)


@tool(retry=Retry(attempts=1))
def stops() -> None:
    current().heartbeat({"done": 3})
    raise ValueError("at the fourth")


@workflow
async def stopping() -> None:
    await stops()


@workflow
async def tells_how_far() -> object:
    try:
        await stopping()
    except RunFailed as error:
        (attempt,) = error.attempts
        return attempt.progress["done"]
    return "it did not fail"
