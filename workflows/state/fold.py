"""The fold: how every event changes a run's state.

``fold`` is the only code that changes a ``RunState``. It reads nothing but the state and the event, so the state of a
run is the same whoever folds its journal, and however often.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from greenroom.journal.interface import Stored
from greenroom.messages.events.events import (
    AnyEvent,
    ApprovalAsked,
    CancelHeard,
    CancelRequested,
    ChildScheduled,
    CleanupLimited,
    CodeAdopted,
    MessageSent,
    ProgramEnded,
    ProgramStarted,
    ReceiveAsked,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunParked,
    RunPaused,
    RunResumed,
    RunStarted,
    SessionOpened,
    StateChanged,
    StepScheduled,
    TimerSet,
)
from greenroom.messages.frames.worker import Resolution
from greenroom.messages.records import RunStatus
from greenroom.workflows.state import approvals, budgets, retry_and_fork, timers_and_children, turns
from greenroom.workflows.state import messages as fold_messages
from greenroom.workflows.state import steps as fold_steps
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState
from greenroom.workflows.state.turns import needed, open_session

_ASKING: Final = (StepScheduled, TimerSet, ChildScheduled, ReceiveAsked, ApprovalAsked, MessageSent)
"""Events that the program has asked for, each under a key of its own."""


def fold_all(events: Iterable[AnyEvent]) -> RunState:
    """Fold a whole journal of one run.

    Raises:
        ValueError: The events do not begin with ``RunStarted``.
    """
    state: RunState | None = None
    for event in events:
        state = fold(state, event)
    if state is None:
        msg = "a run without events has no state"
        raise ValueError(msg)
    state.wait_changes.clear()
    state.mark_changes.clear()
    return state


def recall(first: Stored, tail: Sequence[Stored]) -> RunState:
    """Fold a session from its first event and those behind its ``wake_seq``, which is as good as folding all.

    Args:
        first: Its first event.
        tail: All its events with sequence numbers above ``wake_seq``, which is above 0.
    """
    state = fold(None, first.event)
    for stored in needed(tail):
        state.seq = stored.seq - 1
        fold(state, stored.event)
    state.seq = tail[-1].seq
    state.wait_changes.clear()
    state.mark_changes.clear()
    return state


def fold(state: RunState | None, event: AnyEvent) -> RunState:
    """Give the state after ``event``. The state passed in is used up: it may be changed and returned.

    Raises:
        ValueError: There is no state yet and the event is none to begin with.
    """
    if state is None and isinstance(event, SessionOpened):
        state = open_session(event)
    elif state is None:
        if not isinstance(event, RunStarted):
            msg = f"a run's first event is run.started or session.opened, not {event.type}"
            raise ValueError(msg)
        state = RunState(
            run_id=event.run_id,
            app=event.app,
            workflow=event.workflow,
            arguments=event.arguments,
            started_at=event.at,
            parent=event.parent,
            parent_key=event.parent_key,
            seed=event.seed,
            budget=event.budget,
            accounts=event.accounts,
            begun_at=event.at if event.begun_at is None else event.begun_at,
            version=event.version,
            fingerprint=event.fingerprint,
            form=event.form,
        )
        budgets.set_wall(state)
    else:
        _FOLDS[type(event)](state, event)
    state.seq += 1
    if isinstance(event, _ASKING) and _is_asked(state, event):
        state.asked[event.key] = state.seq
    state.updated_at = event.at
    return state


def _is_asked(state: RunState, event: AnyEvent) -> bool:
    """Whether it is the program that asked: not for a person's look at a result, nor in a turn that is over by now."""
    if isinstance(event, ApprovalAsked):
        return event.step is None
    return not isinstance(event, MessageSent) or state.session is None


def _state_changed(state: RunState, event: StateChanged) -> None:
    state.shared = event.state


def _program_started(state: RunState, event: ProgramStarted) -> None:
    state.program = event.worker


def _code_adopted(state: RunState, event: CodeAdopted) -> None:
    state.fingerprint = event.fingerprint
    state.version = event.version or state.version


def _program_ended(state: RunState, event: ProgramEnded) -> None:
    state.program = None
    state.program_crashes += event.charged


def _cancel_requested(state: RunState, event: CancelRequested) -> None:
    state.cancel_requested = event.at
    state.cancel_reason = state.reason = event.reason
    state.resolutions.append(Resolution(key=CANCEL_KEY, at=event.at, kind="cancel"))


def _cancel_heard(state: RunState, _event: CancelHeard) -> None:
    state.cancel_heard = True


def _cleanup_limited(state: RunState, event: CleanupLimited) -> None:
    state.cancel_due = event.due
    state.wait_changes.append((CANCEL_KEY, event.due))


def _run_completed(state: RunState, event: RunCompleted) -> None:
    state.result = event.result
    _end(state, "completed", event.at)


def _run_failed(state: RunState, event: RunFailed) -> None:
    state.failure = event.failure
    state.failed_step = event.step or next((key for key in event.calls if key in state.steps), None)
    state.failed_calls = event.calls
    state.reason = event.failure.told()
    _end(state, "failed", event.at)


def _run_cancelled(state: RunState, event: RunCancelled) -> None:
    state.reason = event.reason
    _end(state, "cancelled", event.at)


def _end(state: RunState, status: RunStatus, at: float) -> None:
    state.ended = status
    state.ended_at = at
    state.program = None
    _afloat(state)
    state.halted = None
    for key in state.timers:
        state.wait_changes.append((key, None))
    state.timers.clear()
    budgets.clear_wall(state)
    if state.cancel_due is not None:
        state.wait_changes.append((CANCEL_KEY, None))


def _run_parked(state: RunState, event: RunParked) -> None:
    _halt(state, "parked", event.reason)
    state.stranded = event.pool
    if event.pool:
        state.mark_changes.append(("stranded", event.pool, state.seq + 1))


def _afloat(state: RunState) -> None:
    """The run waits for no pool any more."""
    if state.stranded:
        state.mark_changes.append(("stranded", state.stranded, None))
        state.stranded = ""


def _run_paused(state: RunState, event: RunPaused) -> None:
    _halt(state, "paused", event.reason)


def _halt(state: RunState, status: Literal["parked", "paused"], reason: str | None) -> None:
    state.halted = status
    state.reason = reason
    state.program = None


def _run_resumed(state: RunState, event: RunResumed) -> None:
    budgets.resumed(state, event)
    _afloat(state)
    state.halted = None
    state.reason = state.cancel_reason
    state.program_crashes = 0


_FOLDS: Final[Mapping[type[Any], Callable[[RunState, Any], None]]] = {
    StateChanged: _state_changed,
    ProgramStarted: _program_started,
    CodeAdopted: _code_adopted,
    ProgramEnded: _program_ended,
    CancelRequested: _cancel_requested,
    CancelHeard: _cancel_heard,
    CleanupLimited: _cleanup_limited,
    RunCompleted: _run_completed,
    RunFailed: _run_failed,
    RunCancelled: _run_cancelled,
    RunParked: _run_parked,
    RunPaused: _run_paused,
    RunResumed: _run_resumed,
    **fold_steps.FOLDS,
    **timers_and_children.FOLDS,
    **fold_messages.FOLDS,
    **retry_and_fork.FOLDS,
    **approvals.FOLDS,
    **turns.FOLDS,
}
