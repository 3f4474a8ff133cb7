"""Checks of an append, for every journal: it must follow the run's newest event, and its events must be valid JSON."""

from greenroom.journal.interface import Append
from greenroom.messages.codecs.event_codec import encode_events
from greenroom.messages.core.errors import CodecError, EventUnwritable, SequenceConflict


def conflict(append: Append, last_seq: int) -> SequenceConflict:
    """Return the error for an append that does not follow the run's newest event."""
    return SequenceConflict(
        f"run {append.run_id} is at event {last_seq}, not {append.expected}: "
        "another owner has appended to it, so this one stops"
    )


def encode(append: Append) -> list[bytes]:
    """Return the JSON of an append's events, without trailing members that have their defaults.

    Raises:
        EventUnwritable: An event, or a text of the index line or timers, cannot be written. Only this append must fail.
            So it fails here, because a database would detect it only inside a transaction shared with others.
    """
    row = append.row
    try:
        f"{append.run_id}{row.id}{row.workflow}{row.app}{row.status}{row.parent}{row.reason}".encode()
        for timer in append.timers_set:
            f"{timer.run_id}{timer.key}".encode()
        for key in append.timers_cleared:
            key.encode()
        return encode_events(append.events)
    except (CodecError, UnicodeEncodeError) as error:
        msg = f"events {append.expected + 1} and on of run {append.run_id} were not written: {error}"
        raise EventUnwritable(msg) from error
