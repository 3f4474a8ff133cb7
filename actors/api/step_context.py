"""The running step, as its own code sees it."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.actors.api.emit import emitted_json
from greenroom.actors.values.conversion import ValueConverter
from greenroom.messages.core.json_text import plain, text_of
from greenroom.messages.frames.worker import Emitted, Execute, Progress

_DETAIL: Final = ValueConverter(Any, "what a step reports of its progress", returns=False)
LONGEST_DETAIL: Final = 64 * 1024
"""Longest progress report, in bytes of JSON."""
MOST_CHANNELS: Final = 100
"""Most channels on which one attempt emits: the orchestrator keeps a count of each."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """Describes the attempt that the calling code belongs to.

    Attributes:
        run_id: The run that asked for the step.
        step: Key of the call in the run.
        attempt: Number of this attempt, from 1.
        idempotency_key: The same for every attempt of this call. Pass it to services that accept such a key.
        token: Identity of this attempt, never used twice.
        progress: The last progress report of an earlier attempt, as JSON; None if there is none. The step may continue
            from there.
    """

    run_id: str
    step: str
    attempt: int
    idempotency_key: str
    token: str
    progress: Any
    _send: Callable[[Progress | Emitted], None] = field(repr=False)
    _channels: set[str] = field(default_factory=set[str], repr=False)
    """Channels on which the attempt has emitted."""

    def heartbeat(self, detail: object = None) -> None:
        """Report progress, such as ``{"done": 3, "of": 10}``. The attempt's record shows it within a second.

        Raises:
            NotSerializable: The detail cannot be written as JSON.
            ValueError: The detail is longer than 64 KiB.
        """
        written = _DETAIL.dump(detail)
        if (size := len(text_of(written))) > LONGEST_DETAIL:
            msg = f"a progress report has at most {LONGEST_DETAIL} bytes of JSON, not {size}"
            raise ValueError(msg)
        self._send(Progress(token=self.token, detail=written))

    def emit(self, value: object, channel: str = "default") -> None:
        """Add a value to one of the streams of the run or session, while the step runs. Thread-safe.

        ``Run.stream`` and ``Session.stream`` show it with the step's key and the attempt's number. If the attempt ends
        without being accepted, an item of kind ``"discarded"`` tells readers that its values do not count. A step that
        emits faster than its values are committed waits in this call.

        Args:
            value: Any value that pydantic can write as JSON, of at most 8 MiB.
            channel: Name of the stream.

        Raises:
            NotSerializable: The value cannot be written as JSON, or is too long.
            TypeError: The channel is not a string.
            ValueError: The channel is empty or longer than 200 characters, or the attempt has used 100 others.
            RuntimeError: The caller runs in a fork of the step's process.
        """
        json = emitted_json(value, channel)
        if channel not in self._channels and len(self._channels) >= MOST_CHANNELS:
            msg = f"an attempt emits on at most {MOST_CHANNELS} channels: put what tells values apart into the values"
            raise ValueError(msg)
        self._channels.add(channel)
        self._send(Emitted(token=self.token, channel=channel, value=json))


running: ContextVar[StepContext | None] = ContextVar("greenroom_step", default=None)
"""The attempt that the calling code belongs to; None outside steps."""


def current() -> StepContext:
    """Return the running step.

    Raises:
        RuntimeError: The caller does not run in a step.
    """
    context = running.get()
    if context is None:
        msg = "current() is known in a step that a run asked for, not in a workflow or where a step is called in place"
        raise RuntimeError(msg)
    return context


def context_of(message: Execute, send: Callable[[Progress | Emitted], None]) -> StepContext:
    """Return the context of one attempt."""
    return StepContext(
        message.run_id,
        message.key,
        message.attempt,
        message.idempotency_key,
        message.token,
        plain(message.progress),
        send,
    )
