"""What a person reads of a run, a step, an attempt, a worker: views, folded from events or sampled from processes.

Times are ISO 8601 in UTC, durations seconds.
"""

from typing import Literal, TypeAlias

from pydantic import Field

from understudy.messages.base import Json, Message
from understudy.messages.evaluation import Evaluation
from understudy.messages.failures import Exit, Failure, Outcome
from understudy.messages.policy import StepKind, WorkerKind

RunStatus: TypeAlias = Literal["pending", "running", "waiting", "paused", "parked", "completed", "failed", "cancelled"]
StepStatus: TypeAlias = Literal[
    "scheduled", "running", "retrying", "evaluating", "escalated", "completed", "failed", "cancelled"
]

ENDED: frozenset[RunStatus] = frozenset({"completed", "failed", "cancelled"})
"""Statuses that never change again."""
ALIVE: tuple[RunStatus, ...] = ("pending", "running", "paused")
"""Statuses of runs that recovery takes up at once. Waiting runs are woken by their timers, parked ones by a person."""


class AttemptRecord(Message):
    """One try of one step."""

    number: int
    worker: str
    pid: int
    started_at: str
    ended_at: str | None = None
    outcome: Outcome | None = None
    """None while it runs."""
    error: str | None = None
    place: str = ""
    """Where in the user's code it failed: ``/path/app.py:31``."""
    traceback: str = ""
    """What Python prints of that, with the frames of the user's code."""
    exit: Exit | None = None
    charged: bool = True
    usage: dict[str, float] = Field(default_factory=dict)
    progress: Json = None
    """What it said last of how far it is, with ``current().heartbeat(detail)``."""


class StepRecord(Message):
    """One call of one step."""

    name: str
    key: str
    kind: StepKind
    status: StepStatus
    attempts: tuple[AttemptRecord, ...]
    result: Json = None
    evaluations: tuple[Evaluation, ...] = ()
    flagged: bool = False
    scheduled_at: str = ""
    ended_at: str | None = None
    retry_at: str | None = None


class RunRecord(Message):
    """One run, as the run index and ``understudy runs list`` show it."""

    id: str
    workflow: str
    app: str
    status: RunStatus
    started_at: str
    updated_at: str
    ended_at: str | None = None
    parent: str | None = None
    reason: str | None = None
    """Why it failed, was cancelled or is parked; what it waits for."""
    events: int = 0
    failure: Failure | None = None
    """What a run raised that has failed, with its traceback; None in lists of runs."""


class ApprovalRecord(Message):
    """A question that waits for a person."""

    id: str
    """By which it is decided."""
    run_id: str
    workflow: str
    key: str
    action: str
    """What is to be done, in words."""
    args: Json
    """What it is to be done with; for a rejected result, that result."""
    asked_at: str
    step: str | None = None
    """Key of the step whose result evaluators rejected; None where the workflow's own code asks."""
    reason: str = ""
    """What the evaluators said."""


class StreamItem(Message):
    """One value that a run has emitted."""

    channel: str
    offset: int
    """0, 1, 2 ... within the channel."""
    value: Json
    at: str


class WorkflowRecord(Message):
    """One workflow that an app defines."""

    name: str
    app: str
    parameters: tuple[str, ...]
    """Names, in order, the shared state left out."""
    doc: str = ""


class Difference(Message):
    """Where two runs first differ."""

    what: Literal["workflow", "arguments", "missing", "result"]
    """Of the step, or of the run where ``key`` is None. ``missing``: only one of them has asked for the step."""
    key: str | None = None
    a: Json = None
    """What the first run has there; for a failure, what it says."""
    b: Json = None


class TurnRecord(Message):
    """One message to a session, and what came of it."""

    number: int
    status: Literal["waiting", "running", "answered", "failed"]
    message_type: str
    message: Json
    key: str | None = None
    reply: Json = None
    error: str | None = None
    failure: Failure | None = None
    """What the handler raised, with its traceback."""
    received_at: str
    ended_at: str | None = None
    steps: tuple[StepRecord, ...] = ()


class SessionRecord(Message):
    """One session, as ``understudy sessions list`` shows it."""

    name: str
    key: str
    app: str
    status: RunStatus
    """``waiting`` while there is nothing to do, ``completed`` once closed."""
    opened_at: str
    updated_at: str
    reason: str | None = None
    events: int = 0


class DeadLetterRecord(Message):
    """A message to a session, or a step, that was set aside because nothing could deal with it."""

    run_id: str
    """Id of the run, or of the session: ``name/key``."""
    letter: str
    """Number of the message, or key of the step."""
    kind: Literal["message", "step"]
    type: str
    """Of the message; name of the step's key."""
    value: Json = None
    """The message; the step's arguments are in its run."""
    failure: Failure
    at: str


class WorkerRecord(Message):
    """One worker process."""

    id: str
    pool: str
    kind: WorkerKind
    pid: int | None
    incarnation: int
    status: Literal["starting", "idle", "busy", "stopping", "restarting", "stopped"]
    run_id: str | None = None
    step: str | None = None
    restarts: int = 0
    """Lives begun after a death."""
    replacements: int = 0
    """Lives begun as planned, after one that had to go between two jobs: too old, too large, or spoilt by a job."""
    rss_bytes: int | None = None


class ActorRecord(Message):
    """One node of the supervision tree."""

    id: str
    kind: str
    status: str
    strategy: str | None = None
    pid: int | None = None
    restarts: int = 0
    escalations: int = 0
    """For a pool: how often it has given up because its workers died as often as they were started."""
    detail: str = ""
    children: tuple["ActorRecord", ...] = ()
