"""The rule of event-sourced actors: what follows from an event is done after its commit, and in order."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from greenroom.journal.interface import Append, RunRow
from greenroom.journal.memory import MemoryJournal
from greenroom.messages.core.errors import JournalError, OrchestratorClosed, SequenceConflict
from greenroom.messages.events.events import AnyEvent, TimerFired
from greenroom.supervision.loop.actor import LoopRef
from greenroom.supervision.loop.reactor import Reactor
from greenroom.workflows.event_sourced.actor import Committed, EventSourcedActor
from greenroom.workflows.event_sourced.registry import ActorRegistry
from tests.support import eventually


class SlowJournal(MemoryJournal):
    """A journal whose writer gets what was appended when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Append] = []

    @override
    def append(self, append: Append) -> None:
        self.waiting.append(append)

    def write(self) -> None:
        """Commit the oldest append."""
        super().append(self.waiting.pop(0))


@dataclass
class World:
    """The parts of an orchestrator that an actor needs, and what became of them."""

    reactor: Reactor
    journal: SlowJournal
    done: list[str] = field(default_factory=list[str])
    failures: list[JournalError] = field(default_factory=list[JournalError])

    def on_journal_failure(self, error: JournalError) -> None:
        self.failures.append(error)

    def settle(self) -> None:
        """Wait until the journal's writer and the reactor have done what was asked of them."""
        written = threading.Event()
        MemoryJournal.append(
            self.journal, _append("other", len(self.journal.events("other")), [], lambda _: written.set())
        )
        assert written.wait(10)

        async def over() -> None:
            """Run behind everything that was called."""

        self.reactor.submit(over()).result(10)
        self.reactor.submit(over()).result(10)


def _append(name: str, expected: int, events: Sequence[AnyEvent], done: Committed) -> Append:
    row = RunRow(name, "w", "app", "running", 1.0, 1.0)
    return Append(run_id=name, expected=expected, events=events, row=row, done=done)


class Counter(EventSourcedActor[str]):
    """Records an event for each ``+word``, none for other words; either word is its effect."""

    def __init__(self, world: World, name: str, seq: int = 0) -> None:
        super().__init__(world, name)
        self.world, self.name, self.seq = world, name, seq

    @override
    def on_receive(self, message: str) -> None:
        if message == "fail":
            raise ArithmeticError(message)
        if message.startswith("+"):
            self.seq += 1
            self._record([TimerFired(at=1.0, key="k")], [message])
        else:
            self._follow([message])

    @override
    def _append_of(self, events: Sequence[AnyEvent], effects: Sequence[str], done: Committed) -> Append:
        return _append(self.name, self.seq - len(events), events, done)

    @override
    def _publish(self, events: Sequence[AnyEvent]) -> None:
        self.world.done.append(f"published {len(events)}")

    @override
    def _do(self, effect: str) -> None:
        self.world.done.append(effect)

    @override
    def _settle(self) -> None:
        pass

    @override
    def _hand_over(self, error: JournalError) -> bool:
        self.world.done.append("handed over")
        return isinstance(error, SequenceConflict)

    @override
    def _halt(self, reason: str) -> None:
        self.world.done.append(reason)


class Counters(ActorRegistry[Counter, str, int]):
    """Reads counters from the journal: their past is the number of their events."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self._reactor = world.reactor
        self.gate = threading.Event()
        self.refused: list[Exception] = []

    @override
    def _load(self, name: str) -> int:
        assert self.gate.wait(10)
        if name == "damaged":
            raise JournalError(name)
        return len(self.world.journal.events(name))

    @override
    def _loaded(self, name: str, past: int) -> None:
        self._live[name] = Counter.start(self.world, name, past)
        for message in self._loading.pop(name):
            self._live[name].tell(message)

    @override
    def _unreadable(self, name: str, waiting: list[str], error: Exception) -> None:
        self.refused.append(error)


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Reactor(), SlowJournal())
    made.reactor.start()
    yield made
    made.reactor.stop()
    made.journal.close()


def tell(world: World, ref: LoopRef[Counter], *words: str) -> None:
    for word in words:
        world.reactor.call(ref.tell, word)
    world.settle()


def test_effects_are_done_after_the_commit_and_none_overtakes_another(world: World) -> None:
    ref = Counter.start(world, "c")
    tell(world, ref, "free", "+a", "b", "+c", "d")
    assert world.done == ["free"]
    world.journal.write()
    world.settle()
    assert world.done == ["free", "published 1", "+a"]  # not b: a decision after which an append was under way
    world.journal.write()
    world.settle()
    assert world.done == ["free", "published 1", "+a", "published 1", "+c", "b", "d"]
    tell(world, ref, "at once")
    assert world.done[-1] == "at once"


def test_an_actor_whose_append_is_refused_leaves_and_does_nothing_of_what_should_follow(world: World) -> None:
    ref = Counter.start(world, "c", seq=5)
    tell(world, ref, "+a", "+b")
    world.journal.write()
    world.journal.write()
    world.settle()
    assert world.done == ["handed over"]
    assert not world.failures
    assert not ref.is_alive()


def test_a_journal_that_fails_stops_the_orchestrator(world: World) -> None:
    ref = Counter.start(world, "c")
    tell(world, ref, "+a")
    world.journal.waiting.pop().done(JournalError("disk full"))
    world.settle()
    assert [str(error) for error in world.failures] == ["disk full"]
    assert "+a" not in world.done


def test_a_fault_of_the_engine_is_recorded_and_the_actor_goes_on(world: World) -> None:
    ref = Counter.start(world, "c")
    tell(world, ref, "fail", "next")
    assert world.done == ["a fault of the engine: ArithmeticError: fail", "next"]


def test_messages_wait_for_an_actor_that_is_being_read_and_keep_their_order(world: World) -> None:
    counters = Counters(world)
    for word in ("one", "two"):
        world.reactor.call(counters.route, "c", word)
    world.settle()
    assert counters.working()
    counters.gate.set()
    eventually(lambda: len(world.done) == 2, 10)
    assert world.done == ["one", "two"]
    assert not counters.working()


def test_who_waits_for_an_actor_that_cannot_be_read_is_told(world: World) -> None:
    counters = Counters(world)
    counters.gate.set()
    world.reactor.call(counters.route, "damaged", "one")
    eventually(lambda: counters.refused, 10)
    assert [str(error) for error in counters.refused] == ["damaged"]


def test_a_read_that_ends_after_the_registry_was_closed_is_refused(world: World) -> None:
    counters = Counters(world)
    reading = world.reactor.submit(counters.read(lambda: counters.gate.wait(10)))
    world.settle()
    world.reactor.call(counters.close)
    counters.gate.set()
    with pytest.raises(OrchestratorClosed, match="closed"):
        reading.result(10)
    with pytest.raises(OrchestratorClosed, match="closed"):
        world.reactor.submit(counters.read(lambda: None)).result(10)
