"""The stdout and stderr of one worker process, and the attempt that writes to them."""

import asyncio
import contextlib
import os
import select
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from greenroom.messages.frames.worker import Evaluate, Execute, WorkerSpec
from greenroom.messages.secrets.redaction import Redactor
from greenroom.supervision.process.output_capture import Capture
from greenroom.supervision.process.output_sources import OutputListener, Source, StreamName

_SHARED: Final = frozenset({"program", "llm"})
"""Kinds of workers that run many jobs at once, and so mark the output of each."""


class WorkerOutput:
    """The two pipes on which a worker writes. Reactor thread only.

    Args:
        spec: The worker.
        loop: The reactor's loop.
        on_output: Called with the worker's output; None if it is not needed.
        redactor: Removes secrets from the output.

    Raises:
        OSError: This process has no descriptors left.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        loop: asyncio.AbstractEventLoop,
        on_output: OutputListener | None,
        redactor: Redactor,
    ) -> None:
        """Open the pipes; ``far_ends`` returns the worker's ends."""
        with contextlib.ExitStack() as undo:  # in case descriptors run out half-way
            stdout, self._stdout_far = os.pipe()
            undo.callback(os.close, stdout)
            undo.callback(os.close, self._stdout_far)
            stderr, self._stderr_far = os.pipe()
            undo.pop_all()
        self._worker = spec.worker
        self._redactor = redactor
        self._on_output = on_output
        self._shared = spec.kind in _SHARED
        self._job: Execute | Evaluate | None = None
        """The job that runs alone in the process now."""
        self._source: Source | None = None
        """Source of the output; None until there is any."""
        self._poll: Any = select.poll()
        self._poll.register(stdout, select.POLLIN)
        self._poll.register(stderr, select.POLLIN)
        self._stdout = Capture(loop, stdout, on_output and partial(self._wrote, "stdout"), redactor)
        self._stderr = Capture(loop, stderr, on_output and partial(self._wrote, "stderr"), redactor)

    @property
    def far_ends(self) -> tuple[int, int]:
        """Return the descriptors for the worker's stdout and stderr."""
        return self._stdout_far, self._stderr_far

    def close_far_ends(self) -> None:
        """Close the worker's ends in this process, so that its death ends the pipes."""
        if self._stdout_far >= 0:
            os.close(self._stdout_far)
            os.close(self._stderr_far)
            self._stdout_far = self._stderr_far = -1

    def begin(self, job: Execute | Evaluate) -> None:
        """Record that a job runs alone in the process from now on. The previous job has been answered."""
        self._stderr.forget()
        if not self._shared:
            self._end_source()
            self._job = job

    def catch_up(self) -> None:
        """Read what was written before an answer, so that the output is available when the answer is.

        Processes that an attempt has started are dead when it is answered. A remaining thread writes as the worker.
        """
        if self._poll.poll(0):  # one system call, and nearly always the last one
            self._stdout.catch_up()
            self._stderr.catch_up()
        if not self._shared:
            self._end_source()
            self._job = None

    def listen_to_stderr(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` each time something is read from stderr."""
        self._stderr.on_read = heard

    def close(self) -> str:
        """Read the remaining output, close the pipes, and return the last part of stderr."""
        self._stdout.drain()
        self._stderr.drain()
        self._end_source()
        return self._stderr.text()

    def _wrote(self, stream: StreamName, data: bytes) -> None:
        assert self._on_output is not None  # otherwise this is not called
        if self._source is None:
            job = self._job
            if job is None:
                self._source = Source(self._worker, self._redactor, marked=self._shared)
            else:
                self._source = Source(self._worker, self._redactor, job.run_id, job.key, job.attempt)
        self._on_output(self._source, stream, data)

    def _end_source(self) -> None:
        if self._source is not None and self._on_output is not None:
            self._on_output(self._source, "stdout", b"")
            self._source = None
