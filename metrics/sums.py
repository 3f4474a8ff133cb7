"""Sums over events of runs, which can be saved, read back and added to one another in any order."""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from fractions import Fraction
from typing import Any, TypeAlias

from greenroom.messages.core.failures import Outcome
from greenroom.messages.core.frozen import mutable
from greenroom.messages.options.policy import StepKind
from greenroom.messages.records.evaluation import Evaluation
from greenroom.messages.records.records import RunStatus
from greenroom.metrics.durations import Durations

StepName: TypeAlias = tuple[str, StepKind]

COUNTS = (
    *("count", "completed", "failed", "flagged", "rejections"),
    *("attempts", "retries", "uncharged", "deaths", "unpriced"),
)
"""The plain counts of a step, in the order in which they are saved."""


@mutable
class ScoreSums:
    """All scores that one evaluator has given in the background."""

    rated: int = 0
    passed: int = 0
    unrated: int = 0
    total: Fraction = Fraction()
    """Sum of the scores, exact as the usage of steps is."""
    usage: dict[str, Fraction] = field(default_factory=dict[str, Fraction])

    def add(self, evaluation: Evaluation) -> None:
        """Add one evaluation."""
        if evaluation.score is None:
            self.unrated += 1
        else:
            self.rated += 1
            self.passed += evaluation.passed
            self.total += Fraction(evaluation.score)
        for name, value in evaluation.usage.items():
            self.usage[name] = self.usage.get(name, Fraction()) + Fraction(value)

    def merge(self, counts: Iterable[int], total: str, usage: Mapping[str, str]) -> None:
        """Add what ``plain`` has returned."""
        rated, passed, unrated = counts
        self.rated += rated
        self.passed += passed
        self.unrated += unrated
        self.total += Fraction(total)
        for name, value in usage.items():
            self.usage[name] = self.usage.get(name, Fraction()) + Fraction(value)

    def plain(self) -> list[Any]:
        """Return the sums as JSON values."""
        usage = {name: str(amount) for name, amount in self.usage.items()}
        return [[self.rated, self.passed, self.unrated], str(self.total), usage]


Background: TypeAlias = dict[str, ScoreSums]
"""Background scores by name of the evaluator."""


@mutable
class StepSums:
    """All calls of one step. A count is negative where more was taken back than added."""

    count: int = 0
    completed: int = 0
    failed: int = 0
    flagged: int = 0
    rejections: int = 0
    attempts: int = 0
    retries: int = 0
    uncharged: int = 0
    deaths: int = 0
    unpriced: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    usage: dict[str, Fraction] = field(default_factory=dict[str, Fraction])
    """Exact, so that the order of the additions does not matter."""
    latencies: Durations = field(default_factory=Durations)
    attempt_latencies: Durations = field(default_factory=Durations)
    background: Background = field(default_factory=dict[str, ScoreSums])

    def use(self, name: str, amount: Fraction) -> None:
        """Add an amount of what model calls used."""
        self.usage[name] = self.usage.get(name, Fraction()) + amount

    def use_all(self, usage: Mapping[str, float]) -> None:
        """Add what one model call used."""
        for name, value in usage.items():
            self.use(name, Fraction(value))


@mutable
class WorkflowSums:
    """All runs of one workflow."""

    steps: dict[StepName, StepSums] = field(default_factory=dict[StepName, StepSums])
    statuses: Counter[RunStatus] = field(default_factory=Counter[RunStatus])
    program_crashes: int = 0
    durations: Durations = field(default_factory=Durations)
    background: Background = field(default_factory=dict[str, ScoreSums])
    """Of the results of runs."""

    def step(self, name: StepName) -> StepSums:
        """Return the sums of a step."""
        found = self.steps.get(name)
        if found is None:
            found = self.steps[name] = StepSums()
        return found


class Sums:
    """Sums of all workflows."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.workflows: dict[str, WorkflowSums] = {}

    def workflow(self, name: str) -> WorkflowSums:
        """Return the sums of a workflow."""
        found = self.workflows.get(name)
        if found is None:
            found = self.workflows[name] = WorkflowSums()
        return found

    def add(self, text: str, durations: bytes) -> None:
        """Add what ``encode`` has returned. The durations are not copied."""
        series = _Series(memoryview(durations).cast("d"))
        for name, (statuses, crashes, lengths, steps, *background) in json.loads(text).items():
            workflow = self.workflow(name)
            _count(workflow.statuses, statuses)
            workflow.program_crashes += crashes
            workflow.durations.add(*series.take(lengths))
            _add_scores(workflow.background, background)
            for step_name, kind, counts, outcomes, usage, latencies, attempt_latencies, *scores in steps:
                step = workflow.step((step_name, kind))
                for count, value in zip(COUNTS, counts, strict=True):
                    if value:
                        setattr(step, count, getattr(step, count) + value)
                _count(step.outcomes, outcomes)
                for what, amount in usage.items():
                    step.use(what, Fraction(amount))
                step.latencies.add(*series.take(latencies))
                step.attempt_latencies.add(*series.take(attempt_latencies))
                _add_scores(step.background, scores)

    def encode(self) -> tuple[str, bytes]:
        """Return the sums as JSON, and all durations as doubles of this machine's byte order, in the same order."""
        series = array("d")
        workflows = {name: _of_workflow(workflow, series) for name, workflow in self.workflows.items()}
        return json.dumps(workflows, separators=(",", ":")), series.tobytes()


class _Series:
    """Durations of several parts, one after another."""

    def __init__(self, values: "memoryview[float]") -> None:
        self._values = values
        self._place = 0

    def take(self, lengths: Iterable[int]) -> "Iterator[memoryview[float]]":
        for length in lengths:
            start, self._place = self._place, self._place + length
            yield self._values[start : self._place]


def _of_workflow(workflow: WorkflowSums, series: "array[float]") -> list[Any]:
    lengths = workflow.durations.put(series)
    steps = [*_of_steps(workflow, series)]
    return [_plain(workflow.statuses), workflow.program_crashes, lengths, steps, *_of_scores(workflow.background)]


def _of_steps(workflow: WorkflowSums, series: "array[float]") -> Iterator[list[Any]]:
    for (name, kind), step in workflow.steps.items():
        counts = [getattr(step, count) for count in COUNTS]
        usage = {what: str(amount) for what, amount in step.usage.items()}
        lengths = [step.latencies.put(series), step.attempt_latencies.put(series)]
        yield [name, kind, counts, _plain(step.outcomes), usage, *lengths, *_of_scores(step.background)]


def _of_scores(background: Background) -> Iterator[dict[str, list[Any]]]:
    """Yield the background scores, unless there are none."""
    if background:
        yield {name: scores.plain() for name, scores in background.items()}


def _add_scores(background: Background, saved: Iterable[dict[str, list[Any]]]) -> None:
    for by_name in saved:
        for name, parts in by_name.items():
            background.setdefault(name, ScoreSums()).merge(*parts)


def _count(counter: Counter[Any], more: dict[str, int]) -> None:
    for name, value in more.items():
        counter[name] += value


def _plain(counter: Counter[Any]) -> dict[str, int]:
    return {name: value for name, value in counter.items() if value}
