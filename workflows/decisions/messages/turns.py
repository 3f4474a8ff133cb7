"""Decisions about the turns of a session. Pure.

A session is a run whose program handles one message and ends. What the turn did to the world outside is journaled
together with the new state and the reply, or not at all.
"""

from greenroom.messages.core.errors import SessionClosed
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Json
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.messages.frames.replay_differences import FORM
from greenroom.messages.options.policy import Sampling
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.evaluation.sampling import sample_reply
from greenroom.workflows.decisions.steps.attempts import cancel_step


def refuses(out: Decision) -> bool:
    """Refuse a message to a session that is closing. Return whether it was refused."""
    if out.state.closing:
        out.refused = SessionClosed(f"session {out.state.run_id} is closed: it takes no messages any more")
    return out.state.closing > 0


def turn_returned(out: Decision, command: frames.Return, turn: frames.Turn) -> None:
    """Record the reply and the new state of a turn whose handler has returned."""
    if out.state.turn_cancelled:
        turn_cancelled(out)
        return
    state, letter = out.state, out.state.letter
    assert letter is not None
    _drop_rest(out)
    ended = ev.TurnEnded(
        at=out.at,
        number=letter[0],
        reply=command.result,
        state=state.shared if turn.state is None else turn.state,
        received=state.received,
        offsets=state.offsets,
        form=FORM,
        budget=state.budget,
        conversed=state.conversed,
    )
    _over(out, ended, sampling=command.sampling, message=letter[1].value)


def turn_failed(out: Decision, failure: Failure, *, step: str | None = None, stop: bool = False) -> None:
    """Put the message of a failed turn into the dead letters, and go on with the next one or stop."""
    if out.state.turn_cancelled:
        turn_cancelled(out, failure)
    else:
        _fail(out, failure, step, stop=stop or out.state.on_failure == "stop")


def turn_cancelled(out: Decision, failed: Failure | None = None) -> None:
    """End a cancelled turn without a reply, whatever its handler has done, and go on with the next message.

    Args:
        out: The decision.
        failed: What the handler raised other than the cancellation, if anything.
    """
    reason = out.state.turn_cancel_reason
    why = f": {reason}" if reason else ""
    after = f"; its handler then failed: {failed.told()}" if failed is not None else ""
    failure = Failure(outcome="cancelled", message=f"the turn was cancelled{why}{after}")
    _fail(out, failure, None, stop=False)


def _fail(out: Decision, failure: Failure, step: str | None, *, stop: bool) -> None:
    state, letter = out.state, out.state.letter
    assert letter is not None
    number, message = letter
    _drop_rest(out)
    failed = ev.TurnFailed(
        at=out.at,
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
        conversed=state.conversed,
        cancelled=state.turn_cancelled,
    )
    _over(out, failed, stop=stop)


def _drop_rest(out: Decision) -> None:
    """Stop what the handler did not await."""
    state = out.state
    for step in state.steps.values():
        if step.open and not out.is_new(step.key):
            cancel_step(out, step)
    for key, child in state.children.items():
        if child.open and not out.is_new(key):
            out.then.append(do.CancelChild(key, child.run_id))


def _over(
    out: Decision,
    event: ev.TurnEnded | ev.TurnFailed,
    *,
    stop: bool = False,
    sampling: Sampling | None = None,
    message: Json = None,
) -> None:
    state = out.state
    out.record(event)
    if sampling is not None and isinstance(event, ev.TurnEnded):
        sample_reply(out, event.number, message, event.reply, sampling)
    out.now.append(do.EndProgram())
    out.then.append(do.TurnOver(event))
    if state.cancel_requested is not None:
        out.record(ev.RunCancelled(at=out.at, reason=state.cancel_reason))
        out.then.append(do.Announce())
    elif stop:
        assert isinstance(event, ev.TurnFailed)
        reason = (
            f"message {event.number} failed ({event.failure.told()}) and is in the dead letters; the session is "
            f"set to stop there, and goes on with the next message once it is resumed"
        )
        out.record(ev.RunParked(at=out.at, reason=reason))
        out.then.append(do.Announce())
    elif state.mailbox:
        out.start_program()
    elif state.closing:
        _close(out)


def close(out: Decision) -> None:
    """Take no more messages, and end the session at once if none waits."""
    if out.state.closing:
        return
    out.record(ev.CloseRequested(at=out.at))
    if not out.state.mailbox:
        _close(out)


def close_if_due(out: Decision) -> None:
    """End a closed session that stopped at its last message, now that a person has resumed it."""
    if out.state.closing and out.state.idle:
        _close(out)


def _close(out: Decision) -> None:
    out.record(ev.SessionClosed(at=out.at))
    out.then.append(do.Announce())


def settle(out: Decision, happened: inputs.SettleDeadLetter) -> None:
    """Record that a dead letter was dealt with."""
    out.record(ev.DeadLetterSettled(at=out.at, letter=happened.letter, how=happened.how))
