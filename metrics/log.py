"""The structured log: one line per event, for people or for machines, through loguru.

Silent until ``configure`` is called, so that a program that embeds this package gets no unexpected output. Texts of
models, tools and users are data: they are never format strings, and control characters are escaped.
"""

import json as jsonlib
import os
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, TypeAlias

from loguru import logger

from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.events import schedules as sc
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.secrets.file_trust import open_private
from greenroom.messages.secrets.redaction import Redactor, secret_values
from greenroom.metrics.event_sentences import describe, shorten
from greenroom.metrics.printable import printable

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["Level", "configure", "describe", "heard", "record", "record_pool", "record_worker", "silence"]

Level: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

NUMBERS: Final[Mapping[Level, int]] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
LEVELS: Final[Mapping[type[AnyEvent], Level]] = {
    ev.AttemptStarted: "DEBUG",
    ev.AttemptMoved: "WARNING",
    ev.AttemptProgressed: "DEBUG",
    ev.StepEmitted: "DEBUG",
    ev.ValuesDiscarded: "DEBUG",
    ev.StepScheduled: "DEBUG",
    ev.StateChanged: "DEBUG",
    ev.ValueEmitted: "DEBUG",
    ev.ProgramStarted: "DEBUG",
    ev.CancelHeard: "DEBUG",
    ev.AnswerSampled: "DEBUG",
    ev.TimerFired: "DEBUG",
    ev.TimerCancelled: "DEBUG",
    ev.RetryScheduled: "WARNING",
    ev.ProgramEnded: "WARNING",
    ev.RunParked: "WARNING",
    ev.MessageRefused: "WARNING",
    ev.StepFailed: "ERROR",
    ev.RunFailed: "ERROR",
    sc.ScheduleRunStarted: "DEBUG",
    sc.ScheduleKept: "DEBUG",
    sc.ScheduleSkipped: "WARNING",
    sc.ScheduleRunRefused: "ERROR",
}
"""Levels of events other than INFO. The end of an attempt is DEBUG, or WARNING if it failed."""
KEYS: Final[Mapping[str, str]] = {
    "key": "step",
    "attempt": "attempt",
    "token": "token",
    "worker": "worker",
    "pid": "pid",
    "incarnation": "incarnation",
    "outcome": "outcome",
    "verdict": "verdict",
}
"""Fields of events that become fields of the line, and their names there."""
_TOLD: Final = (ev.StepFailed, ev.ChildEnded)
"""Events whose failure was already logged with another event: the last attempt's, or the child's."""
ROTATE_BYTES = 50 * 1024 * 1024
KEEP_FILES = 3

logger.disable("greenroom")

_threshold: int | None = None  # the lowest level that is written; None while silent. Set only by configure and silence
_listener: "Callable[[str, str, AnyEvent], None] | None" = None  # called with every event. Set only by heard
_sinks: list[int] = []  # loguru's ids of the sinks that configure has added


def configure(
    *,
    level: Level = "INFO",
    stream: TextIO | None = None,
    json: bool = False,
    path: Path | None = None,
    secrets: Iterable[str] = (),
    place: Callable[[str], str] = str,
) -> None:
    """Switch the log on, or to other destinations. Not thread-safe.

    Without ``stream`` and ``path``, the records go to the sinks that the application has added to loguru. With either
    of them, loguru's default sink is removed, because it would write every line again.

    Args:
        level: The lowest level that is written.
        stream: Receives readable lines, or JSON.
        json: Whether the stream receives JSON, one object per line.
        path: A file that always receives JSON. It is created only for its owner and rotated at 50 MiB; three old files
            are kept.
        secrets: Values that are masked anywhere in a line, in addition to those of environment variables that look like
            secrets.
        place: Completes the commands in a text, so that the log's reader can type them.

    Raises:
        OSError: The file cannot be written.
        JournalError: It is not a regular file, or other users can write it.
    """
    global _threshold  # noqa: PLW0603  one log per process, as loguru has it
    silence()
    redactor = Redactor({*filter(None, secrets), *secret_values(os.environ)})

    def mask(text: str) -> str:
        return place(redactor.text(text))

    if stream is not None or path is not None:
        _remove_default()
    if stream is not None:
        _add(stream, _json_line if json else _readable_line, level, mask)
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = {"rotation": ROTATE_BYTES, "retention": KEEP_FILES, "encoding": "utf-8", "opener": open_private}
        _add(path, _json_line, level, mask, **options)
    _threshold = NUMBERS[level]
    logger.enable("greenroom")


def silence() -> None:
    """Switch the log off and close its file. Sinks of the application stay."""
    global _threshold  # noqa: PLW0603  see configure
    logger.disable("greenroom")
    _threshold = None
    while _sinks:
        logger.remove(_sinks.pop())


@contextmanager
def heard(listener: "Callable[[str, str, AnyEvent], None]") -> Generator[None]:
    """Call ``listener`` with run id, workflow and event of everything that is recorded while the block runs.

    There is one listener at a time. It is called in the recording thread and must be quick, because runs wait for it.
    """
    global _listener  # noqa: PLW0603  one per process, like the log
    _listener = listener
    try:
        yield
    finally:
        _listener = None


def record(run_id: str, workflow: str, *events: AnyEvent) -> None:
    """Log events of one run. Thread-safe. Costs almost nothing while the log is silent."""
    listener, threshold = _listener, _threshold  # other threads may end either meanwhile
    if listener is not None:
        for event in events:
            listener(run_id, workflow, event)
    if threshold is None:
        return
    for event in events:
        level = _level(event)
        if NUMBERS[level] >= threshold:
            _record(run_id, workflow, event, level)


def _record(run_id: str, workflow: str, event: AnyEvent, level: Level) -> None:
    fields = {"event": event.type, "run": run_id, "workflow": workflow}
    for name, key in KEYS.items():
        value = getattr(event, name, None)
        if value is not None:
            fields[key] = value
    # Without arguments loguru does not format the text, so braces in it have no meaning.
    failure = getattr(event, "failure", None)
    if isinstance(failure, Failure) and failure.traceback and not isinstance(event, _TOLD):
        fields["exception"] = failure.report()
    logger.bind(**fields).log(level, describe(run_id, workflow, event))


def record_worker(
    *, worker: str, pid: int | None, incarnation: int, what: str, detail: str = "", level: Level = "INFO"
) -> None:
    """Log a change of a worker process. Thread-safe.

    Args:
        worker: Id of the worker.
        pid: Its process id; None if it has no process yet.
        incarnation: Number of the worker's incarnation.
        what: What happened, as a past participle: ``"started"``, ``"died"``.
        detail: Details for people.
        level: The line's level.
    """
    if (threshold := _threshold) is None or NUMBERS[level] < threshold:
        return
    fields = {"event": f"worker.{what}", "worker": worker, "pid": pid, "incarnation": incarnation}
    sentence = f"worker {worker} (pid {pid}, life {incarnation}) {what}" + (f": {detail}" if detail else "")
    logger.bind(**fields).log(level, printable(shorten(sentence)))


def record_pool(*, pool: str, app: str, what: str, detail: str = "") -> None:
    """Log a change of a pool. Thread-safe.

    Args:
        pool: Name of the pool.
        app: The app that its workers run.
        what: ``"short"``, ``"degraded"``, ``"reopened"`` or ``"recovered"``.
        detail: The reason, for people.
    """
    level: Level = "WARNING" if what in {"short", "degraded"} else "INFO"
    if (threshold := _threshold) is None or NUMBERS[level] < threshold:
        return
    sentence = f"pool {pool} of {app} is {what}" + (f": {detail}" if detail else "")
    logger.bind(event=f"pool.{what}", pool=pool, app=app).log(level, printable(shorten(sentence)))


def _level(event: AnyEvent) -> Level:
    if isinstance(event, ev.AttemptEnded):
        return "DEBUG" if event.outcome in {"ok", "cancelled"} else "WARNING"  # the step's own end follows
    return LEVELS.get(type(event), "INFO")


# ---------------------------------------------------------------- lines


Line: TypeAlias = "Callable[[Record, Callable[[str], str]], str]"


def _add(sink: Any, line: Line, level: Level, mask: Callable[[str], str], **options: Any) -> None:
    def format_(record: "Record") -> str:
        record["extra"]["line"] = line(record, mask)
        return "{extra[line]}\n"  # loguru replaces this once; braces in the line itself have no meaning

    number = logger.add(
        sink,
        level=level,
        format=format_,
        filter=_is_ours,
        colorize=False,
        backtrace=False,
        diagnose=False,  # it would print local variables, including keys
        **options,
    )
    _sinks.append(number)


def _is_ours(record: "Record") -> bool:
    return (record["name"] or "").startswith("greenroom")


def _json_line(record: "Record", mask: Callable[[str], str]) -> str:
    fields: dict[str, Any] = {
        "time": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        **{name: value for name, value in record["extra"].items() if name != "line"},
        "message": record["message"],
        "logger": record["name"],
    }
    trace = _traceback(record)
    if trace:
        fields["exception"] = trace
    masked = {name: mask(value) if isinstance(value, str) else value for name, value in fields.items()}
    line = jsonlib.dumps(masked, default=lambda value: mask(str(value)))
    return line.replace("\x7f", "\\u007f")  # the only ASCII character that JSON keeps and terminals interpret


def _readable_line(record: "Record", mask: Callable[[str], str]) -> str:
    lines = [f"{record['time']:%H:%M:%S} {printable(mask(record['message']))}"]
    lines += (
        f"    {printable(line)}" for line in mask(_traceback(record)).splitlines()
    )  # indented, so that it is not taken for a line of the log
    return "\n".join(lines)


def _traceback(record: "Record") -> str:
    """Return the traceback of a record's exception, or of the failure that it reports; empty if there is none.

    It does not show the values of variables.
    """
    found = record["exception"]
    if found is None or found.value is None:
        return str(record["extra"].get("exception", ""))
    return "".join(traceback.format_exception(found.value))


def _remove_default() -> None:
    """Remove loguru's default sink."""
    with suppress(ValueError):  # the application, or an earlier call, has already removed it
        logger.remove(0)
