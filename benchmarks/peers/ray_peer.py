"""The work in Ray. A workflow is a task that awaits others; nothing survives the cluster."""

import time

import ray
import work


@ray.remote(num_cpus=0)
def step(number: int) -> int:
    """Return the argument."""
    return number


@ray.remote(num_cpus=0)
def flow(steps: int) -> int:
    """Await a number of steps."""
    return sum(ray.get(step.remote(number)) for number in range(steps))


@ray.remote(num_cpus=0, max_retries=3)
def crash(folder: str) -> float:
    """See ``work.crash_once``."""
    return work.crash_once(folder)


def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    ray.init(log_to_driver=False, include_dashboard=False)
    ray.get(flow.remote(5))
    started = time.perf_counter()
    if what == "serial":
        ray.get(flow.remote(work.SERIAL_STEPS))
        work.answer((time.perf_counter() - started) / work.SERIAL_STEPS)
    elif what == "concurrent":
        ray.get([flow.remote(work.STEPS) for _ in range(work.RUNS)])
        work.answer(work.RUNS * work.STEPS / (time.perf_counter() - started))
    else:
        died = ray.get(crash.remote(folder))
        work.answer(time.time() - died)
    ray.shutdown()


if __name__ == "__main__":
    main()
