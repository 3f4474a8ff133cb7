"""The fold of one run's events into sums. Pure.

A run keeps only what its later events refer to. So it can be saved between two events and continued later, which gives
the same sums as a fold without a break.
"""

import json
from collections.abc import Callable
from dataclasses import field
from typing import Final, TypeAlias, TypeVar, cast

from greenroom.messages.core.frozen import mutable
from greenroom.messages.core.message import Event
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.records.records import ENDED, RunStatus
from greenroom.metrics.sums import ScoreSums, StepName, StepSums, WorkflowSums

E = TypeVar("E", bound=Event)


@mutable
class Call:
    """One call of one step."""

    step: StepName
    counted: bool
    """Whether it counts here; False for a call that was copied from the run that this one was forked from."""
    started_at: float | None = None
    begun: bool = False
    failed: bool = False
    completed: bool = False
    sums: StepSums | None = None
    """The sums that it counts in; None if they have been saved since."""


@mutable
class Run:
    """The parts of a run's state that its later events refer to, and how the run is counted so far."""

    workflow: str
    calls: dict[str, Call] = field(default_factory=dict[str, Call])  # by key
    attempts: dict[str, float] = field(default_factory=dict[str, float])  # start of running attempts, by token
    open: dict[str, None] = field(default_factory=dict[str, None])  # keys of steps and children that have not ended
    waits: set[str] = field(default_factory=set[str])  # keys of timers, messages and approvals that are awaited
    begun: bool = False
    copies: bool = False  # whether the events are copies from the run that this one was forked from
    halted: RunStatus | None = None
    started_at: float = 0.0
    ended: RunStatus | None = None
    ended_at: float = 0.0
    counted: RunStatus | None = None  # the status in which the sums count this run
    counted_duration: float | None = None  # the duration that the sums have of this run
    sums: WorkflowSums | None = None  # the sums that it counts in; None if they have been saved since

    @property
    def status(self) -> RunStatus:
        """The status that follows from the events so far."""
        if self.ended is not None:
            return self.ended
        if self.halted is not None:
            return self.halted
        if not self.begun:
            return "pending"
        return "waiting" if self.waits and not self.open else "running"

    def settle(self, sums: WorkflowSums) -> None:
        """Count the run's status and duration as they are now, instead of as they were counted before."""
        status = self.status
        if status != self.counted:
            if self.counted is not None:
                sums.statuses[self.counted] -= 1
            sums.statuses[status] += 1
            self.counted = status
        duration = _between(self.started_at, self.ended_at) if self.ended is not None else None
        if duration != self.counted_duration:
            if self.counted_duration is not None:
                sums.durations.taken_back.append(self.counted_duration)
            if duration is not None:
                sums.durations.new.append(duration)
            self.counted_duration = duration

    def shorten(self) -> None:
        """Forget calls that no later event refers to, those that completed; and the sums, which are saved now."""
        self.sums = None
        for call in self.calls.values():
            call.sums = None
        self.calls = {key: call for key, call in self.calls.items() if not call.completed}

    @property
    def is_over(self) -> bool:
        """Whether the run has completed, so that it never goes on. One that failed or was cancelled can be retried."""
        return self.ended == "completed"

    def encode(self) -> str:
        """Return everything as JSON, after ``shorten``."""
        calls = self.calls.items()
        return json.dumps(
            [
                self.workflow,
                [[key, *call.step, call.counted, call.started_at, call.begun, call.failed] for key, call in calls],
                self.attempts,
                [*self.open],
                [*self.waits],
                self.begun,
                self.copies,
                self.halted,
                self.started_at,
                self.ended,
                self.ended_at,
                self.counted,
                self.counted_duration,
            ],
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, text: str) -> "Run":
        """Return the run that ``encode`` was called on."""
        workflow, calls, attempts, is_open, waits, *rest = json.loads(text)
        known = {key: Call((name, kind), *flags) for key, name, kind, *flags in calls}
        return cls(workflow, known, attempts, dict.fromkeys(is_open), {*waits}, *rest)


def _between(start: float, end: float) -> float:
    return end - start if end > start else 0.0  # a clock that was set back must not make a duration negative


def _sums_of(call: Call, sums: WorkflowSums) -> StepSums:
    call.sums = sums.step(call.step) if call.counted else StepSums()
    return call.sums


# ---------------------------------------------------------------- steps
#
# These are called for every step: subscripts and ``in`` cost no call, unlike the methods of a dictionary.


def _step_scheduled(run: Run, sums: WorkflowSums, event: ev.StepScheduled) -> None:
    step = event.name, event.kind
    run.calls[event.key] = call = Call(step, counted=not run.copies)
    run.open[event.key] = None
    counts = sums.steps[step] if step in sums.steps else _sums_of(call, sums)
    counts.count += call.counted


def _attempt_started(run: Run, sums: WorkflowSums, event: ev.AttemptStarted) -> None:
    call = run.calls[event.key]
    step = call.sums or _sums_of(call, sums)
    step.attempts += 1
    step.retries += call.begun
    run.attempts[event.token] = event.at
    call.begun = True
    if call.started_at is None:
        call.started_at = event.at


def _attempt_ended(run: Run, sums: WorkflowSums, event: ev.AttemptEnded) -> None:
    call = run.calls[event.key]
    step = call.sums or _sums_of(call, sums)
    step.outcomes[event.outcome] += 1
    step.uncharged += not event.charged
    step.deaths += event.failure is not None and event.failure.exit is not None
    if event.token in run.attempts:
        step.attempt_latencies.new.append(_between(run.attempts[event.token], event.at))
        del run.attempts[event.token]
    if event.usage:
        step.use_all(event.usage)
    if call.step[1] == "llm" and "usd" not in event.usage:
        step.unpriced += 1


def _step_evaluated(run: Run, sums: WorkflowSums, event: ev.StepEvaluated) -> None:
    step = _sums_of(run.calls[event.key], sums)
    step.rejections += event.verdict not in {"accept", "flag"}
    for evaluation in event.evaluations:
        step.use_all(evaluation.usage)
    step.use_all({name: -amount for name, amount in event.settled.items()})


def _judge_answered(run: Run, sums: WorkflowSums, event: ev.JudgeAnswered) -> None:
    if event.usage:
        _sums_of(run.calls[event.key], sums).use_all(event.usage)


def _answer_rated(run: Run, sums: WorkflowSums, event: ev.AnswerRated) -> None:
    background = _sums_of(run.calls[event.key], sums).background if event.key else sums.background
    for evaluation in event.evaluations:
        background.setdefault(evaluation.name, ScoreSums()).add(evaluation)


def _step_completed(run: Run, sums: WorkflowSums, event: ev.StepCompleted) -> None:
    step = _step_ended(run, sums, event)
    step.completed += 1
    step.flagged += event.flagged
    run.calls[event.key].completed = True


def _step_failed(run: Run, sums: WorkflowSums, event: ev.StepFailed) -> None:
    _step_ended(run, sums, event).failed += 1
    run.calls[event.key].failed = True


def _step_ended(run: Run, sums: WorkflowSums, event: ev.StepCompleted | ev.StepFailed) -> StepSums:
    call = run.calls[event.key]
    call.failed = call.completed = False
    step = call.sums or _sums_of(call, sums)
    if call.started_at is not None:
        step.latencies.new.append(_between(call.started_at, event.at))
    if event.key in run.open:
        del run.open[event.key]
    return step


# ---------------------------------------------------------------- waits and children


def _waits(run: Run, _sums: WorkflowSums, event: ev.TimerSet | ev.ReceiveAsked) -> None:
    run.waits.add(event.key)


def _approval_asked(run: Run, _sums: WorkflowSums, event: ev.ApprovalAsked) -> None:
    run.waits.add(event.key)
    run.open.pop(event.step or "", None)


Waited: TypeAlias = (
    ev.TimerFired
    | ev.TimerCancelled
    | ev.MessageTaken
    | ev.ReceiveWithdrawn
    | ev.ApprovalDecided
    | ev.ApprovalWithdrawn
)


def _waits_no_more(run: Run, _sums: WorkflowSums, event: Waited) -> None:
    run.waits.discard(event.key)


def _child_scheduled(run: Run, _sums: WorkflowSums, event: ev.ChildScheduled) -> None:
    run.open[event.key] = None


def _child_ended(run: Run, _sums: WorkflowSums, event: ev.ChildEnded) -> None:
    run.open.pop(event.key, None)


# ---------------------------------------------------------------- the run itself


def _run_started(run: Run, _sums: WorkflowSums, event: ev.RunStarted) -> None:
    run.started_at, run.copies = event.at, event.begun_at is not None


def _program_started(run: Run, _sums: WorkflowSums, _event: ev.ProgramStarted) -> None:
    run.begun = True


def _program_ended(_run: Run, sums: WorkflowSums, _event: ev.ProgramEnded) -> None:
    sums.program_crashes += 1


def _run_parked(run: Run, _sums: WorkflowSums, _event: ev.RunParked) -> None:
    run.halted = "parked"


def _run_paused(run: Run, _sums: WorkflowSums, _event: ev.RunPaused) -> None:
    run.halted = "paused"


def _run_resumed(run: Run, _sums: WorkflowSums, _event: ev.RunResumed) -> None:
    run.halted, run.ended = None, None


def _run_retried(run: Run, sums: WorkflowSums, event: ev.RunRetried) -> None:
    """Subtract the failures of steps that start again. What they and dropped steps have used stays counted."""
    run.halted, run.ended = None, None
    for key in event.reopened:
        if (call := run.calls.get(key)) is not None and call.failed:
            _sums_of(call, sums).failed -= 1
            call.failed, call.started_at = False, None
    forgotten = {*event.forgotten}
    run.open = {key: None for key in run.open if key not in forgotten} | dict.fromkeys(event.reopened)
    run.waits = {*event.timers, *event.receives}


def _run_forked(run: Run, sums: WorkflowSums, event: ev.RunForked) -> None:
    """Begin to count at a fork. Calls without an outcome are counted here, all others in the fork's origin."""
    if event.given:
        run.open.pop(event.key, None)
    if event.copied:
        return
    run.copies = False
    for key in run.open.keys() & run.calls.keys():
        call = run.calls[key]
        call.counted = True
        _sums_of(call, sums).count += 1


def _run_ended(run: Run, _sums: WorkflowSums, event: ev.RunCompleted | ev.RunFailed | ev.RunCancelled) -> None:
    run.ended, run.ended_at = _ENDS[type(event)], event.at


_ENDS: Final[dict[type[Event], RunStatus]] = {
    ev.RunCompleted: "completed",
    ev.RunFailed: "failed",
    ev.RunCancelled: "cancelled",
}
assert {*_ENDS.values()} == ENDED

Handler: TypeAlias = Callable[[Run, WorkflowSums, AnyEvent], None]


def _handler(kind: type[E], apply: Callable[[Run, WorkflowSums, E], None]) -> tuple[type[Event], Handler]:
    """Return an entry of the table; type checkers see whether the handler takes that type of event."""
    return kind, cast("Handler", apply)


HANDLERS: Final[dict[type[Event], Handler]] = dict(
    (
        _handler(ev.StepScheduled, _step_scheduled),
        _handler(ev.AttemptStarted, _attempt_started),
        _handler(ev.AttemptEnded, _attempt_ended),
        _handler(ev.JudgeAnswered, _judge_answered),
        _handler(ev.StepEvaluated, _step_evaluated),
        _handler(ev.AnswerRated, _answer_rated),
        _handler(ev.StepCompleted, _step_completed),
        _handler(ev.StepFailed, _step_failed),
        _handler(ev.TimerSet, _waits),
        _handler(ev.TimerFired, _waits_no_more),
        _handler(ev.TimerCancelled, _waits_no_more),
        _handler(ev.ReceiveAsked, _waits),
        _handler(ev.MessageTaken, _waits_no_more),
        _handler(ev.ReceiveWithdrawn, _waits_no_more),
        _handler(ev.ApprovalAsked, _approval_asked),
        _handler(ev.ApprovalDecided, _waits_no_more),
        _handler(ev.ApprovalWithdrawn, _waits_no_more),
        _handler(ev.ChildScheduled, _child_scheduled),
        _handler(ev.ChildEnded, _child_ended),
        _handler(ev.RunStarted, _run_started),
        _handler(ev.ProgramStarted, _program_started),
        _handler(ev.ProgramEnded, _program_ended),
        _handler(ev.RunParked, _run_parked),
        _handler(ev.RunPaused, _run_paused),
        _handler(ev.RunResumed, _run_resumed),
        _handler(ev.RunRetried, _run_retried),
        _handler(ev.RunForked, _run_forked),
        _handler(ev.RunCompleted, _run_ended),
        _handler(ev.RunFailed, _run_ended),
        _handler(ev.RunCancelled, _run_ended),
    )
)
"""By type of event. Other events do not affect the figures."""
