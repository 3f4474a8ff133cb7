"""What a person decides of what a run asks: the answer, and the name by which the question is found."""

from typing import Final, Literal, TypeAlias

from understudy.messages.base import Message, Shown

ApprovalDecision: TypeAlias = Literal["approve", "reject", "edit"]


class Approval(Message):
    """What a person has decided.

    Attributes:
        decision: ``"approve"``, ``"reject"``, or ``"edit"``: yes, but with other arguments.
        args: The arguments as they are to be: those of the edit, else those that were asked about.
        comment: Why, in the person's words.
        by: Who it was.
    """

    decision: ApprovalDecision
    args: Shown = None
    comment: str = ""
    by: str = ""


_BETWEEN: Final = ":"
"""Between a run and a key in an approval's id. It may stand in the first part; in the second it is escaped."""


def approval_id(run_id: str, key: str) -> str:
    """Name a run's question. Example: ``release-7:approve#1``."""
    return f"{run_id}{_BETWEEN}{key.replace('%', '%25').replace(_BETWEEN, '%3A')}"


def split_approval_id(approval: str) -> tuple[str, str]:
    """Give the run and the key of a question; both empty where it is no such name."""
    run_id, between, key = approval.rpartition(_BETWEEN)
    return (run_id, key.replace("%3A", _BETWEEN).replace("%25", "%")) if between else ("", "")
