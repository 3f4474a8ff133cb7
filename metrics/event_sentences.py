"""Events as sentences for a person."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import text_of
from greenroom.messages.events import events as ev
from greenroom.messages.events import schedules as sc
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Plan

LONGEST = 600
"""Characters of a sentence; what failures and models say can be of any length."""

_OUTCOMES: Final[Mapping[str, str]] = {
    "ok": "succeeded",
    "error": "failed",
    "timeout": "ran out of time",
    "invalid": "gave an invalid result",
    "crash": "crashed",
    "rejected": "was rejected",
    "cancelled": "was cancelled",
}


def printable(text: str) -> str:
    r"""Escape everything that could move a cursor, hide text or begin a line of its own.

    Example: a line feed becomes the two characters ``\n``, an escape character ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text that is too long, and say so."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text) - longest} more characters)"


def describe(run_id: str, workflow: str, event: AnyEvent) -> str:
    """Say in one printable line what happened to a run.

    Example: ``run research-1 step search#1 attempt 1 crashed: was killed by SIGKILL``.
    """
    entry = f"schedule {run_id.removeprefix('@')}" if isinstance(event, _OF_SCHEDULES) else f"run {run_id}"
    place = f"{entry} step {event.key}" if isinstance(event, _OF_STEPS) else entry
    happened = f"started: workflow {workflow}" if isinstance(event, ev.RunStarted) else _HAPPENED[type(event)](event)
    return printable(shorten(f"{place} {happened}"))


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
    marks = ", ".join(
        f"{each.name} {'failed' if each.score is None else f'{each.score:.2f}'}" for each in event.evaluations
    )
    return f"attempt {event.attempt} was judged: {event.verdict}" + (f" ({marks})" if marks else "")


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


def _with_reason(verb: str) -> Callable[[Any], str]:
    return lambda event: f"{verb}: {event.reason}" if event.reason else verb


_OF_STEPS = (
    ev.StepScheduled
    | ev.AttemptStarted
    | ev.AttemptMoved
    | ev.AttemptProgressed
    | ev.AttemptEnded
    | ev.StepEvaluated
    | ev.RetryScheduled
    | ev.StepCompleted
    | ev.StepFailed
)

_OF_SCHEDULES = (
    sc.ScheduleCreated
    | sc.ScheduleChanged
    | sc.SchedulePaused
    | sc.ScheduleResumed
    | sc.ScheduleFired
    | sc.ScheduleQueued
    | sc.ScheduleSkipped
    | sc.ScheduleRunStarted
    | sc.ScheduleRunRefused
    | sc.ScheduleRunEnded
    | sc.ScheduleDeleted
    | sc.ScheduleKept
)

_HAPPENED: Final[Mapping[type[Any], Callable[[Any], str]]] = {
    ev.StepScheduled: lambda event: f"is due: {event.kind} {event.name}",
    ev.AttemptStarted: lambda event: (
        f"attempt {event.attempt} started on {event.worker} (pid {event.pid}, life {event.incarnation})"
    ),
    ev.AttemptMoved: lambda event: (
        f"attempt {event.attempt} was given to {event.worker} (pid {event.pid}, life {event.incarnation}), as its "
        "first worker died without having read it"
    ),
    ev.AttemptProgressed: lambda event: f"attempt {event.attempt} says how far it is: {text_of(event.detail).decode()}",
    ev.AttemptEnded: _attempt_ended,
    ev.StepEvaluated: _evaluated,
    ev.RetryScheduled: _retry,
    ev.StepCompleted: lambda event: (
        f"completed with attempt {event.attempt}{', flagged for review' if event.flagged else ''}"
    ),
    ev.StepFailed: lambda event: f"failed ({event.reason}){_because(event.failure)}",
    ev.TimerSet: lambda event: f"waits for {max(0.0, event.due - event.at):.1f} s ({event.key})",
    ev.TimerFired: lambda event: f"has waited long enough ({event.key})",
    ev.TimerCancelled: lambda event: f"waits no longer ({event.key})",
    ev.ChildScheduled: lambda event: f"asks for run {event.run_id} of workflow {event.workflow}",
    ev.ChildEnded: lambda event: (
        f"sees run {event.run_id} {'failed' if event.failure else 'end'}{_because(event.failure)}"
    ),
    ev.MessageReceived: lambda event: f"is sent message {event.number}, a {event.name}",
    ev.ReceiveAsked: lambda event: f"waits for a message: {event.name} ({event.key})",
    ev.MessageTaken: lambda event: f"takes message {event.number} ({event.key})",
    ev.MessageRefused: lambda event: f"cannot take its message ({event.key}): {event.reason}",
    ev.ReceiveWithdrawn: lambda event: f"waits for a message no longer ({event.key})",
    ev.ApprovalAsked: _approval_asked,
    ev.ApprovalDecided: _approval_decided,
    ev.ApprovalWithdrawn: lambda event: f"waits for a person no longer ({event.key})",
    ev.ValueEmitted: lambda event: f"emits value {event.offset} of {event.channel} ({event.key}#{event.number})",
    ev.MessageSent: lambda event: f"sends {event.to} a {event.name} ({event.key})",
    ev.MessageDelivered: lambda event: (
        f"hears that its message was not taken ({event.key}): {event.refused}"
        if event.refused
        else f"hears that its message has arrived ({event.key})"
    ),
    ev.SessionOpened: lambda event: f"is opened: session {event.session}",
    ev.TurnEnded: lambda event: f"has answered message {event.number}",
    ev.TurnFailed: lambda event: (
        f"sets message {event.number} aside, a dead letter"
        f"{f', at step {event.step}' if event.step else ''}{_because(event.failure)}"
    ),
    ev.DeadLetterSettled: lambda event: f"has its dead letter {event.letter} {event.how}",
    ev.CloseRequested: lambda _event: "takes no more messages",
    ev.SessionClosed: lambda _event: "is closed",
    ev.StateChanged: lambda _event: "changed its state",
    ev.ProgramStarted: lambda event: f"runs on {event.worker} (pid {event.pid}, life {event.incarnation})",
    ev.CodeAdopted: lambda event: f"goes on with code {event.fingerprint}, which asks for what is recorded",
    ev.ProgramEnded: _program_ended,
    ev.CancelRequested: _with_reason("is to be cancelled"),
    ev.CancelHeard: lambda _event: "has been told that it is cancelled",
    ev.CleanupLimited: lambda event: f"has until {_time(event.due)} to clean up",
    ev.RunCompleted: lambda _event: "completed",
    ev.RunFailed: lambda event: f"failed{f' at step {event.step}' if event.step else ''}{_because(event.failure)}",
    ev.RunCancelled: _with_reason("was cancelled"),
    ev.RunParked: _with_reason("is parked"),
    ev.RunPaused: _with_reason("is paused"),
    ev.RunResumed: lambda _event: "goes on",
    ev.RunRetried: _retried,
    ev.RunForked: lambda event: (
        f"parts from run {event.origin} at {event.key}{', whose result is given' if event.given else ''}"
    ),
    sc.ScheduleCreated: lambda event: f"is made: {_plan(event.plan)}",
    sc.ScheduleChanged: lambda event: f"is changed: {_plan(event.plan)}",
    sc.SchedulePaused: _with_reason("is paused"),
    sc.ScheduleResumed: lambda _event: "goes on",
    sc.ScheduleFired: lambda event: f"starts run {event.run_id}",
    sc.ScheduleQueued: lambda event: f"has run {event.run_id} wait for an earlier one",
    sc.ScheduleSkipped: _skipped,
    sc.ScheduleRunStarted: lambda event: f"has started run {event.run_id}",
    sc.ScheduleRunRefused: lambda event: f"cannot start run {event.run_id}: {event.reason}",
    sc.ScheduleRunEnded: lambda event: f"sees run {event.run_id} end: {event.status}",
    sc.ScheduleDeleted: lambda _event: "is deleted",
    sc.ScheduleKept: lambda _event: "is written down whole",
}
