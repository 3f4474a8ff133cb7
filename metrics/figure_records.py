"""Records of figures: of steps, workflows, pools, and of all together."""

from greenroom.messages.core.failures import Outcome
from greenroom.messages.core.message import Message
from greenroom.messages.options.policy import StepKind
from greenroom.messages.records.records import ActorRecord, RunStatus
from greenroom.metrics.percentiles import Spread


class BackgroundFigures(Message):
    """The scores that one evaluator has given in the background, apart from those that decide about results."""

    evaluator: str
    """Name of the evaluator."""
    rated: int
    """Answers with a score."""
    passed: int
    """Those of them whose score was not below the threshold."""
    unrated: int
    """Sampled answers without a score: the evaluator failed, or there was no money to ask it."""
    mean: float | None
    """Mean of the scores, 0 to 1; None if there are none."""
    usage: dict[str, float]
    """Sums of the usage of its model calls, which are not a part of that of steps."""


class StepFigures(Message):
    """All calls of one step in all runs of one workflow."""

    name: str
    kind: StepKind
    count: int
    """Number of calls."""
    completed: int
    failed: int
    flagged: int
    """Calls completed although evaluators rejected the result."""
    rejections: int
    """Results that evaluators did not accept, without flagged ones."""
    attempts: int
    retries: int
    """Attempts after the first of each call."""
    outcomes: dict[Outcome, int]
    """Ended attempts by outcome: ``crash``, ``timeout``, ``invalid`` and the others."""
    uncharged: int
    """Attempts that did not count against the step: injected faults, bystanders, a lost orchestrator."""
    latency: Spread
    """Seconds from the start of a call's first attempt to the call's end, including retries and backoff."""
    attempt_latency: Spread
    """Seconds from an attempt's start to its end."""
    usage: dict[str, float]
    """Sums of the usage of model calls."""
    unpriced: int = 0
    """Model calls whose price is not known. They are not a part of ``usd``."""
    background: tuple[BackgroundFigures, ...] = ()
    """Scores of its results from the background, sorted by evaluator."""


class WorkflowFigures(Message):
    """All runs of one workflow."""

    name: str
    runs: int
    statuses: dict[RunStatus, int]
    success_rate: float | None
    """Share of the ended runs that completed, 0 to 1; None if none has ended."""
    failure_rate: float | None
    """Share of the ended runs that failed. The remaining runs were cancelled."""
    duration: Spread
    """Seconds from a run's acceptance to its end."""
    program_crashes: int
    """Deaths of the process that ran the workflow's own code."""
    steps: tuple[StepFigures, ...]
    """Sorted by name."""
    background: tuple[BackgroundFigures, ...] = ()
    """Scores of the results of runs from the background, sorted by evaluator."""


class Totals(Message):
    """Sums over everything."""

    runs: int
    statuses: dict[RunStatus, int]
    success_rate: float | None
    failure_rate: float | None
    steps: int
    attempts: int
    retries: int
    crashes: int
    timeouts: int
    invalid: int
    rejections: int
    flagged: int
    restarts: int
    """Worker processes that died under a step or a program and were replaced."""


class PoolFigures(Message):
    """The state of one pool of workers."""

    app: str
    pool: str
    status: str
    """``"running"``; ``"short"`` if it cannot start as many workers as it should; ``"degraded"`` if it has given up for
    a while."""
    workers: int
    restarts: int
    escalations: int
    """Number of times that it has given up."""
    detail: str = ""
    """Why it is short or degraded, for a person."""


class GateFigures(Message):
    """The state of a model or a tool whose calls are limited."""

    kind: str
    """``"model"`` or ``"tool"``."""
    name: str
    status: str
    """``"running"``; ``"held"`` while the provider has asked to wait; ``"open"`` while its breaker holds calls back;
    ``"half_open"`` while one call tries whether it works again."""
    openings: int
    """Number of times that its breaker has opened."""
    detail: str = ""
    """How many calls run and wait, and why, for a person."""


class Metrics(Message):
    """All figures that follow from the journal's events."""

    totals: Totals
    workflows: tuple[WorkflowFigures, ...]
    """Sorted by name."""
    pools: tuple[PoolFigures, ...] = ()
    """Pools of the running orchestrator; empty if it was not asked."""
    gates: tuple[GateFigures, ...] = ()
    """Models that it has called, and tools with a breaker; empty if it was not asked."""


def pool_figures(root: ActorRecord) -> tuple[PoolFigures, ...]:
    """Return the figures of every pool in a supervision tree."""
    return tuple(
        PoolFigures(
            app=app.id,
            pool=pool.id,
            status=pool.status,
            workers=len(pool.children),
            restarts=pool.restarts,
            escalations=pool.escalations,
            detail=pool.detail if pool.status in {"short", "degraded"} else "",
        )
        for app in root.children
        if app.kind == "app"
        for pool in app.children
    )


def gate_figures(root: ActorRecord) -> tuple[GateFigures, ...]:
    """Return the figures of every model and tool whose calls are limited, in a supervision tree."""
    return tuple(
        GateFigures(kind=each.kind, name=each.id, status=each.status, openings=each.escalations, detail=each.detail)
        for each in root.children
        if each.kind in {"model", "tool"}
    )
