"""The registry of runs: which are in memory, how the others are brought back, and who is told of what."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from loguru import logger
from typing_extensions import override

from greenroom.messages.commands import Refused
from greenroom.messages.core.errors import JournalError, SequenceConflict
from greenroom.messages.events.events import AnyEvent, RunRetried
from greenroom.supervision.loop.actor import LoopRef, actor_of
from greenroom.supervision.loop.clock import Alarm
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.decisions.inputs import Cancel, Confirmed, EngineFault, Input, Recover
from greenroom.workflows.event_sourced.registry import CLOSED, ActorRegistry
from greenroom.workflows.queries.load import load
from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.runs.budget_accounts import BudgetAccounts
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.background import BackgroundRatings
from greenroom.workflows.runs.residency import ResidentRuns
from greenroom.workflows.runs.starts.children import ChildRetries, start_child, tell_parent
from greenroom.workflows.runs.starts.recovery import find_alive, find_sampled, find_strays, find_unheard, load_all
from greenroom.workflows.runs.starts.start import RunStarter
from greenroom.workflows.runs.watching.snapshot import Snapshot, snapshot_of
from greenroom.workflows.runs.watching.subscribers import Subscribers
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState

LINGER: Final = 0.005
"""Seconds that events without effects may stay in memory, so that one commit can take several of them."""
CROWD: Final = 8
"""Runs with such events from which on their steps take longer than that, so that each event would go by itself."""
LINGER_IN_CROWD: Final = 0.1
"""Seconds that events may stay in memory then."""


class RunRegistry(ActorRegistry[RunActor, Input | Confirmed, RunState]):
    """Keeps the actors of runs. Reactor thread only, unless a method says otherwise; nothing here blocks.

    The journal is read in one thread of its own, so that reads end in the order in which they began.
    """

    def __init__(self) -> None:
        """Start without any run; ``attach`` must follow."""
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="greenroom-reader")
        super().__init__(self._reader)
        self._dependencies: RunDependencies
        self._states: dict[str, RunState] = {}
        self._alarms: dict[str, Alarm] = {}
        self._departures: dict[str, list[asyncio.Future[None]]] = {}
        """Set when the actor of a run that has ended leaves memory."""
        self._lingering: list[Callable[[], None]] = []
        """Functions that are called together, after ``LINGER`` or ``LINGER_IN_CROWD``."""
        self.budgets = BudgetAccounts()
        self.resident = ResidentRuns()
        self._unheard: set[str] = set()
        """The runs that have the mark ``UNHEARD``."""
        self._orphans: set[str] = set()
        """The runs that an earlier orchestrator left going on, until all of them have been read."""
        self.starter = RunStarter(self)
        self.background = BackgroundRatings(self)
        self.subscribers = Subscribers()
        self.child_retries = ChildRetries()

    def attach(self, dependencies: RunDependencies) -> None:
        """Take the orchestrator's parts. Called once, before anything else, in any thread."""
        self._dependencies = dependencies
        self._reactor = dependencies.reactor
        self.starter.attach(dependencies)
        self.background.attach(dependencies)

    def statistics(self) -> dict[str, int]:
        """Count actors in memory, runs being read and alarms set."""
        return {"live": len(self._live), "loading": len(self._loading), "alarms": len(self._alarms)}

    async def peek(self, run_id: str) -> Snapshot | None:
        """Return a copy of what is in memory of a run, None if nothing is."""
        actor = actor_of(self._live[run_id]) if run_id in self._live else None
        return snapshot_of(actor) if actor is not None else None

    @override
    def working(self) -> bool:
        return bool(self.starter or self._lingering or self.background.moving) or super().working()

    # ------------------------------------------------------------ starting

    def state(self, run_id: str) -> RunState | None:
        """Return the state of a run that is in memory. It belongs to the run's actor and must not be changed."""
        return self._states.get(run_id)

    def goes_on(self, run_id: str) -> bool:
        """Return whether a run is in memory and neither over nor paused. Thread-safe; it may end at any moment."""
        state = self._states.get(run_id)
        return state is not None and state.ended is None and state.halted is None

    def enter(self, state: RunState, ref: LoopRef[RunActor]) -> None:
        """Take in a run whose first event is committed."""
        self._states[state.run_id] = state
        self.budgets.open(state)
        self._live[state.run_id] = ref

    def closed(self) -> Refused | None:
        """Return the refusal of every start once the registry is closed, None before."""
        return Refused(code="closed", message=CLOSED) if self._closed else None

    def start_child(self, parent: RunState, key: str) -> None:
        """See ``Registry``."""
        self.begin(start_child(self, self._dependencies, parent, key))

    def call_off(self, run_id: str, /) -> None:
        """See ``Registry``."""
        self.child_retries.call_off(run_id)

    async def reopen(self, state: RunState, event: RunRetried) -> JournalError | None:
        """Continue a run that had ended. Return after the commit; the error says why the run cannot continue.

        Args:
            state: The run as the journal has it.
            event: The retry.
        """
        run_id, loop = state.run_id, self._reactor.loop
        while (there := self._states.get(run_id)) is not None:
            if there.ended is None:
                return SequenceConflict(f"run {run_id} goes on already")
            departure: asyncio.Future[None] = loop.create_future()
            self._departures.setdefault(run_id, []).append(departure)
            self.resident.dismiss(run_id)
            await departure
        committed: asyncio.Future[JournalError | None] = loop.create_future()

        def on_commit(error: JournalError | None) -> None:
            if error is None and not self._closed:
                self._live[run_id].tell(Recover(orphaned=False))
            if not committed.done():
                committed.set_result(error)

        self._states[run_id] = fold(state, event)
        self._live[run_id] = RunActor.start(self._dependencies, state, first=[event], accepted=on_commit)
        return await committed

    # ------------------------------------------------------------ what actors tell the registry

    def linger(self, flush: Callable[[], None]) -> None:
        """See ``Registry``. One timer serves all actors: they are many, and most have written long before."""
        if not self._lingering:
            self._reactor.loop.call_later(LINGER, self._flush_unless_crowded)
        self._lingering.append(flush)

    def _flush_unless_crowded(self) -> None:
        if len(self._lingering) > CROWD:
            self._reactor.loop.call_later(LINGER_IN_CROWD - LINGER, self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        lingering, self._lingering = self._lingering, []
        if not self._closed:
            for flush in lingering:
                flush()

    def rate(self, run_id: str, sample: str, seq: int, /) -> None:
        """See ``Registry``."""
        self.background.add(run_id, sample, seq)

    def note_unheard(self, run_id: str, unheard: bool, /) -> None:  # noqa: FBT001  as the journal will have it
        """See ``Registry``."""
        if unheard:
            self._unheard.add(run_id)
        else:
            self._unheard.discard(run_id)

    def is_unheard(self, run_id: str, /) -> bool:
        """See ``Registry``."""
        return run_id in self._unheard

    def keep_for_ratings(self, state: RunState, leave: Callable[[], object]) -> bool:
        """See ``Registry``."""
        if state.run_id in self._departures:
            return False  # it is to be continued, by another actor
        self.resident.keep(state.run_id, state.seq, leave)
        return True

    def published(self, run_id: str) -> None:
        """See ``Registry``."""
        self.subscribers.published(run_id)

    def announce(self, state: RunState) -> None:
        """See ``Registry``."""
        self.subscribers.ended(state)
        tell_parent(self, state)
        if state.session is not None:
            self._dependencies.router.stopped(state)
        self.subscribers.finished(state.run_id)

    def forget(self, state: RunState, wake_at: float | None) -> None:
        """See ``Registry``."""
        if self._states.get(state.run_id) is not state:
            return  # the run of this id is another one
        del self._states[state.run_id]
        self._live.pop(state.run_id, None)
        self.budgets.close(state)
        for departure in self._departures.pop(state.run_id, ()):
            if not departure.done():
                departure.set_result(None)
        if wake_at is not None:
            self._wake(state.run_id, wake_at)

    def _wake(self, run_id: str, due: float) -> None:
        self._alarms[run_id] = self._dependencies.call_at(due, partial(self._ring, run_id))

    def _ring(self, run_id: str) -> None:
        self._alarms.pop(run_id)
        self.route(run_id, Recover(orphaned=False))  # recovering looks at every due time anyway

    # ------------------------------------------------------------ reading

    def recover(self) -> None:
        """Continue every run that was going on when the journal was last closed or cut off."""
        self.begin(self._recover())

    async def _recover(self) -> None:
        journal = self._dependencies.journal
        rows = await self.read(partial(find_alive, journal))
        self._orphans = {row.id for row in rows}
        for app in {row.app for row in rows}:
            self._dependencies.warm(app)  # the runs are read while their app is loaded
        unheard = await self.read(partial(find_unheard, journal))
        self._unheard.update(unheard)
        strays = await self.read(partial(find_strays, journal))
        states, waiting = await self.read(partial(load_all, journal, rows, unheard, self.load))
        for state in states:
            self._loaded(state.run_id, state)
        self._orphans.clear()
        for run_id, due in waiting.items():
            if run_id not in self._live:
                self._wake(run_id, due)
        for stray in strays:
            self.route(stray.run_id, Cancel(stray.reason, stray.within, again=False))
        for mark in await self.read(partial(find_sampled, journal)):
            self.background.add(mark.run_id, mark.name, mark.seq)

    def load(self, run_id: str) -> RunState:
        """Fold a run from the journal. Reader's thread."""
        state = load(self._dependencies.journal, run_id)
        self.load_accounts(state)
        return state

    @override
    def _load(self, name: str) -> RunState:
        return self.load(name)

    def load_accounts(self, state: RunState) -> None:
        """Add up the budgets that a run draws on, if that has not been done. Reader's thread."""
        self.budgets.load(state, self._events)

    def _events(self, run_id: str) -> list[AnyEvent]:
        return [stored.event for stored in self._dependencies.journal.events(run_id)]

    @override
    def _waiting(self, name: str) -> list[Input | Confirmed] | None:
        started = self.starter.waiting(name)
        return super()._waiting(name) if started is None else started

    @override
    def _loaded(self, name: str, past: RunState) -> None:
        waiting = self._loading.pop(name, [])
        if name not in self._live:
            if past.ended is not None and not past.outgoing and not past.sampled:
                self._answer_for_ended(past, waiting)
                return
            faults = [each for each in waiting if isinstance(each, EngineFault)]
            if faults and (past.halted or past.ended):  # it was parked before: to recover it would fail again
                self._refuse(waiting, JournalError(faults[0].reason))
                return
            if (alarm := self._alarms.pop(name, None)) is not None:
                alarm.cancel()
            self._states[name] = past
            self._live[name] = RunActor.start(self._dependencies, past)
            # A message may have had it read before ``_recover`` came to it.
            for first in (*faults, Recover(orphaned=name in self._orphans)):
                self._live[name].tell(first)
        for happened in waiting:
            if not isinstance(happened, (Recover, EngineFault)):
                self._live[name].tell(happened)

    def _answer_for_ended(self, state: RunState, waiting: list[Input | Confirmed]) -> None:
        for happened in waiting:
            if isinstance(happened, Confirmed):
                decided = decide(state, happened.happened, self._dependencies.clock(), self._dependencies.random())
                happened.reply(decided.refused, decided.receipt)

    @override
    def _unreadable(self, name: str, waiting: list[Input | Confirmed], error: Exception) -> None:
        self._refuse(waiting, error if isinstance(error, JournalError) else JournalError(str(error)))
        if not self._closed:
            logger.error("run {} cannot be read: {}", name, error)

    @staticmethod
    def _refuse(waiting: list[Input | Confirmed], error: JournalError) -> None:
        for happened in waiting:
            if isinstance(happened, Confirmed):
                happened.reply(error, 0)

    @override
    def close(self) -> None:
        self.background.close()
        super().close()
        self.starter.close()
        for alarm in self._alarms.values():
            alarm.cancel()
        self._alarms.clear()
        self.subscribers.close()
        self._reader.shutdown(wait=False, cancel_futures=True)
