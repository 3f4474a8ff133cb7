"""The report of an evaluation: trials, pass rate, evaluators, flaky cases, comparison with an earlier one. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.message import Message
from greenroom.messages.records.evaluation import Evaluation
from greenroom.metrics.evals.statistics import (
    interval_alpha,
    mcnemar_exact,
    newcombe_interval,
    nominal_alpha,
    wilson_interval,
)

TrialOutcome: TypeAlias = Literal["passed", "failed", "unscored"]
"""``unscored``: infrastructure or an evaluator failed, so the trial says nothing about the workflow."""


class Trial(Message):
    """One run of one case, and what the evaluators said about it."""

    case: str
    repeat: int
    """1, 2, 3 ... within the case."""
    run_id: str
    outcome: TrialOutcome
    reason: str = ""
    """Why it failed or has no score; empty if it passed."""
    evaluations: tuple[Evaluation, ...] = ()
    seconds: float | None = None
    """Duration of the run."""
    usage: dict[str, float] = Field(default_factory=dict)
    """Usage of the model calls of the run, and of the judges that rated it."""


class EvaluatorFigures(Message):
    """The figures of one evaluator over all trials."""

    name: str
    scored: int
    """Trials that it gave a score."""
    passed: int
    failures: int
    """Trials for which it failed to give one."""
    mean: float | None
    """Mean of its scores; None if there are none."""


class Agreement(Message):
    """Krippendorff's alpha of the evaluators; None where it is undefined."""

    nominal: float | None
    """Whether they agree on what passes."""
    interval: float | None
    """Whether they agree on the scores."""


class Comparison(Message):
    """This evaluation beside an earlier one, on the cases that both have scored."""

    earlier: str
    """Id of the earlier evaluation."""
    cases: int
    passed: int
    """Cases that pass now: all of their scored trials passed."""
    earlier_passed: int
    gained: tuple[str, ...]
    """Cases that pass now and failed earlier."""
    lost: tuple[str, ...]
    """Cases that fail now and passed earlier."""
    difference: float
    low: float
    """Lower bound of the difference's interval at 95 %, by Newcombe."""
    high: float
    p_value: float
    """Of the exact McNemar test."""


class Report(Message):
    """What ``greenroom eval`` found."""

    id: str
    workflow: str
    trials: tuple[Trial, ...]
    cases: int
    scored: int
    """Trials that passed or failed."""
    passed: int
    unscored: int
    """Trials that are in no rate: infrastructure or an evaluator failed."""
    pass_rate: float | None
    """Share of the scored trials that passed; None if there are none."""
    low: float | None
    """Lower bound of the Wilson interval of the pass rate, at 95 %."""
    high: float | None
    flaky: tuple[str, ...]
    """Cases of which some trials passed and some failed."""
    evaluators: tuple[EvaluatorFigures, ...]
    agreement: Agreement | None
    """None if fewer than two evaluators were asked."""
    usage: dict[str, float]
    comparison: Comparison | None = None


def outcome_of(evaluations: Sequence[Evaluation]) -> tuple[TrialOutcome, str]:
    """Return the outcome of a completed run's trial, and the reason if it did not pass.

    A rejection counts even if another evaluator failed. Otherwise a failed evaluator leaves the trial unscored.
    """
    low = [each for each in evaluations if each.score is not None and not each.passed]
    if low:
        return "failed", "; ".join(f"{each.name} {each.score:.2f}: {each.reason}".rstrip(": ") for each in low)
    broken = [each for each in evaluations if each.score is None]
    if broken:
        return "unscored", "; ".join(f"evaluator {each.name} failed: {each.error}" for each in broken)
    return "passed", ""


def report(evaluation_id: str, workflow: str, trials: Iterable[Trial], earlier: Report | None = None) -> Report:
    """Return the report on trials, which are in the order of their cases."""
    every = tuple(trials)
    passed = sum(trial.outcome == "passed" for trial in every)
    scored = sum(trial.outcome != "unscored" for trial in every)
    low, high = wilson_interval(passed, scored) if scored else (None, None)
    by_case = _by_case(every)
    names = list(dict.fromkeys(each.name for trial in every for each in trial.evaluations))
    return Report(
        id=evaluation_id,
        workflow=workflow,
        trials=every,
        cases=len(by_case),
        scored=scored,
        passed=passed,
        unscored=len(every) - scored,
        pass_rate=passed / scored if scored else None,
        low=low,
        high=high,
        flaky=tuple(case for case, outcomes in by_case.items() if {"passed", "failed"} <= set(outcomes)),
        evaluators=tuple(_figures(name, every) for name in names),
        agreement=_agreement(names, every) if len(names) > 1 else None,
        usage=_sum(trial.usage for trial in every),
        comparison=None if earlier is None else compare(every, earlier),
    )


def compare(trials: Sequence[Trial], earlier: Report) -> Comparison | None:
    """Return the comparison with an earlier report; None if no case was scored in both."""
    now, before = _passing(trials), _passing(earlier.trials)
    common = [case for case in now if case in before]
    if not common:
        return None
    passed, earlier_passed = sum(now[case] for case in common), sum(before[case] for case in common)
    gained = tuple(case for case in common if now[case] and not before[case])
    lost = tuple(case for case in common if before[case] and not now[case])
    low, high = newcombe_interval(passed, len(common), earlier_passed, len(common))
    return Comparison(
        earlier=earlier.id,
        cases=len(common),
        passed=passed,
        earlier_passed=earlier_passed,
        gained=gained,
        lost=lost,
        difference=(passed - earlier_passed) / len(common),
        low=low,
        high=high,
        p_value=mcnemar_exact(len(gained), len(lost)),
    )


def _by_case(trials: Sequence[Trial]) -> dict[str, list[TrialOutcome]]:
    """Return the outcomes of each case's trials."""
    ordered = sorted(trials, key=lambda trial: trial.case)  # stable, and undone by the lookup below
    found: dict[str, list[TrialOutcome]] = {
        case: [trial.outcome for trial in group] for case, group in groupby(ordered, lambda trial: trial.case)
    }
    return {trial.case: found[trial.case] for trial in trials}


def _passing(trials: Sequence[Trial]) -> dict[str, bool]:
    """Return whether each case passes: all its scored trials did. Cases without a scored trial are left out."""
    scored = {case: [each for each in given if each != "unscored"] for case, given in _by_case(trials).items()}
    return {case: all(each == "passed" for each in given) for case, given in scored.items() if given}


def _figures(name: str, trials: Sequence[Trial]) -> EvaluatorFigures:
    said = [each for trial in trials for each in trial.evaluations if each.name == name]
    scores = [each.score for each in said if each.score is not None]
    return EvaluatorFigures(
        name=name,
        scored=len(scores),
        passed=sum(each.passed for each in said),
        failures=len(said) - len(scores),
        mean=math.fsum(scores) / len(scores) if scores else None,
    )


def _agreement(names: Sequence[str], trials: Sequence[Trial]) -> Agreement:
    said = [{each.name: each for each in trial.evaluations if each.score is not None} for trial in trials]
    passed = [[given[name].passed if name in given else None for name in names] for given in said]
    scores = [[given[name].score if name in given else None for name in names] for given in said]
    return Agreement(nominal=nominal_alpha(passed), interval=interval_alpha(scores))


def _sum(usages: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for usage in usages:
        for name, amount in usage.items():
            total[name] = total.get(name, 0.0) + amount
    return total
