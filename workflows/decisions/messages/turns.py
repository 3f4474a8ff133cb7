"""What a supervisor does about a session: the part of ``decide`` that knows turns.

Pure like the rest of it. A session is a run whose program deals with one message and ends; what it did to the world
outside goes into the journal together with its new state and its reply, or not at all.
"""

from greenroom.messages.core.errors import SessionClosed
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker
from greenroom.messages.frames.replay_differences import FORM
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.decisions.steps.attempts import cancel_step
from greenroom.workflows.state.run_state import RunState


def refuses(state: RunState, out: Decision) -> bool:
    """Refuse a message to a session that is closing. True where that was done."""
    if state.closing:
        out.refused = SessionClosed(f"session {state.run_id} is closed: it takes no messages any more")
    return state.closing


def message_waits(state: RunState, out: Decision) -> None:
    """A message was recorded: begin with it where no other is being dealt with."""
    if state.letter is None and not state.halted:
        out.then.append(do.StartProgram())


def turn_returned(state: RunState, command: worker.Return, turn: worker.Turn, moment: Moment, out: Decision) -> None:
    """The handler is done with its message."""
    letter = state.letter
    assert letter is not None
    _drop_rest(state, moment, out)
    ended = ev.TurnEnded(
        at=moment.now,
        number=letter[0],
        reply=command.result,
        state=state.shared if turn.state is None else turn.state,
        received=state.received,
        offsets=_offsets(state, out),
        form=FORM,
        budget=state.budget,
    )
    _over(state, ended, moment, out)


def turn_failed(
    state: RunState, failure: Failure, moment: Moment, out: Decision, *, step: str | None = None, stop: bool = False
) -> None:
    """The handler could not deal with its message: set that aside, and go on with the next one or stop."""
    letter = state.letter
    assert letter is not None
    number, message = letter
    _drop_rest(state, moment, out)
    failed = ev.TurnFailed(
        at=moment.now,
        number=number,
        name=message.name,
        value=message.value,
        failure=failure,
        step=step,
        state=state.shared,
        received=state.received,
        offsets=state.offsets,
        form=FORM,
        budget=state.budget,
    )
    _over(state, failed, moment, out, stop=stop or state.on_failure == "stop")


def _offsets(state: RunState, out: Decision) -> dict[str, int]:
    """Count the values emitted by channel, those of this very turn included."""
    offsets = dict(state.offsets)
    for event in out.events:
        if isinstance(event, ev.ValueEmitted):
            offsets[event.channel] = event.offset + 1
    return offsets


def _drop_rest(state: RunState, moment: Moment, out: Decision) -> None:
    """Stop what the handler did not await."""
    for step in state.steps.values():
        if step.open:
            cancel_step(state, step, moment, out)
    cancelled = [do.CancelChild(key, child.run_id) for key, child in state.children.items() if child.open]
    # What was asked for in the very moment of the end is nobody's any more: no state will know of it.
    gone = (do.Dispatch, do.Judge, do.StartChild, do.ReleaseSteps)
    out.now = [effect for effect in out.now if not isinstance(effect, gone)]
    out.then = [effect for effect in out.then if not isinstance(effect, gone)]
    out.then.extend(cancelled)


def _over(
    state: RunState, event: ev.TurnEnded | ev.TurnFailed, moment: Moment, out: Decision, *, stop: bool = False
) -> None:
    out.events.append(event)
    out.now.append(do.EndProgram())
    out.then.append(do.TurnOver(event))
    more = len(state.mailbox) > 1
    if state.cancel_requested is not None:
        out.events.append(ev.RunCancelled(at=moment.now, reason=state.cancel_reason))
        out.then.append(do.Announce())
    elif stop:
        assert isinstance(event, ev.TurnFailed)
        reason = (
            f"message {event.number} failed ({event.failure.told()}) and is in the dead letters; the session is "
            f"set to stop there, and goes on with the next message once it is resumed"
        )
        out.events.append(ev.RunParked(at=moment.now, reason=reason))
        out.then.append(do.Announce())
    elif more:
        out.then.append(do.StartProgram())
    elif state.closing:
        _close(moment, out)


def close(state: RunState, _happened: do.Close, moment: Moment, out: Decision) -> None:
    """Take no more messages; end at once where none waits."""
    if state.closing:
        return
    out.events.append(ev.CloseRequested(at=moment.now))
    if state.letter is None:
        _close(moment, out)


def _close(moment: Moment, out: Decision) -> None:
    out.events.append(ev.SessionClosed(at=moment.now))
    out.then.append(do.Announce())


def settle(_state: RunState, happened: do.SettleDeadLetter, moment: Moment, out: Decision) -> None:
    """Somebody has looked at a dead letter."""
    out.events.append(ev.DeadLetterSettled(at=moment.now, letter=happened.letter, how=happened.how))
