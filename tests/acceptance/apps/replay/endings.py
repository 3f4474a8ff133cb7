"""Programs that end badly, or would never end, put together from a description: how, and where in the code."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

from pydantic import BaseModel

from greenroom import Retry, session, sleep, tool, workflow

Ending = Callable[[], Awaitable[Any]]


class OddError(BaseException):
    """Neither an Exception nor anything known."""


class SilentError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise OddError


class HidingError(Exception):
    """Hides all there is to know of it."""

    def refuse(self) -> NoReturn:
        raise OddError

    __cause__ = __context__ = __traceback__ = __notes__ = args = property(refuse)  # type: ignore[assignment]


# ---------------------------------------------------------------- what is raised


def circle() -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first
    return first


def chain() -> BaseException:
    error = ValueError("the last")
    for _ in range(3000):
        outer = ValueError("outer")
        outer.__cause__ = error
        error = outer
    return error


def nested() -> BaseException:
    error: Exception = ValueError("inside")
    for _ in range(3000):
        error = ExceptionGroup("around", [error])
    return error


RAISED: dict[str, Callable[[], BaseException]] = {
    "a circle": circle,
    "a chain": chain,
    "a nest": nested,
    "odd": lambda: OddError("odd"),
    "a group of odd": lambda: BaseExceptionGroup("around", [OddError("odd")]),
    "silent": SilentError,
    "hiding": lambda: HidingError("hiding"),
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "CancelledError": asyncio.CancelledError,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "huge": lambda: ValueError("x" * 10_000_000),
    "half a character": lambda: ValueError("\ud83e"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
}


def raiser(make: Callable[[], BaseException]) -> Ending:
    async def ending() -> NoReturn:
        raise make()

    return ending


# ---------------------------------------------------------------- what is waited for

shared = asyncio.Event()
"""Known to all programs of a process; nobody sets it."""


async def event() -> None:
    await asyncio.Event().wait()


async def everybodys_event() -> None:
    await shared.wait()


async def future() -> None:
    await asyncio.get_running_loop().create_future()


async def lock() -> None:
    one = asyncio.Lock()
    async with one, one:
        pass


async def each_other() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def wait_for(number: int) -> None:
        await asyncio.sleep(0)
        await tasks[number]

    tasks[:] = [asyncio.create_task(wait_for(1)), asyncio.create_task(wait_for(0))]
    await asyncio.wait(tasks)


async def empty_queue() -> None:
    await asyncio.Queue[int]().get()


async def swallowing() -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()


async def swallowing_once() -> None:
    with contextlib.suppress(BaseException):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


# ---------------------------------------------------------------- what comes from outside


async def thread() -> None:
    loop, found = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(found.set_result, 1)).start()
    await asyncio.wait_for(found, 600)


async def alarm() -> None:
    found = asyncio.get_running_loop().create_future()
    signal.signal(signal.SIGALRM, lambda *_: None if found.done() else found.set_result(1))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    await asyncio.wait_for(found, 20)


async def executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, print)


async def process() -> None:
    await asyncio.create_subprocess_exec("true")


async def connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def reader() -> None:
    asyncio.get_running_loop().add_reader(0, print)


async def stopped() -> None:
    asyncio.get_running_loop().stop()


async def another_loop() -> None:
    asyncio.run(event())


async def unwritable() -> object:
    return object()


async def half_a_character() -> str:
    return "\ud83e"


WAITS = (event, everybodys_event, future, lock, each_other, empty_queue, swallowing, swallowing_once)
OUTSIDE = (thread, alarm, executor, process, connection, reader, stopped, another_loop)
RESULTS = (unwritable, half_a_character)
ENDINGS: dict[str, Ending] = {
    **{name: raiser(make) for name, make in RAISED.items()},
    **{ending.__name__: ending for ending in (*WAITS, *OUTSIDE, *RESULTS)},
}


# ---------------------------------------------------------------- where it happens


@tool(retry=Retry(attempts=1))
def double(number: int) -> int:
    return 2 * number


async def in_finally(ending: Ending) -> Any:
    try:
        await double(1)
        raise ValueError("before")
    finally:
        await ending()


async def in_except(ending: Ending) -> Any:
    try:
        raise ValueError("before")  # noqa: TRY301  where the author would
    except ValueError:
        return await ending()


async def in_task(ending: Ending) -> Any:
    return await asyncio.create_task(_coroutine(ending))


async def in_background(ending: Ending) -> Any:
    task = asyncio.create_task(_coroutine(ending))
    await asyncio.sleep(0)
    await asyncio.Event().wait()
    return task


async def in_group(ending: Ending) -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(_coroutine(ending))
        group.create_task(asyncio.sleep(0.2))


async def in_gather(ending: Ending) -> Any:
    return await asyncio.gather(ending(), double(1))


async def in_callback(ending: Ending) -> Any:
    asyncio.get_running_loop().call_soon(lambda: asyncio.create_task(_coroutine(ending)))
    await sleep(0.05)
    await asyncio.Event().wait()


async def in_done_callback(ending: Ending) -> Any:
    def done(_task: Any) -> None:
        _coroutine(ending).send(None)

    task = asyncio.create_task(asyncio.sleep(0))
    task.add_done_callback(done)
    await task
    await asyncio.Event().wait()


async def in_generator(ending: Ending) -> Any:
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await ending()

    async for _ in numbers():
        break
    await asyncio.sleep(0)
    return await ending()


async def in_manager(ending: Ending) -> Any:
    @contextlib.asynccontextmanager
    async def managed() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await ending()

    async with managed():
        await double(1)


async def in_timeout(ending: Ending) -> Any:
    async with asyncio.timeout(0.1):
        return await ending()


async def in_shield(ending: Ending) -> Any:
    return await asyncio.shield(ending())


async def in_deletion(ending: Ending) -> Any:
    class Deleted:
        def __del__(self) -> None:
            _coroutine(ending).send(None)

    Deleted()
    return await ending()


async def after_swallowing(ending: Ending) -> Any:
    with contextlib.suppress(BaseException):
        await ending()
    await asyncio.Event().wait()


async def _coroutine(ending: Ending) -> Any:
    return await ending()


PLACES: dict[str, Callable[[Ending], Awaitable[Any]]] = {
    place.__name__: place
    for place in (
        in_finally,
        in_except,
        in_task,
        in_background,
        in_group,
        in_gather,
        in_callback,
        in_done_callback,
        in_generator,
        in_manager,
        in_timeout,
        in_shield,
        in_deletion,
        after_swallowing,
    )
}


async def play(ending: str, places: list[str]) -> Any:
    """End as described; the first place is the outermost."""
    found = ENDINGS[ending]
    for place in reversed(places):
        found = _placed(PLACES[place], found)
    return await found()


def _placed(place: Callable[[Ending], Awaitable[Any]], inner: Ending) -> Ending:
    return lambda: place(inner)


@workflow
async def bad(ending: str, places: list[str], steps: int) -> Any:
    for number in range(steps):
        await double(number)
    return await play(ending, places)


@workflow
async def waits_and_swallows() -> None:
    """Hear of a cancellation, and wait for something that never comes."""
    with contextlib.suppress(asyncio.CancelledError):
        await sleep(5)
    await swallowing()


@workflow
async def parent(ending: str, places: list[str]) -> Any:
    return await bad(ending, places, 1)


@workflow
async def good(number: int) -> int:
    for _ in range(10):
        number = await double(number) % 1000 + 1
        await sleep(0.1)
    return number


def expected(number: int) -> int:
    """Give what ``good`` returns."""
    for _ in range(10):
        number = 2 * number % 1000 + 1
    return number


class Bad(BaseModel):
    """Ends a turn badly."""

    ending: str
    places: list[str]


class Hello(BaseModel):
    """Is answered."""


class State(BaseModel):
    """How many messages were answered."""

    answered: int = 0


@session(state=State)
async def talks(state: State, message: Bad | Hello) -> State:
    if isinstance(message, Bad):
        await play(message.ending, message.places)
    state.answered += 1
    return state
