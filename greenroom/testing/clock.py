"""A virtual clock for tests: it skips the time in which nothing happens."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from greenroom.messages.core import times
from greenroom.messages.core.times import Seconds
from greenroom.supervision.loop.clock import OrchestratorActivity

ADVANCE_TIMEOUT: Final = 30.0
"""Longest real time in seconds that work which becomes due may take."""
LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The last moment that a clock may show: a ``datetime`` holds none of a later year."""
ROUNDING: Final = 1e-6
"""Rounding error of sums of durations, in seconds: an alarm as near as that counts as due."""


@dataclass(order=True, slots=True)
class _Alarm:
    """A call that is scheduled; ordered by its time, then by when it was scheduled."""

    moment: float
    number: int
    callback: Callable[[], object] | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


@dataclass(slots=True)
class _Journey:
    """A request to advance to a moment, through everything that is due before it."""

    target: float
    arrived: threading.Event


class VirtualClock:
    """Stands still while work is in progress, and jumps over the time in which there is none.

    An orchestrator with this clock takes all its times from it: durable timers (``sleep``,
    ``asyncio.timeout``, ``receive(timeout=...)``), retries and their delays, schedules, limits of cleanup,
    ``now()`` in workflows, and the times in the journal. When no step, no program and no write to the journal is in
    progress, the clock jumps to the time of the next alarm.

    It jumps only while a caller waits: for a result, for the next event of ``run.events(follow=True)``, in
    ``wait_for`` or in ``advance``. Between such calls the time does not change.

    Processes are real, and so is their time: deadlines of steps and heartbeats run in real time. If a step really takes
    longer than the time to the next alarm, the clock advances to that alarm, so that a timeout around a step that hangs
    ends as in production.

    Nothing else is different: a run with a long wait leaves memory, as in production, and is replayed when the wait is
    over. So a test of a wait also tests the replay.

    It serves one orchestrator at a time, and several one after the other; without one it stands still.

    Args:
        start: Time at the start; a datetime without a zone is UTC. None means the time of the machine, in whole
            seconds.

    Raises:
        TypeError: The start is not a time.
        ValueError: It is not between the years 1970 and 9999.
    """

    virtual: Final = True

    def __init__(self, start: datetime | float | None = None) -> None:
        """Set it."""
        if isinstance(start, datetime):
            start = (start if start.tzinfo is not None else start.replace(tzinfo=UTC)).timestamp()
        self._time = float(int(time.time())) if start is None else _moment(start)
        """Written by the reactor's thread while it serves an orchestrator; read by any thread."""
        self._around: OrchestratorActivity | None = None
        self._numbers = itertools.count()
        self._alarms: list[_Alarm] = []
        """A heap. Reactor thread only, like everything below."""
        self._journeys: list[_Journey] = []
        self._overtake: tuple[_Alarm, Callable[[], None]] | None = None
        """The alarm that is due once the time to it has really passed, and the handle to cancel that."""

    def __repr__(self) -> str:
        """Return a description with the time and the orchestrator."""
        return f"<VirtualClock at {self.now().isoformat()}, {'in use' if self._around is not None else 'not in use'}>"

    # ------------------------------------------------------------ for tests; any thread but the reactor's

    def now(self) -> datetime:
        """Return the clock's time, in UTC."""
        return datetime.fromtimestamp(self._time, UTC)

    def advance(self, seconds: Seconds, *, timeout: Seconds = ADVANCE_TIMEOUT) -> None:
        """Let time pass: advance from one alarm to the next, each after the work of the one before is done.

        Returns once no work is in progress and the clock shows ``seconds`` more than at the call. ``advance(0)`` only
        waits until no work is in progress. Without an orchestrator the clock is only set forward.

        Args:
            seconds: How far to advance.
            timeout: Longest real time to wait, in seconds.

        Raises:
            TimeoutError: Work is still in progress then, for example a step that hangs: see ``jump``.
            ValueError: The time would go backwards, or past the year 9999.
        """
        self._travel(seconds, self._depart, timeout)

    def jump(self, seconds: Seconds) -> None:
        """Set the clock forward at once, even if work is in progress. All alarms up to that time are due then.

        Raises:
            ValueError: The time would go backwards, or past the year 9999.
        """
        self._travel(seconds, self._jump, ADVANCE_TIMEOUT)

    def _travel(self, given: Seconds, begin: Callable[[float, threading.Event], None], timeout: Seconds) -> None:
        seconds = given.total_seconds() if isinstance(given, timedelta) else given
        if not isinstance(cast("object", seconds), int | float):
            msg = f"time goes forward by a number of seconds or a timedelta, not {given!r}"
            raise TypeError(msg)
        if not seconds >= 0:
            msg = f"time goes forward: give seconds from 0, not {given!r}"
            raise ValueError(msg)
        if self._time + seconds > LATEST:
            msg = f"the clock shows {self.now()} and cannot go {given!r} s on: its last year is 9999"
            raise ValueError(msg)
        patience = times.seconds(timeout, "the timeout of a virtual clock")
        around = self._around
        if around is None:
            self._time += seconds
            return
        arrived = threading.Event()
        around.reactor.call(begin, seconds, arrived)
        if not arrived.wait(min(patience, threading.TIMEOUT_MAX)):
            around.reactor.call(self._give_up, arrived)
            msg = f"after {patience:g} real seconds something is still under way, and the clock shows {self.now()}"
            raise TimeoutError(msg)

    # ------------------------------------------------------------ Clock

    def attach(self, around: OrchestratorActivity) -> None:
        """See ``Clock``.

        Raises:
            ValueError: It already serves an open orchestrator.
        """
        if self._around is not None:
            msg = "this clock serves another orchestrator: close that one first, or give this one a clock of its own"
            raise ValueError(msg)
        self._around = around
        around.reactor.call(around.reactor.on_idle, self._on_idle)

    def detach(self) -> None:
        """See ``Clock``."""
        around, self._around = self._around, None
        if around is not None:
            around.reactor.on_idle(None)
        self._alarms.clear()
        self._set_overtaking()
        for journey in self._journeys:
            journey.arrived.set()
        self._journeys.clear()

    def time(self) -> float:
        """See ``Clock``."""
        return self._time

    def call_at(self, moment: float, callback: Callable[[], object]) -> _Alarm:
        """See ``Clock``."""
        alarm = _Alarm(moment, next(self._numbers), callback)
        if self._around is not None:
            heapq.heappush(self._alarms, alarm)
            self._set_overtaking()
        return alarm

    # ------------------------------------------------------------ reactor's thread

    def _next(self) -> _Alarm | None:
        while self._alarms and self._alarms[0].callback is None:
            heapq.heappop(self._alarms)
        return self._alarms[0] if self._alarms else None

    def _on_idle(self) -> bool:
        """Advance, if a caller waits and no work is in progress. Called when nothing is ready on the reactor."""
        around, alarm = self._around, self._next()
        journey = min(self._journeys, key=lambda journey: journey.target, default=None)
        if around is None or (journey is None and (alarm is None or not around.awaited())) or not around.idle():
            return False
        if journey is not None and (alarm is None or journey.target + ROUNDING < alarm.moment):
            self._journeys.remove(journey)
            self._time = max(self._time, journey.target)
            journey.arrived.set()
            self._set_overtaking()
        else:
            around.reactor.loop.call_soon(self._ring)
        return True

    def _ring(self) -> None:
        """Advance to the next alarm."""
        alarm = self._next()
        if alarm is None:
            return
        heapq.heappop(self._alarms)
        callback, alarm.callback = alarm.callback, None
        self._time = max(self._time, alarm.moment)
        self._set_overtaking()
        assert callback is not None
        callback()

    def _set_overtaking(self) -> None:
        """Make the next alarm due once the work in progress has really taken as long as the time to it."""
        alarm = self._next()
        if self._overtake is not None:
            if self._overtake[0] is alarm:
                return
            self._overtake[1]()
            self._overtake = None
        if alarm is not None and self._around is not None:
            delay = max(0.0, alarm.moment - self._time)
            self._overtake = (alarm, self._around.reactor.loop.call_later(delay, self._overtaken).cancel)

    def _overtaken(self) -> None:
        alarm, _ = self._overtake or (None, None)
        self._overtake = None
        if self._around is None or alarm is not self._next():
            self._set_overtaking()
        elif alarm is not None and (alarm.moment <= self._time or not self._around.idle()):
            self._ring()
        else:
            self._set_overtaking()  # no work was in progress: that time does not count for the runs

    def _depart(self, seconds: float, arrived: threading.Event) -> None:
        self._journeys.append(_Journey(self._time + seconds, arrived))

    def _jump(self, seconds: float, arrived: threading.Event) -> None:
        self._time += seconds
        while (alarm := self._next()) is not None and alarm.moment <= self._time + ROUNDING:
            self._ring()
        arrived.set()

    def _give_up(self, arrived: threading.Event) -> None:
        self._journeys = [journey for journey in self._journeys if journey.arrived is not arrived]


def _moment(start: float) -> float:
    """Return the seconds of a start that is given as a number."""
    if not isinstance(cast("object", start), int | float):
        msg = f"a virtual clock starts at a datetime, or at seconds since 1970, not at {start!r}"
        raise TypeError(msg)
    if not 0 <= start <= LATEST:
        msg = f"a virtual clock starts between the years 1970 and 9999, not at {start!r}"
        raise ValueError(msg)
    return float(start)
