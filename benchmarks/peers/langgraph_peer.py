"""The work in LangGraph, with its checkpointer for SQLite: each step is a turn of a graph, which is saved after it."""

import asyncio
import time
from typing import Any, TypedDict

import work
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    """What a run has done."""

    left: int
    total: int
    folder: str
    run: int


async def step(state: State) -> dict[str, int]:
    """Return the argument, added to the others."""
    return {"left": state["left"] - 1, "total": state["total"] + state["left"]}


async def stay(state: State) -> dict[str, int]:
    """Note that this step has begun, and go on for an hour."""
    work.begin(state["folder"], state["run"])
    await asyncio.sleep(3600)
    return {}


def following(state: State) -> str:
    """Return the next node."""
    if state["left"]:
        return "step"
    return "stay" if state["folder"] else END


async def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    async with AsyncSqliteSaver.from_conn_string(f"{folder}/checkpoints.db") as saver:
        graph = StateGraph(State)
        graph.add_node("step", step)
        graph.add_node("stay", stay)
        graph.add_edge(START, "step")
        graph.add_conditional_edges("step", following)
        graph.add_edge("stay", END)
        flow: Any = graph.compile(checkpointer=saver)

        def run(name: object, given: State | None) -> Any:
            config = {"configurable": {"thread_id": str(name)}, "recursion_limit": 10_000}
            return flow.ainvoke(given, config, durability="sync")

        def steps(count: int, place: str = "", number: int = 0) -> State:
            return {"left": count, "total": 0, "folder": place, "run": number}

        if what == "start":
            await asyncio.gather(*(run(each, steps(work.BEFORE, folder, each)) for each in range(work.RUNS)))
        if what == "resume":
            await asyncio.gather(*(run(each, None) for each in range(work.RUNS)))
        await run("warm", steps(5))
        started = time.perf_counter()
        if what == "serial":
            await run("serial", steps(work.SERIAL_STEPS))
            work.answer((time.perf_counter() - started) / work.SERIAL_STEPS)
        else:
            await asyncio.gather(*(run(each, steps(work.STEPS)) for each in range(work.RUNS)))
            work.answer(work.RUNS * work.STEPS / (time.perf_counter() - started))


if __name__ == "__main__":
    asyncio.run(main())
