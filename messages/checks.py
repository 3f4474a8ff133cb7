"""What a check of code against a journal has found."""

from typing import Literal, TypeAlias

from understudy.messages.base import Message
from understudy.messages.differences import Difference
from understudy.messages.records import RunStatus

Verdict: TypeAlias = Literal["equal", "differs", "unloadable"]


class CheckRecord(Message):
    """Whether code, as it is now, fits the journal of one run."""

    run_id: str
    workflow: str
    version: int = 1
    app: str
    status: RunStatus
    verdict: Verdict
    """``unloadable``: the code could not be compared, because it does not load, or breaks its process."""
    changed: bool = False
    """Whether it is other code than the journal was last replayed with."""
    reason: str = ""
    """Why it is not equal."""
    difference: Difference | None = None
