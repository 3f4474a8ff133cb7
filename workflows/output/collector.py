"""Output of workers on its way: taken from the reactor, cut into lines, kept in files, shown. On a thread of its own.

The reactor only puts down what it has read. Where the disk or this thread is slower than the workers write, what is too
much is counted and dropped: neither a worker nor the reactor waits, and memory is bounded.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from loguru import logger

from greenroom.messages.core.errors import JournalError
from greenroom.messages.frames.output_marks import Splitter
from greenroom.supervision.process.output_sources import Source, StreamName
from greenroom.workflows.output.line_splitter import LineSplitter
from greenroom.workflows.output.live_view import LiveView, Origin, Viewer
from greenroom.workflows.output.log_files import LogFiles
from greenroom.workflows.output.retention import Batch, Portion

QUEUED_BYTES: Final = 16 * 1024 * 1024
"""What may wait for the thread."""
FLUSH_SECONDS: Final = 5.0
"""Seconds that somebody waits for all that was written before."""
_NONE: Final = (0, 0)
_STREAMS: Final[tuple[StreamName, StreamName]] = ("stdout", "stderr")


@dataclass(slots=True)
class _Job:
    """What is known of one attempt, workflow or worker that writes. The thread's own."""

    origin: Origin
    lines: dict[StreamName, LineSplitter]
    portion: Portion = field(default_factory=Portion)
    ended: set[StreamName] = field(default_factory=set[StreamName])
    """Streams on which a shared worker has said that it is over."""


@dataclass(slots=True)
class _Tap:
    """What is known of one source."""

    job: _Job
    splitters: dict[StreamName, Splitter] = field(default_factory=dict[StreamName, Splitter])
    marked: dict[bytes, _Job] = field(default_factory=dict[bytes, _Job])
    """Jobs of a shared worker, by label."""

    def jobs(self) -> list[_Job]:
        """Give all of them."""
        return [self.job, *self.marked.values()]


@dataclass(frozen=True, slots=True)
class _Written:
    source: Source
    stream: StreamName
    at: float
    data: bytes
    lost: tuple[int, int]
    """Bytes, and line feeds among them, that came before and were dropped."""


class OutputCollector:
    """Takes what workers write. ``__call__`` belongs to the reactor's thread, the rest to any other.

    Args:
        folder: Where it is kept; made when there is something.
        viewer: Who sees it live; None for nobody.
        placed: Has commands in a text lead to where these runs are.
    """

    def __init__(self, folder: Path, viewer: Viewer | None, placed: Callable[[str], str]) -> None:
        """Start nothing: orchestrators whose workers write nothing pay nothing."""
        self._files = LogFiles(folder)
        self._live = LiveView(viewer, placed) if viewer is not None else None
        self._queue: SimpleQueue[_Written | threading.Event | None] = SimpleQueue()
        self._put = 0
        """Bytes put down so far. Written by the reactor."""
        self._got = 0
        """Bytes taken so far. Written by the thread."""
        self._lost: dict[Source, tuple[int, int]] = {}
        """Bytes and lines that there was no room for, by source. The reactor's own."""
        self._taps: dict[Source, _Tap] = {}
        self._thread: threading.Thread | None = None
        self._broken = False

    # ------------------------------------------------------------ from outside

    def __call__(self, source: Source, stream: StreamName, data: bytes) -> None:
        """Take what was read; see ``OutputListener``."""
        if self._put - self._got > QUEUED_BYTES and data:
            size, lines = self._lost.get(source, _NONE)
            self._lost[source] = (size + len(data), lines + data.count(b"\n"))
            return
        self._put += len(data)
        lost = self._lost.pop(source, _NONE) if self._lost else _NONE
        self._queue.put(_Written(source, stream, time.time(), data, lost))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="greenroom-output", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait until what workers had written before is in the files; not for ever. Not on the reactor's thread."""
        if self._thread is not None and self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait(FLUSH_SECONDS)

    def settle(self, timeout: float) -> None:
        """Wait until what workers had written before is shown, too; see ``flush``."""
        self.flush()
        if self._live is not None:
            self._live.flush(timeout)

    def close(self) -> None:
        """Keep and show what there is, and end. No worker writes any more. May be repeated."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(FLUSH_SECONDS)
            self._thread = None
        if self._live is not None:
            self._live.close()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        next_look: float | None = None
        while True:
            try:
                wait = None if next_look is None else max(0.0, next_look - time.time())
                item = self._queue.get(timeout=wait)
            except Empty:
                next_look = self._give_partial_lines()
                continue
            if item is None:
                for source in list(self._taps):
                    self._end(source)
                self._files.close()
                return
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._take(item)
            except Exception as error:  # noqa: BLE001  whatever it is, the next line must not suffer for it
                self._complain(error)
            if next_look is None or next_look <= time.time():
                next_look = self._give_partial_lines()

    def _take(self, item: _Written) -> None:
        self._got += len(item.data)
        source = item.source
        tap = self._taps.get(source)
        if tap is None:
            tap = self._taps[source] = _Tap(
                _job(Origin(source.run_id, source.step, source.attempt, source.worker), source)
            )
        if item.lost != _NONE:  # of a shared worker nobody knows whose they were
            tap.splitters.clear()
            for job in tap.jobs():
                job.portion.miss(*item.lost)
            if self._live is not None:
                self._live.skip(tap.job.origin, item.lost[1])
        if not item.data:
            self._end(source)
        elif source.marked:
            self._split(tap, item)
        else:
            self._write(tap.job, item.stream, item.data, item.at)

    def _split(self, tap: _Tap, item: _Written) -> None:
        splitter = tap.splitters.get(item.stream)
        if splitter is None:
            splitter = tap.splitters[item.stream] = Splitter()
        for label, pieces in itertools.groupby(splitter.feed(item.data), key=lambda part: part[0]):
            for ended, group in itertools.groupby(pieces, key=lambda part: not part[1]):
                if label is not None and ended:
                    self._end_marked(tap, label, item.stream)
                else:
                    job = tap.job if label is None else self._marked(tap, label, item)
                    self._write(job, item.stream, b"".join(part[1] for part in group), item.at)

    def _marked(self, tap: _Tap, label: bytes, item: _Written) -> _Job:
        job = tap.marked.get(label)
        if job is not None and item.stream in job.ended:  # it has begun anew, and the other stream is still to be read
            self._conclude(job)
            job = None
        if job is None:
            job = tap.marked[label] = _marked_job(label, item.source) or tap.job
        return job

    def _end_marked(self, tap: _Tap, label: bytes, stream: StreamName) -> None:
        """Hear on one stream that a job has ended; once both have said so, nothing more of it comes."""
        job = tap.marked.get(label)
        if job is None or job is tap.job:
            return
        self._put_lines(job, stream, last=True)
        job.ended.add(stream)
        if len(job.ended) == len(_STREAMS):
            del tap.marked[label]
            self._conclude(job)

    def _write(self, job: _Job, stream: StreamName, data: bytes, at: float) -> None:
        if found := job.lines[stream].feed(data, at):
            self._hand_on(job, Batch(stream, at, found))

    def _hand_on(self, job: _Job, batch: Batch) -> None:
        if self._live is not None:
            self._live.put(job.origin, batch)
        if (kept := job.portion.take(batch)) is not None:
            self._keep(job.origin, kept)

    def _keep(self, origin: Origin, batch: Batch) -> None:
        if not origin.run_id:
            return
        try:
            self._files.write(origin.run_id, origin.step, origin.attempt, origin.worker, batch)
        except (OSError, JournalError) as error:
            self._complain(error)

    def _give_partial_lines(self) -> float | None:
        """Give what has waited long enough for its end; say when to look again, None where nothing waits."""
        now = time.time()
        soonest: float | None = None
        for tap in self._taps.values():
            for job in tap.jobs():
                for stream, lines in job.lines.items():
                    due = lines.due
                    if due is not None and due <= now:
                        self._put_lines(job, stream, last=False)
                    elif due is not None:
                        soonest = due if soonest is None else min(soonest, due)
        return soonest

    def _put_lines(self, job: _Job, stream: StreamName, *, last: bool) -> None:
        now = time.time()
        if found := job.lines[stream].take_open(now, last=last):
            self._hand_on(job, Batch(stream, now, found))

    def _end(self, source: Source) -> None:
        tap = self._taps.pop(source, None)
        if tap is None:
            return
        for stream, splitter in tap.splitters.items():
            if rest := splitter.end():
                self._write(tap.job, stream, rest, time.time())
        for job in tap.jobs():
            for stream in _STREAMS:
                self._put_lines(job, stream, last=True)
            self._conclude(job)

    def _conclude(self, job: _Job) -> None:
        for batch in job.portion.end():
            self._keep(job.origin, batch)

    def _complain(self, error: Exception) -> None:
        if not self._broken:
            self._broken = True
            logger.warning("output of workers cannot be kept: {}", error)


def _job(origin: Origin, source: Source) -> _Job:
    return _Job(origin, {stream: LineSplitter(source.redactor) for stream in _STREAMS})


def _marked_job(label: bytes, source: Source) -> _Job | None:
    try:
        run_id, step, attempt = json.loads(label)
    except (ValueError, TypeError):
        return None
    if not (isinstance(run_id, str) and isinstance(step, str | None) and isinstance(attempt, int | None)):
        return None
    return _job(Origin(run_id, step, attempt, source.worker), source)
