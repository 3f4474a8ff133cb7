"""A workflow that changes its state early and then goes on for long, or fails."""

from pydantic import BaseModel

from greenroom import Retry, tool, workflow


class Count(BaseModel):
    number: int = 0


@tool(retry=Retry(attempts=1))
def same(number: int) -> int:
    if number == 3:
        msg = "three"
        raise ValueError(msg)
    return number


@workflow
async def counts(state: Count, numbers: list[int], changes: int) -> int:
    """Make a step of each number, and change the state at the first ones."""
    for place, number in enumerate(numbers):
        if place < changes:
            state.number += 10
        await same(number)
    return state.number
