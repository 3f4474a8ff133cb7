"""What a person reads of a run, a step, an attempt, a worker: views, folded from events or sampled from processes.

Times are datetimes in UTC, to the millisecond, and ISO 8601 in JSON; durations are seconds.
"""

from typing import Literal, TypeAlias

from pydantic import Field

from greenroom.messages.approvals import ApprovalDecision
from greenroom.messages.core.failures import Exit, Failure, Outcome
from greenroom.messages.core.fields import Moment
from greenroom.messages.core.message import Json, Message
from greenroom.messages.evaluation import Evaluation
from greenroom.messages.policy import StepKind, WorkerKind

RunStatus: TypeAlias = Literal["pending", "running", "waiting", "paused", "parked", "completed", "failed", "cancelled"]
StepStatus: TypeAlias = Literal[
    "scheduled", "running", "retrying", "evaluating", "escalated", "completed", "failed", "cancelled"
]

ENDED: frozenset[RunStatus] = frozenset({"completed", "failed", "cancelled"})
"""Statuses that never change again."""
AT_WORK: frozenset[RunStatus] = frozenset({"pending", "running"})
"""Statuses of runs that go on as soon as their app is there."""
ALIVE: tuple[RunStatus, ...] = ("pending", "running", "paused")
"""Statuses of runs that recovery takes up at once. Waiting runs are woken by their timers, parked ones by a person."""


class AttemptRecord(Message):
    """One try of one step."""

    number: int
    worker: str
    pid: int
    started_at: Moment
    ended_at: Moment | None = None
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
    arguments: Json = None
    """``{"args": [...], "kwargs": {...}}`` as the caller wrote them."""
    result: Json = None
    evaluations: tuple[Evaluation, ...] = ()
    flagged: bool = False
    scheduled_at: Moment
    ended_at: Moment | None = None
    retry_at: Moment | None = None


class RunRecord(Message):
    """One run, as the run index and ``greenroom runs list`` show it."""

    id: str
    workflow: str
    app: str
    status: RunStatus
    started_at: Moment
    updated_at: Moment
    ended_at: Moment | None = None
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
    asked_at: Moment
    step: str | None = None
    """Key of the step whose result evaluators rejected; None where the workflow's own code asks."""
    reason: str = ""
    """What the evaluators said."""


class DecisionRecord(Message):
    """What a person has decided about a question."""

    id: str
    """The approval's."""
    action: str
    asked: Json = None
    """What it was to be done with."""
    decision: ApprovalDecision
    args: Json = None
    """What it is done with."""
    by: str
    comment: str
    decided_at: Moment


class StreamItem(Message):
    """One value that a run has emitted."""

    channel: str
    offset: int
    """0, 1, 2 ... within the channel."""
    value: Json
    at: Moment


class LogLine(Message):
    """One line that code of a run has written to stdout or stderr."""

    offset: int
    """Where it stands in all that the run has written; with ``after`` it gives what follows."""
    run_id: str
    """Empty where a worker wrote it that nobody's code can be told to have had, such as a thread left behind."""
    step: str | None = None
    """Key of the step; None for the workflow itself."""
    attempt: int | None = None
    worker: str
    stream: Literal["stdout", "stderr"]
    at: Moment
    text: str
    """Without the line feed."""
    omitted: int = 0
    """Where above 0, so many lines stood in this place and were not kept, and ``text`` is a sentence that says so."""


class WorkflowRecord(Message):
    """One workflow that an app defines."""

    name: str
    app: str
    parameters: tuple[str, ...]
    """Names, in order, the shared state left out."""
    doc: str = ""
    """The first line of its docstring."""
    input_schema: Json = None
    """JSON Schema of the arguments: an object, with defaults, what is required, and what the docstring says."""
    result_schema: Json = None
    """JSON Schema of the result."""


class HandlerRecord(Message):
    """One handler of sessions that an app defines."""

    name: str
    app: str
    doc: str = ""
    """The first line of its docstring."""
    messages: dict[str, Json] = Field(default_factory=dict)
    """JSON Schemas of the messages that it takes, by the names of their types."""
    reply_schema: Json = None
    """JSON Schema of the reply."""
    state_schema: Json = None
    """JSON Schema of the state."""


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
    received_at: Moment
    ended_at: Moment | None = None
    steps: tuple[StepRecord, ...] = ()


class SessionRecord(Message):
    """One session, as ``greenroom sessions list`` shows it."""

    name: str
    key: str
    app: str
    status: RunStatus
    """``waiting`` while there is nothing to do, ``completed`` once closed."""
    opened_at: Moment
    updated_at: Moment
    reason: str | None = None
    events: int = 0


class SessionDetail(SessionRecord):
    """One session with what it knows and what it has to do."""

    state: Json = None
    """As of the newest turn that has ended; null before the first one has."""
    waiting: int
    """How many messages wait for their turn."""
    closed: bool
    """Whether it takes no more messages; what waits is still answered."""
    last_turn: TurnRecord | None = None
    """The newest message that the session is done with, without the turn's steps; null before there is one."""


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
    at: Moment


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
