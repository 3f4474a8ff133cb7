"""Programs come out the same however often they and their orchestrator die on the way."""

import asyncio
import time
from pathlib import Path

import pytest

from greenroom import emit
from greenroom.actors.program.loop.loop import ProgramLoop
from greenroom.actors.program.program import Program
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import StepFailed
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.events.events import TimerSet, ValueEmitted
from greenroom.messages.frames.worker import Diverge, Resolution, Return, StartProgram, Turn
from greenroom.workflows.authoring.decorators import sleep, tool, workflow
from greenroom.workflows.runs.jobs import program as link
from tests.workflows.generated import generated
from tests.workflows.replaying import replay
from tests.workflows.world import World


@tool
def double(n: int) -> int:
    return n * 2


@tool
def bad(n: int) -> int:
    raise ValueError(n)


@workflow
async def branches(width: int, depth: int) -> list[int]:
    """Concurrent branches of different shapes, with failures handled on the way."""

    async def branch(n: int) -> int:
        for turn in range(depth):
            if (n + turn) % 3 == 0:
                n, other = await asyncio.gather(double(n), double(turn))
                n -= other
            elif (n + turn) % 7 == 0:
                try:
                    await bad(n)
                except StepFailed:
                    n += 1
            else:
                n = await double(n)
            if turn % 2:
                await sleep(1 + n % 5)
            n %= 1000
        return n

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(branch(n)) for n in range(width)]
    return [task.result() for task in tasks]


@workflow
async def race(width: int) -> list[str]:
    """Races and timeouts: what wins is an accident, and must stay what it was. Each outcome is told as it happens."""
    story: list[str] = []

    async def tell(what: str) -> None:
        story.append(what)
        await emit(what)

    for turn in range(width):
        first, second = asyncio.create_task(double(turn)), asyncio.create_task(double(turn + 100))
        done, pending = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        await tell("first" if first in done else "second")
        for task in pending:
            task.cancel()
        try:
            async with asyncio.timeout(0.5):
                await tell(str(await double(turn)))
        except TimeoutError:
            await tell("late")
        for finished in asyncio.as_completed([double(turn), double(turn + 1)]):
            await tell(f"then {await finished}")
    return story


def expected(width: int, depth: int) -> list[int]:
    async def plain() -> list[int]:
        async def branch(n: int) -> int:
            for turn in range(depth):
                if (n + turn) % 3 == 0:
                    n = n * 2 - turn * 2
                elif (n + turn) % 7 == 0:
                    n += 1
                else:
                    n *= 2
                n %= 1000
            return n

        return [await branch(n) for n in range(width)]

    return asyncio.run(plain())


ASKING = 1 + next(
    number
    for number, line in enumerate(Path(__file__).read_text().splitlines())
    if "n, other = " in line and "await" in line
)
"""Line of the file in which a branch asks for two steps."""


@pytest.mark.parametrize("block", range(6))
def test_concurrent_branches_end_the_same_under_random_crashes_and_replays(block: int) -> None:
    deaths = told_ahead = 0
    for seed in range(block * 50, block * 50 + 50):
        width, depth = 2 + seed % 5, 2 + seed % 4
        world = World(branches.definition, seed, width=width, depth=depth)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert state.result == expected(width, depth), seed
        deaths += world.deaths
        told_ahead += world.told_ahead
    assert deaths > 50  # else nothing was shown
    assert told_ahead > 50


@pytest.mark.parametrize("block", range(6))
def test_races_and_timeouts_come_out_on_a_replay_as_they_did_when_they_were_run(block: int) -> None:
    """What a life of the program told is on record; what the last one gives back is what its replays believed."""
    winners: set[str] = set()
    deaths = 0
    for seed in range(block * 10, block * 10 + 10):
        world = World(race.definition, seed, width=4)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        told = [plain(event.value) for event in map(decode_event, world.journal) if isinstance(event, ValueEmitted)]
        assert plain(state.result) == told, seed
        assert len(told) == 16
        winners.update(map(str, told))
        deaths += world.deaths
    assert {"first", "second", "late"} < winners
    assert deaths > 20


@pytest.mark.parametrize("block", range(10))
def test_programs_made_at_random_come_out_as_they_were_told_and_as_a_life_without_faults_does(block: int) -> None:
    """They live through deaths and leave memory. Then one more life is given what is recorded, all of it at once."""
    deaths = passivated = told_in_all = 0
    for seed in range(block * 30, block * 30 + 30):
        world = World(generated.definition, seed, crashes=0.05, passivations=0.5, program=seed, breadth=2, depth=2)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        events = [decode_event(body) for body in world.journal]
        told = [event.value for event in events if isinstance(event, ValueEmitted)]
        assert state.result == told, seed
        turn = replay(generated.definition, events[:-1], trial=False)
        (command,) = [each for each in turn.commands if isinstance(each, Return)]
        assert command.result == told, seed
        deaths += world.deaths
        passivated += world.passivated
        told_in_all += len(told)
    assert deaths > 100
    assert passivated >= 5
    assert told_in_all > 500


@pytest.mark.parametrize("seed", range(20))
def test_a_history_that_comes_in_pieces_is_replayed_like_one_that_does_not(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HISTORY_BYTES", 500)
    world = World(branches.definition, seed, width=3, depth=4)
    state = world.run()
    assert state.status == "completed", (seed, state.reason)
    assert state.result == expected(3, 4), seed


def first_turn(known: tuple[str, ...], history: tuple[Resolution, ...] = ()) -> Turn:
    """Run ``branches`` against a journal that holds something, to the end of its first turn."""
    arguments: dict[str, Json] = {"width": 1, "depth": 1}
    start = StartProgram(
        run_id="r", workflow="branches", arguments=arguments, started_at=0.0, history=history, known=known
    )
    turns: list[Turn] = []

    def idle() -> bool:
        if not program.advance():
            turns.append(program.turn())
            loop.stop()
        return True

    loop = ProgramLoop(idle)
    program = Program(loop, branches.definition, start)
    program.begin()
    loop.run_forever()
    program.end()
    loop.run_until_complete(asyncio.wait(asyncio.all_tasks(loop)) if asyncio.all_tasks(loop) else asyncio.sleep(0))
    loop.close()
    return turns[0]


def test_code_that_asks_for_the_same_is_fed_and_asks_for_nothing_twice() -> None:
    history = tuple(Resolution(key=key, kind="result", value=0) for key in ("1.1/double#1", "1.2/double#1"))
    turn = first_turn(("1.1/double#1", "1.2/double#1"), history)
    assert turn.commands == (Return(result=[0]),)


@pytest.mark.parametrize(
    ("known", "history"),
    [
        (("other#1",), (Resolution(key="other#1", kind="result"),)),
        (("other#1",), ()),
    ],
)
def test_code_that_asks_for_something_else_is_found_out_before_it_does_anything(
    known: tuple[str, ...], history: tuple[Resolution, ...]
) -> None:
    (command,) = first_turn(known, history).commands
    assert isinstance(command, Diverge)
    asked = f'1.1/double#1 with {{"args":[0],"kwargs":{{}}}} ({__file__}:{ASKING})'  # where ``gather`` is awaited
    assert command.detail == f"the journal holds the call of other#1, but the code now waits for {asked}"


@workflow
async def dawdle(seconds: float) -> None:
    end = time.monotonic() + 0.05
    async with asyncio.timeout(seconds):
        while time.monotonic() < end:
            pass
        await sleep(seconds / 2)


def test_a_wait_is_recorded_as_long_as_it_was_asked_for_however_slow_the_code() -> None:
    world = World(dawdle.definition, seed=1, crashes=0.0, seconds=3.0)
    world.run()
    waits = [event.due - event.at for event in map(decode_event, world.journal) if isinstance(event, TimerSet)]
    assert waits == [3.0, 1.5]


@workflow
async def hasty() -> list[str]:
    """Ask for things and lose interest in them within one turn."""
    said: list[str] = []
    task = asyncio.create_task(double(1))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        said.append("cancelled")
    async with asyncio.timeout(60):
        await asyncio.sleep(0)
        said.append("in time")
    return [*said, str(await double(2))]


@pytest.mark.parametrize("seed", range(10))
def test_what_is_withdrawn_in_the_turn_that_asked_for_it_leaves_no_trace(seed: int) -> None:
    world = World(hasty.definition, seed)
    state = world.run()
    assert state.result == ["cancelled", "in time", "4"]
    assert list(state.steps) == ["double#1"]
    assert not state.timer_keys
