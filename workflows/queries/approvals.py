"""Approvals in the journal: the open ones, and any of them by its id."""

import difflib
from collections.abc import Callable

from greenroom.journal.interface import Journal, Mark, RunRow
from greenroom.messages.advice import list_approvals
from greenroom.messages.core.errors import ApprovalNotFound
from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import ApprovalAsked
from greenroom.messages.records.approvals import split_approval_id
from greenroom.messages.records.records import ApprovalRecord
from greenroom.workflows.queries.event_marks import marked_event, one_of_many
from greenroom.workflows.queries.records.run_records import approval_record


@frozen
class Asked:
    """An approval, found by its id."""

    run_id: str
    app: str
    key: str
    event: ApprovalAsked | None
    """None if the approval is not open."""


def open_approvals(journal: Journal, run_id: str | None, complain: Callable[[str], None]) -> list[ApprovalRecord]:
    """Return the open approvals, the oldest first.

    Args:
        journal: The journal.
        run_id: Only those of this run and the runs below it; None for all.
        complain: Called with a sentence about each damaged one, which is left out.
    """
    found: list[ApprovalRecord] = []
    for mark in journal.marks("approval"):
        with one_of_many(mark, complain):
            row = journal.run(mark.run_id)
            if row is not None and (run_id is None or _is_below(journal, row, run_id)):
                found.append(approval_record(mark.run_id, row.workflow, _event_of(journal, mark)))
    return sorted(found, key=lambda record: (record.asked_at, record.id))


def find_approval(
    journal: Journal, approval: str, complain: Callable[[str], None], placed: Callable[[str], str]
) -> Asked:
    """Return the approval with an id.

    Args:
        journal: The journal.
        approval: The id.
        complain: See ``open_approvals``, whose ids are suggested in place of an unknown one.
        placed: Returns a text with the options that lead to the journal in the commands that it advises.

    Raises:
        ApprovalNotFound: The run that the id names does not exist.
    """
    run_id, key = split_approval_id(approval)
    row = journal.run(run_id) if run_id else None
    if row is None:
        known = open_approvals(journal, None, complain)
        meant = [each.id for each in known if each.run_id == approval]  # a run was named in place of what it asks
        meant = meant or difflib.get_close_matches(approval, [each.id for each in known], n=1)
        hint = f"; did you mean {' or '.join(map(repr, meant))}?" if meant else f"; see {list_approvals()}"
        msg = placed(f"there is no approval {approval!r}{hint}")
        raise ApprovalNotFound(msg)
    marks = journal.marks("approval", run_id, key)
    return Asked(run_id, row.app, key, _event_of(journal, marks[0]) if marks else None)


def _is_below(journal: Journal, row: RunRow, run_id: str) -> bool:
    """Return whether an entry is the given run, or below it."""
    above: RunRow | None = row
    while above is not None and above.id != run_id:
        above = None if above.parent is None else journal.run(above.parent)
    return above is not None


def _event_of(journal: Journal, mark: Mark) -> ApprovalAsked:
    event: ApprovalAsked = marked_event(journal, mark)
    return event
