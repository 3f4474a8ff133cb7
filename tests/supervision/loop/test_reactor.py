"""The one thread that everything of the orchestrator runs on, and the actors that share it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pykka
import pytest
from typing_extensions import override

from greenroom.messages.codecs.codec import TO_WORKER, FrameDecoder
from greenroom.messages.frames.worker import Abort
from greenroom.supervision.loop.actor import LoopActor, tell_living
from greenroom.supervision.loop.reactor import BURST, Reactor, at_turn_end
from greenroom.supervision.process.frame_channel import Channel


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    made.start()
    yield made
    made.stop()


class Diary(LoopActor):
    """Writes down what it is told."""

    def __init__(self, reactor: Reactor, name: str, lines: list[str]) -> None:
        super().__init__(reactor)
        self.name = name
        self.lines = lines

    @override
    def on_receive(self, message: str) -> str:
        if message == "fail":
            raise SystemExit(message)
        self.lines.append(f"{self.name}: {message}")
        return message


def test_calls_are_made_in_order_on_the_reactors_thread_whoever_asks(reactor: Reactor) -> None:
    made: list[tuple[int, int]] = []
    done = threading.Event()
    many = 3 * BURST
    for number in range(many):
        reactor.call(lambda number=number: made.append((number, threading.get_ident())))
    reactor.call(done.set)
    assert done.wait(10)
    assert made == [(number, reactor.thread_id) for number in range(many)]


def test_a_call_that_fails_does_not_take_the_next_one_with_it(reactor: Reactor) -> None:
    seen: list[str] = []
    done = threading.Event()
    reactor.loop.call_soon_threadsafe(
        reactor.loop.set_exception_handler, lambda _loop, context: seen.append(context["message"])
    )
    reactor.call(int, "no number")
    reactor.call(done.set)
    assert done.wait(10)
    assert "failed" in seen[0]


def test_who_submits_a_coroutine_gets_its_result_or_what_it_raised(reactor: Reactor) -> None:
    async def number(text: str) -> int:
        return int(text)

    assert reactor.submit(number("42")).result(10) == 42
    with pytest.raises(ValueError, match="no number"):
        reactor.submit(number("no number")).result(10)


def test_a_coroutine_whose_result_nobody_wants_any_more_is_cancelled(reactor: Reactor) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def never() -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    result = reactor.submit(never())
    assert begun.wait(10)
    assert result.cancel()
    assert cancelled.wait(10)
    with pytest.raises(CancelledError):
        result.result(10)

    busy = threading.Event()
    reactor.call(busy.wait, 10)
    early = reactor.submit(never())  # cannot begin yet
    begun.clear()
    assert early.cancel()
    busy.set()
    assert reactor.submit(asyncio.sleep(0, "later")).result(10) == "later"
    assert not begun.is_set()


def test_nobody_waits_for_a_coroutine_of_a_reactor_that_has_stopped() -> None:
    reactor = Reactor()
    reactor.start()
    begun = threading.Event()

    async def never() -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    under_way = reactor.submit(never())
    assert begun.wait(10)
    reactor.stop()
    with pytest.raises(CancelledError):
        under_way.result(10)
    with contextlib.closing(never()) as late, pytest.raises(RuntimeError, match="closed"):
        reactor.submit(late)


def test_a_coroutine_that_is_submitted_while_the_reactor_stops_is_cancelled(reactor: Reactor) -> None:
    under_way: list[Future[None]] = []

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    async def submit_at_the_end() -> None:
        try:
            await never()
        finally:
            under_way.append(reactor.submit(never()))

    reactor.submit(submit_at_the_end())
    reactor.stop()
    with pytest.raises(CancelledError):
        under_way[0].result(10)


def test_actors_handle_messages_in_the_order_in_which_they_were_sent_whoever_they_are_for(reactor: Reactor) -> None:
    lines: list[str] = []
    done = threading.Event()
    first, second = (Diary.start(reactor, name, lines) for name in ("first", "second"))
    reactor.call(first.tell, "a")
    reactor.call(second.tell, "b")
    reactor.call(first.tell, "c")
    reactor.call(reactor.call, done.set)
    assert done.wait(10)
    assert lines == ["first: a", "second: b", "first: c"]


def test_an_actor_that_lets_out_even_a_system_exit_goes_on_and_harms_no_other(reactor: Reactor) -> None:
    lines: list[str] = []
    failing, other = (Diary.start(reactor, name, lines) for name in ("failing", "other"))
    with pytest.raises(SystemExit):
        failing.ask("fail", timeout=10)
    assert failing.ask("again", timeout=10) == "again"
    assert other.ask("too", timeout=10) == "too"


def test_who_asks_an_actor_that_stops_before_it_comes_to_that_is_told(reactor: Reactor) -> None:
    ref = Diary.start(reactor, "short", [])

    async def stop_and_ask() -> pykka.Future[Any]:
        ref.stop(block=False)
        return ref.ask("too late", block=False)

    late = reactor.submit(stop_and_ask()).result(10)
    with pytest.raises(pykka.ActorDeadError, match="stopped before"):
        late.get(timeout=10)


def test_what_a_reader_hears_is_dealt_with_before_descriptors_are_looked_at_again(reactor: Reactor) -> None:
    ours, theirs = socket.socketpair()
    done = threading.Event()
    looks: list[str] = []

    def hear() -> None:
        if not ours.recv(1):  # the other end is closed first
            reactor.loop.remove_reader(ours)
            return
        reactor.loop.call_later(0.0, looks.append, "next turn")
        reactor.call(looks.append, "call")
        reactor.call(lambda: reactor.call(looks.append, "call of a call"))
        reactor.loop.call_soon(looks.append, "callback")
        reactor.loop.create_task(task())
        reactor.loop.call_later(0.0, done.set)

    async def task() -> None:
        future = reactor.loop.create_future()
        reactor.loop.call_soon(future.set_result, "task")
        looks.append(await future)

    reactor.call(lambda: reactor.loop.add_reader(ours, hear))
    with ours, theirs:
        theirs.send(b"!")
        assert done.wait(10)
    assert looks == ["call", "callback", "call of a call", "task", "next turn"]


def test_callbacks_that_are_cancelled_are_not_made(reactor: Reactor) -> None:
    made: list[str] = []
    done = threading.Event()

    def schedule() -> None:
        reactor.loop.call_soon(made.append, "cancelled").cancel()
        reactor.loop.call_soon(made.append, "made")
        reactor.loop.call_soon(done.set)

    reactor.loop.call_soon_threadsafe(schedule)
    assert done.wait(10)
    assert made == ["made"]


def test_callbacks_without_end_do_not_keep_descriptors_and_timers_waiting(reactor: Reactor) -> None:
    done = threading.Event()

    def again() -> None:
        if not done.is_set():
            reactor.loop.call_soon(again)

    reactor.call(again)
    reactor.call(reactor.loop.call_later, 0.0, done.set)
    assert done.wait(10)


def test_calls_of_a_reader_that_fails_are_made_all_the_same(reactor: Reactor) -> None:
    ours, theirs = socket.socketpair()
    done = threading.Event()
    seen: list[Any] = []

    def hear() -> None:
        if not ours.recv(1):  # the other end is closed first
            reactor.loop.remove_reader(ours)
            return
        reactor.call(done.set)
        raise KeyError("heard")

    reactor.call(reactor.loop.set_exception_handler, lambda _loop, context: seen.append(context["exception"]))
    reactor.call(lambda: reactor.loop.add_reader(ours, hear))
    with ours, theirs:
        theirs.send(b"!")
        assert done.wait(10)
        done.clear()
        theirs.send(b"!")
        assert done.wait(10)
    assert isinstance(seen[0], KeyError)


def test_an_actor_that_has_stopped_is_told_nothing(reactor: Reactor) -> None:
    lines: list[str] = []
    actor = Diary.start(reactor, "a", lines)
    assert actor.is_alive()
    assert actor.ask("one", timeout=10) == "one"
    actor.stop(timeout=10)
    assert not actor.is_alive()
    with pytest.raises(pykka.ActorDeadError, match="has stopped"):
        actor.tell("two")
    with pytest.raises(pykka.ActorDeadError):
        actor.ask("three", timeout=10)
    tell_living(actor, "four")
    assert lines == ["a: one"]


def test_what_is_due_at_the_end_of_a_turn_comes_after_all_that_is_ready_and_before_descriptors(
    reactor: Reactor,
) -> None:
    made: list[str] = []
    done = threading.Event()

    def schedule() -> None:
        at_turn_end(reactor.loop, lambda: made.append("end"))
        reactor.call(made.append, "call")
        reactor.loop.call_soon(made.append, "callback")
        reactor.loop.call_later(0.0, made.append, "next turn")
        reactor.loop.call_later(0.0, done.set)

    reactor.call(schedule)
    assert done.wait(10)
    assert made == ["call", "callback", "end", "next turn"]


def test_frames_of_one_turn_for_a_worker_of_many_jobs_are_one_write(reactor: Reactor) -> None:
    ours, theirs = socket.socketpair()
    messages = [Abort(token=str(number)) for number in range(5)]
    sent: list[list[int]] = []

    async def send() -> None:
        channel = Channel(reactor.loop, ours, 1, on_message=print, on_fault=print, on_end=bool, batched=True)
        sent.append([channel.send(message) for message in messages])
        assert channel.delivered == 0
        await asyncio.sleep(0)
        at_turn_end(reactor.loop, channel.close)

    reactor.submit(send()).result(10)
    with theirs:
        data = theirs.recv(1 << 16)
        assert [TO_WORKER.decode(body).message for body in FrameDecoder().feed(data)] == messages
        assert len(data) == sent[0][-1]
        assert theirs.recv(1) == b""
