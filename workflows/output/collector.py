"""Output of workers: taken from the reactor, split into lines, written to files and shown, on a thread of its own.

The reactor only queues what it has read. If workers write faster than this thread or the disk, further output is
dropped and counted: neither a worker nor the reactor waits, and memory is bounded.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from loguru import logger

from greenroom.messages.core.errors import JournalError
from greenroom.messages.core.frozen import frozen, mutable
from greenroom.messages.frames.output_marks import Splitter
from greenroom.supervision.process.output_sources import Source, StreamName
from greenroom.workflows.output.line_splitter import LineSplitter
from greenroom.workflows.output.live_view import LiveView, Origin, Viewer, started
from greenroom.workflows.output.log_files import LogFiles
from greenroom.workflows.output.retention import Batch, Portion

QUEUED_BYTES: Final = 16 * 1024 * 1024
"""Most bytes that wait for the thread."""
FLUSH_SECONDS: Final = 5.0
"""Most seconds to wait for output that was written before."""
_NONE: Final = (0, 0)
_STREAMS: Final[tuple[StreamName, StreamName]] = ("stdout", "stderr")


@mutable
class _Job:
    """One attempt, workflow or worker that writes. Output thread only."""

    origin: Origin
    lines: dict[StreamName, LineSplitter]
    portion: Portion = field(default_factory=Portion)
    ended: set[StreamName] = field(default_factory=set[StreamName])
    """Streams on which a shared worker has marked its end."""


@mutable
class _Tap:
    """One source of output. Output thread only."""

    job: _Job
    splitters: dict[StreamName, Splitter] = field(default_factory=dict[StreamName, Splitter])
    marked: dict[bytes, _Job] = field(default_factory=dict[bytes, _Job])
    """Jobs of a shared worker, by label."""

    def jobs(self) -> list[_Job]:
        """Return all jobs of the source."""
        return [self.job, *self.marked.values()]


@frozen
class _Written:
    source: Source
    stream: StreamName
    at: float
    data: bytes
    lost: tuple[int, int]
    """Bytes, and line feeds among them, that were dropped before this."""


class OutputCollector:
    """Takes the output of workers. ``__call__`` is for the reactor thread only, the rest for any other thread.

    Args:
        folder: Folder of its files; created with the first of them.
        viewer: Called with each line; None to show nothing.
        placed: Adds the options of these runs' home to commands in a text.
    """

    def __init__(self, folder: Path, viewer: Viewer | None, placed: Callable[[str], str]) -> None:
        """Start no thread before there is output."""
        self._files = LogFiles(folder)
        self._live = LiveView(viewer, placed) if viewer is not None else None
        self._queue: SimpleQueue[_Written | threading.Event | None] = SimpleQueue()
        self._put = 0
        """Bytes queued so far. Written by the reactor thread."""
        self._got = 0
        """Bytes taken from the queue so far. Written by the output thread."""
        self._lost: dict[Source, tuple[int, int]] = {}
        """Bytes and lines dropped, by source. Reactor thread only."""
        self._taps: dict[Source, _Tap] = {}
        self._thread: threading.Thread | None = None
        self._broken = False

    # ------------------------------------------------------------ from outside

    def __call__(self, source: Source, stream: StreamName, data: bytes) -> None:
        """Queue what was read; see ``OutputListener``. Reactor thread only."""
        if self._put - self._got > QUEUED_BYTES and data:
            size, lines = self._lost.get(source, _NONE)
            self._lost[source] = (size + len(data), lines + data.count(b"\n"))
            return
        self._put += len(data)
        lost = self._lost.pop(source, _NONE) if self._lost else _NONE
        self._queue.put(_Written(source, stream, time.time(), data, lost))
        if self._thread is None:
            self._thread = started(self._run, "greenroom-output")

    def flush(self) -> None:
        """Wait, at most ``FLUSH_SECONDS``, until earlier output is in the files. Not on the reactor thread."""
        if self._thread is not None and self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait(FLUSH_SECONDS)

    def settle(self, timeout: float) -> None:
        """Wait until earlier output is also shown; see ``flush``."""
        self.flush()
        if self._live is not None:
            self._live.flush(timeout)

    def close(self) -> None:
        """Write and show what is queued, and end. No worker may write any more. May be repeated."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(FLUSH_SECONDS)
            self._thread = None
        elif not self._queue.empty():  # the system has refused a thread
            self._queue.put(None)
            self._run()
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
            except Exception as error:  # noqa: BLE001  the thread has to go on with the next line
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
        if item.lost != _NONE:  # the jobs of dropped output of a shared worker are unknown
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
        if job is not None and item.stream in job.ended:  # it has begun again; the other stream is not read yet
            self._conclude(job)
            job = None
        if job is None:
            job = tap.marked[label] = _marked_job(label, item.source) or tap.job
        return job

    def _end_marked(self, tap: _Tap, label: bytes, stream: StreamName) -> None:
        """End a stream of a job; the job has ended once both streams have."""
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
        """Pass on unfinished lines that are due; return when the next one is, None if there is none."""
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
    except (ValueError, TypeError, RecursionError):  # code in a worker may print marks of its own
        return None
    if not (isinstance(run_id, str) and isinstance(step, str | None) and isinstance(attempt, int | None)):
        return None
    return _job(Origin(run_id, step, attempt, source.worker), source)
