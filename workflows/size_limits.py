"""How long values may be that runs are given: what no worker could ever be sent is refused at the door. Pure."""

from collections.abc import Mapping

from greenroom.messages.commands import Refused
from greenroom.messages.core.errors import CodecError
from greenroom.messages.core.json_text import JsonText, text_of
from greenroom.messages.core.message import Json
from greenroom.messages.frames.envelope import MAX_FRAME_BYTES

LONGEST_MESSAGE = MAX_FRAME_BYTES // 2
"""Bytes of a message to a run or session as JSON; as many are left for the state that goes with it."""
LONGEST_ARGUMENTS = MAX_FRAME_BYTES // 4 * 3 - 1024 * 1024
"""Bytes of a run's arguments; a quarter is left for outcomes that go with them, and the rest for names."""


def message_too_long(value: Json, what: str = "the message") -> Refused | None:
    """Refuse a value that could never be handed to a worker, together with what else a program begins with."""
    return _too_long(value, what, LONGEST_MESSAGE)


def arguments_too_long(arguments: Mapping[str, Json]) -> Refused | None:
    """Refuse arguments with which no program could ever begin."""
    what = "what the workflow is given"
    try:
        members = JsonText.of_members(arguments)
    except CodecError as error:
        return Refused(code="invalid", message=f"{what}: {error}")
    return _too_long(members, what, LONGEST_ARGUMENTS)


def _too_long(value: Json, what: str, most: int) -> Refused | None:
    try:
        size = len(text_of(value))
    except CodecError as error:  # it is nested too deep, for one
        return Refused(code="invalid", message=f"{what}: {error}")
    if size <= most:
        return None
    message = (
        f"{what} has {size} bytes as JSON, and {most} are the most: leave what is long in a file, and give its path"
    )
    return Refused(code="invalid", message=message)
