"""A process whose orchestrator has many idle sessions: it says what they cost it, as JSON. Started by tests.

``crowd.py FOLDER COUNT`` opens that many sessions by asking each of them something, waits until all of them have left
memory, and then asks some of them again.
"""

import gc
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # a checkout need not be installed

import psutil

from greenroom import Orchestrator
from tests.acceptance.apps.sessions import talk
from tests.support import eventually

CLIENTS = 16
ROUNDS, ASKED = 3, 100


def main() -> None:
    """Measure, print."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    with Orchestrator(folder / "runs.db", home=folder / "home") as orchestrator:

        def ask(key: str) -> None:
            assert orchestrator.session(talk.plain, key).ask(talk.Say(text="hello"), 60) == len("hello")

        at_once(ask, ["first"] * 200)
        asleep(orchestrator)
        threads, memory = threading.active_count(), psutil.Process().memory_full_info()
        started = time.perf_counter()
        at_once(ask, (f"k{number}" for number in range(count)))
        took = time.perf_counter() - started
        asleep(orchestrator)
        grown = psutil.Process().memory_full_info()
        figures = {
            "rss_bytes": (grown.rss - memory.rss) / count,
            "uss_bytes": (grown.uss - memory.uss) / count,
            "threads": threading.active_count() - threads,
            "asks_per_second": count / took,
            "wake_ms": [median_ms(ask, count) for _ in range(ROUNDS)],
        }
    print(json.dumps(figures))


def at_once(action: Callable[[str], None], keys: Iterable[str]) -> None:
    """Call an action with each key, from several threads. An executor would hold something of its own for each key."""
    keys, lock = iter(keys), threading.Lock()
    errors: list[BaseException] = []

    def shared() -> Iterator[str]:
        while not errors:
            with lock:
                key = next(keys, None)
            if key is None:
                return
            yield key

    def work() -> None:
        try:
            for key in shared():
                action(key)
        except BaseException as error:  # noqa: BLE001  it is raised again where somebody waits for it
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def asleep(orchestrator: Orchestrator) -> None:
    """Wait until nothing but the journal knows of any session."""

    def empty() -> bool:
        found = orchestrator._engine.runs.statistics()  # pyright: ignore[reportPrivateUsage]
        return not (found["live"] or found["loading"])

    eventually(empty, 60, what="leaving memory")
    gc.collect()


def median_ms(ask: Callable[[str], None], count: int) -> float:
    """Ask some of the sessions, one after the other; give the median time of an answer in milliseconds."""
    spent: list[float] = []
    for number in random.sample(range(count), min(count, ASKED)):
        started = time.perf_counter()
        ask(f"k{number}")
        spent.append(time.perf_counter() - started)
    return statistics.median(spent) * 1000


if __name__ == "__main__":
    main()
