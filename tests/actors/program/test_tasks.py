"""Tasks and futures of programs are what asyncio's are, but for their hashes."""

import asyncio
import gc
import weakref
from contextvars import copy_context
from typing import Any

import pytest

from greenroom.actors.program.loop.deterministic_order import make_asyncio_deterministic
from greenroom.actors.program.loop.tasks import Future, PlainFuture, ProgramTask
from greenroom.actors.program.scope import Scope, scope
from greenroom.actors.worker.program_host import collect_garbage

make_asyncio_deterministic()  # as in every worker


async def nothing() -> int:
    return 1


@pytest.fixture
def loop():
    opened = asyncio.new_event_loop()
    yield opened
    opened.close()


def task(loop: asyncio.AbstractEventLoop, place: Scope, **options: Any) -> ProgramTask:
    return ProgramTask(nothing(), place, loop=loop, context=copy_context(), **options)


def test_a_set_of_the_tasks_of_one_parent_has_the_order_in_which_they_were_made(loop: asyncio.AbstractEventLoop):
    for path, salt in (("", 0), ("", 77), ("2.1", 0), ("2.1", 12345)):
        parent = Scope(path, salt)
        tasks = [task(loop, parent.child()) for _ in range(200)]
        backwards = tasks[::-1]
        assert list(set(backwards)) == tasks
        loop.run_until_complete(asyncio.wait(tasks))


def test_a_hash_is_the_same_for_the_same_place_and_two_tasks_of_one_place_are_two(loop: asyncio.AbstractEventLoop):
    one, other = (task(loop, Scope("1", 5).child()) for _ in range(2))
    assert hash(one) == hash(other)
    assert one != other
    assert len({one, other}) == 2
    far = task(loop, Scope("1", 6).child())
    assert hash(far) != hash(one)
    loop.run_until_complete(asyncio.wait([one, other, far]))


def test_a_task_has_the_name_that_it_is_given_or_that_of_its_place(loop: asyncio.AbstractEventLoop):
    tasks = [task(loop, Scope("4.2")), task(loop, Scope("4.2"), name="mine"), task(loop, Scope("4.2"), name=7)]
    assert [each.get_name() for each in tasks] == ["Task-4.2", "mine", "7"]
    loop.run_until_complete(asyncio.wait(tasks))


def test_futures_hash_by_their_place_in_a_program_and_by_their_address_elsewhere(loop: asyncio.AbstractEventLoop):
    async def made() -> list[Any]:
        return [Future(loop=loop), asyncio.Future(), asyncio.shield(PlainFuture()), asyncio.gather(PlainFuture())]

    def hashes() -> list[int]:
        context = copy_context()
        context.run(scope.set, Scope("3"))
        futures = loop.run_until_complete(ProgramTask(made(), Scope("3"), loop=loop, context=context))
        return [hash(future) for future in futures]

    assert hashes() == hashes()
    assert len(set(hashes())) == 4
    outside = loop.run_until_complete(made())
    assert [hash(future) for future in outside] == [object.__hash__(future) for future in outside]


def test_every_future_of_asyncio_still_is_one(loop: asyncio.AbstractEventLoop):
    plain = PlainFuture(loop=loop)
    running = task(loop, Scope())
    assert asyncio.Future is Future
    assert all(isinstance(future, asyncio.Future) for future in (plain, Future(loop=loop), running))
    assert all(issubclass(cls, asyncio.Future) for cls in (PlainFuture, asyncio.Task, ProgramTask))
    assert not isinstance(1, asyncio.Future)
    assert str(asyncio.Future[int]).endswith("Future[int]")

    class Special(asyncio.Future):  # type: ignore[type-arg]
        pass

    assert not isinstance(plain, Special)
    assert isinstance(Special(loop=loop), Special)
    loop.run_until_complete(running)


def test_garbage_is_collected_when_it_is_time_to_and_not_before():
    class Thing:
        me: "Thing"

    def lost() -> "weakref.ref[Thing]":
        thing = Thing()
        thing.me = thing
        return weakref.ref(thing)

    gc.disable()
    try:
        gone = lost()
        kept = [[] for _ in range(5000)]  # type: ignore[var-annotated]
        assert gone() is not None
        collect_garbage()
        assert gone() is None
        assert not gc.isenabled()
        assert len(kept) == 5000
    finally:
        gc.enable()
