"""What every journal does with an append before it writes: refuse one that does not follow, make JSON of its events."""

from greenroom.journal.interface import Append
from greenroom.messages.codec import encode_event
from greenroom.messages.core.errors import CodecError, EventUnwritable, SequenceConflict


def conflict(append: Append, last_seq: int) -> SequenceConflict:
    """Say that an append does not follow the run's newest event."""
    return SequenceConflict(
        f"run {append.run_id} is at event {last_seq}, not {append.expected}: "
        "another owner has appended to it, so this one stops"
    )


def encode(append: Append) -> list[bytes]:
    """Give the JSON of an append's events.

    Raises:
        EventUnwritable: One of them, or a text of its index line or timers, cannot be written; the append has to fail
            alone then, and here, since a database finds out only in the middle of everybody's transaction.
    """
    row = append.row
    try:
        f"{append.run_id}{row.id}{row.workflow}{row.app}{row.status}{row.parent}{row.reason}".encode()
        for timer in append.timers_set:
            f"{timer.run_id}{timer.key}".encode()
        for key in append.timers_cleared:
            key.encode()
        return [encode_event(event) for event in append.events]
    except (CodecError, UnicodeEncodeError) as error:
        msg = f"events {append.expected + 1} and on of run {append.run_id} were not written: {error}"
        raise EventUnwritable(msg) from error
