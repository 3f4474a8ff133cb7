"""Quick check, when a journal is opened, of the tables without a hash chain: run index, timers, marks.

Recovery chooses runs by these tables, so a lost or changed row would leave a run waiting forever. All their content
follows from the events, so they can be rebuilt (``greenroom db reindex``).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, get_args

from greenroom.journal.database import Database
from greenroom.journal.integrity.checksums import seal_of
from greenroom.journal.integrity.lost_tail import events_in_all
from greenroom.journal.integrity.row_sums import KEYS, MARKS, TIMERS, sums_of
from greenroom.journal.interface import EntryKind, Fault, FaultKind, RunRow
from greenroom.messages.advice import reindex
from greenroom.messages.records.records import RunStatus

RAW_LINES: Final = (
    "SELECT CAST(id AS BLOB), CAST(workflow AS BLOB), CAST(app AS BLOB), CAST(status AS BLOB), started_at, updated_at, "
    "ended_at, CAST(parent AS BLOB), CAST(reason AS BLOB), last_seq, CAST(kind AS BLOB), wake_seq, aside, keys, "
    "head, seal FROM runs"
)
"""The same as ``LINES``, with texts as bytes, which can be read whatever they contain."""
_TEXTS: Final = frozenset({0, 1, 2, 3, 7, 8, 10})
"""Which columns are texts."""
_COUNTS: Final = (
    "SELECT count(*), coalesce(max(number), 0), coalesce(total(last_seq), 0), "
    "coalesce(total(status IN (SELECT value FROM json_each(?)) AND kind IN (SELECT value FROM json_each(?))), 0) "
    "FROM runs"
)


def lines_of(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """Yield index lines, from rows of ``RAW_LINES`` and the seal, each with whether it is what was written."""
    for *raw, seal in rows:
        line = tuple(
            value.decode(errors="backslashreplace") if place in _TEXTS and isinstance(value, bytes) else value
            for place, value in enumerate(raw)
        )
        yield line, seal_of(line) == seal


def damaged_row(line: Sequence[Any]) -> RunRow:
    """Return the readable part of an index line that is not what was written."""
    id_, workflow, app, _status, started, updated, _ended, _parent, _reason, last_seq, kind, *_ = line
    times = [moment if isinstance(moment, float) and 0 <= moment < 1e11 else 0.0 for moment in (started, updated)]  # noqa: PLR2004  year 5138
    return RunRow(
        id=str(id_),
        workflow=str(workflow),
        app=str(app),
        status="parked",
        started_at=times[0],
        updated_at=times[1],
        reason=f"its line in the index is damaged: {reindex()} makes it anew from its events",
        last_seq=last_seq if isinstance(last_seq, int) else 0,
        kind=kind if kind in get_args(EntryKind) else "run",
        damaged=True,
    )


def quick_faults(connection: Database, busy: Sequence[RunStatus]) -> Iterator[Fault]:
    """Yield the faults of the tables without a hash chain that can be found quickly.

    The index lines are counted, and so are the events that they count. Lines with a status in ``busy`` are compared
    with their seals. Timers and marks are summed, without the keys of messages.
    """
    connection.execute("BEGIN")
    try:
        if not _adds_up(connection):
            yield Fault("index", "the run index is damaged: its lines do not add up to the events that there are")
        marks = ", ".join("?" * len(busy))
        lines = connection.execute(f"{RAW_LINES} WHERE status IN ({marks})", busy).fetchall()
        yield from faulty_lines(lines_of(lines))
        yield from wrong_sums(connection)
    finally:
        connection.execute("ROLLBACK")


def faulty_lines(lines: Iterator[tuple[tuple[Any, ...], bool]]) -> Iterator[Fault]:
    """Yield a fault for every line that is not what was written."""
    for line, good in lines:
        if not good:
            yield Fault("index", f"run {line[0]}: its line in the index is not what was written", str(line[0]))


def _adds_up(connection: Database) -> bool:
    """Return whether the numbers of lines and of events are as recorded, and all statuses are valid."""
    words = [json.dumps(get_args(known)) for known in (RunStatus, EntryKind)]
    count, last, events, known = connection.execute(_COUNTS, words).fetchone()
    return bool(count == last == known and events == events_in_all(connection))


def wrong_sums(connection: Database, *, with_keys: bool = False) -> Iterator[Fault]:
    """Yield a fault for every run whose timers, marks or keys of messages are not what was written."""
    parts: list[tuple[FaultKind, str, str, tuple[str, ...]]]
    parts = [("timers", "its timers or marks are", "SELECT id, aside FROM runs WHERE aside <> 0", (TIMERS, MARKS))]
    if with_keys:
        parts.append(("marks", "the keys of its messages are", "SELECT id, keys FROM runs WHERE keys <> 0", (KEYS,)))
    for kind, what, query, tables in parts:
        try:
            written = dict(connection.execute(query).fetchall())
            found = sums_of(connection, *tables)
        except UnicodeDecodeError:
            yield Fault(kind, "among the timers, the marks or the index is a text that was not written")
            continue
        for run_id in sorted({str(each) for each, _ in written.items() ^ {item for item in found.items() if item[1]}}):
            yield Fault(kind, f"run {run_id}: {what} not what was written", run_id)
