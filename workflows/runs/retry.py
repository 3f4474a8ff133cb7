"""Retries of runs: reads what has become of one, has it decided how it goes on, and lets it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from greenroom.messages.commands import Accepted, Refused
from greenroom.messages.core.errors import JournalError, RetryRefused, SequenceConflict
from greenroom.messages.events.events import AnyEvent, RunRetried
from greenroom.workflows.replay.retry_point import retried
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import RunState

if TYPE_CHECKING:
    from greenroom.workflows.runs.registry import RunRegistry

Reply: TypeAlias = Callable[[Accepted | Refused], None]
Past: TypeAlias = tuple[RunState, RunRetried | RetryRefused]


class RunRetrier:
    """Takes up runs again that have ended. Reactor's thread only; their journals are read in the reader's."""

    def __init__(self, runs: "RunRegistry") -> None:
        """Know where runs are kept."""
        self._runs = runs

    def retry(self, run_id: str, reply: Reply) -> None:
        """Let a run go on from its failed step; ``reply`` is called once that is on the disk."""

        def accepted(error: JournalError | None) -> None:
            if error is None:
                reply(Accepted(run_id=run_id))
            elif isinstance(error, SequenceConflict):
                reply(Refused(code="not_failed", message=f"run {run_id} goes on already"))
            else:
                reply(Refused(code="closed", message=str(error)))

        def found(past: Past) -> None:
            state, event = past
            if isinstance(event, RetryRefused):
                reply(Refused(code="not_failed", message=str(event)))
            else:
                self._runs.reopen(state, event, accepted)

        def failed(error: BaseException) -> None:
            reply(Refused(code="unavailable", message=str(error)))

        self._runs.read(partial(self._read, run_id, None), found, failed)

    def retry_child(self, run_id: str, order: str) -> None:
        """Let a child go on because its parent does; where it has done so already, have the parent hear of its end.

        May be repeated: after a crash nobody knows how far that had come.
        """

        def found(past: Past) -> None:
            state, event = past
            if state.ended is None:  # it goes on already, or has not come to its end yet
                self._runs.watchers.watch_end(run_id, again)
            elif state.retried == order or isinstance(event, RetryRefused):
                self._runs.announce_to_parent(state)
            else:
                self._runs.reopen(state, event, lambda _error: None)

        def again() -> None:
            self.retry_child(run_id, order)

        self._runs.read(partial(self._read, run_id, order), found)

    def _read(self, run_id: str, order: str | None) -> Past:
        """Read a run and have decided how it goes on. Reader's thread."""
        events: Sequence[AnyEvent] = self._runs.events(run_id)
        state = fold_all(events)
        self._runs.load_accounts(state)
        try:
            return state, retried(run_id, events, self._runs.clock(), order)
        except RetryRefused as error:
            return state, error
