"""The step that is running, as its own code sees it."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.actors.values.conversion import Form
from greenroom.messages.core.json_text import plain, text_of
from greenroom.messages.frames.worker import Execute, Progress

_DETAIL: Final = Form(Any, "what a step reports of its progress", returns=False)
LONGEST_DETAIL: Final = 64 * 1024
"""Bytes of JSON."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step's code can know of the attempt it is part of.

    Attributes:
        run_id: The run that asked for the step.
        step: Key of the call in the run.
        attempt: Number of this attempt, from 1.
        idempotency_key: The same for every attempt of this call: hand it to services that take such a key.
        token: Identity of this attempt, never used twice.
        progress: What the last attempt before this one that reported its progress has said, as JSON; None where none
            has. A step may go on from there.
    """

    run_id: str
    step: str
    attempt: int
    idempotency_key: str
    token: str
    progress: Any
    _send: Callable[[Progress], None] = field(repr=False)

    def heartbeat(self, detail: object = None) -> None:
        """Report progress, such as ``{"done": 3, "of": 10}``. It is seen in the attempt, once a second at most.

        Raises:
            NotSerializable: The detail cannot be written as JSON.
            ValueError: It is longer than 64 KiB.
        """
        written = _DETAIL.dump(detail)
        if (size := len(text_of(written))) > LONGEST_DETAIL:
            msg = f"a progress report has at most {LONGEST_DETAIL} bytes of JSON, not {size}"
            raise ValueError(msg)
        self._send(Progress(token=self.token, detail=written))


running: ContextVar[StepContext | None] = ContextVar("greenroom_step", default=None)
"""The attempt that this code is part of, None outside of steps."""


def current() -> StepContext:
    """Give the running step.

    Raises:
        RuntimeError: The code that asks runs in no step.
    """
    context = running.get()
    if context is None:
        msg = "current() is known in a step that a run asked for, not in a workflow or where a step is called in place"
        raise RuntimeError(msg)
    return context


def context_of(message: Execute, send: Callable[[Progress], None]) -> StepContext:
    """Give the context of one attempt."""
    return StepContext(
        message.run_id,
        message.key,
        message.attempt,
        message.idempotency_key,
        message.token,
        plain(message.progress),
        send,
    )
