"""What an orchestrator and its zygote say to each other. One packet of JSON each, private to this package."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from greenroom.messages.core.message import Message
from greenroom.messages.frames.worker import WorkerSpec

MAX_PACKET_BYTES: Final = 64 * 1024
"""A packet is cut to this size by its receiver; texts in packets are kept far below it."""
MAX_TEXT: Final = 8_000


class Boot(Message):
    """The first packet: what the zygote is to load."""

    type: Literal["boot"] = "boot"
    app: str
    preload: str
    argv: tuple[str, ...]
    """``sys.argv`` while the app is imported."""
    main: str
    fresh: bool
    """True: load nothing, and have each worker execute an interpreter of its own."""
    timeout: float
    """Seconds that the start may take, the interpreter's own included."""
    folder: str = ""
    """The working folder of the orchestrator, from which the app can import as with ``python -m``; empty for none."""
    withheld: tuple[str, ...] = ()
    """Names of the variables that are set outside and kept from the app; never their values."""


class Launch(Message):
    """Fork a worker. Three descriptors come along: its socket, its stdout, its stderr."""

    type: Literal["launch"] = "launch"
    id: int
    spec: WorkerSpec
    furnished: bool
    """Whether the first message on its socket is an ``Environment``, for it alone: not even the zygote may know it."""


class Loaded(Message):
    """The zygote has loaded the app and takes launches."""

    type: Literal["loaded"] = "loaded"
    pid: int
    data_kib: int = 0
    """What counts under RLIMIT_DATA in a process that has loaded the app."""


class LoadFailed(Message):
    """The app cannot be loaded, or not be forked; ``sentence`` is for a person."""

    type: Literal["load_failed"] = "load_failed"
    sentence: str


class Launched(Message):
    """The worker's process exists."""

    type: Literal["launched"] = "launched"
    id: int
    pid: int


class LaunchFailed(Message):
    """The kernel refused another process."""

    type: Literal["launch_failed"] = "launch_failed"
    id: int
    reason: str


class Ended(Message):
    """A worker is dead and reaped, and nothing of its process tree is left."""

    type: Literal["ended"] = "ended"
    id: int
    status: int
    """As ``wait4`` gives it."""
    peak_kib: int
    cpu: float


class ZygoteEnded(Message):
    """The keeper's last word: the zygote is dead, and so is everything it had forked."""

    type: Literal["zygote_ended"] = "zygote_ended"
    status: int


ToZygote: TypeAlias = Annotated[Boot | Launch, Field(discriminator="type")]
FromZygote: TypeAlias = Annotated[
    Loaded | LoadFailed | Launched | LaunchFailed | Ended | ZygoteEnded, Field(discriminator="type")
]

TO_ZYGOTE: Final[TypeAdapter[Any]] = TypeAdapter(ToZygote)
FROM_ZYGOTE: Final[TypeAdapter[Any]] = TypeAdapter(FromZygote)
