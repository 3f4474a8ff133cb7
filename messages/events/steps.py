"""Events of steps and their attempts."""

from typing import Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.failures import Failure, Outcome
from greenroom.messages.core.message import Event, Json
from greenroom.messages.options.options_field import Options
from greenroom.messages.options.policy import StepKind
from greenroom.messages.records.attempts import Reservation
from greenroom.messages.records.evaluation import Evaluation, Verdict
from greenroom.messages.transcript import TranscriptUse

__all__ = [
    "AttemptEnded",
    "AttemptMoved",
    "AttemptProgressed",
    "AttemptStarted",
    "JudgeAnswered",
    "JudgeAsked",
    "RetryScheduled",
    "StepCompleted",
    "StepEmitted",
    "StepEvaluated",
    "StepEvent",
    "StepFailed",
    "StepScheduled",
    "ValuesDiscarded",
]


class StepScheduled(Event):
    """The program requested a step."""

    type: Literal["step.scheduled"] = "step.scheduled"
    key: str
    """Scope path, name and occurrence: the identity of the call, the same on every replay."""
    name: str
    kind: StepKind
    step: str
    """Reference of the definition, ``module:qualname``."""
    arguments: Json
    options: Options
    transcript: TranscriptUse | None = None
    """Of a model call in a conversation: what the model reads."""


class AttemptStarted(Event):
    """An attempt was given to a worker."""

    type: Literal["attempt.started"] = "attempt.started"
    key: str
    attempt: int
    token: str
    """``epoch:counter``, never used twice. Only the newest token's result is accepted."""
    worker: str
    pid: int
    incarnation: int
    reserved: Reservation | None = None
    """What is reserved of the budgets that the run draws on, until the attempt ends."""


class AttemptMoved(Event):
    """An attempt was given to another worker, because the first one died before reading it."""

    type: Literal["attempt.moved"] = "attempt.moved"
    key: str
    attempt: int
    token: str
    worker: str
    pid: int
    incarnation: int


class AttemptProgressed(Event):
    """An attempt has reported progress. Of several reports in a short time, only the newest is recorded."""

    type: Literal["attempt.progressed"] = "attempt.progressed"
    key: str
    attempt: int
    token: str
    detail: Json = None


class StepEmitted(Event):
    """A step added a value to one of the run's streams, or its final text was added for it."""

    type: Literal["step.emitted"] = "step.emitted"
    key: str
    attempt: int
    channel: str
    offset: int
    """0, 1, 2 ... within the channel, which values of the program and discard marks share."""
    value: Json
    final: bool = False
    """True for the result of a step that streams its text, added once as the step completes. False for what the attempt
    emits while it runs, which does not count if the attempt is lost."""


class ValuesDiscarded(Event):
    """An attempt that had emitted values ended without being accepted, so what it emitted does not count."""

    type: Literal["values.discarded"] = "values.discarded"
    key: str
    attempt: int
    offsets: dict[str, int]
    """Offset of the discard mark in each channel on which the attempt had emitted."""


class AttemptEnded(Event):
    """An attempt has its only outcome."""

    type: Literal["attempt.ended"] = "attempt.ended"
    key: str
    attempt: int
    token: str
    outcome: Outcome
    result: Json = None
    """The step's result if the outcome is ``ok``, otherwise None."""
    failure: Failure | None = None
    charged: bool = True
    """False if the attempt does not count against the step: injected faults, a lost orchestrator, a bystander."""
    usage: dict[str, float] = Field(default_factory=dict)
    """What a model call used: ``input_tokens``, ``output_tokens``, ``usd``. A value that is not known is left out. What
    was reserved for it then counts as used."""


class JudgeAsked(Event):
    """A judge is about to be asked about a result, under a budget. Other calls of judges have no such event."""

    type: Literal["judge.asked"] = "judge.asked"
    key: str
    attempt: int
    token: str
    """``epoch:counter``, never used twice."""
    judge: str
    """Its name."""
    reserved: Reservation
    """What is reserved of the budgets that the run draws on, until the call ends."""


class JudgeAnswered(Event):
    """A call of a judge has ended that was made under a budget, or whose evaluation was given up."""

    type: Literal["judge.answered"] = "judge.answered"
    key: str
    attempt: int
    token: str
    """As in ``JudgeAsked``; empty for calls without that event."""
    usage: dict[str, float] = Field(default_factory=dict)
    """See ``AttemptEnded.usage``."""


class StepEvaluated(Event):
    """The evaluators have judged a result."""

    type: Literal["step.evaluated"] = "step.evaluated"
    key: str
    attempt: int
    verdict: Verdict
    evaluations: tuple[Evaluation, ...]
    settled: dict[str, float] = Field(default_factory=dict)
    """The part of the judges' usage that stands in events ``judge.answered`` too."""


class RetryScheduled(Event):
    """A further attempt will start at ``due``. The wait occupies no worker."""

    type: Literal["retry.scheduled"] = "retry.scheduled"
    key: str
    attempt: int
    """Number of the attempt that will start."""
    due: float
    """Seconds since the Unix epoch."""
    solo: bool = False
    """True if the attempt runs in a fresh worker of its own, because earlier ones died."""


class StepCompleted(Event):
    """A step has its result, that of ``attempt``."""

    type: Literal["step.completed"] = "step.completed"
    key: str
    attempt: int
    flagged: bool = False
    """True if evaluators rejected the result and the run continues with it, marked for review."""


class StepFailed(Event):
    """A step has ended without a result."""

    type: Literal["step.failed"] = "step.failed"
    key: str
    reason: Literal["exhausted", "fatal", "quarantined", "unknown", "rejected", "cancelled"]
    failure: Failure


StepEvent: TypeAlias = (
    StepScheduled
    | AttemptStarted
    | AttemptMoved
    | AttemptProgressed
    | StepEmitted
    | ValuesDiscarded
    | AttemptEnded
    | JudgeAsked
    | JudgeAnswered
    | StepEvaluated
    | RetryScheduled
    | StepCompleted
    | StepFailed
)
"""Every event of this file."""
