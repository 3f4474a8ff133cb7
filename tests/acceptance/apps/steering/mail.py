"""Workflows that wait for messages."""

from typing import Any

from pydantic import BaseModel, create_model

from greenroom import receive, workflow
from tests.acceptance.apps.steering.running import note


class Go(BaseModel):
    n: int
    why: str = ""


class Stop(BaseModel):
    pass


@workflow
async def collect(count: int) -> list[int]:
    return [(await receive(Go)).n for _ in range(count)]


@workflow
async def noting(log: str, count: int) -> int:
    for _ in range(count):
        await note(log, str((await receive(Go)).n))
    return count


@workflow
async def impatient() -> str:
    try:
        await receive(Go, timeout=0.2)
    except TimeoutError:
        late = await receive(Go)
        return f"gave up, then {late.n}"
    return "in time"


@workflow
async def wrong() -> None:
    await receive(int)  # type: ignore[type-var]


@workflow
async def either() -> None:
    await receive(Go | Stop)  # type: ignore[arg-type]


@workflow
async def makes_its_own() -> int:
    """Await a message of a model whose name stands nowhere."""
    model: Any = create_model("Local" + str(3 + 4), n=(int, ...))
    received: Any = await receive(model)
    return int(received.n)
