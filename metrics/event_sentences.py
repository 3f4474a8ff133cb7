"""Events as sentences for people."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, assert_never

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import text_of
from greenroom.messages.events import events as ev
from greenroom.messages.events import schedules as sc
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Plan
from greenroom.messages.records.evaluation import Evaluation
from greenroom.metrics.printable import printable

LONGEST = 600
"""Longest sentence, in characters, because texts of failures and models can have any length."""

_OUTCOMES: Final[Mapping[str, str]] = {
    "ok": "succeeded",
    "error": "failed",
    "timeout": "ran out of time",
    "invalid": "gave an invalid result",
    "crash": "crashed",
    "rejected": "was rejected",
    "cancelled": "was cancelled",
}


def shorten(text: str, longest: int = LONGEST) -> str:
    """Return a text, cut if it is too long, with a note of how much is missing."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text) - longest} more characters)"


def describe(run_id: str, workflow: str, event: AnyEvent) -> str:
    """Return one printable line on what happened to a run.

    Example: ``run research-1 step search#1 attempt 1 crashed: was killed by SIGKILL``.
    """
    entry = f"schedule {run_id.removeprefix('@')}" if isinstance(event, sc.ScheduleEvent) else f"run {run_id}"
    key = event.key if isinstance(event, ev.StepEvent | ev.AnswerEvent) else ""
    place = f"{entry} step {key}" if key else entry
    return printable(shorten(f"{place} {_happened(workflow, event)}"))


def _happened(workflow: str, event: AnyEvent) -> str:
    if isinstance(event, ev.StepEvent):
        return _step(event)
    if isinstance(event, ev.WaitEvent):
        return _wait(event)
    if isinstance(event, ev.SessionEvent):
        return _session(event)
    if isinstance(event, ev.AnswerEvent):
        return _answer(event)
    if isinstance(event, sc.ScheduleEvent):
        return _schedule(event)
    return _run(workflow, event)


def _run(workflow: str, event: ev.RunEvent) -> str:  # noqa: C901, PLR0911, PLR0912  one case per event
    match event:
        case ev.RunStarted():
            return f"started: workflow {workflow}"
        case ev.StateChanged():
            return "changed its state"
        case ev.ProgramStarted():
            return f"runs on {event.worker} (pid {event.pid}, life {event.incarnation})"
        case ev.CodeAdopted():
            return f"goes on with code {event.fingerprint}, which asks for what is recorded"
        case ev.ProgramEnded():
            return _program_ended(event)
        case ev.CancelRequested():
            return _with_reason("is to be cancelled", event.reason)
        case ev.CancelHeard():
            return "has been told that it is cancelled"
        case ev.CleanupLimited():
            return f"has until {_time(event.due)} to clean up"
        case ev.RunCompleted():
            return "completed"
        case ev.RunFailed():
            return f"failed{f' at step {event.step}' if event.step else ''}{_because(event.failure)}"
        case ev.RunRetried():
            return _retried(event)
        case ev.RunForked():
            return f"parts from run {event.origin} at {event.key}{', whose result is given' if event.given else ''}"
        case ev.RunCancelled():
            return _with_reason("was cancelled", event.reason)
        case ev.RunParked():
            return _with_reason("is parked", event.reason)
        case ev.RunPaused():
            return _with_reason("is paused", event.reason)
        case ev.RunResumed():
            return "goes on"
        case _:
            assert_never(event)


def _step(event: ev.StepEvent) -> str:  # noqa: C901, PLR0911, PLR0912  one case per event
    match event:
        case ev.StepScheduled():
            return f"is due: {event.kind} {event.name}"
        case ev.AttemptStarted():
            return f"attempt {event.attempt} started on {event.worker} (pid {event.pid}, life {event.incarnation})"
        case ev.AttemptMoved():
            return (
                f"attempt {event.attempt} was given to {event.worker} (pid {event.pid}, life {event.incarnation}), "
                "as its first worker died without having read it"
            )
        case ev.AttemptProgressed():
            return f"attempt {event.attempt} says how far it is: {text_of(event.detail).decode()}"
        case ev.StepEmitted():
            what = "final value" if event.final else "value"
            return f"attempt {event.attempt} emits {what} {event.offset} of {event.channel}"
        case ev.ValuesDiscarded():
            return f"attempt {event.attempt} was lost: what it emitted on {', '.join(event.offsets)} does not count"
        case ev.AttemptEnded():
            return _attempt_ended(event)
        case ev.JudgeAsked():
            return f"attempt {event.attempt} is shown to judge {event.judge}, for at most {event.reserved.usd:.4g} USD"
        case ev.JudgeAnswered():
            return f"a judge of attempt {event.attempt} is done{_cost(event)}"
        case ev.StepEvaluated():
            return _evaluated(event)
        case ev.RetryScheduled():
            return _retry(event)
        case ev.StepCompleted():
            return f"completed with attempt {event.attempt}{', flagged for review' if event.flagged else ''}"
        case ev.StepFailed():
            return f"failed ({event.reason}){_because(event.failure)}"
        case _:
            assert_never(event)


def _wait(event: ev.WaitEvent) -> str:  # noqa: C901, PLR0911, PLR0912  one case per event
    match event:
        case ev.TimerSet():
            return f"waits for {max(0.0, event.due - event.at):.1f} s ({event.key})"
        case ev.TimerFired():
            return f"has waited long enough ({event.key})"
        case ev.TimerCancelled():
            return f"waits no longer ({event.key})"
        case ev.ChildScheduled():
            return f"asks for run {event.run_id} of workflow {event.workflow}"
        case ev.ChildEnded():
            return f"sees run {event.run_id} {'failed' if event.failure else 'end'}{_because(event.failure)}"
        case ev.MessageReceived():
            return f"is sent message {event.number}, a {event.name}"
        case ev.ReceiveAsked():
            return f"waits for a message: {event.name} ({event.key})"
        case ev.MessageTaken():
            return f"takes message {event.number} ({event.key})"
        case ev.MessageRefused():
            return f"cannot take its message ({event.key}): {event.reason}"
        case ev.ReceiveWithdrawn():
            return f"waits for a message no longer ({event.key})"
        case ev.ApprovalAsked():
            return _approval_asked(event)
        case ev.ApprovalDecided():
            return _approval_decided(event)
        case ev.ApprovalWithdrawn():
            return f"waits for a person no longer ({event.key})"
        case ev.ValueEmitted():
            return f"emits value {event.offset} of {event.channel} ({event.key}#{event.number})"
        case _:
            assert_never(event)


def _session(event: ev.SessionEvent) -> str:  # noqa: C901, PLR0911  one case per event
    match event:
        case ev.MessageSent():
            return f"sends {event.to} a {event.name} ({event.key})"
        case ev.MessageDelivered():
            return (
                f"hears that its message was not taken ({event.key}): {event.refused}"
                if event.refused
                else f"hears that its message has arrived ({event.key})"
            )
        case ev.SessionOpened():
            return f"is opened: session {event.session}"
        case ev.TurnEnded():
            return f"has answered message {event.number}"
        case ev.TurnCancelRequested():
            return _with_reason(f"is told to cancel the turn of message {event.number}", event.reason)
        case ev.TurnFailed(cancelled=True):
            return f"has cancelled the turn of message {event.number}{_because(event.failure)}"
        case ev.TurnFailed():
            return (
                f"sets message {event.number} aside, a dead letter"
                f"{f', at step {event.step}' if event.step else ''}{_because(event.failure)}"
            )
        case ev.DeadLetterSettled():
            return f"has its dead letter {event.letter} {event.how}"
        case ev.CloseRequested():
            return "takes no more messages"
        case ev.SessionClosed():
            return "is closed"
        case _:
            assert_never(event)


def _answer(event: ev.AnswerEvent) -> str:
    what = f"the reply to message {event.turn}" if event.turn and not event.key else "the result"
    if isinstance(event, ev.AnswerRated):
        return f"has scores from the background for {what}: {_marks(event.evaluations)}"
    names = (each.options.name or each.ref.rpartition(":")[2] for each in event.sampling.evaluators)
    return f"has {what} rated in the background by {', '.join(names)}"


def _schedule(event: sc.ScheduleEvent) -> str:  # noqa: C901, PLR0911, PLR0912  one case per event
    match event:
        case sc.ScheduleCreated():
            return f"is made: {_plan(event.plan)}"
        case sc.ScheduleChanged():
            return f"is changed: {_plan(event.plan)}"
        case sc.SchedulePaused():
            return _with_reason("is paused", event.reason)
        case sc.ScheduleResumed():
            return "goes on"
        case sc.ScheduleFired():
            return f"starts run {event.run_id}"
        case sc.ScheduleQueued():
            return f"has run {event.run_id} wait for an earlier one"
        case sc.ScheduleSkipped():
            return _skipped(event)
        case sc.ScheduleRunStarted():
            return f"has started run {event.run_id}"
        case sc.ScheduleRunRefused():
            return f"cannot start run {event.run_id}: {event.reason}"
        case sc.ScheduleRunEnded():
            return f"sees run {event.run_id} end: {event.status}"
        case sc.ScheduleDeleted():
            return "is deleted"
        case sc.ScheduleKept():
            return "is written down whole"
        case _:
            assert_never(event)


# ---------------------------------------------------------------- longer sentences


def _because(failure: Failure | None) -> str:
    if failure is None:
        return ""
    why = failure.exit.sentence() if failure.exit is not None else failure.sentence()
    why = f"{why} ({failure.place})" if failure.place and failure.place not in why else why
    return f": {why}" if why else ""


def _attempt_ended(event: ev.AttemptEnded) -> str:
    note = "" if event.charged else " (not counted against the step)"
    return f"attempt {event.attempt} {_OUTCOMES[event.outcome]}{_because(event.failure)}{note}"


def _evaluated(event: ev.StepEvaluated) -> str:
    marks = _marks(event.evaluations)
    return f"attempt {event.attempt} was judged: {event.verdict}" + (f" ({marks})" if marks else "")


def _cost(event: ev.JudgeAnswered) -> str:
    usd = event.usage.get("usd")
    return ": nobody knows what it cost" if usd is None else f", which cost {usd:.4g} USD"


def _marks(evaluations: Iterable[Evaluation]) -> str:
    return ", ".join(f"{each.name} {'failed' if each.score is None else f'{each.score:.2f}'}" for each in evaluations)


def _retry(event: ev.RetryScheduled) -> str:
    alone = ", alone in a fresh worker" if event.solo else ""
    return f"attempt {event.attempt} follows in {max(0.0, event.due - event.at):.1f} s{alone}"


def _approval_asked(event: ev.ApprovalAsked) -> str:
    return f"waits for a person: {event.action}" + (f", as {event.reason}" if event.reason else "") + f" ({event.key})"


def _approval_decided(event: ev.ApprovalDecided) -> str:
    how = {"approve": "has approval", "reject": "is rejected", "edit": "has approval of something else"}[event.decision]
    who = f" by {event.by}" if event.by else ""
    return f"{how}{who} ({event.key})" + (f": {event.comment}" if event.comment else "")


def _program_ended(event: ev.ProgramEnded) -> str:
    note = "" if event.charged else " (not counted against the run)"
    return f"lost its program: the process {event.exit.sentence()}{note}"


def _retried(event: ev.RunRetried) -> str:
    anew = f", beginning anew: {', '.join(event.reopened)}" if event.reopened else ""
    return f"is retried from event {event.cut} on{anew}"


def _plan(plan: Plan) -> str:
    when = f"at {plan.cron} ({plan.timezone})" if plan.cron is not None else f"every {plan.every:g} s"
    return f"workflow {plan.workflow} {when}"


def _skipped(event: sc.ScheduleSkipped) -> str:
    since = _time(event.due)
    what = f"the run that was due at {since}" if event.count == 1 else f"{event.count} runs from {since} on"
    why = {"late": "it is too late for that", "overlap": "another one comes first", "full": "too many wait already"}
    in_the_way = f" (run {event.run_id})" if event.run_id else ""
    return f"skips {what}: {why[event.why]}{in_the_way}"


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _with_reason(verb: str, reason: str | None) -> str:
    return f"{verb}: {reason}" if reason else verb
