"""Workflows that wait for messages."""

from pydantic import BaseModel

from tests.acceptance.apps.running import note
from understudy import receive, workflow


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
