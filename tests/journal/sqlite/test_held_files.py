"""Programs that read a journal with SQLite themselves while it is written: nothing acknowledged is lost by that."""

import sqlite3  # noqa: TID251  as a program of a user may
import subprocess
import sys

import pytest

from greenroom.journal.interface import Stored
from tests.journal.appends import changed

LOOK = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute('SELECT count(*) FROM events')); c.close()"
)
"""A program that counts the events of a journal."""
HARMS = {
    "a second SQLite in the process": "exec(LOOK)",
    "one whose connection is older": "later.execute('SELECT count(*) FROM meta').fetchone(); later.close()",
    "copied in the process, then read by another program": (
        "[shutil.copy(each, f'{each}.copy') for each in files]; subprocess.run([sys.executable, '-c', LOOK, path])"
    ),
    "opened and closed in the process, then written by another program": (
        "[open(each).close() for each in files]; "
        "subprocess.run([sys.executable, '-c', LOOK.replace('print', 'c.execute(\"BEGIN IMMEDIATE\"); print'), path])"
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_program_that_opens_the_journal_too_takes_nothing_from_it(opened, tmp_path, harm):
    script = (
        "import os, shutil, sqlite3, subprocess, sys\n"
        "from tests.journal.appends import Client, changed\n"
        "from greenroom.journal.sqlite.journal import SqliteJournal\n"
        f"path, LOOK = sys.argv[1], {LOOK!r}\n"
        "files = [path, path + '-wal', path + '-shm']\n"
        "later = sqlite3.connect(path)\n"
        "client = Client(SqliteJournal(path))\n"
        "for number in range(10):\n"
        "    assert client.append('r', number, changed(number)) is None\n"
        f"{HARMS[harm]}\n"
        "for number in range(10, 20):\n"
        "    assert client.append('r', number, changed(number)) is None\n"
        "os.kill(os.getpid(), 9)\n"
    )
    opened().close()
    path = tmp_path / "journal.db"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    journal = opened()
    assert journal.events("r") == [Stored(number + 1, changed(number)) for number in range(20)]
    assert journal.verify() == []


def test_the_log_is_removed_at_the_close_though_others_have_read_it(opened):
    journal = opened()
    subprocess.run([sys.executable, "-c", LOOK, str(journal.path)], check=True, timeout=60)
    other = sqlite3.connect(journal.path)
    assert other.execute("SELECT count(*) FROM events").fetchone() == (0,)
    other.close()
    journal.close()
    assert [each.name for each in journal.path.parent.iterdir()] == ["journal.db"]
