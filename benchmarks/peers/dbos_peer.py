"""The work in DBOS."""

import asyncio
import time

import work
from dbos import DBOS, DBOSConfig


@DBOS.step()
async def step(number: int) -> int:
    """Return the argument."""
    return number


@DBOS.step()
async def stay(folder: str, run: int) -> None:
    """Note that this step has begun, and go on for an hour."""
    work.begin(folder, run)
    await asyncio.sleep(3600)


@DBOS.workflow()
async def flow(steps: int) -> int:
    """Await a number of steps."""
    return sum([await step(number) for number in range(steps)])


@DBOS.workflow()
async def long(folder: str, run: int) -> None:
    """Await some steps, and a long one."""
    for number in range(work.BEFORE):
        await step(number)
    await stay(folder, run)


async def start(count: int, steps: int) -> None:
    """Start runs, and wait for all results."""
    for handle in [await DBOS.start_workflow_async(flow, steps) for _ in range(count)]:
        await handle.get_result()


async def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    DBOS(config=DBOSConfig(name="peer", system_database_url=f"sqlite:///{folder}/dbos.sqlite", log_level="WARNING"))
    DBOS.launch()  # recovers what was going on
    if what in {"start", "resume"}:
        if what == "start":
            for run in range(work.RUNS):
                await DBOS.start_workflow_async(long, folder, run)
        await asyncio.sleep(3600)
    await start(1, 5)
    started = time.perf_counter()
    if what == "serial":
        await start(1, work.SERIAL_STEPS)
        work.answer((time.perf_counter() - started) / work.SERIAL_STEPS)
    else:
        await start(work.RUNS, work.STEPS)
        work.answer(work.RUNS * work.STEPS / (time.perf_counter() - started))
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
