"""Clocks of an orchestrator: the current time, and alarms.

Timers, backoff, schedules and budgets of runs use the clock that the orchestrator is given. Deadlines and heartbeats of
real processes use the time of the reactor.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from greenroom.messages.core.frozen import frozen
from greenroom.supervision.loop.reactor import Reactor


class Alarm(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call, if it has not been made. Reactor thread only."""
        ...


@frozen
class OrchestratorActivity:
    """What a clock may ask of its orchestrator. Reactor thread only."""

    reactor: Reactor
    idle: Callable[[], bool]
    """Return whether nothing is under way before the next alarm: no job, no turn of a program, no command, no write
    to the journal and no read."""
    awaited: Callable[[], bool]
    """Return whether a caller waits for a run, and has handled everything that it was told."""


class Clock(Protocol):
    """The source of an orchestrator's time."""

    @property
    def virtual(self) -> bool:
        """Whether the clock may skip time, and so needs to know whether a caller waits."""
        ...

    def attach(self, around: OrchestratorActivity) -> None:
        """Begin to serve an orchestrator, before its first alarm. Thread-safe."""
        ...

    def detach(self) -> None:
        """Stop serving the orchestrator, and cancel all alarms. Reactor thread only."""
        ...

    def time(self) -> float:
        """Return the time, in seconds since the Unix epoch. Thread-safe."""
        ...

    def call_at(self, moment: float, callback: Callable[[], object]) -> Alarm:
        """Call ``callback`` at a moment, or soon if that has passed. Reactor thread only."""
        ...


class WallClock:
    """The clock of the machine."""

    virtual = False

    def __init__(self) -> None:
        """Initialize the clock; ``attach`` must follow."""
        self._loop: asyncio.AbstractEventLoop

    def attach(self, around: OrchestratorActivity) -> None:
        """See ``Clock``."""
        self._loop = around.reactor.loop

    def detach(self) -> None:
        """See ``Clock``: the loop ends, and its timers with it."""

    def time(self) -> float:
        """See ``Clock``."""
        return time.time()

    def call_at(self, moment: float, callback: Callable[[], object]) -> Alarm:
        """See ``Clock``."""
        return self._loop.call_later(max(0.0, moment - time.time()), callback)
