"""Approvals, found by their ids."""

from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import ApprovalAsked


@frozen
class Asked:
    """An approval, found by its id."""

    run_id: str
    app: str
    key: str
    event: ApprovalAsked | None
    """None if the approval is not open."""
