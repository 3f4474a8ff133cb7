"""Events of answers that are rated in the background, after they were used."""

from typing import Literal, TypeAlias

from greenroom.messages.core.message import Event, Json
from greenroom.messages.options.policy import Sampling
from greenroom.messages.records.evaluation import Evaluation

__all__ = ["AnswerEvent", "AnswerRated", "AnswerSampled"]


class AnswerSampled(Event):
    """An answer is to be rated in the background: the result of a step, of a run, or of a session's turn.

    It holds all that evaluators see, so that they need neither the run nor its other events.
    """

    type: Literal["answer.sampled"] = "answer.sampled"
    sample: str
    """Identity of the answer within the run."""
    key: str = ""
    """Key of the step; empty for the result of the run or turn itself."""
    attempt: int = 0
    """Number of the step's attempt."""
    turn: int = 0
    """Number of the session's message; 0 in a run."""
    result: Json
    arguments: Json
    """``{"args": [...], "kwargs": {...}}``: what the answer was given to."""
    threshold: float
    """Lowest score of a good answer, for evaluators that have no threshold of their own."""
    sampling: Sampling
    """The evaluators that are to rate it."""


class AnswerRated(Event):
    """An answer was rated in the background, which changes nothing about its run. May follow the run's end."""

    type: Literal["answer.rated"] = "answer.rated"
    sample: str
    """See ``AnswerSampled``, as for the three fields that follow."""
    key: str = ""
    attempt: int = 0
    turn: int = 0
    evaluations: tuple[Evaluation, ...]


AnswerEvent: TypeAlias = AnswerSampled | AnswerRated
"""Every event of this file."""
