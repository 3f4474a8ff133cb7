"""How events of sessions, and of messages that programs send, change a state; and how a session is woken."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from greenroom.journal.interface import Stored
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.events.events import (
    AnyEvent,
    CloseRequested,
    DeadLetterSettled,
    MessageDelivered,
    MessageReceived,
    MessageSent,
    SessionClosed,
    SessionOpened,
    TurnEnded,
    TurnFailed,
)
from greenroom.messages.frames.replay_differences import FORM, digest
from greenroom.messages.policy import SessionPolicy
from greenroom.workflows.state.run_state import Outgoing, RunState

REMEMBERED: Final = 10_000
"""Keys of messages that a session keeps in memory. The journal knows all of them; these are the ones that may have come
since it was last asked."""
_LASTING: Final = (MessageReceived, MessageSent, MessageDelivered)
"""What outlives the turn in which it happened."""


def open_session(event: SessionOpened) -> RunState:
    """Give the state of a session before its first message."""
    return RunState(
        run_id=event.run_id,
        app=event.app,
        workflow=event.session,
        arguments={},
        started_at=event.at,
        seed=event.seed,
        session=event.key,
        on_failure=event.on_failure,
        budget=event.budget,
        accounts=() if event.budget is None else (event.run_id,),
        form=event.form,
    )


def needed(tail: Sequence[Stored]) -> list[Stored]:
    """Choose from a session's newest events those that its state follows from, when the ones before are left out.

    Of what came before the end of the newest turn, that is what is still on its way: the steps of a turn that is over
    are not there to be folded.
    """
    over = max((stored.seq for stored in tail if isinstance(stored.event, (TurnEnded, TurnFailed))), default=0)
    return [stored for stored in tail if stored.seq >= over or isinstance(stored.event, _LASTING)]


# ---------------------------------------------------------------- turns


def _turn_ended(state: RunState, event: TurnEnded) -> None:
    state.shared = event.state
    _turn_over(state, event)


def _turn_failed(state: RunState, event: TurnFailed) -> None:
    state.shared = event.state
    state.mark_changes.append(("dead_letter", str(event.number), state.seq + 1))
    _turn_over(state, event)


def _turn_over(state: RunState, event: TurnEnded | TurnFailed) -> None:
    """Forget everything about the turn, and every message up to it."""
    while (letter := state.letter) is not None and letter[0] <= event.number:
        del state.mailbox[letter[0]]
    state.received = event.received
    state.offsets = dict(event.offsets)
    while len(state.message_keys) > REMEMBERED:
        del state.message_keys[next(iter(state.message_keys))]
    state.turns = event.number
    state.form = event.form
    if event.budget is not None:
        state.budget = event.budget
        state.accounts = (state.run_id,)
    state.turn_seq = state.seq + 1
    for key in (*state.timers, *(f"retry:{key}" for key in state.retries)):
        state.wait_changes.append((key, None))
    for memory in (
        state.steps,
        state.children,
        state.timers,
        state.retries,
        state.timer_keys,
        state.resolutions,
        state.emitted,
        state.asked,
    ):
        memory.clear()
    _forget_questions(state)
    state.children_made = 0
    state.in_flight = 0
    state.program = None
    state.program_crashes = 0


def _forget_questions(state: RunState) -> None:
    for key in state.questions:
        state.mark_changes.append(("approval", key, None))
    state.questions.clear()
    state.answers.clear()
    state.escalated = 0


def _dead_letter_settled(state: RunState, event: DeadLetterSettled) -> None:
    state.mark_changes.append(("dead_letter", event.letter, None))


def _close_requested(state: RunState, _event: CloseRequested) -> None:
    state.closing = True


def _session_closed(state: RunState, event: SessionClosed) -> None:
    state.closing = True  # of what came before its newest turn, a session that is woken knows nothing
    state.ended = "completed"
    state.ended_at = event.at
    state.halted = None


# ---------------------------------------------------------------- messages to others


def _message_sent(state: RunState, event: MessageSent) -> None:
    if state.session is None:  # a turn's messages are sent as it ends, when nothing can ask for them again
        what = JsonText.of_members({"name": event.name, "value": event.value})
        state.sent[event.key] = digest("message", what) if state.form == FORM else ""
    state.outgoing[event.key] = Outgoing(
        event.to,
        event.name,
        event.value,
        SessionPolicy(on_failure=event.on_failure, budget=event.budget),
        state.seq + 1,
    )
    state.mark_changes.append(("outgoing", event.key, state.seq + 1))


def _message_delivered(state: RunState, event: MessageDelivered) -> None:
    state.outgoing.pop(event.key, None)
    state.mark_changes.append(("outgoing", event.key, None))


FOLDS: Final[Mapping[type[AnyEvent], Callable[[RunState, Any], None]]] = {
    TurnEnded: _turn_ended,
    TurnFailed: _turn_failed,
    DeadLetterSettled: _dead_letter_settled,
    CloseRequested: _close_requested,
    SessionClosed: _session_closed,
    MessageSent: _message_sent,
    MessageDelivered: _message_delivered,
}
