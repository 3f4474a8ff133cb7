"""The work in ``concurrent.futures``. A crash breaks the pool with all its jobs; nothing survives the process."""

import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import work


def step(number: int) -> int:
    """Return the argument."""
    return number


def flow(pool: ProcessPoolExecutor, steps: int) -> int:
    """Await a number of steps."""
    return sum(pool.submit(step, number).result() for number in range(steps))


def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    with ProcessPoolExecutor(4) as pool, ThreadPoolExecutor(16) as threads:
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
                died = pool.submit(work.crash_once, folder).result()
            except BrokenProcessPool:
                with ProcessPoolExecutor(4) as another:
                    died = another.submit(work.crash_once, folder).result()
            work.answer(time.time() - died)


if __name__ == "__main__":
    main()
