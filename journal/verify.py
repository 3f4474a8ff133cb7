"""Checking a whole journal: SQLite's own check, every hash chain, the index, the blobs."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from understudy.journal.chain import genesis, link
from understudy.journal.database import Database
from understudy.messages.codec import decode_event
from understudy.messages.errors import UnknownMessage


def faults(connection: Database) -> Iterator[str]:
    """Yield one sentence per fault. The connection is only read, in one snapshot, with bounded memory."""
    connection.execute("BEGIN")
    try:
        for (line,) in connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield f"SQLite finds: {line}"
        yield from _chains(connection)
        yield from _index(connection)
        yield from _blobs(connection)
    finally:
        connection.execute("ROLLBACK")


def _chains(connection: Database) -> Iterator[str]:
    """Check events against each other and against their own columns."""
    query = (
        "SELECT CAST(e.run_id AS BLOB), e.seq, e.at, CAST(e.type AS BLOB), "
        "CAST(coalesce(e.body, b.body) AS BLOB), e.hash "
        "FROM events e LEFT JOIN blobs b ON b.hash = e.blob ORDER BY e.run_id, e.seq"
    )
    current: bytes | None = None
    expected, head = 1, b""
    for run, seq, at, kind, body, stored in connection.execute(query):
        name = run.decode(errors="backslashreplace")
        if run != current:
            current, expected, head = run, 1, genesis(name)
        if seq != expected:
            yield f"run {name}: event {expected} is missing"
        elif body is None:
            yield f"run {name}: the body of event {seq} is missing"
        elif link(head, seq, body) != stored:
            yield f"run {name}: event {seq} is not what was written"
        else:
            yield from _columns(name, seq, at, kind, body)
        expected, head = seq + 1, stored


def _columns(name: str, seq: int, at: Any, kind: bytes, body: bytes) -> Iterator[str]:
    try:
        event = decode_event(body)
    except UnknownMessage as error:
        yield f"run {name}: event {seq} is of no form this version knows ({error})"
        return
    if (event.at, event.type.encode()) != (at, kind):
        yield f"run {name}: the columns beside event {seq} differ from the event"


def _index(connection: Database) -> Iterator[str]:
    query = (
        "SELECT CAST(coalesce(r.id, e.run_id) AS BLOB), r.last_seq, coalesce(e.last, 0), e.last IS NULL OR r.head IS "
        "(SELECT hash FROM events WHERE run_id = r.id AND seq = r.last_seq) "
        "FROM runs r FULL JOIN (SELECT run_id, max(seq) AS last FROM events GROUP BY run_id) e ON e.run_id = r.id"
    )
    for run, counted, last, same_head in connection.execute(query):
        name = run.decode(errors="backslashreplace")
        if counted is None:
            yield f"run {name} has {last} events and no line in the index"
        elif counted != last:
            yield f"run {name} has events up to {last}, its line in the index says {counted}"
        elif not same_head:
            yield f"run {name}: the hash in the index is not that of its newest event"


def _blobs(connection: Database) -> Iterator[str]:
    query = "SELECT hash, CAST(body AS BLOB), hash IN (SELECT blob FROM events) FROM blobs"
    for key, body, needed in connection.execute(query):
        if sha256(body).digest() != key:
            yield f"the blob {key.hex()} is not what was written"
        elif not needed:
            yield f"the blob {key.hex()} belongs to no event"
