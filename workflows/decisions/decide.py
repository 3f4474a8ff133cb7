"""What follows from every input of a run: events to record, effects to carry out.

Pure: the time and a random number are arguments, and only the given state is changed, by the events. Effects in
``Decision.now`` may be carried out at once. Those in ``Decision.then`` show the events to others, so they must wait for
the commit.
"""

from typing import Final, assert_never

from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.events import events as ev
from greenroom.workflows.decisions import cancellation, inputs
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions.budget_usage import Overdraft
from greenroom.workflows.decisions.budgets import budgets
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.evaluation import sampling
from greenroom.workflows.decisions.inputs import Input
from greenroom.workflows.decisions.messages import mailbox, outbox, turns
from greenroom.workflows.decisions.program import children, ending, program_turn
from greenroom.workflows.decisions.steps import approvals, attempts, judges, quota, retried_steps, streams
from greenroom.workflows.state.run_state import RunState

PROGRAM_CRASHES: Final = 3
"""Deaths of program workers charged to a run that end it."""


def decide(  # noqa: C901, PLR0912, PLR0915  one case per kind of input
    state: RunState, happened: Input, now: float, unit: float, overdraft: Overdraft | None = None
) -> Decision:
    """Decide what follows from an input, and apply the events of the decision to ``state``.

    After a run's end nothing follows, but for answers to senders, messages that are still to be delivered, and scores
    of answers that are rated in the background.

    Args:
        state: The run. If an exception is raised, discard it: it may hold half of the decision.
        happened: The input.
        now: Seconds since the Unix epoch.
        unit: A random number, at least 0 and below 1.
        overdraft: A used-up budget among those that the run draws on.
    """
    out = Decision(state, now, unit, overdraft)
    if state.ended is not None:
        _decide_after_end(out, happened)
        return out
    match happened:  # a class pattern costs some 30 ns, so the inputs of every step come first
        case inputs.StepAnswered():
            attempts.step_answered(out, happened)
        case inputs.StepAssigned():
            attempts.step_assigned(out, happened)
        case inputs.ProgramTurn(turn=turn):
            program_turn.program_asked(out, turn)
        case inputs.Signal():
            mailbox.message_arrived(out, happened)
        case inputs.Tick():
            _tick(out)
        case inputs.StepJudged():
            attempts.step_judged(out, happened)
        case inputs.JudgesDue(key=key):
            judges.judges_due(out, key)
        case inputs.JudgeReserved() | inputs.JudgeUnaffordable() | inputs.JudgeAnswered():
            judges.judge_called(out, happened)
        case inputs.RatingDue():
            sampling.judges_due(out, happened)
        case inputs.AnswerRated():
            sampling.answer_rated(out, happened)
        case inputs.StepProgressed():
            attempts.step_progressed(out, happened)
        case inputs.StepEmitted():
            streams.step_emitted(out, happened)
        case inputs.StepUnaffordable(key=key):
            attempts.step_unaffordable(out, key)
        case inputs.StepLost():
            attempts.step_lost(out, happened)
        case inputs.ChildFinished():
            children.child_finished(out, happened)
        case inputs.Delivered():
            outbox.message_delivered(out, happened)
        case inputs.ProgramAssigned():
            _program_assigned(out, happened)
        case inputs.ProgramLost():
            _program_lost(out, happened)
        case inputs.NoWorkers():
            _no_workers(out, happened)
        case inputs.Recover():
            _recover(out, happened)
        case inputs.Cancel():
            _cancel(out, happened)
        case inputs.Pause():
            _pause(out, happened)
        case inputs.Resume():
            _resume(out, happened)
        case inputs.Decide():
            approvals.approval_decided(out, happened)
        case inputs.Close():
            turns.close(out)
        case inputs.CancelTurn(reason=reason):
            _cancel_turn(out, reason)
        case inputs.SettleDeadLetter():
            turns.settle(out, happened)
        case inputs.Overdrawn():
            budgets.overdrawn(out, happened)
        case inputs.ChildRefused():
            quota.child_refused(out, happened)
        case inputs.EngineFault(reason=reason):
            if state.halted is None:
                ending.park(out, reason)
        case _:
            assert_never(happened)
    if out.overdraft is not None:
        budgets.stop_over_budget(out, out.overdraft)
    return out


def _decide_after_end(out: Decision, happened: Input) -> None:
    match happened:
        case inputs.Signal():
            mailbox.message_too_late(out, happened)
        case inputs.Decide():
            approvals.decided_too_late(out, happened)
        case inputs.Delivered():
            outbox.message_delivered(out, happened)
        case inputs.SettleDeadLetter():
            turns.settle(out, happened)
        case inputs.RatingDue():
            sampling.judges_due(out, happened)
        case inputs.AnswerRated():
            sampling.answer_rated(out, happened)
        case inputs.Recover():
            outbox.deliver_again(out)
        case _:
            pass


# ---------------------------------------------------------------- beginning and going on


def _recover(out: Decision, happened: inputs.Recover) -> None:
    """Go on from the journal: a run that was not in memory has nothing under way, whatever its journal says.

    That holds within one life of an orchestrator too: it has had no part in a run that was parked in an earlier one.
    """
    state = out.state
    gone = Exit(kind="orchestrator_lost", detail="the orchestrator ended while this attempt ran")
    for step in state.steps.values():
        if step.running is not None:
            attempts.attempt_lost(out, step, step.running, gone, charged=False)
        judges.end_calls(out, step)
    if happened.orphaned and state.program is not None:
        out.record(ev.ProgramEnded(at=out.at, exit=gone, charged=False))
    outbox.deliver_again(out)
    budgets.remind(out)
    quota.remind(out)
    if not state.halted:
        _go_on(out)
    if happened.orphaned:
        _tell_children_again(out)


def _tell_children_again(out: Decision) -> None:
    """Pause or resume the children with this run, which it may not have come to before a crash."""
    state = out.state
    below = [key for key, child in state.children.items() if child.open]
    if state.halted == "paused":
        out.then.extend(do.PauseChild(key, again=True) for key in below)
    elif state.halted is None and state.resumed_at and not state.holding:  # else ``cancellation.heard`` resumes them
        out.then.extend(do.ResumeChild(key, again=True) for key in below)


def _pause(out: Decision, happened: inputs.Pause) -> None:
    """Let running attempts end, and begin nothing: attempts that wait for a worker are withdrawn."""
    state, since = out.state, happened.unless_resumed_since
    if state.halted is not None or (since is not None and state.resumed_at >= since):
        return
    out.record(ev.RunPaused(at=out.at, reason=happened.reason, with_parent=happened.with_parent))
    out.now.append(do.EndProgram())
    out.now.extend(do.WithdrawStep(step.key) for step in state.steps.values() if step.awaits_worker)
    out.then.extend(do.PauseChild(key) for key, child in state.children.items() if child.open)


def _resume(out: Decision, happened: inputs.Resume) -> None:
    state = out.state
    halted, budget = state.halted, budgets.raised_budget(state, happened)
    if (halted is None and budget is None) or (halted == "parked" and happened.unless_parked):
        return
    if happened.pool is not None and happened.pool != state.stranded:
        return
    if happened.only_with_parent and not state.paused_with_parent:
        return
    out.record(ev.RunResumed(at=out.at, budget=budget))
    if budget is not None:
        out.overdraft = None  # every attempt is checked against the new budget once a worker is chosen
    if halted is not None:
        turns.close_if_due(out)
        if state.ended is not None:
            return
        _go_on(out)
        out.then.extend(do.ResumeChild(key) for key, child in state.children.items() if child.open)


def _go_on(out: Decision) -> None:
    """Do everything that the state says is open."""
    state = out.state
    for step in state.steps.values():
        if retried_steps.may_not_begin_again(step):
            retried_steps.give_up_unknown(out, step)
        elif step.status == "evaluating":
            out.now.append(do.Judge(step.key, len(step.attempts)))
        else:
            attempts.dispatch_if_due(out, step)
    out.then.extend(do.StartChild(key) for key, child in state.children.items() if child.open)
    mailbox.hand_out(out)
    _fire_timers(out)
    out.start_program()


def _tick(out: Decision) -> None:
    _fire_timers(out)
    for key in out.state.retries:
        attempts.dispatch_if_due(out, out.state.steps[key])


def _fire_timers(out: Decision) -> None:
    """Fire the timers that are due. End the run if the time for its cleanup is over."""
    state = out.state
    if ending.cleanup_is_over(state.cancel_due, out.at):
        ending.end(out, ev.RunCancelled(at=out.at, reason=state.cancel_reason))
    elif state.halted is None:
        for key, due in sorted(state.timers.items(), key=lambda item: item[1]):
            if due <= out.at:
                out.record(ev.TimerFired(at=out.at, key=key))
                out.then.append(do.ReleaseSteps())


def _cancel(out: Decision, happened: inputs.Cancel) -> None:
    """Let the program clean up, even if the run is paused or parked; a repeated request resumes that cleanup."""
    state = out.state
    due = None if happened.within is None else out.at + happened.within
    ends = (
        cancellation.nothing_to_clean_up(state)
        or ending.cleanup_is_over(state.cancel_due, out.at)
        or ending.cleanup_is_over(due, out.at)
    )
    resumes = not ends and state.halted is not None and (happened.again or state.cancel_requested is None)
    if resumes:
        out.record(ev.RunResumed(at=out.at))
    cancellation.request(out, happened.reason, due)
    if ends:
        ending.end(out, ev.RunCancelled(at=out.at, reason=state.cancel_reason))
    elif resumes:
        _go_on(out)


def _cancel_turn(out: Decision, reason: str | None) -> None:
    """Let the handler of a session's running turn clean up, even if the session is paused or parked."""
    state, letter = out.state, out.state.letter
    if state.session is None or letter is None or (state.halted is not None and not state.begun):
        return  # no turn is running: messages that wait for a resumed session stay
    out.receipt = letter[0]
    resumes = state.halted is not None
    if resumes:
        out.record(ev.RunResumed(at=out.at))
    cancellation.request_turn(out, reason)
    if resumes:
        _go_on(out)


def _no_workers(out: Decision, happened: inputs.NoWorkers) -> None:
    if happened.unsendable and out.state.letter is not None:  # it would be as long the next time
        turns.turn_failed(out, Failure(outcome="error", type="TooLong", message=happened.reason))
    else:
        ending.park(out, happened.reason, pool=happened.pool)


# ---------------------------------------------------------------- the program


def _program_assigned(out: Decision, happened: inputs.ProgramAssigned) -> None:
    worker, pid, incarnation = happened.worker, happened.pid, happened.incarnation
    out.record(ev.ProgramStarted(at=out.at, worker=worker, pid=pid, incarnation=incarnation))


def _program_lost(out: Decision, happened: inputs.ProgramLost) -> None:
    state = out.state
    out.record(ev.ProgramEnded(at=out.at, exit=happened.exit, charged=happened.charged))
    if happened.charged and state.program_crashes >= PROGRAM_CRASHES:
        failure = Failure(
            outcome="crash",
            message=f"the {state.kind}'s own code took its process down {PROGRAM_CRASHES} times; the last one "
            f"{happened.exit.sentence()}",
            exit=happened.exit,
        )
        if state.session is None:
            ending.end(out, ev.RunFailed(at=out.at, failure=failure))
        else:
            turns.turn_failed(out, failure)
    elif not state.halted:
        out.start_program()
