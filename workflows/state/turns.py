"""Events about sessions, and about messages that programs send, applied to a state; and the start of a session."""

from collections.abc import Sequence
from typing import Final

from greenroom.journal.interface import Stored
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.events import events as ev
from greenroom.messages.frames.replay_differences import digest
from greenroom.messages.frames.worker import Resolution
from greenroom.messages.options.policy import SessionPolicy
from greenroom.workflows.state.handlers import handler
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState, SentMessage

REMEMBERED: Final = 10_000
"""Maximum number of message keys that a session keeps in memory. The journal has all of them; these are the ones that
may have come since it was last searched."""
_LASTING: Final = (
    ev.MessageReceived,
    ev.MessageSent,
    ev.MessageDelivered,
    ev.AnswerSampled,
    ev.AnswerRated,
    ev.CloseRequested,
)
"""Types of events that are needed beyond the end of their turn."""


def open_session(event: ev.SessionOpened) -> RunState:
    """Return the state of a session before its first message."""
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
    """Return those of a session's newest events from which its state can be folded without the earlier ones.

    Of the events before the end of the newest turn, these are the ones about messages and about answers to be rated,
    and the request to close the session: the steps of a turn that has ended are not in the state.
    """
    over = max((stored.seq for stored in tail if isinstance(stored.event, (ev.TurnEnded, ev.TurnFailed))), default=0)
    return [stored for stored in tail if stored.seq >= over or isinstance(stored.event, _LASTING)]


# ---------------------------------------------------------------- turns


def _turn_ended(state: RunState, event: ev.TurnEnded) -> None:
    state.shared = event.state
    _turn_over(state, event)


def _turn_cancel_requested(state: RunState, event: ev.TurnCancelRequested) -> None:
    state.turn_cancelled = True
    state.turn_cancel_reason = event.reason
    state.resolutions.append(Resolution(key=CANCEL_KEY, at=event.at, kind="cancel"))


def _turn_failed(state: RunState, event: ev.TurnFailed) -> None:
    state.shared = event.state
    if not event.cancelled:
        state.mark_changes.append(("dead_letter", str(event.number), state.seq + 1))
    _turn_over(state, event)


def _turn_over(state: RunState, event: ev.TurnEnded | ev.TurnFailed) -> None:
    """Forget everything about the turn, and every message up to it."""
    while (letter := state.letter) is not None and letter[0] <= event.number:
        del state.mailbox[letter[0]]
    state.received = event.received
    state.offsets = dict(event.offsets)
    while len(state.message_keys) > REMEMBERED:
        del state.message_keys[next(iter(state.message_keys))]
    state.turns = event.number
    state.conversed |= event.conversed
    state.form = event.form
    if event.budget is not None:
        state.budget = event.budget
        state.accounts = (state.run_id,)
    state.turn_seq = state.seq + 1
    for key in (*state.timers, *(f"retry:{key}" for key in state.retries)):
        state.wait_changes.append((key, None))
    for memory in (
        state.steps,
        state.entries,
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
    state.turn_cancelled = state.cancel_heard = False
    state.turn_cancel_reason = None
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


def _dead_letter_settled(state: RunState, event: ev.DeadLetterSettled) -> None:
    state.mark_changes.append(("dead_letter", event.letter, None))


def _close_requested(state: RunState, _event: ev.CloseRequested) -> None:
    state.closing = state.seq + 1


def _session_closed(state: RunState, event: ev.SessionClosed) -> None:
    # The session may have been folded from events after CloseRequested, as earlier releases chose them.
    state.closing = state.closing or state.seq + 1
    state.ended = "completed"
    state.ended_at = event.at
    state.halted = None


# ---------------------------------------------------------------- messages to others


def _message_sent(state: RunState, event: ev.MessageSent) -> None:
    if state.session is None:  # a turn sends its messages as it ends, so no replay asks for them again
        state.asked[event.key] = state.seq + 1
        what = JsonText.of_members({"name": event.name, "value": event.value})
        state.sent[event.key] = digest("message", what) if state.form else ""
    state.outgoing[event.key] = SentMessage(
        event.to,
        event.name,
        event.value,
        SessionPolicy(on_failure=event.on_failure, budget=event.budget),
        state.seq + 1,
    )
    state.mark_changes.append(("outgoing", event.key, state.seq + 1))


def _message_delivered(state: RunState, event: ev.MessageDelivered) -> None:
    state.outgoing.pop(event.key, None)
    state.mark_changes.append(("outgoing", event.key, None))


HANDLERS: Final = (
    handler(ev.TurnEnded, _turn_ended),
    handler(ev.TurnCancelRequested, _turn_cancel_requested),
    handler(ev.TurnFailed, _turn_failed),
    handler(ev.DeadLetterSettled, _dead_letter_settled),
    handler(ev.CloseRequested, _close_requested),
    handler(ev.SessionClosed, _session_closed),
    handler(ev.MessageSent, _message_sent),
    handler(ev.MessageDelivered, _message_delivered),
)
