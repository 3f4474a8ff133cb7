"""What becomes of a person's decision, for whoever has sent it."""

from greenroom.messages.commands import Refused, Reply
from greenroom.messages.core.errors import ApprovalClosed, ApprovalNotFound, GreenroomError
from greenroom.workflows.api.handles.run import check


def check_decision(reply: Reply) -> None:
    """Raise what a decision was refused with.

    Raises:
        ApprovalNotFound: There is no such approval.
        ApprovalClosed: It has been decided otherwise, or nobody waits for it any more.
        InvalidInput: The edit does not fit; every field at fault is named.
    """
    kinds: dict[str, type[GreenroomError]] = {"not_found": ApprovalNotFound, "conflict": ApprovalClosed}
    if isinstance(reply, Refused) and reply.code in kinds:
        raise kinds[reply.code](reply.message)
    check(reply)
