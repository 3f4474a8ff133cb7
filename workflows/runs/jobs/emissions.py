"""The values that one job emits, on their way to the run's actor."""

from collections.abc import Callable
from typing import Final

from greenroom.messages.core.json_text import text_of
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Emitted
from greenroom.supervision.jobs import JobHandle
from greenroom.workflows.decisions.inputs import Input, StepEmitted

MOST_VALUES: Final = 500
MOST_BYTES: Final = 1024 * 1024
"""Most values, and most bytes of them, that are on their way to the journal before the worker has to wait."""


class Emissions:
    """Collects the values that arrive together, and lets the worker wait while too many are not committed.

    The worker's socket is not read meanwhile. So code that emits in a loop goes at the pace of the commits. Reactor
    thread only.

    Args:
        key: Key of the step.
        attempt: Number of the attempt that the values belong to.
        token: Token of the attempt; empty if an evaluator of its result emits.
        job: The job whose worker emits.
        report: Takes the values, as messages for the run's actor.
        soon: Calls a function once what has arrived together is handled.
    """

    __slots__ = ("_attempt", "_batch", "_bytes", "_job", "_key", "_report", "_soon", "_token", "_values", "_waits")

    def __init__(
        self,
        key: str,
        attempt: int,
        token: str,
        job: JobHandle,
        report: Callable[[Input], None],
        soon: Callable[[Callable[[], None]], None],
    ) -> None:
        """Start without any value."""
        self._key = key
        self._attempt = attempt
        self._token = token
        self._job = job
        self._report = report
        self._soon = soon
        self._batch: list[tuple[str, Json]] = []
        self._values = 0
        """Number of values since the last commit that was confirmed."""
        self._bytes = 0
        """Their bytes."""
        self._waits = False
        """Whether the worker waits for a commit."""

    def add(self, emitted: Emitted) -> None:
        """Take a value. What arrives with it is reported with it."""
        if not self._batch:
            self._soon(self.flush)
        self._batch.append((emitted.channel, emitted.value))
        self._values += 1
        self._bytes += len(text_of(emitted.value))
        if not self._waits and (self._values >= MOST_VALUES or self._bytes >= MOST_BYTES):
            self._waits = True
            self._job.mute(True)  # noqa: FBT003  a switch
            self._flush(confirm=True)

    def flush(self) -> None:
        """Report the values that were not reported yet, before whatever is reported next."""
        if self._batch:
            self._flush(confirm=False)

    def written(self) -> None:
        """Let the worker go on, because what was reported with ``confirm`` is committed."""
        self._waits = False
        self._values = self._bytes = 0
        self._job.mute(False)  # noqa: FBT003  a switch

    def _flush(self, *, confirm: bool) -> None:
        values, self._batch = tuple(self._batch), []
        self._report(StepEmitted(self._key, self._attempt, self._token, values, confirm))
