"""The running account of runs: their events become sums, which a journal saves from time to time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from greenroom.messages.events.events import AnyEvent, RunStarted
from greenroom.metrics.run_fold import HANDLERS, Run
from greenroom.metrics.sums import Sums

MOST_RUNS: Final = 1_000
"""Most saved runs that stay in memory because they go on."""


TAKE_EVERY: Final = 10_000
"""Events after which a reader of many events releases what it has counted."""


class Past(Protocol):
    """What was recorded of runs before the events that are counted now."""

    def state(self, run_id: str) -> str | None:
        """Return what ``Ledger.take`` last returned for a run; None if there is nothing or it is damaged."""
        ...

    def events(self, run_id: str, before: int) -> Iterable[AnyEvent]:
        """Return a run's events with sequence numbers below ``before``."""
        ...


class Account(Past, Protocol):
    """The saved sums over a journal's events, and the newer events."""

    def sums(self) -> list[tuple[str, bytes]] | None:
        """Return all saved sums; None if they are damaged."""
        ...

    def later(self, types: Sequence[str]) -> Iterable[tuple[str, int, AnyEvent]]:
        """Return the other events of some types, with the ids of their runs and their sequence numbers."""
        ...


class Ledger:
    """Counts events of runs. Not thread-safe."""

    types: Sequence[str] = tuple(kind.model_fields["type"].default for kind in HANDLERS)
    """The types of the events that count."""

    def __init__(self, past: Past) -> None:
        """Begin with nothing counted. ``past`` is asked about runs that had begun before."""
        self._past = past
        self._sums = Sums()
        self._runs: dict[str, Run] = {}
        self._changed: dict[str, Run] = {}
        """The runs with events since the last ``take``."""

    def add(self, run_id: str, seq: int, events: Sequence[AnyEvent]) -> None:
        """Count the next events of a run, of which ``seq`` is the first one's sequence number."""
        run = self._changed.get(run_id)
        sums = None if run is None else run.sums
        for number, event in enumerate(events, seq):
            kind = type(event)
            if kind not in HANDLERS:
                continue
            if run is None:
                run = self._changed[run_id] = self._found(run_id, number, event)
            if sums is None:
                run.sums = sums = self._sums.workflow(run.workflow)
            try:
                HANDLERS[kind](run, sums, event)
            except KeyError:  # a call that was forgotten, because it had completed
                run.calls = self._folded(run, run_id, number).calls | run.calls
                HANDLERS[kind](run, sums, event)

    def _found(self, run_id: str, seq: int, event: AnyEvent) -> Run:
        if isinstance(event, RunStarted):
            return Run(event.workflow)
        if (run := self._runs.pop(run_id, None)) is not None:
            return run
        state = self._past.state(run_id)
        if state is not None:
            return Run.decode(state)
        run = self._folded(None, run_id, seq)
        run.settle(Sums().workflow(run.workflow))
        return run

    def _folded(self, run: Run | None, run_id: str, before: int) -> Run:
        """Return the fold of a run's earlier events, which are counted already."""
        nowhere = Sums().workflow("")
        folded = None if run is None else Run(run.workflow)
        for event in self._past.events(run_id, before):
            if folded is None and isinstance(event, RunStarted):
                folded = Run(event.workflow)
            if folded is not None and (handler := HANDLERS.get(type(event))) is not None:
                handler(folded, nowhere, event)
        if folded is None:
            msg = f"run {run_id} does not begin with its start"
            raise ValueError(msg)
        for call in folded.calls.values():
            call.sums = None
        return folded

    def take(self) -> tuple[str, bytes, Mapping[str, str | None]]:
        """Return what was counted since the last time, and begin anew.

        Returns:
            What ``Sums.encode`` returns, and by run what its later events need, None if nothing.
        """
        for run in self._changed.values():
            run.settle(self._sums.workflow(run.workflow))
            run.shorten()
        states = {run_id: None if run.is_over else run.encode() for run_id, run in self._changed.items()}
        sums, self._sums = self._sums, Sums()
        self._runs |= {run_id: run for run_id, run in self._changed.items() if run.ended is None}
        if len(self._runs) > MOST_RUNS:
            self._runs.clear()
        self._changed.clear()
        return *sums.encode(), states

    @staticmethod
    def join(parts: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
        """Return the sum of several sums that ``take`` has returned."""
        sums = Sums()
        for part in parts:
            sums.add(*part)
        return sums.encode()


class _Overlay:
    """A past in which the states of some runs are newer."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self.states: dict[str, str | None] = {}

    def state(self, run_id: str) -> str | None:
        return self.states[run_id] if run_id in self.states else self._past.state(run_id)

    def events(self, run_id: str, before: int) -> Iterable[AnyEvent]:
        return self._past.events(run_id, before)


def sums_of(account: Account) -> Sums | None:
    """Return the sums over all events; None if the saved ones are damaged.

    Raises:
        JournalCorrupt: One of the events that are not in the saved sums is damaged.
    """
    saved = account.sums()
    if saved is None:
        return None
    sums, past = Sums(), _Overlay(account)
    for part in saved:
        sums.add(*part)
    ledger = Ledger(past)
    for count, (run_id, seq, event) in enumerate(account.later(ledger.types), 1):
        ledger.add(run_id, seq, (event,))
        if count % TAKE_EVERY == 0:  # a journal whose sums were never saved can have any number of runs
            past.states |= _add_taken(sums, ledger)
    _add_taken(sums, ledger)
    return sums


def _add_taken(sums: Sums, ledger: Ledger) -> Mapping[str, str | None]:
    text, durations, states = ledger.take()
    sums.add(text, durations)
    return states
