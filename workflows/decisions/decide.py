"""What a supervisor does about everything that can happen to its run: events to record, effects to carry out.

Pure: the state is only read, the time and a random number are arguments, and nothing is done here. ``Decision.now`` may
be carried out at once; ``Decision.then`` only after the events are on the disk, because it shows them to somebody.
"""

from collections.abc import Callable
from typing import Any, Final

from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.messages.frames.replay_differences import Difference
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.approvals import (
    approval_asked,
    approval_decided,
    approval_withdrawn,
    decided_too_late,
)
from greenroom.workflows.decisions.budgets import keep_within, overdrawn, raised_budget, remind
from greenroom.workflows.decisions.cancellation import (
    heard,
    hold_back,
    nothing_to_clean_up,
    request,
    time_is_over,
    why_parked,
)
from greenroom.workflows.decisions.children import abandon_child, child_finished, schedule_child, withdraw_child
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.decisions.inputs import Input
from greenroom.workflows.decisions.messages.mailbox import (
    hand_out,
    message_arrived,
    message_refused,
    message_too_late,
    receive_asked,
    receive_withdrawn,
)
from greenroom.workflows.decisions.messages.outbox import deliver_again, message_delivered, message_sent
from greenroom.workflows.decisions.messages.streams import value_emitted
from greenroom.workflows.decisions.messages.turns import close, settle, turn_failed, turn_returned
from greenroom.workflows.decisions.steps.attempts import (
    attempt_lost,
    cancel_step,
    step_answered,
    step_assigned,
    step_judged,
    step_lost,
    step_progressed,
)
from greenroom.workflows.decisions.steps.retried_steps import asked_again, give_up_unknown, may_not_begin_again
from greenroom.workflows.replay.expectations import explained
from greenroom.workflows.state.run_state import RunState

PROGRAM_CRASHES: Final = 3
"""Deaths of program workers charged to a run that end it."""


def decide(state: RunState, happened: Input, moment: Moment) -> Decision:
    """Decide what follows from what happened. After a run's end nothing does."""
    decision = Decision()
    if state.ended is None:
        _DECIDERS[type(happened)](state, happened, moment, decision)
        if state.cancel_requested is not None or isinstance(happened, do.Cancel):
            hold_back(state, decision)
        if moment.overdraft is not None:
            keep_within(state, happened, moment, decision)
    elif isinstance(happened, do.Signal):
        message_too_late(state, happened, decision)
    elif isinstance(happened, do.Decide):
        decided_too_late(state, happened, decision)
    elif isinstance(happened, (do.Delivered, do.SettleDeadLetter)):
        _DECIDERS[type(happened)](state, happened, moment, decision)
    elif isinstance(happened, do.Recover):
        deliver_again(state, decision)
    return decision


# ---------------------------------------------------------------- beginning and going on


def _begin(_state: RunState, _happened: do.Begin, _moment: Moment, out: Decision) -> None:
    out.then.append(do.StartProgram())


def _recover(state: RunState, happened: do.Recover, moment: Moment, out: Decision) -> None:
    """Go on from the journal: a run that was not in memory has nothing in flight, whatever its journal says.

    That holds within one life of an orchestrator too: it has had no part in a run that was parked in an earlier one.
    """
    gone = Exit(kind="orchestrator_lost", detail="the orchestrator ended while this attempt ran")
    for step in state.steps.values():
        if step.running is not None:
            attempt_lost(state, step, step.running, gone, charged=False, moment=moment, out=out)
    if happened.orphaned and state.program is not None:
        out.events.append(ev.ProgramEnded(at=moment.now, exit=gone, charged=False))
    deliver_again(state, out)
    remind(state, moment, out)
    if not state.halted:
        _go_on(state, moment, out)


def _pause(state: RunState, happened: do.Pause, moment: Moment, out: Decision) -> None:
    """Let what runs end, and nothing begin: attempts that wait for a worker are taken back."""
    if state.halted is not None:
        return
    out.events.append(ev.RunPaused(at=moment.now, reason=happened.reason))
    out.now.append(do.EndProgram())
    out.now.extend(do.WithdrawStep(step.key) for step in state.steps.values() if step.awaits_worker)
    out.then.extend(do.PauseChild(key) for key, child in state.children.items() if child.open)


def _resume(state: RunState, happened: do.Resume, moment: Moment, out: Decision) -> None:
    budget = raised_budget(state, happened)
    if (state.halted is None and budget is None) or (state.halted == "parked" and happened.unless_parked):
        return
    if happened.pool is not None and happened.pool != state.stranded:
        return
    out.events.append(ev.RunResumed(at=moment.now, budget=budget))
    if state.halted is None:
        return
    _go_on(state, moment, out)
    out.then.extend(do.ResumeChild(key) for key, child in state.children.items() if child.open)


def _go_on(state: RunState, moment: Moment, out: Decision) -> None:
    """Have done whatever the state says is open and nobody works on."""
    decided = {effect.key for effect in out.now if isinstance(effect, do.Dispatch)}
    for step in state.steps.values():
        if step.key in decided:
            continue
        if may_not_begin_again(step):
            give_up_unknown(step, moment, out)
        elif step.status == "scheduled":
            out.now.append(do.Dispatch(step.key, step.next_attempt))
        elif step.status == "evaluating":
            out.now.append(do.Judge(step.key, len(step.attempts)))
    out.then.extend(do.StartChild(key) for key, child in state.children.items() if child.open)
    hand_out(state, moment, out)
    _tick(state, do.Tick(), moment, out)
    out.then.append(do.StartProgram())


def _tick(state: RunState, _happened: do.Tick, moment: Moment, out: Decision) -> None:
    if time_is_over(state, moment, out):
        _end(state, ev.RunCancelled(at=moment.now, reason=state.cancel_reason), moment, out)
        return
    if state.halted and not any(isinstance(event, ev.RunResumed) for event in out.events):
        return
    for key, due in sorted(state.timers.items(), key=lambda item: item[1]):
        if due <= moment.now:
            out.events.append(ev.TimerFired(at=moment.now, key=key))
            out.then.append(do.ReleaseSteps())
    for key, due in state.retries.items():
        if due <= moment.now:
            out.now.append(do.Dispatch(key, state.steps[key].next_attempt))


def _cancel(state: RunState, happened: do.Cancel, moment: Moment, out: Decision) -> None:
    """Have the program clean up, also one that is paused or parked; asking again lets it go on with that."""
    before = state.cancel_requested is not None
    request(state, happened, moment, out)
    if nothing_to_clean_up(state) or time_is_over(state, moment, out):
        reason = state.cancel_reason if before else happened.reason
        _end(state, ev.RunCancelled(at=moment.now, reason=reason), moment, out)
    elif state.halted is not None and (happened.again or not before):
        out.events.insert(0, ev.RunResumed(at=moment.now))
        _go_on(state, moment, out)


def _no_workers(state: RunState, happened: do.NoWorkers, moment: Moment, out: Decision) -> None:
    if happened.unsendable and state.letter is not None:  # which would be no shorter the next time
        turn_failed(state, Failure(outcome="error", type="TooLong", message=happened.reason), moment, out)
    else:
        _park(state, happened.reason, moment, out, pool=happened.pool)


def _park(
    state: RunState, reason: str, moment: Moment, out: Decision, difference: Difference | None = None, pool: str = ""
) -> None:
    if state.halted != "parked":
        reason = why_parked(state, reason)
        out.events.append(ev.RunParked(at=moment.now, reason=reason, difference=difference, pool=pool))
        out.now.append(do.EndProgram())
        out.then.append(do.Announce())


# ---------------------------------------------------------------- the program


def _program_assigned(_state: RunState, happened: do.ProgramAssigned, moment: Moment, out: Decision) -> None:
    out.events.append(
        ev.ProgramStarted(at=moment.now, worker=happened.worker, pid=happened.pid, incarnation=happened.incarnation)
    )


def _program_lost(state: RunState, happened: do.ProgramLost, moment: Moment, out: Decision) -> None:
    out.events.append(ev.ProgramEnded(at=moment.now, exit=happened.exit, charged=happened.charged))
    if happened.charged and state.program_crashes + 1 >= PROGRAM_CRASHES:
        failure = Failure(
            outcome="crash",
            message=f"the {state.kind}'s own code took its process down {PROGRAM_CRASHES} times; the last one "
            f"{happened.exit.sentence()}",
            exit=happened.exit,
        )
        _fail(state, failure, moment, out)
    elif not state.halted:
        out.then.append(do.StartProgram())


def _program_turn(  # noqa: C901, PLR0912  one case per kind of command
    state: RunState, happened: do.ProgramTurn, moment: Moment, out: Decision
) -> None:
    turn = happened.turn
    if turn.fingerprint not in {"", state.fingerprint}:
        version = turn.version if state.version == 0 else 0
        out.events.append(ev.CodeAdopted(at=moment.now, fingerprint=turn.fingerprint, version=version))
    if turn.state is not None and turn.state != state.shared and state.session is None:
        out.events.append(ev.StateChanged(at=moment.now, state=turn.state))
    for command in turn.commands:
        match command:
            case frames.ScheduleStep():
                _schedule_step(state, command, moment, out)
            case frames.ScheduleTimer(key=key, seconds=seconds):
                if key not in state.timer_keys:
                    out.events.append(ev.TimerSet(at=moment.now, key=key, due=moment.now + seconds))
            case frames.ScheduleReceive():
                receive_asked(state, command, moment, out)
            case frames.RefuseMessage():
                message_refused(state, command, moment, out)
            case frames.ScheduleApproval():
                approval_asked(state, command, moment, out)
            case frames.EmitValue():
                value_emitted(state, command, moment, out)
            case frames.AwaitWriting():
                out.then.append(do.TellWritten())
            case frames.SendMessage():
                message_sent(state, command, moment, out)
            case frames.ScheduleChild():
                schedule_child(state, command, moment, out)
            case frames.Withdraw(key=key):
                _withdraw(state, key, moment, out)
            case frames.Return(result=result):
                if state.session is None:
                    _end(state, ev.RunCompleted(at=moment.now, result=result), moment, out)
                else:
                    turn_returned(state, command, turn, moment, out)
                return
            case frames.Raise(failure=failure, step=step, calls=calls, cancelled=cancelled, stop=stop):
                if cancelled and any(item.kind == "cancel" for item in state.resolutions):
                    _end(state, ev.RunCancelled(at=moment.now, reason=state.cancel_reason), moment, out)
                elif state.session is None:
                    step = step or next((key for key in calls if key in state.steps), None)
                    _end(state, ev.RunFailed(at=moment.now, failure=failure, step=step, calls=calls), moment, out)
                else:
                    turn_failed(state, failure, moment, out, step=step or _failed_step(state, calls), stop=stop)
                return
            case frames.Halt(reason=reason):
                _park(state, reason, moment, out)
                return
            case frames.Diverge():
                reason, difference = explained(state, command)
                _park(state, reason, moment, out, difference)
                return
    heard(state, turn, moment, out)


def _failed_step(state: RunState, calls: tuple[str, ...]) -> str | None:
    """Give the step from whose failure an exception comes, one of a child's where it was that."""
    own = (key for key in calls if key in state.steps)
    below = (each.child_step for each in state.resolutions if each.key in calls and each.child_step is not None)
    return next(own, None) or next(below, None)


def _fail(
    state: RunState, failure: Failure, moment: Moment, out: Decision, *, step: str | None = None, stop: bool = False
) -> None:
    """The program has failed for good: a run's end, and that of a session's turn."""
    if state.session is None:
        _end(state, ev.RunFailed(at=moment.now, failure=failure, step=step), moment, out)
    else:
        turn_failed(state, failure, moment, out, step=step, stop=stop)


def _schedule_step(state: RunState, command: frames.ScheduleStep, moment: Moment, out: Decision) -> None:
    if command.key in state.steps:
        return
    shelved = state.shelved.get(command.key)
    out.events.append(
        ev.StepScheduled(
            at=moment.now,
            key=command.key,
            name=command.name,
            kind=command.kind,
            step=command.step,
            arguments=command.arguments,
            options=command.options,
        )
    )
    if shelved is None:
        out.now.append(do.Dispatch(command.key, 1))
    else:
        asked_again(shelved, command, moment, out)


def _withdraw(state: RunState, key: str, moment: Moment, out: Decision) -> None:
    """Stop what the program no longer awaits."""
    if key in state.timers:
        out.events.append(ev.TimerCancelled(at=moment.now, key=key))
    elif key in state.receives or key in state.taken:
        receive_withdrawn(state, key, moment, out)
    elif key in state.questions:
        approval_withdrawn(state, key, moment, out)
    elif (step := state.steps.get(key)) is not None and step.open:
        cancel_step(state, step, moment, out)
    elif (child := state.children.get(key)) is not None and child.open:
        withdraw_child(state, key, out)


def _end(
    state: RunState, event: ev.RunCompleted | ev.RunFailed | ev.RunCancelled, moment: Moment, out: Decision
) -> None:
    """End the run and everything that still goes on for it, what this very turn has withdrawn left out."""
    gone = {item.key for item in out.events if isinstance(item, (ev.StepFailed, ev.ChildEnded, ev.ApprovalWithdrawn))}
    for step in state.steps.values():
        if step.open and step.key not in gone:
            cancel_step(state, step, moment, out)
    for key, question in state.questions.items():
        if question.step is None and key not in gone:
            approval_withdrawn(state, key, moment, out)
    at_once = time_is_over(state, moment, out)
    for key, child in state.children.items():
        if child.open and key not in gone:
            abandon_child(state, key, moment, out, at_once=at_once)
    out.events.append(event)
    out.now.append(do.EndProgram())
    out.then.append(do.Announce())


_DECIDERS: Final[dict[type[Any], Callable[[RunState, Any, Moment, Decision], None]]] = {
    do.Begin: _begin,
    do.Recover: _recover,
    do.ProgramAssigned: _program_assigned,
    do.ProgramTurn: _program_turn,
    do.ProgramLost: _program_lost,
    do.NoWorkers: _no_workers,
    do.StepAssigned: step_assigned,
    do.StepAnswered: step_answered,
    do.StepProgressed: step_progressed,
    do.StepLost: step_lost,
    do.StepJudged: step_judged,
    do.Tick: _tick,
    do.Cancel: _cancel,
    do.Signal: message_arrived,
    do.Decide: approval_decided,
    do.Close: close,
    do.SettleDeadLetter: settle,
    do.Delivered: message_delivered,
    do.Pause: _pause,
    do.Resume: _resume,
    do.Overdrawn: overdrawn,
    do.ChildFinished: child_finished,
}
