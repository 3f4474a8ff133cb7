"""Files of the output of runs: a folder beside the journal, with one or two files for each run.

They are no part of the journal: no event names them, and a run is the same without. Each holds one line of JSON for
each line of output and is only appended to, without waiting for the disk, so that it survives the death of every
process, and may lose its last seconds on power loss. A run that writes more than ``RUN_BYTES`` loses its oldest lines,
and the folder as a whole loses the runs that have written nothing for the longest time.
"""

import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from greenroom.messages.core.times import moment
from greenroom.messages.records.records import LogLine
from greenroom.supervision.kernel.fork_safe_files import close_unshared, open_unshared
from greenroom.workflows.home.private_files import make_folder
from greenroom.workflows.output.line_splitter import Continuation
from greenroom.workflows.output.retention import Batch

RUN_BYTES: Final = 16 * 1024 * 1024
"""Most bytes to keep of a run."""
ALL_BYTES: Final = 1024 * 1024 * 1024
"""Most bytes to keep of all runs, approximately."""
ROOM: Final = 0.9
"""Share of it that is left after a clean-up."""
_OPEN: Final = 32
"""Most files to hold open."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,200}(~[A-Za-z0-9._:+-]{1,30})*")
_KEY: Final = re.compile(r"([0-9.]+/)?(?P<name>[^\[#]*)(?P<label>\[.*\])?(?P<number>#[0-9]+)", re.DOTALL)
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


def folder_of(journal: str | os.PathLike[str]) -> Path:
    """Return the folder for the runs of a journal."""
    place = Path(journal)
    return place.with_name(place.name + ".output")


def _name(run_id: str) -> str:
    """Return the name of a run's file; the digest of an id that is not a valid file name."""
    plain = len(run_id) <= 240 and _PLAIN.fullmatch(run_id) is not None  # noqa: PLR2004  255 with the suffixes
    return run_id if plain else f"~{hashlib.sha256(run_id.encode()).hexdigest()}"


def _newer(folder: Path, run_id: str) -> Path:
    return folder / f"{_name(run_id)}.jsonl"


def _older(folder: Path, run_id: str) -> Path:
    return folder / f"{_name(run_id)}.old.jsonl"


# ---------------------------------------------------------------- writing


class LogFiles:
    """Writes them. One thread.

    Raises:
        OSError, JournalError: From all methods: the disk is full, or what lies there is somebody else's.
    """

    def __init__(self, folder: Path) -> None:
        """Create nothing yet."""
        self._folder = folder
        self._open: OrderedDict[str, _File] = OrderedDict()
        self._size: int | None = None
        """Approximate bytes in the folder; None before they were counted."""

    def write(self, run_id: str, step: str | None, attempt: int | None, worker: str, batch: Batch) -> None:
        """Append lines to the output of a run."""
        names = {"step": step, "attempt": attempt, "worker": worker, "stream": batch.stream}
        if batch.omitted:
            names["omitted"] = batch.omitted
        head = f'{json.dumps(names)[:-1]}, "at": {batch.at:.6f}, '
        text = "".join([f"{head}{_fields(line)}}}\n" for line in batch.lines]).encode()
        self._file(run_id).append(text)
        self._size = (self._measure() if self._size is None else self._size) + len(text)
        if self._size > ALL_BYTES:
            self._size = self._make_room()

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()

    def _file(self, run_id: str) -> "_File":
        file = self._open.get(run_id)
        if file is None:
            if len(self._open) >= _OPEN:
                self._open.popitem(last=False)[1].close()
            make_folder(self._folder)
            file = self._open[run_id] = _File(self._folder, run_id)
        self._open.move_to_end(run_id)
        return file

    def _measure(self) -> int:
        return sum(size for _, size, _ in self._found())

    def _make_room(self) -> int:
        """Delete the files that were written to least recently; return the bytes that are left."""
        found = sorted(self._found())
        size = sum(each[1] for each in found)
        for _, length, path in found:
            if size <= ROOM * ALL_BYTES:
                break
            Path(path).unlink(missing_ok=True)
            size -= length
        return size

    def _found(self) -> list[tuple[float, int, str]]:
        found: list[tuple[float, int, str]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, status.st_size, entry.path))
        return found


class _File:
    """The open file of one run."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder, self._run_id = folder, run_id
        self._descriptor = -1
        self._begin()

    def append(self, data: bytes) -> None:
        if self._size + len(data) > RUN_BYTES // 2:
            base = self._base + self._size
            self.close()
            _newer(self._folder, self._run_id).replace(_older(self._folder, self._run_id))
            self._begin(base)
        elif not self._exists():  # the folder was cleared
            self.close()
            make_folder(self._folder)
            self._begin()
        self._size += _write(self._descriptor, data)

    def close(self) -> None:
        if self._descriptor >= 0:
            close_unshared(self._descriptor)
            self._descriptor = -1

    def _exists(self) -> bool:
        return os.fstat(self._descriptor).st_nlink > 0

    def _begin(self, base: int = 0) -> None:
        path = _newer(self._folder, self._run_id)
        self._descriptor = open_unshared(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._size = os.fstat(self._descriptor).st_size
        self._base = base
        if not self._size:
            head = json.dumps({"run": self._run_id, "base": base}).encode() + b"\n"
            self._size = _write(self._descriptor, head)
        else:
            self._base = _base_in(os.pread(self._descriptor, 4096, 0))
            if os.pread(self._descriptor, 1, self._size - 1) != b"\n":  # its last writer was killed
                self._size += _write(self._descriptor, b"\n")


def _fields(line: bytes) -> str:
    rest = '"continues": true, ' if type(line) is Continuation else ""
    return f'{rest}"text": {_ENCODE(line.decode("utf-8", "replace"))}'


def _write(descriptor: int, data: bytes) -> int:
    written = 0
    while written < len(data):
        written += os.write(descriptor, data[written:])
    return written


def _base_in(head: bytes) -> int:
    try:
        return int(json.loads(head.partition(b"\n")[0])["base"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


# ---------------------------------------------------------------- reading


def read_lines(folder: Path, run_id: str, after: int = 0, step: str | None = None) -> Iterator[LogLine]:
    """Yield the kept output of a run after an offset, the oldest first. Thread-safe, in any process.

    Args:
        folder: See ``folder_of``.
        run_id: The run.
        after: Offset of a line, or 0 for all.
        step: Only lines of a step: its key, or its name for every call of it.

    Raises:
        JournalError: A file may be somebody else's.
        OSError: A file cannot be read.
    """
    for place in (_older, _newer):
        path = place(folder, run_id)
        try:
            descriptor = open_unshared(path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                base = _base_in(file.readline())
                start = file.tell()
                if place is _older and base and after < base + start:
                    yield _forgotten(run_id, base + start)
                offset = base + max(start, after - base)
                file.seek(offset - base)
                for line in file:
                    if not line.endswith(b"\n"):  # it is still being written
                        break
                    offset += len(line)
                    found = _line(line, run_id, offset)
                    if found is not None and (step is None or is_of(found.step, step)):
                        yield found
        finally:
            close_unshared(descriptor)


def is_of(key: str | None, step: str) -> bool:
    """Return whether a step's key matches: all of it, the key without the task's place, or the step's name."""
    found = None if key is None else _KEY.fullmatch(key)
    if found is None:
        return False
    name, label, number = found["name"], found["label"] or "", found["number"]
    return step in {key, f"{name}{label}{number}", f"{name}{label}", name}


def _line(text: bytes, run_id: str, offset: int) -> LogLine | None:
    try:
        found: dict[str, Any] = json.loads(text)
        found["at"] = moment(found["at"])
        return LogLine(offset=offset, run_id=run_id, **found)
    except (ValueError, KeyError, TypeError, RecursionError):  # cut off by a kill, or the first line of a file
        return None


def _forgotten(run_id: str, offset: int) -> LogLine:
    text = f"[what the run wrote before this was left out: its last {RUN_BYTES // 2**20} MiB are kept]"
    return LogLine(offset=offset, run_id=run_id, worker="", stream="stdout", at=moment(0), text=text, omitted=1)
