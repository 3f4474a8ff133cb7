"""A run that leaves memory while it sleeps, and needs a process to go on."""

from greenroom import sleep, tool, workflow


@tool
def add(a: int, b: int) -> int:
    return a + b


@workflow
async def nap(seconds: float) -> int:
    first = await add(1, 2)
    await sleep(seconds)
    return await add(first, 4)
