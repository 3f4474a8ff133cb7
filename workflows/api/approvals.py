"""Replies to a decision of an approval."""

from greenroom.messages.commands import Refused, Reply
from greenroom.messages.core.errors import ApprovalClosed, ApprovalNotFound, GreenroomError
from greenroom.messages.refusals import check


def check_decision(reply: Reply) -> None:
    """Raise the error for a refused decision.

    Raises:
        ApprovalNotFound: There is no approval with this id.
        ApprovalClosed: It was decided otherwise, or its run no longer waits for it.
        InvalidInput: The edit does not fit; every invalid field is named.
    """
    kinds: dict[str, type[GreenroomError]] = {"not_found": ApprovalNotFound, "conflict": ApprovalClosed}
    if isinstance(reply, Refused) and reply.code in kinds:
        raise kinds[reply.code](reply.message)
    check(reply)
