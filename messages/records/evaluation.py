"""Scores, evaluations and verdicts: judgements of results as data."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.message import Message

Verdict: TypeAlias = Literal["accept", "retry", "flag", "fail", "escalate"]
"""What the evaluators of a step decided about one result."""

_DECIMALS: Final = 2
_MOST_DECIMALS: Final = 17


@dataclass(frozen=True, slots=True)
class Score:
    """The score that an evaluator gives a result.

    Args:
        value: 0.0 (useless) to 1.0 (perfect).
        reason: One sentence. It is fed back to the model if the result is rejected. None is the same as no reason.
        label: A category, if the evaluator classifies instead of measuring.

    Raises:
        TypeError: ``value`` is not a number, or the reason or the label is not text.
        ValueError: ``value`` is not between 0 and 1.
    """

    value: float
    reason: str = ""
    label: str | None = None

    def __post_init__(self) -> None:
        """Check that the value is between 0 and 1, and not NaN, and keep it as a float."""
        msg = f"a score lies between 0.0 and 1.0, not at {self.value!r}"
        try:
            fits = 0.0 <= self.value <= 1.0
        except TypeError:
            raise TypeError(msg) from None
        if not fits:
            raise ValueError(msg)
        object.__setattr__(self, "value", float(self.value))  # a Decimal, or a number of numpy
        given: dict[str, object] = {"reason": self.reason, "label": self.label}  # authors need not be typed
        for name, text in given.items():
            if not (text is None or isinstance(text, str)):
                msg = f"the {name} of a score must be a text, not {text!r:.100}"
                raise TypeError(msg)
        if given["reason"] is None:
            object.__setattr__(self, "reason", "")


class Evaluation(Message):
    """One evaluator's judgement of one attempt's result, as journaled."""

    name: str
    score: float | None = Field(default=None, ge=0, le=1)
    """None if the evaluator itself failed, which is neither a pass nor a fail."""
    passed: bool
    threshold: float
    reason: str = ""
    label: str | None = None
    error: str | None = None
    """Why the evaluator gave no score; None if it gave one."""
    duration: float = 0.0
    """Seconds in the evaluator's process, or for a panel those of all its members."""
    usage: dict[str, float] = Field(default_factory=dict)
    """What the calls of a judge used, the failed ones included: ``input_tokens``, ``output_tokens``, ``usd``."""
    panel: str | None = None
    """Name of the panel that this is a member of. The panel's own evaluation decides, not this one."""
    background: bool = False
    """Whether it was made in the background, of a sampled answer, and decides nothing."""


def in_figures(score: float, threshold: float) -> tuple[str, str]:
    """Return a score and a threshold for people: two decimals, or more if a difference could not be seen otherwise."""
    decimals = _DECIMALS
    while score != threshold and f"{score:.{decimals}f}" == f"{threshold:.{decimals}f}" and decimals < _MOST_DECIMALS:
        decimals += 1
    return f"{score:.{decimals}f}", f"{threshold:.{decimals}f}"


def deciding(evaluations: Iterable[Evaluation]) -> Iterator[Evaluation]:
    """Yield the evaluations that decide about a result: all but those of the members of panels."""
    return (each for each in evaluations if each.panel is None)


def is_sampled(subject: str, share: float, evaluators: Sequence[str] = ()) -> bool:
    """Return whether something is in a sample. The answer is the same every time, and a larger share keeps it in.

    Args:
        subject: What may be sampled, such as the id of a run.
        share: The share that is, 0 to 1.
        evaluators: Names of the evaluators that have a sample of their own.
    """
    digest = sha256(json.dumps([subject, list(evaluators)]).encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64
