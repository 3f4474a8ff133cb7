"""Starts forks: reads the past of a run, has decided what is shared, and writes a new run that begins with it."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from greenroom.journal.interface import Append, Mark, MarkKind, Timer
from greenroom.messages.commands import Accepted, ForkRun, Refused
from greenroom.messages.core.errors import InvalidInput, JournalError, SequenceConflict
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.decisions.inputs import Recover
from greenroom.workflows.queries.records import row_of
from greenroom.workflows.replay.fork_events import forked
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState

if TYPE_CHECKING:
    from greenroom.workflows.runs.registry import RunRegistry

Reply: TypeAlias = Callable[[Accepted | Refused], None]


class RunForker:
    """Makes runs out of the past of others. Reactor's thread only; journals are read in the reader's."""

    def __init__(self, runs: "RunRegistry") -> None:
        """Know where runs are kept."""
        self._runs = runs

    def fork(self, command: ForkRun, run_id: str, reply: Reply) -> None:
        """Start a fork under an id; ``reply`` is called once it is on the disk."""

        def found(events: list[AnyEvent] | InvalidInput) -> None:
            if isinstance(events, InvalidInput):
                reply(Refused(code="invalid", message=str(events)))
            else:
                self._write(run_id, events, reply)

        def failed(error: BaseException) -> None:
            reply(Refused(code="unavailable", message=str(error)))

        self._runs.read(partial(self._read, command, run_id), found, failed)

    def _read(self, command: ForkRun, run_id: str) -> list[AnyEvent] | InvalidInput:
        """Decide what the fork begins with. Reader's thread."""
        try:
            return forked(self._runs.events(command.run_id), command, run_id, self._runs.clock(), secrets.token_hex(16))
        except InvalidInput as error:
            return error

    def _write(self, run_id: str, events: list[AnyEvent], reply: Reply) -> None:
        """Write the fork as one append; then it is taken up like any run that lies in the journal."""
        state: RunState | None = None
        for event in events:
            state = fold(state, event)
        assert state is not None
        waits = dict(state.wait_changes).items()
        marks: dict[tuple[MarkKind, str], int | None] = {(kind, name): seq for kind, name, seq in state.mark_changes}

        def written(error: JournalError | None) -> None:
            if error is None:
                for event in (events[0], *events[1:][-1:]):  # what lies between is known from its origin
                    self._runs.observe(run_id, state.workflow, event)
                self._runs.route(run_id, Recover(orphaned=False))
                reply(Accepted(run_id=run_id))
            elif isinstance(error, SequenceConflict):
                reply(Refused(code="conflict", message=f"run {run_id!r} exists; choose another id for the fork"))
            else:
                reply(Refused(code="closed", message=str(error)))

        self._runs.write(
            Append(
                run_id=run_id,
                expected=0,
                events=events,
                row=row_of(state),
                timers_set=[Timer(run_id, key, due) for key, due in waits if due is not None],
                marks_set=[Mark(run_id, kind, name, seq) for (kind, name), seq in marks.items() if seq is not None],
                done=partial(self._runs.on_reactor, written),
            )
        )
