"""The envelope in which every message crosses processes."""

from typing import Final, Generic, TypeVar

from greenroom.messages.core.message import Message

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Largest frame that crosses processes, in bytes."""
MOST_TURN_FRAMES: Final = 33
"""Most frames of one turn of a program."""
MOST_TURN_BYTES: Final = MOST_TURN_FRAMES // 2 * MAX_FRAME_BYTES
"""Longest turn in bytes as JSON, since the orchestrator holds all of it at once. Two frames of it in a row are together
longer than one may be."""
IN_A_FILE: Final = "leave what is long in a file, and give its path"
"""What to do about a value that is too long for a frame."""

M = TypeVar("M", bound=Message)


class Envelope(Message, Generic[M]):
    """Data about a message, with the message.

    The receiver of a worker's bytes sets ``sender`` and checks ``incarnation`` itself. So a worker cannot pretend to be
    another one, and frames of an earlier incarnation are recognized.
    """

    id: str = ""
    """Identity of the message; empty if nothing refers to it."""
    cause: str = ""
    """Id of the message that led to this one."""
    sender: str = ""
    attempt: int = 0
    incarnation: int = 0
    """Incarnation of the worker that sends it or is to receive it."""
    deadline: float | None = None
    """Seconds from sending after which the answer is no longer awaited."""
    trace: str = ""
    """Trace context, passed on unread."""
    message: M
