"""A workflow that draws before and after it is interrupted."""

import os

from pydantic import BaseModel

from greenroom import now, random, tool, uuid4, workflow


class Draw(BaseModel):
    at: float
    identity: str
    number: float


def draw() -> Draw:
    return Draw(at=now().timestamp(), identity=str(uuid4()), number=random())


@tool
def wait(gate: str, drawn: Draw) -> Draw:
    os.close(os.open(gate, os.O_RDONLY))  # a fifo: waits until somebody opens the other end
    return drawn


@workflow
async def drawing(gate: str) -> list[Draw]:
    first = draw()
    sent = await wait(gate, first)
    return [first, sent, draw()]
