"""The figures of runs by one fold of all their events, which keeps nothing: what saved sums are compared with."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from greenroom.messages.core.failures import Outcome
from greenroom.messages.events.events import (
    AnswerRated,
    AnyEvent,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalWithdrawn,
    AttemptEnded,
    AttemptStarted,
    ChildEnded,
    ChildScheduled,
    MessageTaken,
    ProgramEnded,
    ProgramStarted,
    ReceiveAsked,
    ReceiveWithdrawn,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunForked,
    RunParked,
    RunPaused,
    RunResumed,
    RunRetried,
    RunStarted,
    StepCompleted,
    StepEvaluated,
    StepFailed,
    StepScheduled,
    TimerCancelled,
    TimerFired,
    TimerSet,
)
from greenroom.messages.options.policy import StepKind
from greenroom.messages.records.evaluation import Evaluation
from greenroom.messages.records.records import RunStatus
from greenroom.metrics.figure_records import BackgroundFigures, Metrics, StepFigures, Totals, WorkflowFigures
from greenroom.metrics.percentiles import spread


class Recorded(Protocol):
    """An event as returned by a journal."""

    @property
    def event(self) -> AnyEvent:
        """The event."""
        ...


def figures_at_once(runs: Iterable[tuple[str, Iterable[Recorded]]]) -> Metrics:
    """Return the figures of runs, each given as its workflow's name and all its events."""
    workflows: dict[str, _Workflow] = {}
    for name, events in runs:
        workflow = workflows.setdefault(name, _Workflow())
        workflow.add(_fold(workflow, events))
    totals = _totals(workflows.values())
    return Metrics(totals=totals, workflows=tuple(workflows[name].figures(name) for name in sorted(workflows)))


# ---------------------------------------------------------------- one run


@dataclass(slots=True)
class _Call:
    """One call of one step."""

    step: "_Step"
    name: str
    kind: StepKind
    started_at: float | None = None
    begun: bool = False
    failed: bool = False


@dataclass(slots=True)
class _Run:
    """The parts of a run's state that its later events refer to."""

    calls: dict[str, _Call] = field(default_factory=dict[str, _Call])  # by key
    attempts: dict[str, float] = field(default_factory=dict[str, float])  # start of running attempts, by token
    open: set[str] = field(default_factory=set[str])  # keys of steps and children that have not ended
    waits: set[str] = field(default_factory=set[str])  # keys of timers, messages and approvals that are awaited
    begun: bool = False
    copies: bool = False  # whether the events are copies from the run that this one was forked from
    halted: RunStatus | None = None
    started_at: float = 0.0
    ended: RunStatus | None = None
    ended_at: float = 0.0

    @property
    def status(self) -> RunStatus:
        if self.ended is not None:
            return self.ended
        if self.halted is not None:
            return self.halted
        if not self.begun:
            return "pending"
        return "waiting" if self.waits and not self.open else "running"


def _fold(workflow: "_Workflow", events: Iterable[Recorded]) -> _Run:
    run, origin = _Run(), _Workflow()
    for recorded in events:
        event = recorded.event
        if not (_fold_step(origin if run.copies else workflow, run, event) or _fold_waits(run, event)):
            _fold_run(workflow, run, event)
    return run


def _fold_step(workflow: "_Workflow", run: _Run, event: AnyEvent) -> bool:
    """Fold an event of a step. Return False for other events."""
    match event:
        case StepScheduled():
            step = workflow.steps.setdefault((event.name, event.kind), _Step())
            step.count += 1
            run.calls[event.key] = _Call(step, event.name, event.kind)
            run.open.add(event.key)
        case AttemptStarted():
            call = run.calls[event.key]
            call.step.attempts += 1
            run.attempts[event.token] = event.at
            call.step.retries += call.begun
            call.begun = True
            if call.started_at is None:
                call.started_at = event.at
        case AttemptEnded():
            run.calls[event.key].step.end_attempt(event, run.attempts.pop(event.token, None))
        case StepEvaluated():
            run.calls[event.key].step.rejections += event.verdict not in {"accept", "flag"}
        case AnswerRated():
            (run.calls[event.key].step if event.key else workflow).background.extend(event.evaluations)
        case StepCompleted() | StepFailed():
            call = run.calls[event.key]
            call.step.end(event, call.started_at)
            call.failed = isinstance(event, StepFailed)
            run.open.discard(event.key)
        case _:
            return False
    return True


def _fold_waits(run: _Run, event: AnyEvent) -> bool:
    """Fold an event of a timer, a message, an approval or a child run. Return False for other events."""
    match event:
        case ApprovalAsked():
            run.waits.add(event.key)
            run.open.discard(event.step or "")
        case TimerSet() | ReceiveAsked():
            run.waits.add(event.key)
        case (
            TimerFired()
            | TimerCancelled()
            | MessageTaken()
            | ReceiveWithdrawn()
            | ApprovalDecided()
            | ApprovalWithdrawn()
        ):
            run.waits.discard(event.key)
        case ChildScheduled():
            run.open.add(event.key)
        case ChildEnded():
            run.open.discard(event.key)
        case _:
            return False
    return True


def _fold_run(workflow: "_Workflow", run: _Run, event: AnyEvent) -> None:  # noqa: C901  one case per kind of event
    match event:
        case RunStarted():
            run.started_at, run.copies = event.at, event.begun_at is not None
        case ProgramStarted():
            run.begun = True
        case ProgramEnded():
            workflow.program_crashes += 1
        case RunParked():
            run.halted = "parked"
        case RunPaused():
            run.halted = "paused"
        case RunResumed():
            run.halted, run.ended = None, None
        case RunRetried():
            _reopen(run, event)
        case RunForked():
            _part(workflow, run, event)
        case RunCompleted():
            run.ended, run.ended_at = "completed", event.at
        case RunFailed():
            run.ended, run.ended_at = "failed", event.at
        case RunCancelled():
            run.ended, run.ended_at = "cancelled", event.at
        case _:  # other events do not affect the figures
            pass


def _part(workflow: "_Workflow", run: _Run, event: RunForked) -> None:
    """Begin to count at a fork. Calls without an outcome are counted here, all others in the fork's origin."""
    if event.given:
        run.open.discard(event.key)
    if event.copied:
        return
    run.copies = False
    for key in run.open & run.calls.keys():
        call = run.calls[key]
        call.step = workflow.steps.setdefault((call.name, call.kind), _Step())
        call.step.count += 1


def _reopen(run: _Run, event: RunRetried) -> None:
    """Subtract the failures of steps that start again. What they and dropped steps have used stays counted."""
    run.halted, run.ended = None, None
    for key in event.reopened:
        if (call := run.calls.get(key)) is not None and call.failed:
            call.step.failed -= 1
            call.failed, call.started_at = False, None
    run.open = (run.open - {*event.forgotten}) | {*event.reopened}
    run.waits = {*event.timers, *event.receives}


# ---------------------------------------------------------------- sums


Statuses: TypeAlias = Mapping[RunStatus, int]


def _rate(statuses: Statuses, status: RunStatus) -> float | None:
    ended = sum(statuses.get(each, 0) for each in ("completed", "failed", "cancelled"))
    return statuses.get(status, 0) / ended if ended else None


def _between(start: float, end: float) -> float:
    return max(0.0, end - start)  # a clock that was set back must not make a duration negative


@dataclass(slots=True)
class _Step:
    """All calls of one step so far."""

    count: int = 0
    completed: int = 0
    failed: int = 0
    flagged: int = 0
    rejections: int = 0
    attempts: int = 0
    retries: int = 0
    uncharged: int = 0
    deaths: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    latencies: list[float] = field(default_factory=list[float])
    attempt_latencies: list[float] = field(default_factory=list[float])
    usage: dict[str, float] = field(default_factory=dict[str, float])
    background: list[Evaluation] = field(default_factory=list[Evaluation])

    def end_attempt(self, event: AttemptEnded, started_at: float | None) -> None:
        self.outcomes[event.outcome] += 1
        self.uncharged += not event.charged
        self.deaths += event.failure is not None and event.failure.exit is not None
        if started_at is not None:
            self.attempt_latencies.append(_between(started_at, event.at))
        for name, value in event.usage.items():
            self.usage[name] = self.usage.get(name, 0.0) + value

    def end(self, event: StepCompleted | StepFailed, started_at: float | None) -> None:
        if isinstance(event, StepCompleted):
            self.completed += 1
            self.flagged += event.flagged
        else:
            self.failed += 1
        if started_at is not None:
            self.latencies.append(_between(started_at, event.at))

    def figures(self, name: str, kind: StepKind) -> StepFigures:
        return StepFigures(
            name=name,
            kind=kind,
            count=self.count,
            completed=self.completed,
            failed=self.failed,
            flagged=self.flagged,
            rejections=self.rejections,
            attempts=self.attempts,
            retries=self.retries,
            outcomes=dict(self.outcomes),
            uncharged=self.uncharged,
            latency=spread(self.latencies),
            attempt_latency=spread(self.attempt_latencies),
            usage=self.usage,
            background=_background(self.background),
        )


def _background(said: list[Evaluation]) -> tuple[BackgroundFigures, ...]:
    found = []
    for name in sorted({each.name for each in said}):
        own = [each for each in said if each.name == name]
        scores = [each.score for each in own if each.score is not None]
        paid = [each.usage["usd"] for each in own if each.usage]
        found.append(
            BackgroundFigures(
                evaluator=name,
                rated=len(scores),
                passed=sum(each.passed for each in own),
                unrated=len(own) - len(scores),
                mean=sum(scores) / len(scores) if scores else None,
                usage={"usd": sum(paid)} if paid else {},
            )
        )
    return tuple(found)


@dataclass(slots=True)
class _Workflow:
    """All runs of one workflow so far."""

    steps: dict[tuple[str, StepKind], _Step] = field(default_factory=dict[tuple[str, StepKind], _Step])
    statuses: Counter[RunStatus] = field(default_factory=Counter[RunStatus])
    durations: list[float] = field(default_factory=list[float])
    program_crashes: int = 0
    background: list[Evaluation] = field(default_factory=list[Evaluation])

    def add(self, run: _Run) -> None:
        self.statuses[run.status] += 1
        if run.ended is not None:
            self.durations.append(_between(run.started_at, run.ended_at))

    def figures(self, name: str) -> WorkflowFigures:
        return WorkflowFigures(
            name=name,
            runs=self.statuses.total(),
            statuses=dict(self.statuses),
            success_rate=_rate(self.statuses, "completed"),
            failure_rate=_rate(self.statuses, "failed"),
            duration=spread(self.durations),
            program_crashes=self.program_crashes,
            steps=tuple(self.steps[key].figures(*key) for key in sorted(self.steps)),
            background=_background(self.background),
        )


def _totals(workflows: Iterable[_Workflow]) -> Totals:
    all_workflows = list(workflows)
    steps = [step for workflow in all_workflows for step in workflow.steps.values()]
    statuses: Counter[RunStatus] = sum((each.statuses for each in all_workflows), Counter[RunStatus]())
    outcomes: Counter[Outcome] = sum((each.outcomes for each in steps), Counter[Outcome]())
    return Totals(
        runs=statuses.total(),
        statuses=dict(statuses),
        success_rate=_rate(statuses, "completed"),
        failure_rate=_rate(statuses, "failed"),
        steps=sum(each.count for each in steps),
        attempts=sum(each.attempts for each in steps),
        retries=sum(each.retries for each in steps),
        crashes=outcomes["crash"],
        timeouts=outcomes["timeout"],
        invalid=outcomes["invalid"],
        rejections=sum(each.rejections for each in steps),
        flagged=sum(each.flagged for each in steps),
        restarts=sum(each.deaths for each in steps) + sum(each.program_crashes for each in all_workflows),
    )
