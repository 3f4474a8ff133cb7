"""Check of a whole journal: SQLite's own check, every hash chain, the index, timers and marks, the blobs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any, Final

from greenroom.journal.database import Database
from greenroom.journal.event_lines import ANY_TYPE, bodies_in
from greenroom.journal.integrity.figure_lines import LINES, faulty
from greenroom.journal.integrity.hash_chain import genesis, link
from greenroom.journal.integrity.lost_tail import events_in_all, newest
from greenroom.journal.integrity.quick_check import RAW_LINES, faulty_lines, lines_of, wrong_sums
from greenroom.journal.interface import Fault
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import JournalCorrupt, UnknownMessage

EVENTS: Final = "SELECT cast(total(last) AS INTEGER) FROM (SELECT max(seq) AS last FROM event_lines GROUP BY run_id)"
"""The number of events of all runs, by the sequence numbers of each one's newest."""


def faults(lend: Callable[[], AbstractContextManager[Database]]) -> Iterator[Fault]:
    """Yield every fault, in order. The journal is only read, each part in one snapshot.

    Args:
        lend: Lends a connection and translates its exceptions. A part that cannot be read completely is one fault, and
            the following parts are still checked.
    """
    for part in (_structure, _counts, _chains, _index, _sums, _blobs, _figures):
        try:
            with lend() as connection:
                connection.execute("BEGIN")
                try:
                    yield from part(connection)
                finally:
                    connection.execute("ROLLBACK")
        except JournalCorrupt as error:
            yield Fault("sqlite", str(error))


def _structure(connection: Database) -> Iterator[Fault]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Fault("sqlite", f"SQLite finds: {line}")


def _counts(connection: Database) -> Iterator[Fault]:
    """Compare the counts of append-only rows with their numbers."""
    index, lines = (
        connection.execute(query).fetchone()
        for query in ("SELECT count(*), coalesce(max(number), 0) FROM runs", "SELECT count(*) FROM event_lines")
    )
    if index[0] != index[1]:
        yield Fault("index", f"the index has {index[0]} lines, and {index[1]} were written")
    if lines[0] != newest(connection)[0]:
        yield Fault("event", f"there are {lines[0]} lines of events, and {newest(connection)[0]} were written")
    elif (events := connection.execute(EVENTS).get) != events_in_all(connection):
        yield Fault("event", f"there are {events} events, and {events_in_all(connection)} by the newest line of them")


def _chains(connection: Database) -> Iterator[Fault]:
    """Check lines of events against each other and against their own columns."""
    query = (
        "SELECT CAST(e.run_id AS BLOB), e.seq, e.at, CAST(e.type AS BLOB), "
        "CAST(coalesce(e.body, b.body) AS BLOB), e.hash "
        "FROM event_lines e LEFT JOIN blobs b ON b.hash = e.blob ORDER BY e.run_id, e.seq"
    )
    current: bytes | None = b""
    expected, head = 1, b""
    for run, last, at, kind, body, stored in connection.execute(query):
        name = _name(run)
        if run != current:
            current, expected, head = run, 1, genesis(name)
        said = ""
        found = bodies_in(body or b"")
        seq = last - len(found) + 1 if isinstance(last, int) else 0
        which = f"event {seq}" if len(found) == 1 else f"events {seq} to {last}"
        if not isinstance(last, int) or seq != expected:
            yield Fault("event", f"run {name}: event {expected} is missing", name, expected)
        elif body is None:
            said = f"the body of {which} is missing"
        elif not isinstance(stored, bytes) or link(head, last, body) != stored:
            said = f"{which} {'is' if len(found) == 1 else 'are'} not what was written"
        else:
            said = _columns(which, at, kind, found)
        if said:
            yield Fault("event", f"run {name}: {said}", name, seq)
        expected = last + 1 if isinstance(last, int) else expected + 1
        head = stored if isinstance(stored, bytes) else b""


def _name(run: bytes | None) -> str:
    """Return a displayable id of a run, since damage may have changed it to anything."""
    return "" if run is None else run.decode(errors="backslashreplace")


def _columns(which: str, at: Any, kind: bytes | None, bodies: list[bytes]) -> str:
    try:
        events = [decode_event(body) for body in bodies]
    except UnknownMessage as error:
        return f"{which}: of no form this version knows ({error})"
    if (at, kind) == (None, ANY_TYPE.encode()) or [(at, kind)] == [(event.at, event.type.encode()) for event in events]:
        return ""
    return f"the columns beside {which} differ from what was written"


def _index(connection: Database) -> Iterator[Fault]:
    yield from faulty_lines(lines_of(connection.execute(RAW_LINES)))
    query = (
        "SELECT CAST(coalesce(r.id, e.run_id) AS BLOB), r.last_seq, coalesce(e.last, 0), e.last IS NULL OR r.head IS "
        "(SELECT hash FROM event_lines WHERE run_id = r.id AND seq = r.last_seq) "
        "FROM runs r FULL JOIN (SELECT run_id, max(seq) AS last FROM event_lines GROUP BY run_id) e ON e.run_id = r.id"
    )
    for run, counted, last, same_head in connection.execute(query):
        name = _name(run)
        if counted is None:
            yield Fault("index", f"run {name} has {last} events and no line in the index", name)
        elif counted != last:
            yield Fault("index", f"run {name} has events up to {last}, its line in the index says {counted}", name)
        elif not same_head:
            yield Fault("index", f"run {name}: the hash in the index is not that of its newest event", name)


def _sums(connection: Database) -> Iterator[Fault]:
    yield from wrong_sums(connection, with_keys=True)


def _blobs(connection: Database) -> Iterator[Fault]:
    query = "SELECT hash, CAST(body AS BLOB), hash IN (SELECT blob FROM event_lines) FROM blobs"
    for key, body, needed in connection.execute(query):
        name = key.hex() if isinstance(key, bytes) else str(key)
        if not isinstance(body, bytes) or sha256(body).digest() != key:
            yield Fault("blob", f"the blob {name} is not what was written")
        elif not needed:
            yield Fault("blob", f"the blob {name} belongs to no event")


def _figures(connection: Database) -> Iterator[Fault]:
    if said := faulty(connection.execute(f"{LINES} ORDER BY upto")):
        yield Fault("figures", said)
