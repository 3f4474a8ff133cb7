"""Values that a run shows while it goes on, as its workflow's code gives them out."""

from typing import Any, Final

from greenroom.actors.context import program
from greenroom.actors.values.conversion import Form
from greenroom.messages.core.errors import NotSerializable
from greenroom.messages.core.json_text import text_of

MAX_VALUE_BYTES: Final = 8 * 1024 * 1024
"""Half of what a message between processes may hold."""
MAX_CHANNEL: Final = 200
"""Characters of a channel's name."""

_VALUE: Final = Form(Any, "an emitted value", returns=False)


async def emit(value: object, channel: str = "default") -> None:
    """Add a value to one of the run's streams, which ``Run.stream`` and ``greenroom runs stream`` read.

    Each channel is a stream of its own, only ever added to, with offsets 0, 1, 2 and so on. A call adds its value once:
    a replay does not add it again. Values are on the disk in the order of the calls, soon after the call and without it
    waiting for that; code that emits much is slowed down to the pace of the disk.

    Args:
        value: Anything pydantic can write as JSON, of at most 8 MiB.
        channel: Name of the stream.

    Raises:
        NotSerializable: The value cannot be written as JSON, or is too long.
        TypeError: The channel is no text.
        ValueError: It is empty or longer than 200 characters.
        RuntimeError: The code that asks runs in no workflow.
    """
    port = program.get()
    if port is None:
        msg = "emit() is for workflow code: a step, and code that no run awaits, has no stream"
        raise RuntimeError(msg)
    check_channel(channel)
    json = _VALUE.dump(value)
    size = len(text_of(json))
    if size > MAX_VALUE_BYTES:
        msg = f"an emitted value may have {MAX_VALUE_BYTES} bytes, and this one has {size}: emit where it lies instead"
        raise NotSerializable(msg)
    await port.emit(channel, json, size)


def check_channel(channel: object) -> None:
    """Refuse what is no channel's name: callers need not be typed.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty or too long.
    """
    if not isinstance(channel, str):
        msg = f"a channel is a name such as 'default', not {channel!r:.100}"
        raise TypeError(msg)
    if not 1 <= len(channel) <= MAX_CHANNEL:
        msg = f"a channel's name has 1 to {MAX_CHANNEL} characters, not {len(channel)}"
        raise ValueError(msg)
