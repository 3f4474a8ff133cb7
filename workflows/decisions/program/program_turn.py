"""Decisions about a turn of a program: everything that it asks for until nothing in it is ready, or its end. Pure."""

from typing import assert_never

from greenroom.messages.core.json_text import text_of
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.workflows.decisions import cancellation
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.evaluation import sampling
from greenroom.workflows.decisions.messages import mailbox, outbox, turns
from greenroom.workflows.decisions.program import children, ending
from greenroom.workflows.decisions.replay.expectations import explained
from greenroom.workflows.decisions.steps import approvals, attempts, retried_steps, streams


def program_asked(out: Decision, turn: frames.Turn) -> None:  # noqa: C901, PLR0912  one case per kind of command
    """Decide about everything that a program asks for in one turn, in its order."""
    state = out.state
    if turn.fingerprint not in {"", state.fingerprint}:
        version = turn.version if state.version == 0 else 0
        out.record(ev.CodeAdopted(at=out.at, fingerprint=turn.fingerprint, version=version))
    if state.session is not None:
        out.ends_turn = any(isinstance(command, (frames.Return, frames.Raise)) for command in turn.commands)
    elif turn.state is not None and text_of(turn.state) != text_of(state.shared):
        out.record(ev.StateChanged(at=out.at, state=turn.state))
    for command in turn.commands:
        match command:
            case frames.ScheduleStep():
                _schedule_step(out, command)
            case frames.ScheduleTimer(key=key, seconds=seconds):
                if key not in state.timer_keys:
                    out.record(ev.TimerSet(at=out.at, key=key, due=out.at + seconds))
            case frames.ScheduleReceive():
                mailbox.receive_asked(out, command)
            case frames.RefuseMessage():
                mailbox.message_refused(out, command)
            case frames.ScheduleApproval():
                approvals.approval_asked(out, command)
            case frames.EmitValue(held=True) | frames.SendMessage() if state.turn_cancelled:
                pass  # a cancelled turn does nothing to the world outside
            case frames.EmitValue():
                streams.value_emitted(out, command)
            case frames.AwaitWriting():
                out.now.append(do.ExpectWritten())
                out.then.append(do.TellWritten())
            case frames.SendMessage():
                outbox.message_sent(out, command)
            case frames.ScheduleChild():
                children.schedule_child(out, command)
            case frames.Withdraw(key=key):
                _withdraw(out, key)
            case frames.Return(result=result):
                if state.session is None:
                    ending.end(out, ev.RunCompleted(at=out.at, result=result))
                    if command.sampling is not None:
                        sampling.sample_result(out, result, command.sampling)
                else:
                    turns.turn_returned(out, command, turn)
                return
            case frames.Raise():
                _program_raised(out, command)
                return
            case frames.Halt(reason=reason):
                ending.park(out, reason)
                return
            case frames.Diverge():
                ending.park(out, *explained(state, command))
                return
            case _:
                assert_never(command)
    cancellation.heard(out, turn)


def _program_raised(out: Decision, command: frames.Raise) -> None:
    state, failure, calls = out.state, command.failure, command.calls
    own = command.step or next((key for key in calls if key in state.steps), None)
    if command.cancelled and state.turn_cancelled and state.cancel_requested is None:
        turns.turn_cancelled(out)
    elif command.cancelled and any(item.kind == "cancel" for item in state.resolutions):
        ending.end(out, ev.RunCancelled(at=out.at, reason=state.cancel_reason))
    elif state.session is None:
        ending.end(out, ev.RunFailed(at=out.at, failure=failure, step=own, calls=calls))
    else:
        below = (each.child_step for each in state.resolutions if each.key in calls and each.child_step is not None)
        turns.turn_failed(out, failure, step=own or next(below, None), stop=command.stop)


def _schedule_step(out: Decision, command: frames.ScheduleStep) -> None:
    key = command.key
    if key in out.state.steps:
        return
    shelved = out.state.shelved.get(key)
    out.record(
        ev.StepScheduled(
            at=out.at,
            key=key,
            name=command.name,
            kind=command.kind,
            step=command.step,
            arguments=command.arguments,
            options=command.options,
            transcript=command.transcript,
        )
    )
    if shelved is None:
        out.dispatch(key, 1)
    else:
        retried_steps.asked_again(out, shelved, command)


def _withdraw(out: Decision, key: str) -> None:
    """Stop what the program no longer awaits."""
    state = out.state
    if key in state.timers:
        out.record(ev.TimerCancelled(at=out.at, key=key))
    elif key in state.receives or key in state.taken:
        mailbox.receive_withdrawn(out, key)
    elif key in state.questions:
        approvals.approval_withdrawn(out, key)
    elif (step := state.steps.get(key)) is not None and step.open:
        attempts.cancel_step(out, step)
    elif (child := state.children.get(key)) is not None and child.open:
        children.withdraw_child(out, key)
