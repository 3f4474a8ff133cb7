"""Judge whether a worker is alive, from its heartbeats, CPU time and process state. Pure."""

from dataclasses import replace
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.frozen import frozen

LATE_AFTER: Final = 2.5
"""Seconds without a heartbeat after which the process is examined. Heartbeats come every second."""
STOPPED_AFTER: Final = 3.0
"""Seconds without a heartbeat after which a stopped process (state T) counts as hung."""
HUNG_AFTER: Final = 10.0
"""Seconds without a heartbeat and without CPU progress after which a process counts as hung."""
BLOCKED_AFTER: Final = 10.0
"""Seconds after which a program that holds its worker's loop counts as blocking it."""

Condition: TypeAlias = Literal["well", "late", "busy", "hung", "blocked"]


@frozen
class Verdict:
    """State of a worker. Workers that are ``hung`` or ``blocked`` are killed, others are not."""

    condition: Condition
    detail: str = ""
    """One sentence for users."""
    run_id: str | None = None
    """For ``blocked``: the run that holds the loop, if the worker could still report it."""


@frozen
class Signs:
    """The signs of life of one worker. Values are immutable; ``now`` is monotonic, in seconds.

    Without heartbeats, the worker's reader thread does not run. If its CPU time still grows, some code works while it
    holds the interpreter; only a deadline may end it. If the CPU time does not grow, the worker is hung.
    """

    beat_at: float
    busy: float = 0.0
    """Seconds for which one turn had held the program loop at the last heartbeat."""
    run_id: str | None = None
    cpu: float | None = None
    """CPU seconds at the last examination; None if there was none since the last heartbeat."""
    moved_at: float | None = None
    """Time of the last examination that found the CPU seconds increased."""
    stopped: bool = False

    def beat(self, now: float, busy: float = 0.0, run_id: str | None = None) -> "Signs":
        """Return the signs after a heartbeat."""
        return Signs(beat_at=now, busy=busy, run_id=run_id)

    def looked_at(self, now: float, cpu: float, *, stopped: bool) -> "Signs":
        """Return the signs after an examination of the process.

        Args:
            now: Time of the examination.
            cpu: CPU seconds that the process has used in total.
            stopped: Whether its state is T.
        """
        if self.cpu is None:
            # CPU time at the last heartbeat is unknown: a late first examination alone must not find it hung.
            moved_at = self.beat_at if now - self.beat_at < HUNG_AFTER / 2 else now
            return replace(self, cpu=cpu, moved_at=moved_at, stopped=stopped)
        return replace(self, cpu=cpu, moved_at=now if cpu > self.cpu else self.moved_at, stopped=stopped)

    def forgive(self, now: float) -> "Signs":
        """Return fresh signs from ``now`` on, because the observer itself was suspended and missed heartbeats."""
        return Signs(beat_at=now)

    def is_late(self, now: float) -> bool:
        """Return whether the process should be examined before ``judge`` is called."""
        return now - self.beat_at >= LATE_AFTER

    def judge(self, now: float, blocked_after: float | None = None) -> Verdict:
        """Return the verdict about the worker.

        Args:
            now: The current time.
            blocked_after: For program workers, seconds for which one turn may hold the loop. Programs have no deadline,
                so this also ends a worker that holds the interpreter while it computes.
        """
        silent = now - self.beat_at
        if self.stopped and silent >= STOPPED_AFTER:
            return Verdict("hung", f"its process is stopped and gave no heartbeat for {silent:.0f} s")
        if blocked_after is not None and self.busy >= blocked_after:
            return Verdict("blocked", f"a program held the event loop for {self.busy:.0f} s", self.run_id)
        if silent < LATE_AFTER:
            return Verdict("well")
        idle = now - (self.moved_at if self.moved_at is not None else self.beat_at)
        if silent >= HUNG_AFTER and idle >= HUNG_AFTER and self.cpu is not None:
            return Verdict("hung", f"no heartbeat for {silent:.0f} s and no CPU progress for {idle:.0f} s")
        if blocked_after is not None and silent >= blocked_after and idle < LATE_AFTER:
            return Verdict("blocked", f"code held the interpreter for {silent:.0f} s")
        return Verdict("busy" if idle < LATE_AFTER else "late")
