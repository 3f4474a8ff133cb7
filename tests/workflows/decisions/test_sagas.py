"""Compensation by plain ``try`` and ``except``: in order and once, however often everything dies on the way."""

import asyncio
from collections import Counter

import pytest

from greenroom import StepFailed, tool, workflow
from tests.workflows.world import World


@tool
def double(n: int) -> int:
    return n * 2


@tool
def bad(n: int) -> int:
    raise ValueError(n)


@workflow
async def sagas(width: int, depth: int) -> list[list[int]]:
    """Sagas beside one another, each of which fails after some steps and undoes these in reverse."""

    async def saga(n: int) -> list[int]:
        done: list[int] = []
        undone: list[int] = []
        try:
            for turn in range(depth + n):
                await double.options(key=f"{n}")(turn)
                done.append(turn)
            await bad(n)
        except StepFailed:
            for turn in reversed(done):
                twice = await double.options(name="undo", key=f"{n}")(turn)
                undone.append(twice // 2)
        return undone

    return list(await asyncio.gather(*(saga(n) for n in range(width))))


@pytest.mark.parametrize("block", range(4))
def test_every_compensation_is_made_once_and_in_reverse_under_random_crashes(block: int) -> None:
    deaths = 0
    for seed in range(block * 25, block * 25 + 25):
        width, depth = 1 + seed % 3, 1 + seed % 4
        world = World(sagas.definition, seed, width=width, depth=depth)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert state.result == [list(reversed(range(depth + n))) for n in range(width)], seed
        undone = Counter(step.key for step in state.steps.values() if step.name == "undo")
        assert len(undone) == sum(depth + n for n in range(width))
        assert all(step.status == "completed" for step in state.steps.values() if step.name != "bad")
        deaths += world.deaths
    assert deaths > 30  # else nothing was shown
