"""What the rest of the project sees of processes: jobs given to pools, what becomes of them, and the backend seam."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from greenroom.messages.core.failures import Exit
from greenroom.messages.core.frozen import frozen
from greenroom.messages.frames.worker import FromWorker, ToWorker, WorkerSpec
from greenroom.messages.policy import WorkerKind
from greenroom.supervision.pool_config import Pool as Pool  # noqa: PLC0414  a part of this seam


class PoolKey(NamedTuple):
    """Identity of a pool: workers are alike when these are."""

    app: str
    kind: WorkerKind
    name: str
    """The kind, or the name of the step that has a pool of its own."""


# ---------------------------------------------------------------- what becomes of a job


@frozen
class Assigned:
    """A worker has been chosen. A held job has not been sent yet: ``Release`` sends it.

    If its worker dies before that, the job is given to another one and this comes again; a release that was given stays
    with the job.
    """

    token: str
    worker: str
    pid: int
    incarnation: int


@frozen
class Answered:
    """The worker sent a message that belongs to the job.

    Ends the job unless it is a streaming one, or the message is a ``Progress``.
    """

    token: str
    message: FromWorker


@frozen
class Lost:
    """The job's worker has ended, confirmed dead with its whole process tree, before the job did.

    ``charged`` is False where the job is not to blame: a bystander, an injected fault, a lost backend.
    """

    token: str
    exit: Exit
    charged: bool


@frozen
class Unavailable:
    """No worker can take the job: the app does not load, or the pool has given up. ``reason`` is for a person."""

    token: str
    reason: str
    unsendable: bool = False
    """Whether it is the job's own fault: its frame is too long for any worker."""
    pool: str = ""
    """Name of the pool where that takes work again by itself, after a while."""


JobEvent: TypeAlias = Assigned | Answered | Lost | Unavailable


@frozen
class Job:
    """One message for a worker of a pool, and where to say what became of it.

    Exactly one of ``Answered``, ``Lost`` and ``Unavailable`` ends a job, unless it was withdrawn. A streaming job (a
    program) is answered many times and ends with ``Lost``, ``Unavailable`` or ``Withdraw``.
    """

    token: str
    run_id: str
    label: str
    """Name of the step or workflow, shown as what the worker is doing."""
    frame: ToWorker
    reply: Callable[[JobEvent], None]
    """Called on the reactor's thread; must not block."""
    attempt: int = 0
    timeout: float | None = None
    """Seconds from being sent to the worker. At their end the worker's process tree is killed and the job is Lost with
    an exit of kind ``timeout``; whatever the worker still says of it is dropped from that moment."""
    hold: bool = False
    """Do not send on assignment, wait for ``Release``: something must be committed first."""
    avoid: int | None = None
    """Pid of the process in which the last attempt failed. Another one is preferred."""
    solo: bool = False
    """Run it in a fresh worker with nothing else in flight."""
    streaming: bool = False
    zygotes_lost: int = 0
    """How often the process died from which its worker was forked, by the records of its earlier attempts."""
    pressing: bool = False
    """Whether a person waits for the answer at this moment: it is Unavailable while no worker can be begun."""


# ---------------------------------------------------------------- what a pool is told


@frozen
class Submit:
    """Take a job: it waits in the pool's queue until a worker is free."""

    job: Job


@frozen
class Release:
    """Send a held job to the worker it was assigned to."""

    token: str


@frozen
class Send:
    """Send a further frame to the worker that has a streaming job."""

    token: str
    frame: ToWorker


@frozen
class Withdraw:
    """End a job whose result is no longer wanted.

    Queued: forgotten. Streaming: its worker is sent ``farewell``. Running in a worker of its own: the worker is asked
    to abort, then killed after ``grace`` seconds. No job event follows; ``done`` is called once nothing of the job runs
    any more.
    """

    token: str
    farewell: ToWorker | None = None
    grace: float = 0.0
    done: Callable[[], None] | None = None


@frozen
class KillWorker:
    """Send a signal to a worker as an injected fault."""

    worker: str
    signal: int = 9


JobOrder: TypeAlias = Release | Send | Withdraw


class JobHandle:
    """A job that was submitted, for further orders about it. Thread-safe; never blocks.

    Orders for a job that has ended do nothing.

    Args:
        tell: Sends a message to the pool that has the job.
        token: The job.
    """

    __slots__ = ("_tell", "_token")

    def __init__(self, tell: Callable[[JobOrder], None], token: str) -> None:
        """Send nothing yet."""
        self._tell = tell
        self._token = token

    def release(self) -> None:
        """Have the pool send the job, which it holds back; see ``Release``."""
        self._tell(Release(self._token))

    def send(self, frame: ToWorker) -> None:
        """Have the pool send a further frame to the worker of this streaming job; see ``Send``."""
        self._tell(Send(self._token, frame))

    def withdraw(
        self, *, farewell: ToWorker | None = None, grace: float = 0.0, done: Callable[[], None] | None = None
    ) -> None:
        """Have the pool forget or end the job; see ``Withdraw``."""
        self._tell(Withdraw(self._token, farewell, grace, done))


# ---------------------------------------------------------------- the backend seam


class WorkerListener(Protocol):
    """Hears of one worker life. All calls come on the reactor's thread."""

    def spawned(self, pid: int) -> None:
        """The process exists."""
        ...

    def received(self, message: FromWorker) -> None:
        """The worker sent a message; bytes that are no message have already ended its life."""
        ...

    def died(self) -> None:
        """The process is dead or was never begun; ``exited`` follows once its tree is gone too. It reads no more."""
        ...

    def exited(self, exit: Exit, read: int) -> None:  # noqa: A002  the word for it
        """The process and its whole tree are gone, and everything it had sent was delivered before. The last call.

        ``read`` counts the bytes that were read of what it was sent: the messages for which ``send`` gave more than
        that were never begun.
        """
        ...


class WorkerProcess(Protocol):
    """One life of one worker."""

    pid: int | None

    @property
    def hearing(self) -> bool:
        """Whether a long message of it is being understood. What it says meanwhile, heartbeats too, waits for that."""
        ...

    def send(self, message: ToWorker) -> int:
        """Queue a message to the worker; never blocks. It goes nowhere once the worker is gone.

        Gives how many bytes of all it was sent the worker has to have read to know this message.
        """
        ...

    def kill(self, reason: Exit, *, signal: int = 9) -> None:
        """End the process and its tree; ``exited`` reports ``reason`` completed by what the kernel says of the end."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal as an injected fault and leave it at that."""
        ...


class Backend(Protocol):
    """Makes worker processes for one app. The zygote and the spawn backend pass the same conformance suite."""

    on_lost: Callable[[str], None]
    """Set by whoever owns the backend; called with a sentence each time the process is lost that its workers depend on,
    before they are reported dead."""
    holds_mb: int
    """What counts under a worker's memory limit once it has loaded the app, in MiB; 0 before that is known."""

    async def start(self) -> None:
        """Load the app.

        Raises:
            DefinitionError: The app cannot be loaded; the message holds the user's own traceback.
        """
        ...

    def spawn(self, spec: WorkerSpec, listener: WorkerListener) -> WorkerProcess:
        """Begin a worker; ``listener`` hears the rest. Never blocks."""
        ...

    async def close(self) -> None:
        """End every worker with its tree and then the backend itself."""
        ...


@frozen
class Entry:
    """Where a fresh process finds what to run, as ``"module:function"``: the layers above choose it.

    ``preload(app: str)`` imports the app and warms up; ``main(connection: socket.socket, spec: WorkerSpec)`` is a
    worker's whole life.
    """

    preload: str
    main: str
    path: tuple[str, ...] = ()
    """``sys.path`` of the new process."""
    argv: tuple[str, ...] = ()
    """``sys.argv`` while the app is imported; nothing means the app alone."""
