"""The base of actors whose state is a fold of events, and the one place that holds back effects until a commit."""

import traceback
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

from loguru import logger
from typing_extensions import override

from greenroom.journal.interface import Append, Journal
from greenroom.messages.core.errors import JournalError
from greenroom.messages.events.events import AnyEvent
from greenroom.supervision.loop.actor import LoopActor
from greenroom.supervision.loop.reactor import Reactor

E = TypeVar("E")
Committed: TypeAlias = Callable[[JournalError | None], None]
"""Called on the reactor's thread once an append is committed, or with the reason why it is not."""


class Dependencies(Protocol):
    """What an event-sourced actor needs of its orchestrator."""

    @property
    def reactor(self) -> Reactor:
        """The reactor that the actor runs on."""
        ...

    @property
    def journal(self) -> Journal:
        """The journal that its events are appended to."""
        ...

    @property
    def on_journal_failure(self) -> Callable[[JournalError], None]:
        """Stops the orchestrator because its journal failed."""
        ...


class EventSourcedActor(LoopActor, Generic[E]):
    """An actor that records events before anyone else can see what follows from them.

    A subclass decides, applies the events to its state at once, and calls ``_record``. The effects are carried out
    after the commit, in the order of the decisions. If the journal refuses an append, the state in memory is not what
    the journal holds. The actor then leaves memory, and its successor reads the journal.

    Args:
        dependencies: The orchestrator.
        title: What the log calls the actor, such as ``run r1``.
    """

    def __init__(self, dependencies: Dependencies, title: str) -> None:
        """Start without any append under way."""
        super().__init__(dependencies.reactor)
        self._journal = dependencies.journal
        self._on_journal_failure = dependencies.on_journal_failure
        self._title = title
        self._pending = 0
        """Appends that are not committed yet."""
        self._deferred: list[E] = []
        """Effects of decisions without events. They must not overtake the pending appends."""
        self._left = False
        """Whether the actor has left memory. Messages that still reach it go to its successor."""

    @property
    def working(self) -> bool:
        """Whether an append is on its way to the journal."""
        return self._pending > 0

    @property
    def moving(self) -> bool:
        """Whether something will happen to it before the next alarm."""
        return self.working

    @override
    def on_crash(self, error: BaseException) -> None:
        """Stop this actor, and no other, for a fault of the engine; record the reason."""
        logger.opt(exception=error).error("{} stopped by a fault of the engine", self._title)
        self._halt(fault_of(error))

    def _record(self, events: Sequence[AnyEvent], effects: Sequence[E], accepted: Committed | None = None) -> None:
        """Append events that have been applied. The effects, and ``accepted``, wait for the commit."""
        self._pending += 1
        done = partial(self.reactor.call, self._on_commit, events, effects, accepted)
        self._journal.append(self._append_of(events, effects, done))

    def _follow(self, effects: Sequence[E]) -> None:
        """Carry out the effects of a decision without events, after the pending appends if there are any."""
        if self._pending:
            self._deferred.extend(effects)
        else:
            for effect in effects:
                self._do(effect)

    def _on_commit(
        self,
        events: Sequence[AnyEvent],
        effects: Sequence[E],
        accepted: Committed | None,
        error: JournalError | None,
    ) -> None:
        """Let others see what follows from committed events. Reactor thread only."""
        self._pending -= 1
        if accepted is not None:
            accepted(error)
        if self.actor_inbox.actor is None:
            return  # the orchestrator is closing; the next one to open the journal continues from here
        if error is not None:
            if not self._left:
                self._leave()
                if not self._hand_over(error):
                    self._on_journal_failure(error)
            return
        self._publish(events)
        for effect in effects:
            self._do(effect)
        if self._deferred and self._pending == 0:
            deferred, self._deferred = self._deferred, []
            for effect in deferred:
                self._do(effect)
        self._settle()

    def _leave(self) -> None:
        """Leave memory."""
        self._left = True
        self.stop()

    # ------------------------------------------------------------ what a subclass says

    @abstractmethod
    def _append_of(self, events: Sequence[AnyEvent], effects: Sequence[E], done: Committed) -> Append:
        """Return the append that records the state's newest events. The effects wait for its commit."""

    @abstractmethod
    def _publish(self, events: Sequence[AnyEvent]) -> None:
        """Tell observers and subscribers about committed events."""

    @abstractmethod
    def _do(self, effect: E) -> None:
        """Carry out one effect."""

    @abstractmethod
    def _settle(self) -> None:
        """Set the next alarm, or leave memory if nothing keeps the actor there."""

    @abstractmethod
    def _hand_over(self, error: JournalError) -> bool:
        """Hand over to a successor that reads the journal, after a refused append. Return False if none can go on."""

    @abstractmethod
    def _halt(self, reason: str) -> None:
        """Record that the actor's work has stopped, and why."""


def fault_of(error: BaseException) -> str:
    """Return the reason to record for a fault of the engine."""
    return "a fault of the engine: " + "".join(traceback.format_exception_only(error)).strip()
