"""Events found by a mark in the journal, and checked against it."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from greenroom.journal.interface import Journal, Mark, MarkKind
from greenroom.messages.advice import reindex
from greenroom.messages.core.errors import JournalCorrupt
from greenroom.messages.events.events import (
    AnswerSampled,
    AnyEvent,
    ApprovalAsked,
    MessageReceived,
    MessageSent,
    StepFailed,
    TurnFailed,
)


def _letter(event: AnyEvent) -> str | None:
    if isinstance(event, TurnFailed):
        return str(event.number)
    return event.key if isinstance(event, StepFailed) else None


_NAMES: Final[Mapping[MarkKind, Callable[[Any], str | None]]] = {
    "approval": lambda event: event.key if isinstance(event, ApprovalAsked) else None,
    "message": lambda event: event.key if isinstance(event, MessageReceived) else None,
    "outgoing": lambda event: event.key if isinstance(event, MessageSent) else None,
    "dead_letter": _letter,
    "sampled": lambda event: event.sample if isinstance(event, AnswerSampled) else None,
}
"""The name of the mark of each kind for an event; None if the event has no such mark."""


def marked_event(journal: Journal, mark: Mark) -> Any:
    """Return the event that a mark stands for.

    Raises:
        JournalCorrupt: The event is damaged, or does not fit the mark.
    """
    if isinstance(cast("object", mark.seq), int) and mark.seq > 0:
        for stored in journal.events(mark.run_id, after=mark.seq - 1, limit=1):
            if _NAMES[mark.kind](stored.event) == mark.name:
                return stored.event
    msg = (
        f"the mark of the {mark.kind.replace('_', ' ')} {mark.name!r} of run {mark.run_id} is damaged: "
        f"{reindex()} makes it anew from the run's events"
    )
    raise JournalCorrupt(msg)


@contextmanager
def one_of_many(mark: Mark, complain: Callable[[str], None]) -> Generator[None]:
    """Leave an entry out of a list if it is damaged, and say so to ``complain``."""
    try:
        yield
    except JournalCorrupt as error:
        complain(f"the {mark.kind.replace('_', ' ')} {mark.name!r} of run {mark.run_id} is not listed: {error}")
