"""The work in greenroom."""

import asyncio
import time
from pathlib import Path

import work

from greenroom import LLM, Orchestrator, Retry, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest


@tool
def step(number: int) -> int:
    """Return the argument."""
    return number


@tool(retry=Retry(initial=0.0))
def crash(folder: str) -> float:
    """See ``work.crash_once``."""
    return work.crash_once(folder)


class Stay:
    """A model that notes that it was asked, and answers after an hour."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """See the class."""
        folder, _, run = request.prompt.rpartition(" ")
        work.begin(folder, run)
        await asyncio.sleep(3600)
        return ModelReply("at last")


stay = LLM("stay", model=Stay(), timeout=None)


@workflow
async def flow(steps: int) -> int:
    """Await a number of steps."""
    return sum([await step(number) for number in range(steps)])


@workflow
async def crashing(folder: str) -> float:
    """Await a step whose process dies."""
    return await crash(folder)


@workflow
async def long(folder: str, run: int) -> str:
    """Await some steps, and a long one."""
    for number in range(work.BEFORE):
        await step(number)
    return await stay(f"{folder} {run}")


def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    with Orchestrator(Path(folder) / "journal.db", home=Path(folder) / "home") as orchestrator:
        if what in {"start", "resume"}:
            if what == "start":
                for run in range(work.RUNS):
                    orchestrator.start(long, folder, run)
            time.sleep(3600)
        orchestrator.start(flow, 5).result(60)
        started = time.perf_counter()
        if what == "serial":
            orchestrator.start(flow, work.SERIAL_STEPS).result(120)
            work.answer((time.perf_counter() - started) / work.SERIAL_STEPS)
        elif what == "concurrent":
            for run in [orchestrator.start(flow, work.STEPS) for _ in range(work.RUNS)]:
                run.result(120)
            work.answer(work.RUNS * work.STEPS / (time.perf_counter() - started))
        else:
            died = orchestrator.start(crashing, folder).result(60)
            work.answer(time.time() - died)


if __name__ == "__main__":
    main()
