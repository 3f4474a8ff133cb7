"""Frames between the orchestrator and its workers, over a worker's socket."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Frame, Json
from greenroom.messages.frames.app import *
from greenroom.messages.frames.program import *
from greenroom.messages.options.policy import Limits, WorkerKind

POOL_OF_SERVERS: Final = "mcp:"
"""Beginning of the name of a pool whose workers have an MCP server each. The server's name follows."""

FAKES_VARIABLE: Final = "GREENROOM_FAKES"
"""Environment variable by which a test replaces tools and servers. It names the socket that workers ask."""
CANNOT_START: Final = 78
"""Exit code of a worker that was never ready and would end in the same way the next time (``EX_CONFIG``)."""
NOT_YET: Final = 75
"""Exit code of a worker that was never ready, because what it needs was not there and may come back
(``EX_TEMPFAIL``): a server that is restarted, for example."""

_TOLD: Final = frozenset({"error", "timeout", "invalid", "cancelled"})
"""How an attempt may have ended by what its worker says. All other ends are seen or decided by the orchestrator."""


def _told(failure: Failure) -> Failure:
    if failure.outcome not in _TOLD or failure.exit is not None:
        msg = f"a worker does not decide that an attempt has ended as {failure.outcome!r}"
        raise ValueError(msg)
    return failure


ToldFailure: TypeAlias = Annotated[Failure, AfterValidator(_told)]
"""Why an attempt has failed, as its worker describes it."""
Elapsed: TypeAlias = Annotated[float, Field(ge=0)]
"""Seconds that a worker has measured."""
MOST_USED: Final = 10**18
"""More of anything than an attempt can use. Sums of such numbers are finite."""
Usage: TypeAlias = dict[str, Annotated[float, Field(ge=0, le=MOST_USED)]]
"""What an attempt has used, by name. Nothing is given back: a number below 0 would enlarge budgets."""

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
    """``{"args": [...], "kwargs": {...}}`` as written by the caller."""
    idempotency_key: str
    """The same for every attempt of this call."""
    feedback: tuple[str, ...] = ()
    """For model steps: what was wrong with earlier answers."""
    progress: Json = None
    """The last progress report of earlier attempts."""
    transcript: Json = None
    """Of a model call in a conversation: an array of its entries, oldest first."""
    timeout: float | None = None
    """For model steps: seconds that this attempt may take; None for no limit."""
    stream: str | None = None
    """For model steps: the channel to which the text is emitted as it arrives; None if it is not emitted."""
    max_tokens: int | None = None
    """For model steps: most output tokens that the budget allows; None for no limit."""


class Evaluate(Frame):
    """Judge one result."""

    type: Literal["evaluate"] = "evaluate"
    run_id: str
    key: str
    attempt: int
    token: str
    """The evaluation's own token, as it is also an attempt."""
    evaluator: str
    """Reference of the definition."""
    subject: Json
    """The result to judge."""
    arguments: Json
    """The arguments of the call that returned the result."""


class Abort(Frame):
    """Stop the attempt with this token if it still runs; it is no longer awaited. Only async code can be stopped."""

    type: Literal["abort"] = "abort"
    token: str


class Environment(Frame):
    """The first message to a worker whose environment differs from its zygote's. Applied before its actor starts.

    Variables were given to its pool or tool by name, or the orchestrator's environment has changed since.
    """

    type: Literal["environment"] = "environment"
    variables: dict[str, str] = Field(repr=False)
    """Values by name. Each character of a value is the byte with its number, because values need not be UTF-8."""
    removed: tuple[str, ...] = ()
    """Names that the zygote has and the worker must not have: they were unset since the zygote started."""
    secret: bool = True
    """Whether some values were given only to this worker."""


class Stop(Frame):
    """Finish the running work and end the process."""

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
    """The worker has started its actor and accepts work."""

    type: Literal["ready"] = "ready"


class Heartbeat(Frame):
    """The worker's reader thread runs. ``busy``: seconds for which a turn or answer has held the loop, otherwise 0."""

    type: Literal["heartbeat"] = "heartbeat"
    busy: Elapsed = 0.0
    run_id: str | None = None
    """Id of the run whose turn it is, or of the question being answered."""


class Progress(Frame):
    """A step reports its progress."""

    type: Literal["progress"] = "progress"
    token: str
    detail: Json = None


class Emitted(Frame):
    """A step adds a value to a stream of its run or session while it runs."""

    type: Literal["emitted"] = "emitted"
    token: str
    channel: str
    value: Json


class Completed(Frame):
    """An attempt returned a result."""

    type: Literal["completed"] = "completed"
    token: str
    result: Json
    duration: Elapsed
    usage: Usage = Field(default_factory=dict)
    spoilt: str = ""
    """What the attempt changed in the worker that cannot be restored. The worker is replaced before its next job."""


class Failed(Frame):
    """An attempt raised, or its result was not accepted."""

    type: Literal["failed"] = "failed"
    token: str
    failure: ToldFailure
    duration: Elapsed
    usage: Usage = Field(default_factory=dict)
    spoilt: str = ""
    """What the attempt changed in the worker that cannot be restored. The worker is replaced before its next job."""


class Judged(Frame):
    """An evaluator has judged a result."""

    type: Literal["judged"] = "judged"
    token: str
    score: float | None = Field(ge=0, le=1)
    """None if the evaluator failed; ``failure`` then says why."""
    reason: str = ""
    label: str | None = None
    failure: ToldFailure | None = None
    duration: Elapsed = 0.0
    spoilt: str = ""
    """See ``Completed``."""


FromWorker: TypeAlias = Annotated[
    Ready
    | Heartbeat
    | Progress
    | Emitted
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
    """Everything that a fresh worker process needs to know. Sent by the orchestrator through the zygote."""

    worker: str
    incarnation: int
    kind: WorkerKind
    concurrency: int = 1
    heartbeat: float = 1.0
    """Seconds between heartbeats."""
    pool: str = ""
    """Name of the worker's pool."""
    limits: Limits = Limits()
    max_rss_mb: int | None = None
    """Resident size in MiB above which the worker is replaced after an attempt."""
