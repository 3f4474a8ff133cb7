"""Scores, evaluations and verdicts: the judgement of a result as data."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.message import Message

Verdict: TypeAlias = Literal["accept", "retry", "flag", "fail", "escalate"]
"""What the evaluators of a step decided of one result."""


@dataclass(frozen=True, slots=True)
class Score:
    """What an evaluator says of a result.

    Args:
        value: 0.0 (useless) to 1.0 (perfect).
        reason: One sentence; it is fed back to the model when the result is rejected.
        label: A category, where the evaluator sorts rather than measures.

    Raises:
        TypeError: ``value`` is no number.
        ValueError: It is not between 0 and 1.
    """

    value: float
    reason: str = ""
    label: str | None = None

    def __post_init__(self) -> None:
        """Refuse values off the scale, NaN included."""
        msg = f"a score lies between 0.0 and 1.0, not at {self.value!r}"
        try:
            fits = 0.0 <= self.value <= 1.0
        except TypeError:
            raise TypeError(msg) from None
        if not fits:
            raise ValueError(msg)


class Evaluation(Message):
    """One evaluator's judgement of one attempt's result, as journaled."""

    name: str
    score: float | None = Field(default=None, ge=0, le=1)
    """None where the evaluator itself failed: that is neither a pass nor a fail."""
    passed: bool
    threshold: float
    reason: str = ""
    label: str | None = None
    error: str | None = None
    """Why the evaluator gave no score, where it gave none."""
    duration: float = 0.0
    """Seconds in the evaluator process."""
