"""Figures of sessions: messages, numbers and age. Each function returns one round of one figure."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from floors import Floors
from rounds import Figure, at_once, orchestrator_in
from work import Add, counter

from greenroom import Orchestrator
from tests.acceptance import crowd
from tests.acceptance.ageing import fill

TURNS = 200
ASLEEP = 50
TOLD = 2_000
IDLE = 10_000
OLD, YOUNG = 10_000, 10
STORED = 100_000
LOOK = 0.05
"""Seconds between two checks for the end of background work."""


def median_ms(ask: Callable[[int], object], times: int) -> float:
    """Return the median time of an answer in milliseconds."""
    spent: list[float] = []
    for number in range(times):
        started = time.perf_counter()
        ask(number)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent) * 1000


def settled(orchestrator: Orchestrator) -> bool:
    """Return whether every session has handled all its messages."""
    return all(record.status == "waiting" for record in orchestrator.sessions(limit=None))


def turn_ms(directory: Path) -> float:
    """Ask one session 200 times in a row. Return the median time of an answer in milliseconds."""
    with orchestrator_in(directory) as orchestrator:
        session = orchestrator.session(counter, "only")
        at_once(lambda _: session.ask(Add(number=1), 60), 50)
        return median_ms(lambda _: session.ask(Add(number=1), 60), TURNS)


def wake_ms(directory: Path) -> float:
    """Ask 50 sessions that are not in memory, one after another. Return the median time in milliseconds."""
    with orchestrator_in(directory) as orchestrator:

        def ask(number: int) -> None:
            orchestrator.session(counter, f"s{number}").ask(Add(number=1), 60)

        at_once(ask, ASLEEP)
        crowd.asleep(orchestrator)
        return median_ms(ask, ASLEEP)


def told_per_second(directory: Path) -> float:
    """Send one message to each of 2,000 new sessions. Return the messages handled per second."""
    with orchestrator_in(directory) as orchestrator:
        at_once(lambda _: orchestrator.session(counter, "warm").ask(Add(number=1), 60), 50)
        started = time.perf_counter()
        at_once(lambda number: orchestrator.session(counter, f"s{number}").tell(Add(number=1)), TOLD)
        while not settled(orchestrator):
            time.sleep(LOOK)
        return TOLD / (time.perf_counter() - started)


def idle_bytes(directory: Path) -> float:
    """Return the growth in bytes of an orchestrator's resident memory for each of 10,000 idle sessions."""
    command = [sys.executable, crowd.__file__, str(directory), str(IDLE)]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(json.loads(found.stdout)["rss_bytes"])


def age_ratio(directory: Path) -> float:
    """Wake a session of 10,000 turns and one of 10 alternately. Return the quotient of their median times."""
    for key, turns in (("old", OLD), ("young", YOUNG)):
        fill(directory / "journal.db", counter, [key], Add(number=1), reply=1, turns=turns)
    spent: dict[str, list[float]] = {"old": [], "young": []}
    with orchestrator_in(directory) as orchestrator:
        for _ in range(ASLEEP):
            for key, found in spent.items():
                crowd.asleep(orchestrator)
                started = time.perf_counter()
                orchestrator.session(counter, key).ask(Add(number=1), 60)
                found.append(time.perf_counter() - started)
    return statistics.median(spent["old"]) / statistics.median(spent["young"])


def start_s(directory: Path) -> float:
    """Start on a journal of 100,000 sessions. Return the seconds until one of them has answered."""
    fill(directory / "journal.db", counter, (f"s{number}" for number in range(STORED)), Add(number=1), reply=1)
    started = time.perf_counter()
    with orchestrator_in(directory) as orchestrator:
        orchestrator.session(counter, "s0").ask(Add(number=1), 60)
        return time.perf_counter() - started


def turn_floor(floors: Floors) -> float:
    """Return the floor of a turn: the commits of its message and its end, and a round trip to a worker."""
    return 2 * floors.commit_ms + floors.round_trip_ms


FIGURES: dict[str, Figure] = {
    "session-turn": Figure(
        "one session asked 200 times in a row: per answer, p50",
        "ms",
        lambda floors: 2 * floors.commit_ms + 2.0,
        "less",
        turn_floor,
        "2 commits + 1 round trip",
        turn_ms,
    ),
    "session-wake": Figure(
        "a session that has left memory: its answer, p50",
        "ms",
        lambda _: 20.0,
        "less",
        turn_floor,
        "2 commits + 1 round trip",
        wake_ms,
    ),
    "session-tell": Figure(
        "2,000 new sessions told one message each, to the last turn's end",
        "turns/s",
        lambda _: 500.0,
        "more",
        lambda floors: 1000 / floors.round_trip_ms,
        "1 round trip per turn",
        told_per_second,
    ),
    "session-idle": Figure(
        "memory of the orchestrator for each of 10,000 idle sessions",
        "bytes",
        lambda _: 2000.0,
        "less",
        lambda _: float(sys.getsizeof("counter/s1000")),
        "the session's id",
        idle_bytes,
    ),
    "session-age": Figure(
        "waking a session of 10,000 turns by waking one of 10",
        "",
        lambda _: 1.5,
        "less",
        lambda _: 1.0,
        "no difference",
        age_ratio,
    ),
    "session-start": Figure(
        "start over a journal of 100,000 sessions, to the answer of one",
        "s",
        lambda _: 1.5,
        "less",
        lambda floors: floors.interpreter_wall_ms / 1000,
        "start of an interpreter",
        start_s,
    ),
}
