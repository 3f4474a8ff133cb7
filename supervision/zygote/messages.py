"""Messages between an orchestrator and its zygote: one packet of JSON each, private to this package."""

import signal
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from greenroom.messages.core.message import Message
from greenroom.messages.frames.worker import WorkerSpec

MAX_PACKET_BYTES: Final = 64 * 1024
"""Largest packet; the receiver truncates longer ones. Texts in packets are much shorter."""
MAX_TEXT: Final = 8_000
OUTDATED: Final = (
    "greenroom was upgraded or edited on disk since this orchestrator started, and what its processes would import "
    "now does not fit it. Start the orchestrator again: nothing is lost, and its runs go on then"
)
"""What is said where the source marks of an orchestrator and of a process that it starts differ."""
SENT_BY_OTHERS: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP})
"""Signals that end a process because the kernel, an operator or a fault test wants it, and not because of its code."""


class Boot(Message):
    """The first packet: the app to load, and how."""

    type: Literal["boot"] = "boot"
    app: str
    preload: str
    argv: tuple[str, ...]
    """``sys.argv`` while the app is imported."""
    main: str
    fresh: bool
    """If true, load nothing, and let each worker execute a new interpreter."""
    timeout: float
    """Seconds that the start may take, including that of the interpreter."""
    folder: str = ""
    """Working folder of the orchestrator, from which the app can import as with ``python -m``; empty for none."""
    withheld: tuple[str, ...] = ()
    """Names of the environment variables that are withheld from the app; never their values."""
    watched: bool = True
    """Whether the import writes its stack at intervals. The watchdog reads frames while they change, and can crash."""
    source: str = ""
    """The ``source_mark`` of the orchestrator; empty if any will do."""


class Launch(Message):
    """Fork a worker. The packet carries three descriptors: its socket, stdout and stderr."""

    type: Literal["launch"] = "launch"
    id: int
    spec: WorkerSpec
    own_environment: bool
    """Whether the first message on its socket is an ``Environment``, which the zygote must not see."""


class Loaded(Message):
    """The zygote has loaded the app and accepts launches."""

    type: Literal["loaded"] = "loaded"
    pid: int
    data_kib: int = 0
    """Memory that counts under RLIMIT_DATA in a process that has loaded the app, in KiB."""
    variables: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Names of the environment variables that the app's workers get besides, by kind of worker."""


class LoadFailed(Message):
    """The app cannot be loaded or forked; ``sentence`` is shown to users."""

    type: Literal["load_failed"] = "load_failed"
    sentence: str
    threaded: bool = False
    """True if the app was loaded, and has left threads, with which it cannot be forked."""
    killed: bool = False
    """True if a signal from outside ended the process that imported the app, see ``SENT_BY_OTHERS``."""
    outdated: bool = False
    """True if nothing was loaded, because the package on disk is no longer that of the orchestrator."""


class Launched(Message):
    """The worker's process exists."""

    type: Literal["launched"] = "launched"
    id: int
    pid: int


class LaunchFailed(Message):
    """The kernel refused to create another process."""

    type: Literal["launch_failed"] = "launch_failed"
    id: int
    reason: str


class Ended(Message):
    """A worker is dead and reaped, and no process of its tree is left."""

    type: Literal["ended"] = "ended"
    id: int
    status: int
    """Wait status as ``wait4`` returns it."""
    peak_kib: int
    cpu: float


class ZygoteEnded(Message):
    """The keeper's last packet: the zygote and all its descendants are dead."""

    type: Literal["zygote_ended"] = "zygote_ended"
    status: int


ToZygote: TypeAlias = Annotated[Boot | Launch, Field(discriminator="type")]
FromZygote: TypeAlias = Annotated[
    Loaded | LoadFailed | Launched | LaunchFailed | Ended | ZygoteEnded, Field(discriminator="type")
]

TO_ZYGOTE: Final[TypeAdapter[Any]] = TypeAdapter(ToZygote)
FROM_ZYGOTE: Final[TypeAdapter[Any]] = TypeAdapter(FromZygote)


def is_outdated(boot: dict[str, Any], ours: str) -> bool:
    """Return whether the JSON of a ``Boot`` comes from an orchestrator with other code than this process has."""
    return boot.get("source", "") not in {"", ours}
