"""Questions to people, as they are found by their ids."""

from dataclasses import dataclass

from greenroom.messages.events.events import ApprovalAsked


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, found by its id."""

    run_id: str
    app: str
    key: str
    event: ApprovalAsked | None
    """None where it is not open."""
