"""Jobs, their events, the orders about them, and the interface of process backends.

The rest of the project uses supervision through these types.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.failures import Exit
from greenroom.messages.core.frozen import frozen
from greenroom.messages.frames.worker import FromWorker, ToWorker, WorkerSpec
from greenroom.messages.options.policy import WorkerKind
from greenroom.supervision.pool_config import Pool as Pool  # noqa: PLC0414  a part of this interface


class PoolKey(NamedTuple):
    """Identity of a pool. Workers with equal keys are interchangeable."""

    app: str
    kind: WorkerKind
    name: str
    """Kind of the workers, or name of the step if the step has its own pool."""


# ---------------------------------------------------------------- events of a job


@frozen
class Assigned:
    """A worker has been chosen. A held job has not been sent yet: ``Release`` sends it.

    If its worker dies before that, the job is assigned to another worker and the event is repeated. A release that was
    already given remains valid.
    """

    token: str
    worker: str
    pid: int
    incarnation: int


@frozen
class Answered:
    """The worker sent a message that belongs to the job.

    Ends the job, unless the job is a streaming one or the message is a ``Progress`` or ``Emitted``.
    """

    token: str
    message: FromWorker


@frozen
class Lost:
    """The job's worker, with its whole process tree, was confirmed dead before the job ended.

    ``charged`` is False if the job is not to blame: a bystander, an injected fault, a lost backend.
    """

    token: str
    exit: Exit
    charged: bool


@frozen
class Unavailable:
    """No worker can take the job: the app does not load, or the pool has given up. ``reason`` is shown to users."""

    token: str
    reason: str
    unsendable: bool = False
    """Whether the job's frame is too long for any worker."""
    pool: str = ""
    """Name of the pool, if that pool accepts work again by itself after a pause; else empty."""


JobEvent: TypeAlias = Assigned | Answered | Lost | Unavailable


@frozen
class Job:
    """One message for a worker of a pool, and the callback for the job's events.

    Exactly one of ``Answered``, ``Lost`` and ``Unavailable`` ends a job, unless it was withdrawn. A streaming job (a
    program) is answered many times and ends with ``Lost``, ``Unavailable`` or ``Withdraw``.
    """

    token: str
    run_id: str
    label: str
    """Name of the step or workflow, shown as the worker's current work."""
    frame: ToWorker
    reply: Callable[[JobEvent], None]
    """Called on the reactor's thread, never during an order to the pool; must not block."""
    attempt: int = 0
    timeout: float | None = None
    """Seconds that the job may take after it was sent to the worker. Then the worker's process tree is killed and the
    job is ``Lost`` with an exit of kind ``timeout``. Later messages about the job are dropped."""
    hold: bool = False
    """Whether to wait for ``Release`` before sending an assigned job, because an event must be committed first."""
    avoid: int | None = None
    """Pid of the process in which the last attempt failed. Another process is preferred."""
    solo: bool = False
    """Whether to run the job alone in a fresh worker."""
    streaming: bool = False
    zygotes_lost: int = 0
    """Number of earlier attempts whose worker died with its zygote, according to the journal."""
    pressing: bool = False
    """Whether a caller waits for the answer now. The job is ``Unavailable`` at once if no worker can be started."""
    model: str = ""
    """Name of the model that it calls; empty if it calls none."""
    tokens: int = 0
    """Estimate of the input and output tokens of that call."""


# ---------------------------------------------------------------- orders to a pool


@frozen
class Submit:
    """Add a job to the pool's queue, where it waits until a worker is free."""

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

    A queued job is removed. The worker of a streaming job is sent ``farewell``. The worker of any other running job is
    asked to abort, then killed after ``grace`` seconds. No job event follows. ``done`` is called when nothing of the
    job runs any more.
    """

    token: str
    farewell: ToWorker | None = None
    grace: float = 0.0
    done: Callable[[], None] | None = None


@frozen
class Mute:
    """Stop reading the messages of the worker that has a job, or go on, so that it sends no faster than it is heard.

    The worker is read again at the latest when the job ends, is withdrawn, or its time is over.
    """

    token: str
    muted: bool


@frozen
class KillWorker:
    """Send a signal to a worker as an injected fault."""

    worker: str
    signal: int = 9


@frozen
class Accuse:
    """End the worker of a job that has sent what it must not. The job is lost, as when the worker dies by itself."""

    token: str
    detail: str
    """What it has done, in words that follow "it"."""


JobOrder: TypeAlias = Release | Send | Mute | Accuse | Withdraw


class JobHandle:
    """Gives further orders about a submitted job. Reactor thread only; never blocks.

    Orders for a job that has ended do nothing.

    Args:
        order: Gives an order to the job's pool.
        token: Token of the job.
    """

    __slots__ = ("_order", "_token")

    def __init__(self, order: Callable[[JobOrder], None], token: str) -> None:
        """Keep the arguments; no order is given yet."""
        self._order = order
        self._token = token

    @property
    def waits(self) -> bool:
        """Whether the job waits for a certain time, until which nothing happens to it."""
        return False

    def order(self, order: JobOrder) -> None:
        """Give an order about the job to its pool."""
        self._order(order)

    def release(self) -> None:
        """Order the pool to send a held job; see ``Release``."""
        self._order(Release(self._token))

    def send(self, frame: ToWorker) -> None:
        """Order the pool to send a further frame to the worker of this streaming job; see ``Send``."""
        self._order(Send(self._token, frame))

    def mute(self, muted: bool) -> None:  # noqa: FBT001  a switch
        """Order the pool to stop reading the messages of the job's worker, or to go on; see ``Mute``."""
        self._order(Mute(self._token, muted))

    def accuse(self, detail: str) -> None:
        """Order the pool to end the job's worker, because of what it has sent; see ``Accuse``."""
        self._order(Accuse(self._token, detail))

    def withdraw(
        self, *, farewell: ToWorker | None = None, grace: float = 0.0, done: Callable[[], None] | None = None
    ) -> None:
        """Order the pool to remove or end the job; see ``Withdraw``."""
        self._order(Withdraw(self._token, farewell, grace, done))


# ---------------------------------------------------------------- interface of backends


class WorkerListener(Protocol):
    """Callbacks about one life of a worker. All are called on the reactor's thread."""

    def spawned(self, pid: int) -> None:
        """The process exists."""
        ...

    def received(self, message: FromWorker) -> None:
        """The worker sent a valid message. Bytes that are not a message end the life instead."""
        ...

    def died(self) -> None:
        """The process is dead or was never started. ``exited`` follows when its process tree is gone too."""
        ...

    def exited(self, exit: Exit, read: int) -> None:  # noqa: A002  the usual term
        """The process and its whole tree are gone. This is the last call; all its messages were delivered before.

        ``read`` is the number of bytes that the worker has read. Work on a message was never begun if ``send`` returned
        a larger number for it.
        """
        ...


class WorkerProcess(Protocol):
    """One process of a worker."""

    pid: int | None

    @property
    def hearing(self) -> bool:
        """Return whether its messages wait, heartbeats included: a long one is being decoded, or it is muted."""
        ...

    def mute(self, muted: bool) -> None:  # noqa: FBT001  a switch
        """Stop reading the worker's messages, or go on. A worker that sends more than the kernel holds waits."""
        ...

    def send(self, message: ToWorker) -> int:
        """Queue a message to the worker. Never blocks; does nothing once the worker is gone.

        Returns:
            How many bytes the worker must have read in total to have received this message.
        """
        ...

    def kill(self, reason: Exit, *, signal: int = 9) -> None:
        """Kill the process and its tree. ``exited`` reports ``reason``, completed with the kernel's exit status."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal as an injected fault, without any further action."""
        ...


class ImportKilled(DefinitionError):  # noqa: N818  reads like its siblings
    """What imported an app was killed from outside, each time. The app is not to blame, and may load later."""


class Backend(Protocol):
    """Starts worker processes for one app. The zygote and the spawn backend pass the same conformance suite."""

    on_lost: Callable[[str], None]
    """Set by the owner of the backend. Called with a sentence each time the process that its workers depend on is
    lost, before the workers are reported dead."""
    holds_mb: int
    """Memory of the loaded app in MiB, as far as it counts under a worker's memory limit; 0 before it is known."""

    @property
    def detail(self) -> str:
        """Return what it consists of, in words, for the tree of actors."""
        ...

    async def start(self) -> None:
        """Load the app.

        Raises:
            ImportKilled: The process that imported the app was killed, and so were those that tried it again.
            DefinitionError: The app cannot be loaded; the message holds the user's own traceback.
        """
        ...

    def spawn(self, spec: WorkerSpec, listener: WorkerListener) -> WorkerProcess:
        """Start a worker; ``listener`` is told of its life. Never blocks."""
        ...

    async def close(self) -> None:
        """End every worker with its process tree, then the backend itself."""
        ...


@frozen
class Entry:
    """The functions that a new process runs, as ``"module:function"``. The layers above choose them.

    ``prepare()`` imports what all workers need, before the app is known; empty for nothing. ``preload(app: str)``
    imports the app, and returns the names of the environment variables that each kind of worker needs.
    ``preload_to_fork(app: str)`` does so where workers are forked afterwards; empty if that makes no difference.
    ``main(connection: socket.socket, spec: WorkerSpec)`` is a worker's whole life.
    """

    preload: str
    main: str
    path: tuple[str, ...] = ()
    """``sys.path`` of the new process."""
    argv: tuple[str, ...] = ()
    """``sys.argv`` while the app is imported; empty for the app's name alone."""
    prepare: str = ""
    preload_to_fork: str = ""
