"""The errors that refused commands raise."""

from typing import Final

from greenroom.messages.commands import Refused, Reply
from greenroom.messages.core.errors import (
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
)

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
}
"""The exception for each code of a refusal; a ``GreenroomError`` for any other."""


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
