"""What people and programs ask of an orchestrator, and what it answers. Every door sends these and nothing else."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.approvals import ApprovalDecision
from greenroom.messages.core.failures import Failure, Fault
from greenroom.messages.core.fields import Limit
from greenroom.messages.core.message import Json, Message
from greenroom.messages.events.schedules import Plan, ScheduleRecord
from greenroom.messages.policy import Budget
from greenroom.messages.records import ActorRecord, HandlerRecord, WorkerRecord, WorkflowRecord


class StartRun(Message):
    """Start a run, or find the one that this id started before."""

    type: Literal["run.start"] = "run.start"
    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Json]
    version: int | None = None
    """Which of the workflows of that name; None for the newest."""
    fingerprint: str = ""
    """Of its code, where the sender knows it."""
    budget: Budget | None = None
    """None means the workflow's own."""


class CancelRun(Message):
    """Ask a run to end early. Its program sees a cancellation and may clean up, which also a paused or parked one does.

    Asking again changes nothing, but lets a run go on with its cleanup that was paused or parked since.
    """

    type: Literal["run.cancel"] = "run.cancel"
    run_id: str
    reason: str | None = None
    within: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Seconds from now after which the run is ended without the rest of its cleanup; 0 is at once, None without limit.
    Of several limits the earliest counts."""


class SignalRun(Message):
    """Put a message into a run's mailbox, where its program takes it with ``receive``."""

    type: Literal["run.signal"] = "run.signal"
    run_id: str
    name: str
    """Of the message's type."""
    value: Json
    key: str | None = None
    """A message with the key of an earlier one is that message."""


class DecideApproval(Message):
    """Decide what a run asks a person. Deciding the same way twice is deciding once."""

    type: Literal["approval.decide"] = "approval.decide"
    approval: str
    """Its id."""
    decision: ApprovalDecision
    args: Json = None
    """For an edit: what is to be used instead."""
    comment: str = ""
    by: str = ""
    """Who decides."""


class PauseRun(Message):
    """Have a run and its children stop where they are. Attempts that run may end; nothing new begins until resumed."""

    type: Literal["run.pause"] = "run.pause"
    run_id: str
    reason: str | None = None


class ResumeRun(Message):
    """Let a paused or parked run go on, with its paused children."""

    type: Literal["run.resume"] = "run.resume"
    run_id: str
    budget: Budget | None = None
    """What it names takes the place of the same in the run's budget: new totals, and not additions."""


class ResumeParked(Message):
    """Let every run, or every session, that is parked go on."""

    type: Literal["parked.resume"] = "parked.resume"
    kind: Literal["run", "session"] = "run"
    name: str | None = None
    """Only those of this workflow or handler."""


class RetryRun(Message):
    """Let a run that failed or was cancelled go on from the step whose failure ended it."""

    type: Literal["run.retry"] = "run.retry"
    run_id: str


class ForkRun(Message):
    """Start a run that shares the past of another one up to the outcome of one call, and goes another way from there.

    ``input`` and ``result`` exclude each other; None stands for neither.
    """

    type: Literal["run.fork"] = "run.fork"
    run_id: str
    """The run to fork."""
    at: str | None = None
    """Key of a step or child; None forks from the start."""
    input: Json = None
    """Arguments of that call: an object holds them by name, an array in order, anything else is the only one. From the
    start: the workflow's, by name."""
    result: Json = None
    """What that call is taken to have given."""
    id: str | None = None
    """Of the new run; None makes one."""


class TellSession(Message):
    """Put a message into a session's mailbox, which opens the session where it is the first one."""

    type: Literal["session.tell"] = "session.tell"
    app: str
    """Where the handler's code is; empty for a session that has been opened already."""
    session: str
    """Name of its handler."""
    session_key: str
    name: str = ""
    """Of the message's type; empty where the value alone says which of the handler's types it is."""
    value: Json
    key: str | None = None
    """A message with the key of an earlier one is that message."""


class AskSession(TellSession):
    """The same, and wait for the reply."""

    type: Literal["session.ask"] = "session.ask"  # type: ignore[assignment]
    timeout: Limit = None
    """Seconds to wait at most. The message stays where it is when they are over."""


class CloseSession(Message):
    """Have a session answer what waits in its mailbox and take nothing more."""

    type: Literal["session.close"] = "session.close"
    session: str
    session_key: str


class RedriveDeadLetter(Message):
    """Send a session a message again that was set aside."""

    type: Literal["dead_letter.redrive"] = "dead_letter.redrive"
    run_id: str
    letter: str


class DropDeadLetter(Message):
    """Strike a dead letter off the list. What happened stays on record."""

    type: Literal["dead_letter.drop"] = "dead_letter.drop"
    run_id: str
    letter: str


class PutSchedule(Message):
    """See to it that there is a schedule of this name with this plan: made, changed, or left as it is."""

    type: Literal["schedule.put"] = "schedule.put"
    name: str
    plan: Plan


class PauseSchedule(Message):
    """Have a schedule start nothing until it is resumed."""

    type: Literal["schedule.pause"] = "schedule.pause"
    name: str
    reason: str | None = None


class ResumeSchedule(Message):
    """Let a paused schedule go on."""

    type: Literal["schedule.resume"] = "schedule.resume"
    name: str


class TriggerSchedule(Message):
    """Have a schedule start a run now, as its overlap policy allows. The reply names the run."""

    type: Literal["schedule.trigger"] = "schedule.trigger"
    name: str


class DeleteSchedule(Message):
    """Have a schedule be no more. Its runs are not touched."""

    type: Literal["schedule.delete"] = "schedule.delete"
    name: str


class ListSchedules(Message):
    """Ask for all schedules, or for one."""

    type: Literal["schedules.list"] = "schedules.list"
    name: str | None = None
    moments: int = Field(default=5, ge=0, le=1000)
    """How many next moments of each."""


class KillWorker(Message):
    """Send a signal to a worker process. It counts as an injected fault: no step is charged with it."""

    type: Literal["worker.kill"] = "worker.kill"
    worker: str
    signal: int = Field(default=9, ge=1, le=64)


class RestartWorker(Message):
    """End a worker process and begin another in its place. No step is charged with it."""

    type: Literal["worker.restart"] = "worker.restart"
    worker: str


class ListWorkers(Message):
    """Ask for all worker processes."""

    type: Literal["workers.list"] = "workers.list"


class ShowTree(Message):
    """Ask for the supervision tree."""

    type: Literal["tree.show"] = "tree.show"


class ShowApp(Message):
    """Ask what an app defines; it is loaded where it is not yet."""

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
    """The command is durable. ``created`` is False where the id was known already."""

    type: Literal["accepted"] = "accepted"
    run_id: str = ""
    created: bool = True
    number: int = 0
    """For a message: its number in the run or session."""


class Resumed(Message):
    """Which parked runs or sessions were told to go on."""

    type: Literal["resumed"] = "resumed"
    run_ids: tuple[str, ...]


RefusalCode: TypeAlias = Literal[
    "invalid",
    "not_found",
    "conflict",
    "unavailable",
    "closed",
    "full",
    "ended",
    "not_failed",
    "session_closed",
    "parked",
    "timeout",
    "busy",
]
"""Why a command is not taken."""


class Refused(Message):
    """The command was not taken, and nothing has changed."""

    type: Literal["refused"] = "refused"
    code: RefusalCode
    message: str
    faults: tuple[Fault, ...] = ()
    """For ``invalid``: every field at fault."""


class TurnAnswered(Message):
    """A session is done with a message."""

    type: Literal["turn.answered"] = "turn.answered"
    run_id: str
    """``name/key``."""
    number: int
    """Of the message in the session."""
    reply: Json = None
    failure: str | None = None
    """Why there is no reply: a sentence. The message is a dead letter then."""
    raised: Failure | None = None
    """What the handler raised, with its traceback."""
    step: str | None = None
    """Key of the step whose failure came out of the handler, where it was one."""


class Workers(Message):
    """The worker processes of this moment."""

    type: Literal["workers"] = "workers"
    workers: tuple[WorkerRecord, ...]


class Schedules(Message):
    """The schedules of this moment, by name."""

    type: Literal["schedules"] = "schedules"
    schedules: tuple[ScheduleRecord, ...]


class Tree(Message):
    """The supervision tree of this moment."""

    type: Literal["tree"] = "tree"
    root: ActorRecord


class App(Message):
    """What an app defines."""

    type: Literal["app"] = "app"
    app: str
    workflows: tuple[WorkflowRecord, ...]
    sessions: tuple[str, ...] = ()
    """Names of handlers."""
    handlers: tuple[HandlerRecord, ...] = ()
    """The handlers themselves."""


Reply: TypeAlias = Annotated[
    Accepted | Resumed | Refused | TurnAnswered | Workers | Schedules | Tree | App, Field(discriminator="type")
]
