"""Size limits of what runs are given: a value too long for any worker is refused before it is journaled. Pure."""

from collections.abc import Mapping

from greenroom.messages.commands import Refused
from greenroom.messages.core.errors import CodecError
from greenroom.messages.core.json_text import JsonText, text_of
from greenroom.messages.core.message import Json
from greenroom.messages.frames.envelope import IN_A_FILE, MAX_FRAME_BYTES

LONGEST_MESSAGE = MAX_FRAME_BYTES // 2
"""Maximum size in bytes of a message as JSON; as much is left for the state that is sent with it."""
LONGEST_ARGUMENTS = MAX_FRAME_BYTES // 4 * 3 - 1024 * 1024
"""Maximum size in bytes of a run's arguments; a quarter of a frame is left for outcomes, and 1 MiB for names."""


def message_too_long(value: Json, what: str = "the message") -> Refused | None:
    """Return a refusal if a message is too long to be sent to a worker with the rest of the program's start."""
    return _too_long(value, what, LONGEST_MESSAGE)


def arguments_too_long(arguments: Mapping[str, Json]) -> Refused | None:
    """Return a refusal if arguments are too long for any program to begin."""
    what = "what the workflow is given"
    try:
        members = JsonText.of_members(arguments)
    except CodecError as error:
        return Refused(code="invalid", message=f"{what}: {error}")
    return _too_long(members, what, LONGEST_ARGUMENTS)


def _too_long(value: Json, what: str, most: int) -> Refused | None:
    try:
        size = len(text_of(value))
    except CodecError as error:  # for instance, it is nested too deeply
        return Refused(code="invalid", message=f"{what}: {error}")
    if size <= most:
        return None
    message = f"{what} has {size} bytes as JSON, and {most} are the most: {IN_A_FILE}"
    return Refused(code="invalid", message=message)
