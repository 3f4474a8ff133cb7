"""A journal is replayed against other code than wrote it: the first difference is found, exactly, and nothing is done."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from greenroom import emit
from greenroom.actors.api.receive import receive
from greenroom.actors.api.signal import signal
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.events.events import AnyEvent, CodeAdopted, RunParked, RunStarted, ValueEmitted
from greenroom.messages.frames.replay_differences import Difference, digest
from greenroom.messages.frames.worker import Diverge, ScheduleStep, Turn, Withdraw
from greenroom.workflows.authoring.decorators import sleep, tool, workflow
from greenroom.workflows.runs.jobs import program
from tests.workflows.decisions.test_decide import Case
from tests.workflows.replaying import replay
from tests.workflows.world import World


class Go(BaseModel):
    far: int


@tool
def double(n: int) -> int:
    return n * 2


@tool
def halve(n: int) -> int:
    return n // 2


@workflow
async def before(n: int) -> int:
    first = await double(n)
    await sleep(5)
    both = await asyncio.gather(double(first), double(n + 1))
    late, early = asyncio.create_task(sleep(100)), asyncio.create_task(double(7))
    await asyncio.wait([late, early], return_when=asyncio.FIRST_COMPLETED)
    late.cancel()
    return sum(both) + (await receive(Go)).far


def recorded(seed: int = 1) -> list[AnyEvent]:
    """Give everything that ``before`` leads to, but for its end."""
    world = World(before.definition, seed, crashes=0.0, messages=[Go(far=1)], n=1)
    assert world.run().status == "completed"
    return [decode_event(body) for body in world.journal[:-1]]


@workflow
async def same(n: int) -> int:
    """The same, in other words."""
    first = await double(n)
    await sleep(6)  # a wait that is recorded is over when the record says so
    branches = (double(n=first).__await__, double(n + 1)) if False else (double(first), double(n + 1))
    both = await asyncio.gather(*branches)
    tasks = [asyncio.create_task(sleep(100)), asyncio.create_task(double(7))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks[0].cancel()
    far = (await receive(Go)).far
    return sum(both) + far + await halve(far)


@workflow
async def other_arguments(n: int) -> int:
    first = await double(n)
    await sleep(5)
    await asyncio.gather(double(first), double(n + 2))  # HERE
    return first


@workflow
async def another_before(n: int) -> int:
    first = await double(n)
    await halve(n)  # HERE
    await sleep(5)
    return first


@workflow
async def another_beside(n: int) -> int:
    beside = asyncio.create_task(sleep(0))
    await halve(n) if n else None  # HERE
    await beside
    return await double(n)


@workflow
async def another_task(n: int) -> int:
    first = await double(n)
    await sleep(5)
    await asyncio.gather(double(first), double(n + 1))
    late, early = asyncio.create_task(sleep(100)), asyncio.create_task(double(7))
    await asyncio.wait([late, early], return_when=asyncio.FIRST_COMPLETED)
    late.cancel()
    task = asyncio.create_task(halve(n))  # HERE
    await asyncio.sleep(0)
    return (await receive(Go)).far + await task


@workflow
async def one_missing(n: int) -> int:
    await sleep(5)  # HERE
    return await double(n)


@workflow
async def breaks(n: int) -> int:
    first = await double(n)
    await sleep(5)
    message = f"{first} is odd"
    raise ValueError(message)


@workflow
async def ends_early(n: int) -> int:
    return await double(n)


@workflow
async def waits_on(n: int) -> int:
    first = await double(n)
    await sleep(5)
    await asyncio.gather(double(first), double(n + 1))
    late, early = asyncio.create_task(sleep(100)), asyncio.create_task(double(7))
    await asyncio.wait([late, early], return_when=asyncio.FIRST_COMPLETED)
    await receive(Go)
    await late
    return first


@workflow
async def another_kind(n: int) -> int:
    return await as_child(n)  # HERE


@workflow(name="double")
async def as_child(n: int) -> int:
    return n


def difference(turn: Turn) -> Difference:
    (command,) = turn.commands
    assert isinstance(command, Diverge)
    assert command.difference is not None
    assert command.detail == command.difference.sentence()
    return command.difference


def lines() -> list[int]:
    """Give the lines that are marked in this file."""
    text = Path(__file__).read_text().splitlines()
    return [number for number, line in enumerate(text, 1) if line.endswith("  # HERE")]


def test_code_that_asks_for_the_same_is_equal_whatever_it_looks_like() -> None:
    turn = replay(same.definition, recorded())
    assert turn.commands == ()
    assert turn.fingerprint == same.definition.fingerprint != before.definition.fingerprint


@workflow
async def shows(n: int) -> int:
    await emit({"half": await halve(n)})
    return await double(n)


@workflow
async def shows_otherwise(n: int) -> int:
    await emit(f"half of it is {await halve(n)}")
    return await double(n)


def test_what_was_emitted_stays_as_it_was() -> None:
    world = World(shows.definition, 1, crashes=0.0, n=4)
    assert world.run().status == "completed"
    events = [decode_event(body) for body in world.journal[:-1]]
    assert any(isinstance(event, ValueEmitted) for event in events)
    assert replay(shows_otherwise.definition, events).commands[:-1] == ()


@pytest.mark.parametrize("seed", range(10))
def test_it_is_equal_whatever_came_first(seed: int) -> None:
    assert replay(same.definition, recorded(seed)).commands == ()


@pytest.mark.parametrize(
    ("changed", "kind", "key", "asked"),
    [
        (other_arguments, "arguments", "2/double#1", ["2/double#1"]),
        (another_before, "outcome", "timer#1", ["halve#1"]),
        (another_beside, "outcome", "double#1", ["halve#1"]),
        (another_task, "extra", "receive(Go)#1", ["5/halve#1"]),
        (one_missing, "outcome", "double#1", ["timer#1"]),
        (breaks, "missing", "1/double#1", []),
        (ends_early, "missing", "timer#1", []),
        (waits_on, "withdrawn", "3/timer#1", ["3/timer#1"]),
        (another_kind, "arguments", "double#1", ["double#1"]),
    ],
)
def test_the_first_difference_is_found(changed: Any, kind: str, key: str, asked: Sequence[str]) -> None:
    found = difference(replay(changed.definition, recorded()))
    assert (found.kind, found.key) == (kind, key)
    assert [each.key for each in found.asked] == asked


def test_it_says_where_the_code_asks() -> None:
    changed = (other_arguments, another_before, another_beside, another_task, one_missing, another_kind)
    places = [difference(replay(item.definition, recorded())).asked[0].place for item in changed]
    assert places == [f"{__file__}:{line}" for line in lines()]


def test_code_that_breaks_says_how() -> None:
    found = difference(replay(breaks.definition, recorded()))
    assert found.ending == "raises ValueError: 2 is odd"
    assert found.sentence() == (
        "the journal holds the call of 1/double#1, but the code now raises ValueError: 2 is odd"
    )


def test_a_history_in_pieces_is_compared_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "HISTORY_BYTES", 150)
    assert replay(same.definition, recorded()).commands == ()
    assert difference(replay(waits_on.definition, recorded())).kind == "withdrawn"


def test_what_new_code_asks_for_besides_waits_until_everything_was_compared() -> None:
    events = recorded()
    first = events[0].model_copy(update={"fingerprint": "of other code"})
    turn = replay(same.definition, [first, *events[1:]], trial=False)
    assert [type(command) for command in turn.commands if not isinstance(command, Withdraw)] == [ScheduleStep]
    found = replay(another_before.definition, [first, *events[1:]], trial=False)
    assert [type(command) for command in found.commands] == [Diverge]


@pytest.mark.parametrize("changed", [other_arguments, another_before, another_task, waits_on])
def test_everything_is_compared_where_the_code_is_known_to_be_the_same_too(changed: Any) -> None:
    """It may ask for something else all the same: it went through a set, say."""
    found = difference(replay(changed.definition, recorded()))
    again = difference(replay(changed.definition, known_to_fit(changed), trial=False))
    assert again == found.model_copy(update={"unchanged": True})


TOLD: list[int] = []
"""What ``telling`` says next: it is no part of its code."""


@workflow
async def telling() -> None:
    for far in TOLD:
        await signal("friend", Go(far=far))
    await receive(Go)


def test_messages_to_others_are_compared_like_arguments() -> None:
    TOLD[:] = [1, 2]
    world = World(telling.definition, 1, crashes=0.0, messages=[Go(far=1)])
    assert world.run().status == "completed"
    events = [decode_event(body) for body in world.journal[:-1]]
    assert not any(isinstance(command, Diverge) for command in replay(telling.definition, events, trial=False).commands)
    TOLD.reverse()
    found = difference(replay(telling.definition, events, trial=False))
    assert (found.kind, found.key, found.unchanged) == ("arguments", "tell(friend)#1", True)
    assert found.asked[0].arguments == {"name": "Go", "value": {"far": 2}}


def test_code_that_is_the_same_and_asks_for_something_else_is_told_what_to_do_about_it() -> None:
    case = Case()
    for event in recorded()[1:]:
        case.happen_recorded(event)
    decision = case.happen_turn(replay(other_arguments.definition, known_to_fit(other_arguments), trial=False))
    (parked,) = decision.events
    assert isinstance(parked, RunParked)
    for told in (
        "its code does not ask for the same again",
        'holds the call of 2/double#1 with {"args":[2],"kwargs":{}}',
        'asks for 2/double#1 with {"args":[3],"kwargs":{}}',
        f"{__file__}:{lines()[0]}",
        "args[0] was 2 and is 3",
        "sorted()",
        "greenroom.now()",
        "from a step",
        "greenroom runs resume r",
        "greenroom runs fork r",
    ):
        assert told in parked.reason
    assert "version" not in parked.reason


def known_to_fit(changed: Any) -> list[AnyEvent]:
    """Give the journal of ``before`` as if the code of another workflow had written it."""
    first, *others = recorded()
    return [first.model_copy(update={"fingerprint": changed.definition.fingerprint}), *others]


def test_of_arguments_in_a_journal_of_an_older_form_the_simple_ones_are_compared() -> None:
    """Models are written in another way since, and a run of before goes on with code that has not changed."""

    def in_short(*args: Any) -> str:
        return digest("tool", {"args": list(args), "kwargs": {"n": args[0]}}, form=0)

    assert in_short(1, {"total": 2}, [3]) == in_short(1, {}, [4])
    assert len({in_short(1, {}), in_short(2, {}), in_short("1", {}), in_short(True, {}), in_short(None, {})}) == 5
    first, *others = known_to_fit(other_arguments)
    assert isinstance(first, RunStarted)
    turn = replay(other_arguments.definition, [first.model_copy(update={"form": 0}), *others], trial=False)
    assert difference(turn).kind == "arguments"


def test_a_run_is_parked_with_event_and_arguments_and_the_ways_on() -> None:
    case = Case()
    for event in recorded()[1:]:
        case.happen_recorded(event)
    turn = replay(other_arguments.definition, recorded())
    decision = case.happen_turn(turn)
    (parked,) = decision.events
    assert isinstance(parked, RunParked)
    assert parked.difference is not None
    assert parked.difference.seq == case.state.asked["2/double#1"]
    assert parked.difference.changes == ("args[0] was 2 and is 3",)
    assert parked.difference.arguments == {"args": [2], "kwargs": {}}
    for told in (
        f"event {parked.difference.seq} of the journal holds the call of 2/double#1",
        'the code now asks for 2/double#1 with {"args":[3],"kwargs":{}}',
        f"{__file__}:{lines()[0]}",
        "args[0] was 2 and is 3",
        "greenroom runs resume r",
        "greenroom runs fork r",
        "version=2",
    ):
        assert told in parked.reason


def test_code_that_fits_is_recorded_once() -> None:
    case = Case()
    turn = Turn(run_id="r", fingerprint="abc")
    assert case.happen_turn(turn).events == [CodeAdopted(at=case.now, fingerprint="abc")]
    assert case.happen_turn(turn).events == []


def test_a_run_of_no_version_keeps_to_the_one_that_it_began_with() -> None:
    case = Case()
    case.state.version = 0
    case.happen_turn(Turn(run_id="r", fingerprint="abc", version=3))
    assert case.state.version == 3
    case.happen_turn(Turn(run_id="r", fingerprint="def", version=4))
    assert case.state.version == 3
