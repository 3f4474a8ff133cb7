"""Commands of people and programs to an orchestrator, and its replies. All interfaces send these and nothing else."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from greenroom.messages.core.failures import Failure, Fault
from greenroom.messages.core.fields import Limit
from greenroom.messages.core.message import Json, Message
from greenroom.messages.events.schedules import Plan, ScheduleRecord
from greenroom.messages.options.policy import Budget
from greenroom.messages.records.approvals import ApprovalDecision
from greenroom.messages.records.records import ActorRecord, HandlerRecord, WorkerRecord, WorkflowRecord


class StartRun(Message):
    """Start a run, or return the one that was started before with this id."""

    type: Literal["run.start"] = "run.start"
    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Json]
    version: int | None = None
    """Version of the workflow; None for the newest."""
    fingerprint: str = ""
    """Fingerprint of the workflow's code, if the sender knows it."""
    budget: Budget | None = None
    """None for the workflow's own budget."""


class CancelRun(Message):
    """Ask a run to end early. Its program receives a cancellation and may clean up, even if it is paused or parked.

    Repeating the request only resumes the cleanup of a run that was paused or parked meanwhile.
    """

    type: Literal["run.cancel"] = "run.cancel"
    run_id: str
    reason: str | None = None
    within: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Seconds after which the run is ended without the rest of its cleanup: 0 at once, None for no limit. The earliest
    of several limits counts."""


class SignalRun(Message):
    """Put a message into a run's mailbox. Its program takes it with ``receive``."""

    type: Literal["run.signal"] = "run.signal"
    run_id: str
    name: str
    """Name of the message's type."""
    value: Json
    key: str | None = None
    """A message with the key of an earlier one is the same message."""


class DecideApproval(Message):
    """Decide a run's question. Repeating a decision has no further effect."""

    type: Literal["approval.decide"] = "approval.decide"
    approval: str
    """Id of the approval."""
    decision: ApprovalDecision
    args: Json = None
    """For an edit: the arguments to use instead."""
    comment: str = ""
    by: str = ""
    """Name of the person who decides."""


class PauseRun(Message):
    """Pause a run and its children. Running attempts may end; nothing new begins until the run is resumed."""

    type: Literal["run.pause"] = "run.pause"
    run_id: str
    reason: str | None = None


class ResumeRun(Message):
    """Resume a paused or parked run, with its paused children."""

    type: Literal["run.resume"] = "run.resume"
    run_id: str
    budget: Budget | None = None
    """New totals for the named parts of the run's budget. They replace the old ones."""


class ResumeParked(Message):
    """Resume every parked run, or every parked session."""

    type: Literal["parked.resume"] = "parked.resume"
    kind: Literal["run", "session"] = "run"
    name: str | None = None
    """Restrict the command to this workflow or handler."""


class RetryRun(Message):
    """Retry a failed or cancelled run from the step whose failure ended it."""

    type: Literal["run.retry"] = "run.retry"
    run_id: str


class ForkRun(Message):
    """Start a run that shares another run's history up to the outcome of one call, and continues on its own from there.

    ``input`` and ``result`` exclude each other. An ``input`` of None is not given. A ``result`` may be None; it is not
    given where it is left out.
    """

    type: Literal["run.fork"] = "run.fork"
    run_id: str
    """The run to fork."""
    at: str | None = None
    """Key of a step or child; None to fork from the start."""
    input: Json = None
    """Arguments of that call: an object holds them by name, an array by position, any other value is the only argument.
    From the start: the workflow's arguments, by name."""
    result: Json = None
    """The result that the call is given, which may be null; the call runs again if it is left out."""
    id: str | None = None
    """Id of the new run; None to generate one. The same fork with the id of an earlier one is that run."""

    @property
    def gives_result(self) -> bool:
        """Return whether the call is given a result."""
        return "result" in self.model_fields_set

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if not self.gives_result:
            written.pop("result", None)
        return written


class TellSession(Message):
    """Put a message into a session's mailbox. The first message opens the session."""

    type: Literal["session.tell"] = "session.tell"
    app: str
    """Where the handler's code is; empty if the session is already open."""
    session: str
    """Name of the session's handler."""
    session_key: str
    name: str = ""
    """Name of the message's type; empty if the value determines it."""
    value: Json
    key: str | None = None
    """A message with the key of an earlier one is the same message."""


class AskSession(TellSession):
    """Put a message into a session's mailbox and wait for the reply."""

    type: Literal["session.ask"] = "session.ask"  # type: ignore[assignment]
    timeout: Limit = None
    """Longest wait in seconds. The message stays in the mailbox afterwards."""


class CloseSession(Message):
    """Close a session: it answers the messages in its mailbox and accepts no more."""

    type: Literal["session.close"] = "session.close"
    session: str
    session_key: str


class CancelTurn(Message):
    """Cancel the running turn of a session: its handler cleans up, its asker is told, and the session goes on.

    The reply's ``number`` is that of the turn's message, or 0 if no turn is running. A paused or parked session is
    resumed for the cleanup.
    """

    type: Literal["session.cancel_turn"] = "session.cancel_turn"
    session: str
    session_key: str
    reason: str | None = None


class RedriveDeadLetter(Message):
    """Send a dead letter to its session again."""

    type: Literal["dead_letter.redrive"] = "dead_letter.redrive"
    run_id: str
    letter: str


class DropDeadLetter(Message):
    """Remove a dead letter from the list. Its events stay in the journal."""

    type: Literal["dead_letter.drop"] = "dead_letter.drop"
    run_id: str
    letter: str


class PutSchedule(Message):
    """Create a schedule with this name and plan, change it to this plan, or leave it if nothing differs."""

    type: Literal["schedule.put"] = "schedule.put"
    name: str
    plan: Plan


class PauseSchedule(Message):
    """Pause a schedule. It starts nothing until it is resumed."""

    type: Literal["schedule.pause"] = "schedule.pause"
    name: str
    reason: str | None = None


class ResumeSchedule(Message):
    """Resume a paused schedule."""

    type: Literal["schedule.resume"] = "schedule.resume"
    name: str


class TriggerSchedule(Message):
    """Start a run of a schedule now, as its overlap policy allows. The reply names the run."""

    type: Literal["schedule.trigger"] = "schedule.trigger"
    name: str
    key: str | None = None
    """A request with the key of an earlier one is the same request, and starts no further run."""


class DeleteSchedule(Message):
    """Delete a schedule. Its runs continue."""

    type: Literal["schedule.delete"] = "schedule.delete"
    name: str


class ListSchedules(Message):
    """Request all schedules, or one."""

    type: Literal["schedules.list"] = "schedules.list"
    name: str | None = None
    moments: int = Field(default=5, ge=0, le=1000)
    """Number of next due times to return for each."""


class KillWorker(Message):
    """Send a signal to a worker process. This is an injected fault and counts against no step."""

    type: Literal["worker.kill"] = "worker.kill"
    worker: str
    signal: int = Field(default=9, ge=1, le=64)


class RestartWorker(Message):
    """Replace a worker process by a new one. This counts against no step."""

    type: Literal["worker.restart"] = "worker.restart"
    worker: str


class ListWorkers(Message):
    """Request all worker processes."""

    type: Literal["workers.list"] = "workers.list"


class ShowTree(Message):
    """Request the supervision tree."""

    type: Literal["tree.show"] = "tree.show"


class ShowApp(Message):
    """Request what an app defines. The app is loaded if necessary."""

    type: Literal["app.show"] = "app.show"
    app: str


ScheduleCommand: TypeAlias = (
    PutSchedule | PauseSchedule | ResumeSchedule | TriggerSchedule | DeleteSchedule | ListSchedules
)

Command: TypeAlias = Annotated[
    StartRun
    | CancelRun
    | SignalRun
    | DecideApproval
    | PauseRun
    | ResumeRun
    | ResumeParked
    | RetryRun
    | ForkRun
    | TellSession
    | AskSession
    | CloseSession
    | CancelTurn
    | RedriveDeadLetter
    | DropDeadLetter
    | ScheduleCommand
    | KillWorker
    | RestartWorker
    | ListWorkers
    | ShowTree
    | ShowApp,
    Field(discriminator="type"),
]


class Accepted(Message):
    """The command is committed. ``created`` is False if the id already existed."""

    type: Literal["accepted"] = "accepted"
    run_id: str = ""
    created: bool = True
    number: int = 0
    """For a message: its number in the run or session."""


class Resumed(Message):
    """The parked runs or sessions that were resumed."""

    type: Literal["resumed"] = "resumed"
    run_ids: tuple[str, ...]


RefusalCode: TypeAlias = Literal[
    "invalid",
    "not_found",
    "conflict",
    "unavailable",
    "no_workers",
    "closed",
    "full",
    "ended",
    "not_failed",
    "session_closed",
    "parked",
    "timeout",
    "busy",
]
"""Why a command was refused."""


class Refused(Message):
    """The command was refused, and nothing has changed."""

    type: Literal["refused"] = "refused"
    code: RefusalCode
    message: str
    faults: tuple[Fault, ...] = ()
    """For ``invalid``: every wrong field."""


class TurnAnswered(Message):
    """A session has finished with a message."""

    type: Literal["turn.answered"] = "turn.answered"
    run_id: str
    """``name/key``."""
    number: int
    """Number of the message in the session."""
    reply: Json = None
    failure: str | None = None
    """Why there is no reply, as a sentence. The message is then a dead letter."""
    raised: Failure | None = None
    """The exception that the handler raised, with its traceback."""
    step: str | None = None
    """Key of the step whose failure the handler raised, if any."""


class Workers(Message):
    """The present worker processes."""

    type: Literal["workers"] = "workers"
    workers: tuple[WorkerRecord, ...]


class Schedules(Message):
    """The present schedules, by name."""

    type: Literal["schedules"] = "schedules"
    schedules: tuple[ScheduleRecord, ...]


class Tree(Message):
    """The present supervision tree."""

    type: Literal["tree"] = "tree"
    root: ActorRecord


class App(Message):
    """The definitions of an app."""

    type: Literal["app"] = "app"
    app: str
    workflows: tuple[WorkflowRecord, ...]
    sessions: tuple[str, ...] = ()
    """Names of the session handlers."""
    handlers: tuple[HandlerRecord, ...] = ()
    """The session handlers."""


Reply: TypeAlias = Annotated[
    Accepted | Resumed | Refused | TurnAnswered | Workers | Schedules | Tree | App, Field(discriminator="type")
]
