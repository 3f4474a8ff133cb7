"""The work in Ray. A workflow is a thread that awaits tasks; nothing survives the cluster."""

import time
from concurrent.futures import ThreadPoolExecutor

import ray
import work


@ray.remote
def step(number: int) -> int:
    """Return the argument."""
    return number


@ray.remote(max_retries=3)
def crash(folder: str) -> float:
    """See ``work.crash_once``."""
    return work.crash_once(folder)


def flow(steps: int) -> int:
    """Await a number of steps."""
    return sum(ray.get(step.remote(number)) for number in range(steps))


def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    ray.init(log_to_driver=False, include_dashboard=False)
    flow(20)
    with ThreadPoolExecutor(16) as threads:
        started = time.perf_counter()
        if what == "serial":
            flow(work.SERIAL_STEPS)
            work.answer((time.perf_counter() - started) / work.SERIAL_STEPS)
        elif what == "concurrent":
            list(threads.map(flow, [work.STEPS] * work.RUNS))
            work.answer(work.RUNS * work.STEPS / (time.perf_counter() - started))
        else:
            died = ray.get(crash.remote(folder))
            work.answer(time.time() - died)
    ray.shutdown()


if __name__ == "__main__":
    main()
