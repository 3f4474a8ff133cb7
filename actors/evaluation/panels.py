"""How the scores of a panel's members become one. Pure."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from greenroom.messages.core.frozen import frozen
from greenroom.messages.options.policy import Combine
from greenroom.messages.records.evaluation import Evaluation

HALF: Final = Fraction(1, 2)
"""Share of a panel's weight that has to be exceeded: by the members that answer, and for a majority by those that
accept the result."""


@frozen
class Member:
    """What one member of a panel has said, and its weight."""

    weight: float
    said: Evaluation


def combined(name: str, combine: Combine, threshold: float, members: Sequence[Member]) -> Evaluation:
    """Return a panel's evaluation.

    A member that failed has no part in a mean or in a majority, as long as members with more than half of the weight
    have answered. Otherwise the panel has failed. For ``"min"`` all have to answer, unless a score is too low already.

    Scores and weights are added as the decimals that people write. A sum of floats may be off in its last digit, and
    three scores of 0.7 would have a mean below 0.7.

    Example: scores 1.0 and 0.4 with weights 1 and 2 have the mean 0.6.
    """
    scored = [(_exact(each.weight), each.said, each.said.score) for each in members if each.said.score is not None]
    answered, total = _sum(weight for weight, _, _ in scored), _sum(_exact(each.weight) for each in members)
    match combine:
        case "mean":
            score = float(_sum(weight * _exact(value) for weight, _, value in scored) / answered) if scored else 0.0
            passed, complete = score >= threshold, answered > HALF * total
        case "majority":
            accepted = _sum(weight for weight, said, _ in scored if said.passed)
            score = float(accepted / answered) if scored else 0.0
            threshold = float(HALF)
            passed, complete = accepted > HALF * answered, answered > HALF * total
        case "min":
            score = min((value for _, _, value in scored), default=1.0)
            passed = score >= threshold
            complete = len(scored) == len(members) or not passed
    duration = sum(each.said.duration for each in members)
    if not complete:
        why = "; ".join(f"{each.said.name} failed: {each.said.error}" for each in members if each.said.score is None)
        return Evaluation(name=name, score=None, passed=False, threshold=threshold, error=why, duration=duration)
    reason = "; ".join(f"{said.name} {value:.2f}: {said.reason}".rstrip(": ") for _, said, value in scored)
    return Evaluation(name=name, score=score, passed=passed, threshold=threshold, reason=reason, duration=duration)


def _exact(number: float) -> Fraction:
    """Return a number as it is written: 0.7 is seven tenths."""
    return Fraction(repr(float(number)))


def _sum(numbers: Iterable[Fraction]) -> Fraction:
    return sum(numbers, Fraction())
