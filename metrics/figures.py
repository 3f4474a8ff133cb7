"""Figures of many runs, from sums over their events: rates, latencies, retries and crashes per workflow and step.

The same events give the same figures, whether they are folded at once or in parts, as a journal saves them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, TypeAlias, get_args

from greenroom.messages.core.failures import Outcome
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.records.records import RunStatus
from greenroom.metrics.figure_records import BackgroundFigures, Metrics, StepFigures, Totals, WorkflowFigures
from greenroom.metrics.run_fold import HANDLERS, Run
from greenroom.metrics.sums import Background, StepName, StepSums, Sums, WorkflowSums

STATUSES: Final[tuple[RunStatus, ...]] = get_args(RunStatus)
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)


class Recorded(Protocol):
    """An event as returned by a journal."""

    @property
    def event(self) -> AnyEvent:
        """The event."""
        ...


def figures(runs: Iterable[tuple[str, Iterable[Recorded]]]) -> Metrics:
    """Return the figures of runs, each given as its workflow's name and all its events.

    The events of a run are read once and not kept, so the runs may come from a generator.
    """
    sums = Sums()
    for name, events in runs:
        workflow, run = sums.workflow(name), Run(name)
        for recorded in events:
            if (handler := HANDLERS.get(type(recorded.event))) is not None:
                handler(run, workflow, recorded.event)
        run.settle(workflow)
    return figures_of(sums)


def figures_of(sums: Sums) -> Metrics:
    """Return the figures that follow from sums."""
    names = sorted(sums.workflows)
    return Metrics(
        totals=_totals(sums.workflows.values()),
        workflows=tuple(_workflow(name, sums.workflows[name]) for name in names),
    )


Statuses: TypeAlias = Mapping[RunStatus, int]


def _rate(statuses: Statuses, status: RunStatus) -> float | None:
    ended = sum(statuses.get(each, 0) for each in ("completed", "failed", "cancelled"))
    return statuses.get(status, 0) / ended if ended else None


def _statuses(counted: Counter[RunStatus]) -> dict[RunStatus, int]:
    return {status: counted[status] for status in STATUSES if counted[status]}


def _workflow(name: str, sums: WorkflowSums) -> WorkflowFigures:
    return WorkflowFigures(
        name=name,
        runs=sums.statuses.total(),
        statuses=_statuses(sums.statuses),
        success_rate=_rate(sums.statuses, "completed"),
        failure_rate=_rate(sums.statuses, "failed"),
        duration=sums.durations.spread(),
        program_crashes=sums.program_crashes,
        steps=tuple(_step(each, sums.steps[each]) for each in sorted(sums.steps)),
        background=_background(sums.background),
    )


def _step(step: StepName, sums: StepSums) -> StepFigures:
    name, kind = step
    return StepFigures(
        name=name,
        kind=kind,
        count=sums.count,
        completed=sums.completed,
        failed=sums.failed,
        flagged=sums.flagged,
        rejections=sums.rejections,
        attempts=sums.attempts,
        retries=sums.retries,
        outcomes={outcome: sums.outcomes[outcome] for outcome in OUTCOMES if sums.outcomes[outcome]},
        uncharged=sums.uncharged,
        latency=sums.latencies.spread(),
        attempt_latency=sums.attempt_latencies.spread(),
        usage={what: float(amount) for what, amount in sums.usage.items()},
        unpriced=sums.unpriced,
        background=_background(sums.background),
    )


def _background(scores: Background) -> tuple[BackgroundFigures, ...]:
    return tuple(
        BackgroundFigures(
            evaluator=name,
            rated=sums.rated,
            passed=sums.passed,
            unrated=sums.unrated,
            mean=float(sums.total / sums.rated) if sums.rated else None,
            usage={what: float(amount) for what, amount in sums.usage.items()},
        )
        for name, sums in sorted(scores.items())
    )


def _totals(workflows: Iterable[WorkflowSums]) -> Totals:
    all_workflows = list(workflows)
    steps = [step for workflow in all_workflows for step in workflow.steps.values()]
    statuses: Counter[RunStatus] = Counter()
    for workflow in all_workflows:
        statuses.update(workflow.statuses)
    outcomes: Counter[Outcome] = Counter()
    for step in steps:
        outcomes.update(step.outcomes)
    return Totals(
        runs=statuses.total(),
        statuses=_statuses(statuses),
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
