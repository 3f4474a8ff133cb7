"""Reading the state of a run or session from its journal."""

from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import Journal
from greenroom.messages.core.errors import none_such
from greenroom.workflows.state.fold import fold_all, recall
from greenroom.workflows.state.run_state import RunState


def load(journal: Journal, run_id: str) -> RunState:
    """Return the state of a run or session.

    Of a session only the events since its last wake-up point are read, unless it has conversations with models.

    Raises:
        LookupError: There is no run or session with this id.
        JournalCorrupt: Its events are damaged.
    """
    row = journal.run(run_id)
    if row is None:
        raise LookupError(none_such(run_id))
    if row.wake_seq == 0:
        return fold_all(stored.event for stored in stored_events(journal, run_id))
    state = recall(journal.events(run_id, limit=1)[0], journal.events(run_id, after=row.wake_seq))
    if state.conversed:  # its conversations go on from earlier turns
        state.transcripts = fold_all(stored.event for stored in stored_events(journal, run_id)).transcripts
    return state
