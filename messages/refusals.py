"""Refusals that several places make, and the errors that refused commands raise. Pure."""

from collections.abc import Callable, Mapping
from typing import Final, ParamSpec, TypeVar, cast, get_args

from pydantic import ValidationError

from greenroom.messages.commands import Command, Refused, Reply
from greenroom.messages.core.errors import (
    CodecError,
    GreenroomError,
    IdConflict,
    InvalidInput,
    MailboxFull,
    OrchestratorClosed,
    RetryRefused,
    RunEnded,
    RunNotFound,
    RunParked,
    ScheduleBusy,
    SessionClosed,
    WorkersUnavailable,
)
from greenroom.messages.core.json_text import JsonText, text_of
from greenroom.messages.core.message import Json, Message
from greenroom.messages.frames.envelope import IN_A_FILE, MAX_FRAME_BYTES
from greenroom.messages.ids import is_text

P = ParamSpec("P")
M = TypeVar("M", bound=Message)

REFUSED_AS: Final[dict[str, type[Exception]]] = {
    "invalid": InvalidInput,
    "not_found": RunNotFound,
    "conflict": IdConflict,
    "closed": OrchestratorClosed,
    "full": MailboxFull,
    "ended": RunEnded,
    "not_failed": RetryRefused,
    "session_closed": SessionClosed,
    "parked": RunParked,
    "timeout": TimeoutError,
    "busy": ScheduleBusy,
    "no_workers": WorkersUnavailable,
}
"""The exception for each code of a refusal; a ``GreenroomError`` for any other."""
_COMMANDS: Final = frozenset(get_args(get_args(Command)[0]))
LONGEST_MESSAGE = MAX_FRAME_BYTES // 2
"""Maximum size in bytes of a message as JSON; as much is left for the state that is sent with it."""
LONGEST_ARGUMENTS = MAX_FRAME_BYTES // 4 * 3 - 1024 * 1024
"""Maximum size in bytes of a run's arguments; a quarter of a frame is left for outcomes, and 1 MiB for names."""


def unanswered(run_id: str, timeout: float) -> Refused:
    """Return the refusal of a question that a session has not answered within ``timeout`` seconds."""
    message = (
        f"session {run_id} has not answered within {timeout:g} s; the message stays and is answered in its turn: ask "
        "again with the same key to have the reply"
    )
    return Refused(code="timeout", message=message)


def check(reply: Reply) -> Reply:
    """Return a reply, or raise the error of a refusal."""
    if not isinstance(reply, Refused):
        return reply
    if reply.code == "invalid":
        raise InvalidInput(reply.message, tuple((fault.field, fault.sentence) for fault in reply.faults))
    raise REFUSED_AS.get(reply.code, GreenroomError)(reply.message)


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


def check_command(given: object) -> None:
    """Check what is passed to ``send``.

    Raises:
        TypeError: It is not a command.
        InvalidInput: A text in it cannot be written into a journal.
    """
    if type(given) not in _COMMANDS:
        msg = (
            'send() takes a command of greenroom.messages.commands, such as CancelRun(run_id="run-1"), not '
            f"{given!r:.200}; a run is sent a message with run.signal()"
        )
        raise TypeError(msg)
    assert isinstance(given, Message)
    _check_texts(given)


def _check_texts(command: Message) -> None:
    """Raise ``InvalidInput`` for half a surrogate pair, as in a file name or an argument that is no UTF-8.

    Written with the rest of a run's events, it would take them along.
    """
    for name, member in command:
        texts = cast("dict[str, object]", member) if isinstance(member, dict) else (member,)
        for text in texts:  # of a dict, its keys; values are checked where they become JSON
            if isinstance(text, str) and not is_text(text):
                sentence = f"holds what is not a character: {text!r:.250}"
                msg = f"{name}: {sentence}"
                raise InvalidInput(msg, ((name, sentence),))


def checked(command: Callable[P, M], *args: P.args, **members: P.kwargs) -> M:
    """Return a command with members that a caller has given.

    Raises:
        InvalidInput: A member is of another type, or is a text that cannot be written into a journal.
    """
    try:
        made = command(*args, **members)
    except ValidationError as error:
        found = error.errors(include_url=False)
        faults = tuple(
            (".".join(map(str, each["loc"])), f"{each['msg']}, not {each['input']!r:.100}") for each in found
        )
        raise InvalidInput("; ".join(f"{name}: {why}" for name, why in faults), faults) from None
    _check_texts(made)
    return made
