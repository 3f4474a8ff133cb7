"""Time as the control plane knows it: what a clock says, and being called once it says so.

Timers, backoff, schedules and timeouts of runs go by this. What is done to real processes, their deadlines and
heartbeats, goes by the reactor's own time, whichever clock an orchestrator is given.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from greenroom.supervision.loop.reactor import Reactor


class Alarm(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Have it not made. Reactor's thread only; may be repeated, and come too late."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The orchestrator as its clock sees it. Everything is asked on the reactor's thread."""

    reactor: Reactor
    idle: Callable[[], bool]
    """Whether nothing is under way that could lead to anything before the next alarm: no job in any pool, no turn of a
    program, no command, no write to the journal and no read."""
    awaited: Callable[[], bool]
    """Whether somebody waits for a run, and has looked at everything that he was told of."""


class Clock(Protocol):
    """Where an orchestrator has its time from."""

    @property
    def virtual(self) -> bool:
        """Whether it may leave time out, and so has to know who waits."""
        ...

    def attach(self, around: Surroundings) -> None:
        """Begin to serve an orchestrator. Any thread, before its first alarm."""
        ...

    def detach(self) -> None:
        """Serve it no more: what was to be called is not. Reactor's thread only."""
        ...

    def time(self) -> float:
        """Give the time, in seconds since the Unix epoch. Any thread."""
        ...

    def call_at(self, moment: float, callback: Callable[[], object]) -> Alarm:
        """Have ``callback`` called at a moment, or soon where that is over. Reactor's thread only."""
        ...


class WallClock:
    """The time of the machine."""

    virtual = False

    def __init__(self) -> None:
        """Belong to nobody yet."""
        self._loop: asyncio.AbstractEventLoop

    def attach(self, around: Surroundings) -> None:
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
