"""What people and programs ask of an orchestrator, and what it answers. Every door sends these and nothing else."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from understudy.messages.approvals import ApprovalDecision
from understudy.messages.base import Json, Message
from understudy.messages.records import ActorRecord, WorkerRecord, WorkflowRecord


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


class CancelRun(Message):
    """Ask a run to end early. Its program sees a cancellation and may clean up; after a grace it is ended."""

    type: Literal["run.cancel"] = "run.cancel"
    run_id: str
    reason: str | None = None


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


Command: TypeAlias = Annotated[
    StartRun
    | CancelRun
    | SignalRun
    | DecideApproval
    | PauseRun
    | ResumeRun
    | RetryRun
    | ForkRun
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


RefusalCode: TypeAlias = Literal[
    "invalid", "not_found", "conflict", "unavailable", "closed", "full", "ended", "not_failed"
]
"""Why a command is not taken."""


class Refused(Message):
    """The command was not taken, and nothing has changed."""

    type: Literal["refused"] = "refused"
    code: RefusalCode
    message: str


class Workers(Message):
    """The worker processes of this moment."""

    type: Literal["workers"] = "workers"
    workers: tuple[WorkerRecord, ...]


class Tree(Message):
    """The supervision tree of this moment."""

    type: Literal["tree"] = "tree"
    root: ActorRecord


class App(Message):
    """What an app defines."""

    type: Literal["app"] = "app"
    app: str
    workflows: tuple[WorkflowRecord, ...]


Reply: TypeAlias = Annotated[Accepted | Refused | Workers | Tree | App, Field(discriminator="type")]
