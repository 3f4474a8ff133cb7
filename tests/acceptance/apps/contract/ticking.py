"""A neighbour that takes one short step after another until it is cancelled. It is an app of its own."""

from greenroom import tool, workflow


@tool
def tick(number: int) -> int:
    return number


@workflow
async def ticks() -> None:
    number = 0
    while True:
        number = await tick(number) + 1
