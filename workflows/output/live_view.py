"""Showing output as it is written, by a thread of its own that waits for a slow viewer."""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Final, TypeAlias

from greenroom.messages.advice import read_logs
from greenroom.messages.core.frozen import frozen, mutable
from greenroom.messages.core.times import moment
from greenroom.messages.records.records import LogLine
from greenroom.metrics.printable import printable
from greenroom.workflows.output.line_splitter import Continuation, count_lines
from greenroom.workflows.output.retention import Batch

WAITING_LINES: Final = 5000
"""Most lines that wait for a slow viewer; further lines are skipped and counted."""
CLOSE_SECONDS: Final = 2.0
"""Seconds that a viewer has at the end for the waiting lines."""

Viewer: TypeAlias = Callable[[LogLine], object]
"""Called with each line, on a thread of its own. It may block: lines are skipped meanwhile."""
OutputOption: TypeAlias = bool | Viewer | logging.Logger


@frozen
class Origin:
    """The run, attempt and worker that wrote a line."""

    run_id: str
    step: str | None
    attempt: int | None
    worker: str


def viewer_of(option: object) -> "Viewer | None":
    """Return the viewer for the option ``output`` of ``Orchestrator``; None to show nothing.

    Raises:
        TypeError: The option has another type.
    """
    if option is True:
        return Printer()
    if option is False:
        return None
    if isinstance(option, logging.Logger):
        return _logged(option)
    if callable(option):
        return option
    msg = f"output is True, False, a logger of logging, or a function that takes a line, not {option!r}"
    raise TypeError(msg)


def _logged(target: logging.Logger) -> Viewer:
    def view(line: LogLine) -> None:
        level = logging.INFO if line.stream == "stdout" else logging.WARNING
        facts = {"run_id": line.run_id, "step": line.step, "attempt": line.attempt, "worker": line.worker}
        target.log(level, "%s %s", prefix(line, runs=True), printable(line.text), extra=facts)

    return view


def prefix(line: "LogLine | Origin", *, runs: bool, bar: str = "│") -> str:
    """Return what stands before a line: ``search#1 │``, or with the run ``report-1 search#1 attempt 2 │``."""
    if not line.run_id:
        return f"{printable(line.worker)} {bar}"
    parts = [line.run_id] if runs or line.step is None else []
    if line.step is not None:
        parts.append(line.step)
    if line.attempt is not None and line.attempt > 1:
        parts.append(f"attempt {line.attempt}")
    return f"{printable(' '.join(parts))} {bar}"


class Printer:
    """Prints to ``sys.stderr``, each line after its origin, with the run once there are two runs, or always."""

    def __init__(self, *, runs: bool = False) -> None:
        """Print nothing yet.

        Args:
            runs: Whether to name the run in every line.
        """
        self._runs = runs
        self._only: str | None = None

    def __call__(self, line: LogLine) -> None:
        """Print a line. Control sequences in it are shown, not sent to the terminal."""
        self.show(line, [line.text])

    def show(self, origin: "LogLine | Origin", texts: Iterable[str]) -> None:
        """Print many lines of one origin with one write, which is faster."""
        if origin.run_id and origin.run_id != self._only:
            self._runs |= self._only is not None
            self._only = origin.run_id
        stream = sys.stderr
        try:
            before = prefix(origin, runs=self._runs, bar=_bar(stream.encoding))
            stream.write("".join([f"{before} {printable(text)}\n" for text in texts]))
            stream.flush()
        except (OSError, ValueError, AttributeError):  # there is no stream, or it is closed at either end
            pass


def _bar(encoding: str | None) -> str:
    try:
        "│".encode(encoding or "utf-8")  # a stream in memory has none, and accepts any text
    except (UnicodeEncodeError, LookupError):
        return "|"
    return "│"


@mutable
class _Skipped:
    lines: int = 0
    runs: dict[str, None] = field(default_factory=dict[str, None])


class LiveView:
    """Passes lines to a viewer, on a thread that starts with the first line. Thread-safe."""

    def __init__(self, view: Viewer, placed: Callable[[str], str]) -> None:
        """Wait for lines. ``placed`` adds the options of these runs' home to commands in a text."""
        self._view = view
        self._placed = placed
        self._waiting: deque[tuple[Origin, Batch]] = deque()
        self._put = 0
        """Lines put so far. Guarded by the lock."""
        self._shown = 0
        """Lines shown so far. Guarded by the lock."""
        self._skipped = _Skipped()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._complained = False

    def put(self, origin: Origin, batch: Batch) -> None:
        """Show lines soon, as many as there is room for. Never blocks."""
        with self._changed:
            room = max(0, WAITING_LINES - (self._put - self._shown))
            lines = batch.lines
            if len(lines) > room:
                self._skip(origin, count_lines(lines[room:]))
                lines = lines[:room]
            if lines:
                self._put += len(lines)
                self._waiting.append((origin, Batch(batch.stream, batch.at, lines)))
            if self._thread is None:
                self._thread = started(self._run, "greenroom-live")
            self._changed.notify()

    def skip(self, origin: Origin, lines: int) -> None:
        """Count lines that will not be shown."""
        with self._changed:
            self._skip(origin, lines)

    def flush(self, timeout: float) -> None:
        """Wait until the lines put before are shown."""
        with self._changed:
            goal = self._put
            self._changed.wait_for(lambda: self._shown >= goal, timeout)

    def close(self) -> None:
        """Show the waiting lines, for at most ``CLOSE_SECONDS``, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _skip(self, origin: Origin, lines: int) -> None:
        self._skipped.lines += lines
        self._skipped.runs[origin.run_id] = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._closed):
                    self._changed.wait()
                if not self._waiting:
                    return
                waiting, self._waiting = self._waiting, deque()
                skipped, self._skipped = self._skipped, _Skipped()
            for origin, batch in waiting:
                self._show(origin, batch)
                with self._changed:
                    self._shown += len(batch.lines)
                    self._changed.notify_all()
            if skipped.runs:
                ids = [run_id for run_id in skipped.runs if run_id]
                where = self._placed(f"; {read_logs(ids[0])} has what is kept of them") if ids else ""
                many = max(1, skipped.lines)  # a part of a line at least
                text = f"[{many:,} lines were not shown here, since they came too fast{where}]"
                origin, batch = waiting[-1]
                self._show(origin, Batch(batch.stream, batch.at, [text.encode()], many))

    def _show(self, origin: Origin, batch: Batch) -> None:
        try:
            if isinstance(self._view, Printer):
                self._view.show(origin, [line.decode("utf-8", "replace") for line in batch.lines])
                return
            for line in batch.lines:
                self._view(_log_line(origin, batch, line))
        except Exception as error:  # noqa: BLE001  a user's viewer may raise anything
            if not self._complained:
                self._complained = True
                from loguru import logger  # noqa: PLC0415  the first keeper starts before it is imported

                logger.opt(exception=error).error("what was given as output= could not take a line")


def started(work: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread; None if the system refuses one, as where a user may have no more of them."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def _log_line(origin: Origin, batch: Batch, line: bytes) -> LogLine:
    return LogLine(
        offset=0,
        run_id=origin.run_id,
        step=origin.step,
        attempt=origin.attempt,
        worker=origin.worker,
        stream=batch.stream,
        at=moment(batch.at),
        text=line.decode("utf-8", "replace"),
        continues=type(line) is Continuation,
        omitted=batch.omitted,
    )
