"""What an orchestrator and its workers say to each other over a worker's socket."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Frame, Json
from greenroom.messages.frames.app import *
from greenroom.messages.frames.program import *
from greenroom.messages.policy import Limits, WorkerKind

# ---------------------------------------------------------------- orchestrator to worker


class Execute(Frame):
    """Run one attempt of a tool or model step."""

    type: Literal["execute"] = "execute"
    run_id: str
    key: str
    name: str
    step: str
    """Reference of the definition, ``module:qualname``."""
    attempt: int
    token: str
    arguments: Json
    """``{"args": [...], "kwargs": {...}}`` as the caller wrote them."""
    idempotency_key: str
    """The same for every attempt of this call."""
    feedback: tuple[str, ...] = ()
    """For model steps: what was wrong with earlier answers."""
    progress: Json = None
    """What the last attempt that reported any had said of its progress."""


class Evaluate(Frame):
    """Judge one result."""

    type: Literal["evaluate"] = "evaluate"
    run_id: str
    key: str
    attempt: int
    token: str
    """A token of its own: an evaluation is an attempt too."""
    evaluator: str
    """Reference of the definition."""
    threshold: float
    subject: Json
    """The result to judge."""
    arguments: Json
    """The arguments of the call that gave the result."""


class Abort(Frame):
    """Stop working on one token, if it is still running; nobody waits for it. Cooperative: only async code hears it."""

    type: Literal["abort"] = "abort"
    token: str


class Environment(Frame):
    """The first message to a worker whose environment differs from its zygote's. Set before its actor starts.

    Its pool or its tool was given variables by name, or the orchestrator's environment has changed in the meantime.
    """

    type: Literal["environment"] = "environment"
    variables: dict[str, str] = Field(repr=False)
    """Values by name; a byte of a value is the character with its number, as values need not be UTF-8."""
    removed: tuple[str, ...] = ()
    """Names that its zygote has and it has not: they were unset since the zygote was started."""
    secret: bool = True
    """Whether some were given to this worker alone."""


class Stop(Frame):
    """Finish what is running and end the process."""

    type: Literal["stop"] = "stop"


ToWorker: TypeAlias = Annotated[
    Execute
    | Evaluate
    | StartProgram
    | Resolve
    | EndProgram
    | DescribeApp
    | CheckArguments
    | CheckResult
    | CheckEdit
    | CheckSignal
    | CheckMessage
    | Environment
    | Abort
    | Stop,
    Field(discriminator="type"),
]

# ---------------------------------------------------------------- worker to orchestrator


class Ready(Frame):
    """The worker has started its actor and takes work."""

    type: Literal["ready"] = "ready"


class Heartbeat(Frame):
    """The worker's reader thread runs. ``busy`` is how many seconds one turn or answer has held the loop, else 0."""

    type: Literal["heartbeat"] = "heartbeat"
    busy: float = 0.0
    run_id: str | None = None
    """The run whose turn it is, or the question that is being answered."""


class Progress(Frame):
    """A step says how far it is."""

    type: Literal["progress"] = "progress"
    token: str
    detail: Json = None


class Completed(Frame):
    """An attempt gave a result."""

    type: Literal["completed"] = "completed"
    token: str
    result: Json
    duration: float
    usage: dict[str, float] = Field(default_factory=dict)
    spoilt: str = ""
    """What the attempt left behind that the worker cannot put back. It is replaced before it gets other work."""


class Failed(Frame):
    """An attempt raised, or gave something that is no result."""

    type: Literal["failed"] = "failed"
    token: str
    failure: Failure
    duration: float
    usage: dict[str, float] = Field(default_factory=dict)
    spoilt: str = ""
    """What the attempt left behind that the worker cannot put back. It is replaced before it gets other work."""


class Judged(Frame):
    """An evaluator has looked at a result."""

    type: Literal["judged"] = "judged"
    token: str
    score: float | None
    """None where the evaluator failed; ``error`` then says how."""
    passed: bool = False
    reason: str = ""
    label: str | None = None
    error: str | None = None
    duration: float = 0.0
    spoilt: str = ""
    """As in ``Completed``."""


FromWorker: TypeAlias = Annotated[
    Ready
    | Heartbeat
    | Progress
    | Completed
    | Failed
    | Judged
    | Turn
    | AppDescribed
    | ArgumentsChecked
    | ResultChecked
    | MessageChecked,
    Field(discriminator="type"),
]


class WorkerSpec(Frame):
    """Everything a fresh worker process must know to become one. Sent by the orchestrator through the zygote."""

    worker: str
    incarnation: int
    kind: WorkerKind
    concurrency: int = 1
    heartbeat: float = 1.0
    """Seconds between beats."""
    limits: Limits = Limits()
    max_rss_mb: int | None = None
    """Resident size in MiB above which the worker is replaced after an attempt."""
