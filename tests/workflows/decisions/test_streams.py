"""Values that runs emit: each once and in order, however often everything dies on the way, and none held in memory."""

import asyncio
import sys
from collections import defaultdict

import pytest

from greenroom import emit, sleep, tool, workflow
from greenroom.actors.program import emit_backpressure
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.events.events import ValueEmitted
from greenroom.messages.frames.worker import AwaitWriting, EmitValue
from greenroom.workflows.decisions import effects as do
from tests.workflows.decisions.test_decide import NOTHING, Case, types
from tests.workflows.world import World, as_json


@tool
def double(n: int) -> int:
    return n * 2


@workflow
async def telling(width: int, depth: int) -> int:
    """Concurrent branches that emit on channels of their own and on one that they share."""

    async def branch(n: int) -> None:
        for turn in range(depth):
            await emit([n, turn], f"branch {n}")
            await emit(n, "all")
            await (double(turn) if (n + turn) % 2 else sleep(1))
            for more in range(turn):
                await emit([n, turn, more], f"branch {n}")

    async with asyncio.TaskGroup() as group:
        for n in range(width):
            group.create_task(branch(n))
    return width


def emitted(world: World) -> dict[str, list[object]]:
    found: defaultdict[str, list[object]] = defaultdict(list)
    for body in world.journal:
        event = decode_event(body)
        if isinstance(event, ValueEmitted):
            assert event.offset == len(found[event.channel]), "offsets have no gaps"
            found[event.channel].append(event.value)
    return found


@pytest.mark.parametrize("block", range(4))
def test_every_value_is_emitted_once_and_in_order_under_random_crashes(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = waits = 0
    for seed in range(block * 25, block * 25 + 25):
        monkeypatch.setattr(emit_backpressure, "MOST_VALUES", 1 + seed % 6)
        width, depth = 1 + seed % 4, 2 + seed % 4
        world = World(telling.definition, seed, width=width, depth=depth)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        told = emitted(world)
        assert sorted(told.pop("all"), key=str) == sorted(list(range(width)) * depth), seed
        turns = [[turn, *more] for turn in range(depth) for more in ((), *((n,) for n in range(turn)))]
        assert told == {f"branch {n}": [[n, *turn] for turn in turns] for n in range(width)}, seed
        deaths += world.deaths
        waits += world.waits
    assert deaths > 30  # else nothing was shown
    assert waits > 100


@workflow
async def flood(count: int) -> int:
    for n in range(count):
        await emit(n)
    return count


def test_a_program_that_emits_without_a_pause_goes_at_the_pace_of_the_disk() -> None:
    world = World(flood.definition, seed=1, crashes=0.0, count=2_600)
    assert world.run().status == "completed"
    assert emitted(world) == {"default": list(range(2_600))}
    assert world.waits == 2_600 // emit_backpressure.MOST_VALUES
    assert world.most_commands == emit_backpressure.MOST_VALUES + 1


def value(number: int, key: str = "emit(default)", channel: str = "default") -> EmitValue:
    return EmitValue(key=key, number=number, channel=channel, value={"n": number})


def test_channels_count_for_themselves_and_tasks_share_them() -> None:
    case = Case()
    decision = case.turn(value(1), value(1, "1/emit(default)"), value(1, "emit(other)", "other"), value(2))
    assert types(decision) == ["value.emitted"] * 4
    assert [(event.channel, event.offset) for event in decision.events if isinstance(event, ValueEmitted)] == [
        ("default", 0),
        ("default", 1),
        ("other", 0),
        ("default", 2),
    ]
    assert case.turn(value(1), value(2), value(1, "1/emit(default)")) == NOTHING, "a replay says the same again"
    assert types(case.turn(value(2), value(3))) == ["value.emitted"]
    assert case.state.offsets == {"default": 4, "other": 1}


def test_a_program_that_waits_for_the_disk_is_answered_after_it_wrote() -> None:
    decision = Case().turn(value(1), AwaitWriting())
    assert decision.now == [do.ExpectWritten()]
    assert decision.then == [do.TellWritten()]


def test_the_state_does_not_grow_with_the_values() -> None:
    case = Case()
    case.turn(value(1))
    before = len(str(as_json(case.state)))
    for first in range(2, 20_002, 500):
        case.turn(*(value(number) for number in range(first, first + 500)))
    assert case.state.offsets == {"default": 20_001}
    assert len(str(as_json(case.state))) < before + 100
    assert sys.getsizeof(case.state.mark_changes) + sys.getsizeof(case.state.wait_changes) < 200
