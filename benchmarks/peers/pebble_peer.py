"""The work in pebble's process pool. A workflow is a thread that awaits jobs; nothing survives the process."""

import time
from concurrent.futures import ThreadPoolExecutor

import work
from pebble import ProcessExpired, ProcessPool


def step(number: int) -> int:
    """Return the argument."""
    return number


def flow(pool: ProcessPool, steps: int) -> int:
    """Await a number of steps."""
    return sum(pool.schedule(step, args=[number]).result() for number in range(steps))


def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    with ProcessPool(max_workers=4) as pool, ThreadPoolExecutor(16) as threads:
        flow(pool, 20)
        started = time.perf_counter()
        if what == "serial":
            flow(pool, work.SERIAL_STEPS)
            work.answer((time.perf_counter() - started) / work.SERIAL_STEPS)
        elif what == "concurrent":
            list(threads.map(lambda _: flow(pool, work.STEPS), range(work.RUNS)))
            work.answer(work.RUNS * work.STEPS / (time.perf_counter() - started))
        else:
            try:
                died = pool.schedule(work.crash_once, args=[folder]).result()
            except ProcessExpired:
                died = pool.schedule(work.crash_once, args=[folder]).result()
            work.answer(time.time() - died)


if __name__ == "__main__":
    main()
