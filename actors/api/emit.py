"""Streams of values that a workflow emits while it runs."""

from typing import Any, Final

from greenroom.actors.context import program
from greenroom.actors.values.conversion import ValueConverter
from greenroom.messages.core.errors import NotSerializable
from greenroom.messages.core.json_text import text_of
from greenroom.messages.core.message import Json

MAX_VALUE_BYTES: Final = 8 * 1024 * 1024
"""Half of the largest message between processes."""
MAX_CHANNEL: Final = 200
"""Longest name of a channel, in characters."""

_VALUE: Final = ValueConverter(Any, "an emitted value", returns=False)


async def emit(value: object, channel: str = "default", *, now: bool = False) -> None:
    """Add a value to one of the streams of the run or session, which ``Run.stream`` and ``Session.stream`` read.

    Each channel is a separate append-only stream, with offsets 0, 1, 2 and so on. Each call adds its value once; a
    replay does not add it again. Values are committed in the order of the calls, soon after each call. A call does not
    wait for its commit, but code that emits much is slowed down to the pace of the commits.

    In a session's turn, values are held until the turn ends well, unless ``now`` is given. A step emits with
    ``current().emit``.

    Args:
        value: Any value that pydantic can write as JSON, of at most 8 MiB.
        channel: Name of the stream.
        now: In a session's turn, commit the value soon after the call. It stays in the stream even if the turn fails.
            In a workflow this makes no difference.

    Raises:
        NotSerializable: The value cannot be written as JSON, or is too long.
        TypeError: The channel is not a string.
        ValueError: The channel is empty or longer than 200 characters.
        RuntimeError: The caller does not run in a workflow.
    """
    port = program.get()
    if port is None:
        msg = (
            "emit() is for workflow code: a step emits with current().emit(...), and code that no run awaits has no "
            "stream"
        )
        raise RuntimeError(msg)
    json = emitted_json(value, channel)
    await port.emit(channel, json, len(text_of(json)), now=now)


def emitted_json(value: object, channel: str) -> Json:
    """Return a value to emit as JSON.

    Raises:
        NotSerializable: The value cannot be written as JSON, or is too long.
        TypeError: The channel is not a string.
        ValueError: The channel is empty or too long.
    """
    check_channel(channel)
    json = _VALUE.dump(value)
    size = len(text_of(json))
    if size > MAX_VALUE_BYTES:
        msg = f"an emitted value may have {MAX_VALUE_BYTES} bytes, and this one has {size}: emit where it lies instead"
        raise NotSerializable(msg)
    return json


def check_channel(channel: object) -> None:
    """Raise if a value is not a channel's name, because callers need not be typed.

    Raises:
        TypeError: The channel is not a string.
        ValueError: The channel is empty or too long.
    """
    if not isinstance(channel, str):
        msg = f"a channel is a name such as 'default', not {channel!r:.100}"
        raise TypeError(msg)
    if not 1 <= len(channel) <= MAX_CHANNEL:
        msg = f"a channel's name has 1 to {MAX_CHANNEL} characters, not {len(channel)}"
        raise ValueError(msg)
