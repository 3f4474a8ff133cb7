"""What a supervisor does about everything that can happen to its run: events to record, effects to carry out.

Pure: the state is only read, the time and a random number are arguments, and nothing is done here. ``Decision.now`` may
be carried out at once; ``Decision.then`` only after the events are on the disk, because it shows them to somebody.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from understudy.messages import events as ev
from understudy.messages import frames
from understudy.messages.failures import Exit, Failure, Outcome
from understudy.supervision.retry import Again, PastAttempt, next_attempt
from understudy.workflows import inputs as do
from understudy.workflows.inputs import Effect, Input
from understudy.workflows.state import Attempt, RunState, Step
from understudy.workflows.verdict import verdict

CANCEL_GRACE: Final = 10.0
"""Seconds a cancelled program has to clean up before its run is ended without it."""
PROGRAM_CRASHES: Final = 3
"""Deaths of program workers charged to a run that end it."""


@dataclass(slots=True)
class Decision:
    """What to record and what to do, each in order."""

    events: list[ev.AnyEvent] = field(default_factory=list[ev.AnyEvent])
    now: list[Effect] = field(default_factory=list[Effect])
    """May be carried out before the events are on the disk."""
    then: list[Effect] = field(default_factory=list[Effect])
    """Only after."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a decision may know of the world."""

    now: float
    """Seconds since the Unix epoch."""
    unit: float
    """A random number, at least 0 and below 1."""


def decide(state: RunState, happened: Input, moment: Moment) -> Decision:
    """Decide what follows from what happened. After a run's end nothing does."""
    decision = Decision()
    if state.ended is None:
        _DECIDERS[type(happened)](state, happened, moment, decision)
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
            _attempt_lost(state, step, step.running, gone, charged=False, moment=moment, out=out)
    if happened.orphaned and state.program is not None:
        out.events.append(ev.ProgramEnded(at=moment.now, exit=gone, charged=False))
    if not state.parked:
        _go_on(state, moment, out)


def _resume(state: RunState, _happened: do.Resume, moment: Moment, out: Decision) -> None:
    if state.parked:
        out.events.append(ev.RunResumed(at=moment.now))
        _go_on(state, moment, out)


def _go_on(state: RunState, moment: Moment, out: Decision) -> None:
    """Have done whatever the state says is open and nobody works on."""
    decided = {effect.key for effect in out.now if isinstance(effect, do.Dispatch)}
    for step in state.steps.values():
        if step.key in decided:
            continue
        if step.status == "scheduled":
            out.now.append(do.Dispatch(step.key, step.next_attempt))
        elif step.status == "evaluating":
            out.now.append(do.Judge(step.key, len(step.attempts)))
    out.then.extend(do.StartChild(key) for key, child in state.children.items() if child.open)
    _tick(state, do.Tick(), moment, out)
    out.then.append(do.StartProgram())


def _tick(state: RunState, _happened: do.Tick, moment: Moment, out: Decision) -> None:
    if state.parked and not any(isinstance(event, ev.RunResumed) for event in out.events):
        return
    if state.cancel_requested is not None and moment.now >= state.cancel_requested + CANCEL_GRACE:
        _end(state, ev.RunCancelled(at=moment.now, reason=state.reason), moment, out)
        return
    for key, due in sorted(state.timers.items(), key=lambda item: item[1]):
        if due <= moment.now:
            out.events.append(ev.TimerFired(at=moment.now, key=key))
            out.then.append(do.ResolveProgram())
    for key, due in state.retries.items():
        if due <= moment.now:
            out.now.append(do.Dispatch(key, state.steps[key].next_attempt))


def _cancel(state: RunState, happened: do.Cancel, moment: Moment, out: Decision) -> None:
    if state.cancel_requested is not None:
        return
    out.events.append(ev.CancelRequested(at=moment.now, reason=happened.reason))
    if state.parked or state.status == "pending":  # nobody is there who could clean up
        _end(state, ev.RunCancelled(at=moment.now, reason=happened.reason), moment, out)
    else:
        out.then.append(do.ResolveProgram())


def _no_workers(state: RunState, happened: do.NoWorkers, moment: Moment, out: Decision) -> None:
    _park(state, happened.reason, moment, out)


def _park(state: RunState, reason: str, moment: Moment, out: Decision) -> None:
    if not state.parked:
        out.events.append(ev.RunParked(at=moment.now, reason=reason))
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
            message=f"the workflow's own code took its process down {PROGRAM_CRASHES} times; the last one "
            f"{happened.exit.sentence()}",
            exit=happened.exit,
        )
        _end(state, ev.RunFailed(at=moment.now, failure=failure), moment, out)
    elif not state.parked:
        out.then.append(do.StartProgram())


def _program_turn(  # noqa: C901  one case per kind of command
    state: RunState, happened: do.ProgramTurn, moment: Moment, out: Decision
) -> None:
    turn = happened.turn
    if turn.state is not None and turn.state != state.shared:
        out.events.append(ev.StateChanged(at=moment.now, state=turn.state))
    for command in turn.commands:
        match command:
            case frames.ScheduleStep():
                _schedule_step(state, command, moment, out)
            case frames.ScheduleTimer(key=key, seconds=seconds):
                if key not in state.timer_keys:
                    out.events.append(ev.TimerSet(at=moment.now, key=key, due=moment.now + seconds))
            case frames.ScheduleChild():
                _schedule_child(state, command, moment, out)
            case frames.Withdraw(key=key):
                _withdraw(state, key, moment, out)
            case frames.Return(result=result):
                _end(state, ev.RunCompleted(at=moment.now, result=result), moment, out)
                return
            case frames.Raise(failure=failure, step=step, cancelled=cancelled):
                if cancelled and state.cancel_requested is not None:
                    _end(state, ev.RunCancelled(at=moment.now, reason=state.reason), moment, out)
                else:
                    _end(state, ev.RunFailed(at=moment.now, failure=failure, step=step), moment, out)
                return
            case frames.Diverge(detail=detail):
                _park(state, f"the workflow cannot be replayed: {detail}", moment, out)
                return


def _schedule_step(state: RunState, command: frames.ScheduleStep, moment: Moment, out: Decision) -> None:
    if command.key in state.steps:
        return
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
    out.now.append(do.Dispatch(command.key, 1))


def _schedule_child(state: RunState, command: frames.ScheduleChild, moment: Moment, out: Decision) -> None:
    if command.key in state.children:
        return
    already = sum(isinstance(event, ev.ChildScheduled) for event in out.events)
    run_id = f"{state.run_id}.{len(state.children) + already + 1}"
    out.events.append(
        ev.ChildScheduled(
            at=moment.now,
            key=command.key,
            run_id=run_id,
            app=state.app,
            workflow=command.workflow,
            arguments=command.arguments,
        )
    )
    out.then.append(do.StartChild(command.key))


def _withdraw(state: RunState, key: str, moment: Moment, out: Decision) -> None:
    """Stop what the program no longer awaits."""
    if key in state.timers:
        out.events.append(ev.TimerCancelled(at=moment.now, key=key))
    elif (step := state.steps.get(key)) is not None and step.open:
        _cancel_step(step, moment, out)
    elif (child := state.children.get(key)) is not None and child.open:
        out.now.append(do.CancelChild(key))
        _child_ended(key, child.run_id, None, Failure(outcome="cancelled", message="no longer awaited"), moment, out)


def _cancel_step(step: Step, moment: Moment, out: Decision) -> None:
    failure = Failure(outcome="cancelled", message="no longer awaited")
    if (attempt := step.running) is not None:
        out.events.append(_attempt_ended(step, attempt, moment, "cancelled", failure=failure, charged=False))
    out.now.append(do.WithdrawStep(step.key))
    out.events.append(ev.StepFailed(at=moment.now, key=step.key, reason="cancelled", failure=failure))


def _child_finished(state: RunState, happened: do.ChildFinished, moment: Moment, out: Decision) -> None:
    child = state.children.get(happened.key)
    if child is None or not child.open:
        return
    _child_ended(happened.key, child.run_id, happened.result, happened.failure, moment, out)


def _child_ended(key: str, run_id: str, result: Any, failure: Failure | None, moment: Moment, out: Decision) -> None:
    event = ev.ChildEnded(at=moment.now, key=key, run_id=run_id, result=result, failure=failure)
    out.events.append(event)
    out.then.append(do.ResolveProgram())


def _end(
    state: RunState, event: ev.RunCompleted | ev.RunFailed | ev.RunCancelled, moment: Moment, out: Decision
) -> None:
    """End the run and everything that still goes on for it."""
    for step in state.steps.values():
        if step.open:
            _cancel_step(step, moment, out)
    for key, child in state.children.items():
        if child.open:
            _withdraw(state, key, moment, out)
    out.events.append(event)
    out.now.append(do.EndProgram())
    out.then.append(do.Announce())


# ---------------------------------------------------------------- attempts


def _current(state: RunState, key: str, token: str) -> tuple[Step, Attempt] | None:
    """Give the running attempt that a token names; None where that token has been superseded."""
    step = state.steps.get(key)
    attempt = step.running if step is not None else None
    return (step, attempt) if step is not None and attempt is not None and attempt.token == token else None


def _attempt_ended(
    step: Step,
    attempt: Attempt,
    moment: Moment,
    outcome: Outcome,
    *,
    failure: Failure | None = None,
    result: Any = None,
    charged: bool = True,
    usage: dict[str, float] | None = None,
) -> ev.AttemptEnded:
    return ev.AttemptEnded(
        at=moment.now,
        key=step.key,
        attempt=attempt.number,
        token=attempt.token,
        outcome=outcome,
        result=result,
        failure=failure,
        charged=charged,
        usage=usage or {},
    )


def _step_assigned(state: RunState, happened: do.StepAssigned, moment: Moment, out: Decision) -> None:
    step = state.steps[happened.key]
    if not step.open or step.next_attempt != happened.attempt:
        return
    out.events.append(
        ev.AttemptStarted(
            at=moment.now,
            key=happened.key,
            attempt=happened.attempt,
            token=happened.token,
            worker=happened.worker,
            pid=happened.pid,
            incarnation=happened.incarnation,
        )
    )
    if held(step):
        out.then.append(do.SendHeld(happened.token))


def held(step: Step) -> bool:
    """Whether an attempt must be on the disk before it begins: where running it twice costs."""
    return step.options.once or step.kind == "llm"


def _step_answered(state: RunState, happened: do.StepAnswered, moment: Moment, out: Decision) -> None:
    found = _current(state, happened.key, happened.token)
    if found is None:
        return
    step, attempt = found
    message = happened.message
    if isinstance(message, frames.Failed):
        event = _attempt_ended(
            step, attempt, moment, message.failure.outcome, failure=message.failure, usage=message.usage
        )
        out.events.append(event)
        past = PastAttempt(event.outcome, charged=True, failure=message.failure)
        _retry_or_fail(state, step, past, message.failure, moment, out)
        return
    out.events.append(_attempt_ended(step, attempt, moment, "ok", result=message.result, usage=message.usage))
    if step.options.accept:
        out.now.append(do.Judge(step.key, attempt.number))
    else:
        _complete(step, attempt.number, moment, out, flagged=False)


def _step_lost(state: RunState, happened: do.StepLost, moment: Moment, out: Decision) -> None:
    found = _current(state, happened.key, happened.token)
    if found is not None:
        _attempt_lost(state, *found, happened.exit, charged=happened.charged, moment=moment, out=out)


def _attempt_lost(
    state: RunState, step: Step, attempt: Attempt, gone: Exit, *, charged: bool, moment: Moment, out: Decision
) -> None:
    outcome: Outcome = "timeout" if gone.kind == "timeout" else "crash"
    limit = f" of {step.options.timeout:g} s" if step.options.timeout is not None else ""
    message = f"overran its time{limit} and was killed" if outcome == "timeout" else f"the worker {gone.sentence()}"
    failure = Failure(outcome=outcome, message=message, exit=gone)
    out.events.append(_attempt_ended(step, attempt, moment, outcome, failure=failure, charged=charged))
    _retry_or_fail(state, step, PastAttempt(outcome, charged=charged, failure=failure), failure, moment, out)


def _retry_or_fail(
    state: RunState, step: Step, last: PastAttempt, failure: Failure, moment: Moment, out: Decision
) -> None:
    """Apply the retry policy to a step whose newest attempt, ``last``, gave nothing."""
    history = [PastAttempt(past.outcome or "cancelled", past.charged, past.failure) for past in step.attempts[:-1]]
    elapsed = moment.now - step.attempts[0].started_at
    match next_attempt(step.options, [*history, last], elapsed, moment.unit):
        case Again(delay=delay, solo=solo):
            attempt = step.next_attempt
            due = moment.now + delay
            out.events.append(ev.RetryScheduled(at=moment.now, key=step.key, attempt=attempt, due=due, solo=solo))
            if delay <= 0 and not state.parked:
                out.now.append(do.Dispatch(step.key, attempt))
        case give_up:
            reason = "rejected" if last.outcome == "rejected" else give_up.reason
            out.events.append(ev.StepFailed(at=moment.now, key=step.key, reason=reason, failure=failure))
            out.then.append(do.ResolveProgram())


def _complete(step: Step, attempt: int, moment: Moment, out: Decision, *, flagged: bool) -> None:
    out.events.append(ev.StepCompleted(at=moment.now, key=step.key, attempt=attempt, flagged=flagged))
    out.then.append(do.ResolveProgram())


def _step_judged(state: RunState, happened: do.StepJudged, moment: Moment, out: Decision) -> None:
    step = state.steps[happened.key]
    if step.status != "evaluating" or len(step.attempts) != happened.attempt:
        return
    decided = verdict(happened.evaluations, step.options.on_reject)
    out.events.append(
        ev.StepEvaluated(
            at=moment.now,
            key=step.key,
            attempt=happened.attempt,
            verdict=decided,
            evaluations=happened.evaluations,
        )
    )
    if decided in {"accept", "flag"}:
        _complete(step, happened.attempt, moment, out, flagged=decided == "flag")
        return
    low = ", ".join(item.name for item in happened.evaluations if not item.passed)
    failure = Failure(outcome="rejected", message=f"rejected by {low}", fatal=decided == "fail")
    _retry_or_fail(state, step, PastAttempt("rejected", charged=True, failure=failure), failure, moment, out)


_DECIDERS: Final[dict[type[Any], Callable[[RunState, Any, Moment, Decision], None]]] = {
    do.Begin: _begin,
    do.Recover: _recover,
    do.ProgramAssigned: _program_assigned,
    do.ProgramTurn: _program_turn,
    do.ProgramLost: _program_lost,
    do.NoWorkers: _no_workers,
    do.StepAssigned: _step_assigned,
    do.StepAnswered: _step_answered,
    do.StepLost: _step_lost,
    do.StepJudged: _step_judged,
    do.Tick: _tick,
    do.Cancel: _cancel,
    do.Resume: _resume,
    do.ChildFinished: _child_finished,
}
