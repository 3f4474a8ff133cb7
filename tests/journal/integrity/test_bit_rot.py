"""Damage of every kind anywhere in a journal's files: nothing that was acknowledged is silently lost or changed."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from greenroom.journal.interface import MarkKind
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalError
from tests.journal.integrity.rotting import RUNS

pytestmark = pytest.mark.timeout(300)

PAGE = 4096
SUFFIXES = ("", "-wal", "-shm", ".reach")


class Left:
    """The files that a process left, and what is in them."""

    def __init__(self, path: Path, *, killed: bool) -> None:
        self.path = path
        command = [sys.executable, "-m", "tests.journal.integrity.rotting", str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            if killed:
                process.kill()
            process.communicate(None if killed else "close\n", timeout=60)
        self.bytes = {each: self.file(each).read_bytes() for each in SUFFIXES if self.file(each).exists()}
        assert len(self.bytes) == (4 if killed else 1)
        self.truth = self.read()
        assert self.truth["faults"] == []

    def file(self, suffix: str) -> Path:
        return Path(f"{self.path}{suffix}")

    def read(self) -> dict[str, Any]:
        """Put the files back, and give everything that can be read of them."""
        for suffix in SUFFIXES:
            if suffix in self.bytes:
                self.file(suffix).write_bytes(self.bytes[suffix])
            else:
                self.file(suffix).unlink(missing_ok=True)
        return look(self.path)

    def damaged(self, suffix: str, damage: Callable[[bytearray], None]) -> dict[str, Any]:
        """Give what can be read after damage to one file."""
        for each, content in self.bytes.items():
            changed = bytearray(content)
            if each == suffix:
                damage(changed)
            self.file(each).write_bytes(changed)
        return look(self.path)


def look(path: Path) -> dict[str, Any]:
    """Read everything. An error of this package is an answer; any other fails the test."""
    try:
        journal = SqliteJournal(path, read_only=True)
    except JournalError as error:
        return {"refused": str(error)}
    try:
        reads: dict[str, Callable[[], Any]] = {
            f"events {each}": lambda each=each: journal.events(each) for each in RUNS
        }
        reads |= {f"run {each}": lambda each=each: journal.run(each) for each in RUNS}
        reads |= {f"marks {kind}": lambda kind=kind: journal.marks(kind) for kind in get_args(MarkKind)}
        reads |= {"runs": lambda: journal.runs(limit=None), "timers": journal.timers, "entries": journal.entries}
        reads |= {"waiting": lambda: journal.runs(status=["waiting"]), "large": lambda: journal.events("large")}
        found = {name: attempt(read) for name, read in reads.items()}
        return found | {"faults": journal.verify(), "quick": attempt(lambda: journal.quick_faults(["running"]))}
    finally:
        journal.close()


def attempt(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except JournalError as error:
        return error


def judge(truth: dict[str, Any], found: dict[str, Any]) -> str:
    """Say how damage was met: harmless, refused, an error where it is read, or found by verify; never silently."""
    if "refused" in found:
        return "refused"
    for name, right in truth.items():
        if name in {"faults", "quick"} or isinstance(found[name], JournalError) or found[name] == right:
            continue
        assert not name.startswith("events"), f"{name}: {found[name]}, not {right}"
        assert found["faults"], f"silently wrong: {name}: {found[name]}, not {right}"
    errors = sum(isinstance(each, JournalError) for each in found.values())
    assert found["faults"] or not errors, f"verify does not see what a read does: {found}"
    return "noticed" if found["faults"] else "harmless"


@pytest.fixture(scope="module", params=["closed", "killed"])
def left(request, tmp_path_factory):
    return Left(tmp_path_factory.mktemp("rot") / "journal.db", killed=request.param == "killed")


def test_four_hundred_flipped_bits_none_silently_wrong(left):
    """Two hundred for each of the two, those of the killed one shared out among its file, its log and its note."""
    chance = random.Random(400)
    suffixes = [each for each in left.bytes if each != "-shm"]  # SQLite makes that one anew
    met: dict[str, int] = {}
    for number in range(200):
        suffix = suffixes[number % len(suffixes)]

        def flip(content: bytearray) -> None:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)

        how = judge(left.truth, left.damaged(suffix, flip))
        met[how] = met.get(how, 0) + 1
    assert met["harmless"] < 180
    assert met.get("refused", 0) + met.get("noticed", 0) > 20


def test_bits_flipped_where_the_index_the_timers_and_the_marks_are(left):
    """Most of the file is padding: here every flip hits a word of the tables that recovery chooses by."""
    chance = random.Random(11)
    suffix = "-wal" if "-wal" in left.bytes else ""
    for word in (
        b"waiting",
        b"running",
        b"research",
        b"approval",
        b"key 3",
        b"k5",
        b"chat/anna",
        b"@nightly",
        b"session",
    ):
        places = [at for at in range(len(left.bytes[suffix])) if left.bytes[suffix].startswith(word, at)]
        for at in chance.sample(places, min(6, len(places))):

            def flip(content: bytearray, at: int = at, word: bytes = word) -> None:
                content[at + chance.randrange(len(word))] ^= 1 << chance.randrange(8)

            judge(left.truth, left.damaged(suffix, flip))


def zero(content: bytearray, page: int) -> None:
    content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)


def swap(content: bytearray, page: int, other: int) -> None:
    one, two = slice(page * PAGE, (page + 1) * PAGE), slice(other * PAGE, (other + 1) * PAGE)
    content[one], content[two] = bytes(content[two]), bytes(content[one])


def double(content: bytearray, page: int, other: int) -> None:
    content[other * PAGE : (other + 1) * PAGE] = content[page * PAGE : (page + 1) * PAGE]


def cut(content: bytearray, size: int) -> None:
    del content[size:]


def test_pages_and_ends_that_are_lost_swapped_or_doubled_none_silently_wrong(left):
    chance = random.Random(5)
    for suffix in [each for each in left.bytes if each in {"", "-wal"}]:
        pages = len(left.bytes[suffix]) // PAGE
        for page in range(min(pages, 30)):
            other = chance.randrange(pages)
            size = chance.randrange(len(left.bytes[suffix]))
            judge(left.truth, left.damaged(suffix, lambda content, page=page: zero(content, page)))
            judge(left.truth, left.damaged(suffix, lambda content, a=page, b=other: swap(content, a, b)))
            judge(left.truth, left.damaged(suffix, lambda content, a=page, b=other: double(content, a, b)))
            judge(left.truth, left.damaged(suffix, lambda content, size=size: cut(content, size)))
