"""Approvals, found by their ids."""

from dataclasses import dataclass

from greenroom.messages.events.events import ApprovalAsked


@dataclass(frozen=True, slots=True)
class Asked:
    """An approval, found by its id."""

    run_id: str
    app: str
    key: str
    event: ApprovalAsked | None
    """None if the approval is not open."""
