"""Whose output it is that comes out of a worker's pipes: that of the attempt that has the process, or its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from greenroom.messages.secrets.redaction import Redactor

StreamName: TypeAlias = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One attempt in a worker that runs one at a time, or else one life of a worker. Each is one of its own.

    Attributes:
        worker: The worker's id.
        redactor: Takes secrets out of what it writes.
        run_id: The run; empty where the worker writes on its own account.
        step: Key of the step.
        attempt: Number of the attempt.
        marked: Whether marks in the bytes say which job they are of (see ``messages.frames.output_marks``).
    """

    worker: str
    redactor: Redactor
    run_id: str = ""
    step: str | None = None
    attempt: int | None = None
    marked: bool = False


OutputListener: TypeAlias = Callable[[Source, StreamName, bytes], None]
"""Hears what is written, as it is read, on the reactor's thread; it must not block. No bytes at all are the end of a
source: nothing more of it follows, on either stream."""
