"""Records of runs, steps, attempts and workers for people, folded from events or sampled from processes.

Times are datetimes in UTC, to the millisecond, and ISO 8601 in JSON; durations are seconds.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

from pydantic import Field

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.fields import Moment
from greenroom.messages.core.message import Json, Message
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.options.policy import StepKind, WorkerKind
from greenroom.messages.records.approvals import ApprovalDecision
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.records.evaluation import Evaluation

RunStatus: TypeAlias = Literal["pending", "running", "waiting", "paused", "parked", "completed", "failed", "cancelled"]
StepStatus: TypeAlias = Literal[
    "scheduled", "running", "retrying", "evaluating", "escalated", "completed", "failed", "cancelled"
]

ENDED: frozenset[RunStatus] = frozenset({"completed", "failed", "cancelled"})
"""Statuses that never change again."""
OVER: frozenset[RunStatus] = frozenset({"completed", "failed", "cancelled", "parked"})
"""Statuses in which nothing more happens by itself, so that a run needs no orchestrator."""
AT_WORK: frozenset[RunStatus] = frozenset({"pending", "running"})
"""Statuses of runs that continue as soon as their app is loaded."""
ALIVE: tuple[RunStatus, ...] = ("pending", "running", "paused")
"""Statuses of runs that recovery continues at once. Timers wake waiting runs, and people resume parked ones."""


def check_status(given: str | Iterable[str] | None) -> None:
    """Raise if a list is asked for a status that does not exist, or for several of which one does not.

    Such a list would always be empty.

    Raises:
        ValueError: There is no such status.
    """
    known = get_args(RunStatus)
    for status in (given,) if isinstance(given, str) else given or ():
        if status not in known:
            msg = f"a status is one of {', '.join(known)}, not {status!r}"
            raise ValueError(msg)


class StepRecord(Message):
    """One call of one step."""

    name: str
    key: str
    kind: StepKind
    status: StepStatus
    attempts: tuple[AttemptRecord, ...]
    arguments: Json = None
    """``{"args": [...], "kwargs": {...}}`` as written by the caller."""
    result: Json = None
    evaluations: tuple[Evaluation, ...] = ()
    judges_usage: dict[str, float] = Field(default_factory=dict)
    """What calls of judges have used that no evaluation holds: they are under way, or their evaluation was given up."""
    flagged: bool = False
    scheduled_at: Moment
    ended_at: Moment | None = None
    retry_at: Moment | None = None


def usage_of(steps: Iterable[StepRecord], evaluations: Iterable[Evaluation] = ()) -> dict[str, float]:
    """Return what the model calls of steps have used, summed over all attempts, those of judges included.

    ``evaluations`` are others, those of a whole run. ``unpriced`` is the number of calls whose price is not known. They
    are not a part of ``usd``. It is left out if there are none.
    """
    total: dict[str, float] = {}
    unpriced = 0
    judged = list(evaluations)
    for step in steps:
        judged += step.evaluations
        for attempt in step.attempts:
            for name, amount in attempt.usage.items():
                total[name] = total.get(name, 0.0) + amount
            unpriced += step.kind == "llm" and attempt.outcome is not None and "usd" not in attempt.usage
        for name, amount in step.judges_usage.items():
            total[name] = total.get(name, 0.0) + amount
    for evaluation in judged:
        for name, amount in evaluation.usage.items():
            total[name] = total.get(name, 0.0) + amount
        unpriced += "input_tokens" in evaluation.usage and "usd" not in evaluation.usage
    return {**total, "unpriced": float(unpriced)} if unpriced else total


class RunRecord(OtherNames, Message):
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
    """Why the run failed, was cancelled or is parked; or what it waits for."""
    events: int = 0
    failure: Failure | None = None
    """The exception of a failed run, with its traceback; None in lists of runs."""
    evaluations: tuple[Evaluation, ...] = ()
    """Background scores of its result; empty in lists of runs."""


class ApprovalRecord(OtherNames, Message):
    """A question that waits for a person's decision."""

    id: str
    """Id of the approval."""
    run_id: str
    workflow: str
    key: str
    action: str
    """The action to approve, in words."""
    args: Json
    """Arguments of the action; for a rejected result, that result."""
    asked_at: Moment
    step: str | None = None
    """Key of the step whose result evaluators rejected; None if the workflow's own code asks."""
    reason: str = ""
    """What the evaluators said."""


class DecisionRecord(Message):
    """A person's decision on a question."""

    id: str
    """Id of the approval."""
    action: str
    asked: Json = None
    """The original arguments."""
    decision: ApprovalDecision
    args: Json = None
    """The approved arguments."""
    by: str
    comment: str
    decided_at: Moment


class StreamItem(Message):
    """One value that a run or session has emitted, or the mark that the values of a lost attempt do not count."""

    channel: str
    offset: int
    """0, 1, 2 ... within the channel."""
    value: Json
    at: Moment
    kind: Literal["value", "partial", "final", "discarded"] = "value"
    """``value``: emitted by the code of the workflow or handler. ``partial``: emitted by a step while it ran.
    ``final``: the result of a step that streams its text, once per step, in place of the attempt's partial text.
    ``discarded``: the attempt ended without being accepted, and what it emitted does not count; ``value`` is null."""
    step: str | None = None
    """Key of the step; null for values of the workflow or handler."""
    attempt: int | None = None
    """Number of the attempt of that step."""


class LogLine(Message):
    """One line that a run's code has written to stdout or stderr."""

    offset: int
    """Position in all output of the run. Pass it as ``after`` to get what follows."""
    run_id: str
    """Empty if a worker wrote the line and no run's code can be identified, as for a thread left behind."""
    step: str | None = None
    """Key of the step; None for the workflow itself."""
    attempt: int | None = None
    worker: str
    stream: Literal["stdout", "stderr"]
    at: Moment
    text: str
    """Without the line feed."""
    continues: bool = False
    """Whether this is no line of its own but more of the line before it of the same attempt and stream, which was given
    before its end came, or has more than 8 KiB."""
    omitted: int = 0
    """If above 0, this many lines, or a part of one, were dropped here, and ``text`` is a sentence that says so."""


class WorkflowRecord(Message):
    """One workflow that an app defines."""

    name: str
    app: str
    parameters: tuple[str, ...]
    """Names, in order, without the shared state."""
    doc: str = ""
    """The first line of its docstring."""
    input_schema: Json = None
    """JSON Schema of the arguments: an object, with defaults, required fields, and descriptions from the docstring."""
    result_schema: Json = None
    """JSON Schema of the result."""


class HandlerRecord(Message):
    """One session handler that an app defines."""

    name: str
    app: str
    doc: str = ""
    """The first line of its docstring."""
    messages: dict[str, Json] = Field(default_factory=dict)
    """JSON Schemas of the messages that it accepts, by the names of their types."""
    reply_schema: Json = None
    """JSON Schema of the reply."""
    state_schema: Json = None
    """JSON Schema of the state."""


class Difference(Message):
    """The first difference between two runs."""

    what: Literal["workflow", "arguments", "missing", "result"]
    """What differs: of the step or child, or of the run if ``key`` is None. ``missing``: only one of them has asked
    for it."""
    key: str | None = None
    kind: Literal["step", "child"] = "step"
    """What has that key."""
    a: Json = None
    """The first run's value; for a failure, its message."""
    b: Json = None


class TurnRecord(Message):
    """One message to a session, and its outcome."""

    number: int
    status: Literal["waiting", "running", "answered", "failed"]
    message_type: str
    message: Json
    key: str | None = None
    reply: Json = None
    error: str | None = None
    failure: Failure | None = None
    """The exception of the handler, with its traceback."""
    received_at: Moment
    ended_at: Moment | None = None
    steps: tuple[StepRecord, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    """Background scores of the reply."""


class SessionRecord(OtherNames, Message):
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
    """One session with its state and its mailbox."""

    state: Json = None
    """State after the newest finished turn; null before the first one."""
    waiting: int
    """Number of messages that wait for their turn."""
    closed: bool
    """Whether it accepts no more messages. Waiting ones are still answered."""
    last_turn: TurnRecord | None = None
    """The newest message that the session has finished with, without the turn's steps; null before the first one."""


class DeadLetterRecord(Message):
    """A message to a session, or a step, that failed and was set aside."""

    run_id: str
    """Id of the run, or of the session: ``name/key``."""
    letter: str
    """Number of the message, or key of the step."""
    kind: Literal["message", "step"]
    type: str
    """Name of the message's type, or of the step."""
    value: Json = None
    """The message; the step's arguments are in its run."""
    failure: Failure
    at: Moment


class WorkerRecord(OtherNames, Message):
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
    """Incarnations started after a death."""
    replacements: int = 0
    """Incarnations started as planned between two jobs, because the worker was too old, too large, or spoilt by a
    job."""
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
