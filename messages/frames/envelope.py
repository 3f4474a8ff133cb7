"""The envelope every message crosses a boundary in."""

from typing import Final, Generic, TypeVar

from greenroom.messages.core.message import Message

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Longest frame that crosses a process boundary."""

M = TypeVar("M", bound=Message)


class Envelope(Message, Generic[M]):
    """What is known of a message apart from its content.

    The receiver of a worker's bytes stamps ``sender`` and checks ``incarnation`` itself: a worker cannot claim to be
    another, nor can a past life of it speak.
    """

    id: str = ""
    """Identity of the message; empty where nothing refers to it."""
    cause: str = ""
    """Id of the message that led to this one."""
    sender: str = ""
    attempt: int = 0
    incarnation: int = 0
    """Life number of the worker that sends or is meant to receive it."""
    deadline: float | None = None
    """Seconds from sending after which nobody waits for an answer."""
    trace: str = ""
    """Trace context handed through unread."""
    message: M
