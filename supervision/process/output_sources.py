"""The source of a worker's output: the attempt that runs alone in the process, or the worker itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from greenroom.messages.secrets.redaction import Redactor

StreamName: TypeAlias = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One attempt in a worker that runs one job at a time, or one life of a worker. Compared by identity.

    Attributes:
        worker: The worker's id.
        redactor: Removes secrets from the output.
        run_id: The run; empty if the worker itself is the source.
        step: Key of the step.
        attempt: Number of the attempt.
        marked: Whether marks in the bytes name the job that wrote them (see ``messages.frames.output_marks``).
    """

    worker: str
    redactor: Redactor
    run_id: str = ""
    step: str | None = None
    attempt: int | None = None
    marked: bool = False


OutputListener: TypeAlias = Callable[[Source, StreamName, bytes], None]
"""Called with output as it is read, on the reactor's thread; must not block. Empty bytes mark the end of a source on
both streams."""
