"""Workflows that emit values."""

from pydantic import BaseModel

from greenroom import NotSerializable, emit, workflow
from tests.acceptance.apps.steering.running import gate, note


class Word(BaseModel):
    word: str
    size: int


@workflow
async def words(text: str) -> int:
    found = text.split()
    for word in found:
        await emit(Word(word=word, size=len(word)))
        await emit(len(word), channel="sizes")
    return len(found)


@workflow
async def between_gates(folder: str) -> str:
    await emit("before")
    await gate(folder, "first")
    await emit("between")
    await gate(folder, "second")
    await emit("after")
    return "told"


@workflow
async def noting(log: str, count: int) -> int:
    for n in range(count):
        await emit(n)
        await note(log, str(n))
        await emit(-n, "negative")
    return count


@workflow
async def flood(count: int, size: int) -> int:
    for n in range(count):
        await emit("x" * size if size else n)
    return count


@workflow
async def unfit() -> list[str]:
    said: list[str] = []
    for value, channel in [(object(), "default"), ("x" * 9_000_000, "default"), (1, ""), (1, 7)]:
        try:
            await emit(value, channel)  # type: ignore[arg-type]
        except (NotSerializable, ValueError, TypeError) as error:
            said.append(f"{type(error).__name__}: {error}")
    return said
