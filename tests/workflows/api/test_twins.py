"""What can be done in plain code can be done in asynchronous code, by the same names and with the same arguments."""

import asyncio
import inspect
import re
import threading
import warnings
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from greenroom import (
    AsyncClient,
    AsyncOrchestrator,
    AsyncRun,
    AsyncSchedule,
    AsyncSession,
    Client,
    Orchestrator,
    Run,
    Schedule,
    Session,
)
from greenroom.workflows.api.handles.items import Items
from greenroom.workflows.api.threads import MOST, Threads, in_thread, warn_on_loop

PAIRS = [
    (Orchestrator, AsyncOrchestrator),
    (Client, AsyncClient),
    (Run, AsyncRun),
    (Session, AsyncSession),
    (Schedule, AsyncSchedule),
]
ONLY_PLAIN = {
    "aio": "is the way to the twin",
    "host": "is for handles",
    "handle": "is for handles",
    "reads": "blocks: the twin has methods for what it gives",
    "threads": "is what the twin works with",
    "twins": "is for handles",
    "follow": "is for handles",
    "wait_result": "is for handles",
    "until_result": "is for handles",
    "until_followed": "is for handles",
    "until_over": "is what `result` of the twin awaits",
    "until_answered": "is for handles",
    "until_sent": "is what `send` of the twin awaits",
    "post": "is for handles",
    "watch": "is for handles",
    "goes_on": "does not block",
    "peek": "is for tests",
    "announce": "is for the server",
    "check_alive": "does not block",
    "on_delay": "does not block, and is called on a thread of the orchestrator's",
    "home": "does not block once it is open",
    "hurry": "is for the twin's close",
}
"""Why each of these has no twin."""
AT_ONCE = {"session", "events", "stream", "logs"}
"""What the twin gives without being awaited: handles, and what is awaited item by item."""


def public(kind: type) -> dict[str, Any]:
    return {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("plain", "twin"), PAIRS)
def test_a_twin_has_what_the_plain_one_has_and_nothing_more(plain: type, twin: type) -> None:
    assert set(public(plain)) - set(ONLY_PLAIN) == set(public(twin)) - {"plain"}


@pytest.mark.parametrize(("plain", "twin"), PAIRS)
def test_a_twin_takes_the_same_arguments(plain: type, twin: type) -> None:
    for name, method in public(twin).items():
        if inspect.isfunction(method):
            assert parameters(method) == parameters(inspect.getattr_static(plain, name)), name


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize("twin", [twin for _, twin in PAIRS])
def test_whatever_blocks_is_awaited_and_gives_the_same(twin: type) -> None:
    for name, member in public(twin).items():
        if inspect.isfunction(member) and name not in AT_ONCE:
            assert inspect.iscoroutinefunction(member), name
        elif isinstance(member, property):
            assert "Coroutine" in str(member.fget.__annotations__["return"]), name


def test_handles_of_a_twin_are_twins() -> None:
    assert {"AsyncRun", "AsyncSession", "AsyncSchedule"} <= {
        re.sub(r".*?(Async\w+).*", r"\1", str(member.__annotations__["return"]))
        for member in public(AsyncOrchestrator).values()
        if inspect.isfunction(member)
    }


# ---------------------------------------------------------------- threads


def test_calls_have_few_threads_and_none_once_they_are_let_go() -> None:
    threads = Threads()
    held, begun = threading.Event(), threading.Semaphore(0)

    def wait() -> str:
        begun.release()
        held.wait(20)
        return threading.current_thread().name

    async def many() -> list[str]:
        calls = [asyncio.ensure_future(threads.call(wait)) for _ in range(3 * MOST)]
        for _ in range(MOST):
            await asyncio.to_thread(begun.acquire)
        calls[-1].cancel()  # which has not begun, and never will
        held.set()
        names = await asyncio.gather(*calls[:-1])
        assert calls[-1].cancelled()
        threads.close()
        return [*names, await threads.call(lambda: threading.current_thread().name)]

    names = asyncio.run(many())
    assert 1 < len(set(names[:-1])) <= MOST
    assert all(name.startswith("greenroom-call") for name in names[:-1])
    assert names[-1].startswith("asyncio")
    for thread in threading.enumerate():
        if thread.name.startswith("greenroom-call"):
            thread.join(10)
            assert not thread.is_alive()


def test_a_call_in_a_thread_of_its_own_hands_on_what_it_raises() -> None:
    def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        in_thread("failing", fail).result(10)


def test_holding_an_event_loop_is_warned_of_once_for_each_line_and_nowhere_else() -> None:
    warn_on_loop("waiting", "await it")  # no loop, no warning

    async def hold() -> None:
        for _ in range(3):
            warn_on_loop("waiting", "await it")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        asyncio.run(hold())
    assert [(str(each.message), each.category, each.filename) for each in seen] == [
        ("waiting holds the event loop of this thread until it is done: write `await it`", RuntimeWarning, __file__)
    ]


def test_items_are_for_both_kinds_of_loop() -> None:
    async def slowly() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    async def collect() -> list[int]:
        return [number async for number in items("run.events(follow=True)")]

    async def block() -> None:
        with pytest.warns(RuntimeWarning, match="async for item in"):
            assert list(items("run.events(follow=True)")) == [0, 1, 2]
        assert list(items(None)) == [0, 1, 2]

    def items(waits: str | None) -> Items[int]:
        return Items(iter(range(3)), slowly, waits)

    assert list(items("run.events(follow=True)")) == asyncio.run(collect()) == [0, 1, 2]
    asyncio.run(block())


def test_a_coroutine_of_a_twin_is_nothing_but_one() -> None:
    """What is not awaited is Python's own warning, and no half-made state."""
    threads = Threads()
    call: Coroutine[Any, Any, int] = threads.call(lambda: 1)
    call.close()
    threads.close()


def test_a_twin_that_is_called_like_what_it_belongs_to_says_how_it_is_made() -> None:
    given: Any = "runs.db"
    with pytest.raises(TypeError, match=r"AsyncOrchestrator is what `async with Orchestrator\(\.\.\.\)` gives"):
        AsyncOrchestrator(given)
    with pytest.raises(TypeError, match=r"`async with Client\(\.\.\.\)`"):
        AsyncClient(given)
