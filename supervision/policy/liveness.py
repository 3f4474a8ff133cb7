"""What a worker's signs of life mean: heartbeats, CPU time and process state to a verdict."""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

LATE_AFTER: Final = 2.5
"""Seconds without a beat after which the process is looked at; beats come every second."""
STOPPED_AFTER: Final = 3.0
"""Seconds without a beat after which a stopped process (state T) counts as hung."""
HUNG_AFTER: Final = 10.0
"""Seconds without a beat and without CPU progress after which a process counts as hung."""
BLOCKED_AFTER: Final = 10.0
"""Seconds after which a program that holds its worker's loop counts as blocking it."""

Condition: TypeAlias = Literal["well", "late", "busy", "hung", "blocked"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to think of a worker. ``hung`` and ``blocked`` end its life, the others do not."""

    condition: Condition
    detail: str = ""
    """One sentence for a person."""
    run_id: str | None = None
    """For ``blocked``: the run that holds the loop, where the worker could still say so."""


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of life of one worker. Values are immutable; ``now`` is monotonic, in seconds.

    No beat means that the worker's reader thread does not run. If its CPU time still grows, something holds the
    interpreter and works: slow is not dead, only a deadline may end it. If it does not grow, nothing will ever change.
    """

    beat_at: float
    busy: float = 0.0
    """Seconds for which the program loop had held one turn at the last beat."""
    run_id: str | None = None
    cpu: float | None = None
    """CPU seconds when last looked at, or None since the last beat."""
    moved_at: float | None = None
    """When the CPU seconds were last seen to have grown."""
    stopped: bool = False

    def beat(self, now: float, busy: float = 0.0, run_id: str | None = None) -> "Signs":
        """Take in a heartbeat."""
        return Signs(beat_at=now, busy=busy, run_id=run_id)

    def looked_at(self, now: float, cpu: float, *, stopped: bool) -> "Signs":
        """Take in what the kernel says of the process.

        Args:
            now: The moment of looking.
            cpu: CPU seconds the process has used in its life.
            stopped: Whether its state is T.
        """
        if self.cpu is None:
            # What it used at its last beat is not known. A first look that comes too late must not convict it alone.
            moved_at = self.beat_at if now - self.beat_at < HUNG_AFTER / 2 else now
            return replace(self, cpu=cpu, moved_at=moved_at, stopped=stopped)
        return replace(self, cpu=cpu, moved_at=now if cpu > self.cpu else self.moved_at, stopped=stopped)

    def forgive(self, now: float) -> "Signs":
        """Begin anew at ``now``: it was the observer who slept, so silence proves nothing."""
        return Signs(beat_at=now)

    def is_late(self, now: float) -> bool:
        """Return whether the process should be looked at before judging."""
        return now - self.beat_at >= LATE_AFTER

    def judge(self, now: float, blocked_after: float | None = None) -> Verdict:
        """Return what the signs mean.

        Args:
            now: The moment of judging.
            blocked_after: For program workers, seconds for which one turn may hold the loop. Their code awaits and has
                no deadline of its own, so this also ends a worker that holds the interpreter while it computes.
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
