"""Every single input and output operation of the journal is made to fail, one after the other."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalError, JournalFull
from tests.journal.appends import Client, changed
from tests.support import ROOT

pytestmark = pytest.mark.slow

APPENDS = 8


class Disk:
    """Counts operations and says which of them fail."""

    def __init__(self) -> None:
        self.count = 0
        self.fail_at = -1
        self.failure: type[apsw.Error] = apsw.IOError
        self.recovers = False

    def use(self) -> None:
        self.count += 1
        if self.count == self.fail_at or (not self.recovers and 0 <= self.fail_at < self.count):
            raise self.failure


class File(apsw.VFSFile):
    """A file that asks the disk before everything that changes it or waits for it."""

    def __init__(self, disk: Disk, filename, flags) -> None:
        super().__init__("unix", filename, flags)
        self._disk = disk

    def xWrite(self, *args):  # noqa: N802  SQLite's name
        self._disk.use()
        return super().xWrite(*args)

    def xSync(self, *args):  # noqa: N802  SQLite's name
        self._disk.use()
        return super().xSync(*args)

    def xTruncate(self, *args):  # noqa: N802  SQLite's name
        self._disk.use()
        return super().xTruncate(*args)


class Files(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__("failing", "unix", makedefault=True)
        self._disk = disk

    def xOpen(self, name, flags):  # noqa: N802  SQLite's name
        return File(self._disk, name, flags)

    def xDelete(self, *args):  # noqa: N802  SQLite's name
        self._disk.use()
        return super().xDelete(*args)


@pytest.fixture
def disk(monkeypatch) -> Iterator[Disk]:
    """Put a disk that can fail under every connection, and make checkpoints frequent."""
    monkeypatch.setattr("greenroom.journal.sqlite.writer.CHECKPOINT_PAGES", 12)
    disk = Disk()
    files = Files(disk)
    yield disk
    files.unregister()


def work(path: Path, disk: Disk) -> tuple[int, list[JournalError]]:
    """Open, append, close; give how many appends were acknowledged, and every refusal."""
    try:
        journal = SqliteJournal(path)
    except JournalError as error:
        return 0, [error]
    client = Client(journal)
    answers = [client.append("r", seq, changed("x" * (70_000 if seq == 4 else 500))) for seq in range(APPENDS)]
    with suppress(disk.failure):  # SQLite is silent about what fails in closing; a file system in Python is not
        journal.close()
    refusals = [answer for answer in answers if answer]
    assert answers == [None] * (APPENDS - len(refusals)) + refusals
    return APPENDS - len(refusals), refusals


@pytest.mark.parametrize("recovers", [False, True])
@pytest.mark.parametrize(("failure", "kind"), [(apsw.IOError, JournalError), (apsw.FullError, JournalFull)])
def test_after_any_failed_operation_nothing_is_acknowledged_and_nothing_is_lost(
    disk, tmp_path, monkeypatch, recovers, failure, kind
):
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)  # closing cannot raise, so apsw reports what it met there
    disk.failure, disk.recovers = failure, recovers
    disk.count, disk.fail_at = 0, -1
    assert work(tmp_path / "healthy.db", disk) == (APPENDS, [])
    operations = disk.count
    assert operations > 60
    for number in range(1, operations + 1):
        path = tmp_path / f"{number}.db"
        disk.count, disk.fail_at = 0, number
        acknowledged, refusals = work(path, disk)
        disk.fail_at = -1
        assert all(type(refusal) is kind for refusal in refusals), refusals
        assert len({str(refusal) for refusal in refusals}) <= 1
        journal = SqliteJournal(path)
        assert journal.verify() == []
        stored = len(journal.events("r"))
        assert acknowledged <= stored <= APPENDS
        assert Client(journal).append("r", stored, changed("more")) is None
        journal.close()


SHORT = """
import os, resource, sys
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalError
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for _ in range(16):
    try:
        SqliteJournal(sys.argv[1]).close()
        break
    except JournalError as error:
        print(error)
    os.close(held.pop())
else:
    raise SystemExit("it was never opened")
"""
"""Opens a journal with no descriptor left, then with one, and so on."""


def test_where_no_descriptor_is_left_the_limit_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHORT, str(tmp_path / "journal.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert said
    assert all("`ulimit -n 65536`" in line for line in said), said
