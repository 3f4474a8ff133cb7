"""Makes a journal of an older version of one of this version."""

from pathlib import Path

import apsw

from greenroom.journal.integrity.checksums import seal_of
from greenroom.journal.integrity.hash_chain import genesis, link
from greenroom.journal.integrity.row_sums import LINES
from greenroom.journal.sqlite.schema import migrations


def make_older(path: Path, version: int) -> None:
    """Give a closed journal the tables of schema version 3 or 4, with the same events, each in a line of its own."""
    connection = apsw.Connection(str(path))
    steps = dict(migrations())
    rows = connection.execute("SELECT run_id, seq, at, type, body, blob FROM events ORDER BY run_id, seq").fetchall()
    connection.execute("BEGIN; DROP VIEW events; DROP TABLE event_lines")
    start = steps[1].index("CREATE TABLE events")
    connection.execute(steps[1][start : steps[1].index(");", start) + 1])
    heads: dict[str, bytes] = {}
    for run_id, seq, at, kind, body, blob in rows:
        heads[run_id] = link(heads.get(run_id, genesis(run_id)), seq, body.encode())
        line = (run_id, seq, at, kind, None if blob else body, blob, heads[run_id])
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", line)
    for run_id, head in heads.items():
        connection.execute("UPDATE runs SET head = ? WHERE id = ?", (head, run_id))
        index = connection.execute(f"{LINES} WHERE id = ?", (run_id,)).fetchone()
        connection.execute("UPDATE runs SET seal = ? WHERE id = ?", (seal_of(index[:-1]), run_id))
    connection.execute("DELETE FROM figures; DELETE FROM figure_runs")
    if version < 4:
        connection.execute("DROP TABLE figures; DROP TABLE figure_runs")
    connection.execute("DELETE FROM meta WHERE name NOT IN ('format', 'epoch')")
    connection.pragma("user_version", version)
    connection.execute("COMMIT")
    connection.close()
