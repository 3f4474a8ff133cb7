"""The fold: the state of a run as a function of its events.

``fold`` and ``apply`` are the only code that changes a ``RunState``. They read nothing but the state and the event, so
the same journal always gives the same state.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from greenroom.journal.interface import Stored
from greenroom.messages.core.message import Event
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Resolution
from greenroom.messages.records.records import RunStatus
from greenroom.workflows.state import (
    approvals,
    budgets,
    messages,
    run_retry_and_fork,
    sampled_answers,
    steps,
    timers_and_children,
    turns,
)
from greenroom.workflows.state.handlers import Handler, handler
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState
from greenroom.workflows.state.turns import needed, open_session


def fold_all(events: Iterable[ev.AnyEvent]) -> RunState:
    """Fold the whole journal of a run.

    Raises:
        ValueError: The events do not begin with ``RunStarted`` or ``SessionOpened``.
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
    """Fold a session from its first event and those after its ``wake_seq``. The state is the same as from all events.

    Args:
        first: Its first event.
        tail: All its events with sequence numbers above ``wake_seq``, which is above 0.
    """
    state = fold(None, first.event)
    for stored in needed(tail):
        state.seq = stored.seq - 1
        apply(state, stored.event)
    state.seq = tail[-1].seq
    state.wait_changes.clear()
    state.mark_changes.clear()
    return state


def fold(state: RunState | None, event: ev.AnyEvent) -> RunState:
    """Return the state after ``event``: a new one after the first event, else the same object, changed.

    Raises:
        ValueError: ``state`` is None and the event does not begin a run or session.
    """
    if state is not None:
        apply(state, event)
        return state
    if isinstance(event, ev.SessionOpened):
        state = open_session(event)
    elif isinstance(event, ev.RunStarted):
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
        msg = f"a run's first event is run.started or session.opened, not {event.type}"
        raise ValueError(msg)  # noqa: TRY004  what is wrong is the order of the events
    state.seq = 1
    state.updated_at = event.at
    return state


def apply(state: RunState, event: ev.AnyEvent) -> None:
    """Change the state by an event that follows the first.

    Raises:
        KeyError: The event does not belong to a run that has begun.
    """
    HANDLERS[type(event)](state, event)
    state.seq += 1
    state.updated_at = event.at


def _state_changed(state: RunState, event: ev.StateChanged) -> None:
    state.shared = event.state


def _program_started(state: RunState, event: ev.ProgramStarted) -> None:
    state.program = event.worker


def _code_adopted(state: RunState, event: ev.CodeAdopted) -> None:
    state.fingerprint = event.fingerprint
    state.version = event.version or state.version


def _program_ended(state: RunState, event: ev.ProgramEnded) -> None:
    state.program = None
    state.program_crashes += event.charged


def _cancel_requested(state: RunState, event: ev.CancelRequested) -> None:
    state.cancel_requested = event.at
    state.cancel_reason = state.reason = event.reason
    state.cancel_heard = False  # of a cancelled turn, which is now cancelled with its session
    state.resolutions.append(Resolution(key=CANCEL_KEY, at=event.at, kind="cancel"))


def _cancel_heard(state: RunState, _event: ev.CancelHeard) -> None:
    state.cancel_heard = True


def _cleanup_limited(state: RunState, event: ev.CleanupLimited) -> None:
    state.cancel_due = event.due
    state.wait_changes.append((CANCEL_KEY, event.due))


def _run_completed(state: RunState, event: ev.RunCompleted) -> None:
    state.result = event.result
    _end(state, "completed", event.at)


def _run_failed(state: RunState, event: ev.RunFailed) -> None:
    state.failure = event.failure
    state.failed_step = event.step or next((key for key in event.calls if key in state.steps), None)
    state.failed_calls = event.calls
    state.reason = event.failure.told()
    _end(state, "failed", event.at)


def _run_cancelled(state: RunState, event: ev.RunCancelled) -> None:
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


def _run_parked(state: RunState, event: ev.RunParked) -> None:
    _halt(state, "parked", event.at, event.reason)
    state.stranded = event.pool
    if event.pool:
        state.mark_changes.append(("stranded", event.pool, state.seq + 1))


def _afloat(state: RunState) -> None:
    """Clear the mark of a run that waits for a pool."""
    if state.stranded:
        state.mark_changes.append(("stranded", state.stranded, None))
        state.stranded = ""


def _run_paused(state: RunState, event: ev.RunPaused) -> None:
    _halt(state, "paused", event.at, event.reason)
    state.refused_at = event.at if event.quota else None
    state.paused_with_parent = event.with_parent


def _halt(state: RunState, status: Literal["parked", "paused"], at: float, reason: str | None) -> None:
    state.halted = status
    state.halted_at = at
    state.reason = reason
    state.refused_at = None
    state.program = None


def _run_resumed(state: RunState, event: ev.RunResumed) -> None:
    budgets.resumed(state, event)
    _afloat(state)
    state.halted = None
    state.refused_at = None
    state.resumed_at = event.at
    state.reason = state.cancel_reason
    state.program_crashes = 0


HANDLERS: Final[Mapping[type[Event], Handler]] = dict(
    (
        handler(ev.StateChanged, _state_changed),
        handler(ev.ProgramStarted, _program_started),
        handler(ev.CodeAdopted, _code_adopted),
        handler(ev.ProgramEnded, _program_ended),
        handler(ev.CancelRequested, _cancel_requested),
        handler(ev.CancelHeard, _cancel_heard),
        handler(ev.CleanupLimited, _cleanup_limited),
        handler(ev.RunCompleted, _run_completed),
        handler(ev.RunFailed, _run_failed),
        handler(ev.RunCancelled, _run_cancelled),
        handler(ev.RunParked, _run_parked),
        handler(ev.RunPaused, _run_paused),
        handler(ev.RunResumed, _run_resumed),
        *steps.HANDLERS,
        *sampled_answers.HANDLERS,
        *timers_and_children.HANDLERS,
        *messages.HANDLERS,
        *run_retry_and_fork.HANDLERS,
        *approvals.HANDLERS,
        *turns.HANDLERS,
    )
)
