"""A program that has nothing left to wait for ends or is parked, whatever its code does; its neighbours go on."""

import itertools
import os
import random
import time
from collections.abc import Callable

import pytest

from greenroom import Orchestrator, Run, TurnFailed
from tests.acceptance.apps.replay import endings
from tests.support import eventually

SEED = int(os.environ.get("GREENROOM_SEED", "1"))
OVER = {"completed", "failed", "cancelled", "parked"}
PATIENCE = 60.0
"""Seconds for all programs of a test together, on a machine with other things to do."""
PROMPT = 5.0
"""Seconds within which a program that has nothing left to wait for is over, whatever else runs."""
DEADLY = {"SystemExit", "KeyboardInterrupt"}
"""What ends the process, and the run at the third time."""
UNIQUE = {"alarm"}
"""What a process has one of: two programs would take it from each other."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def drawn(seed: int, count: int) -> list[tuple[str, list[str]]]:
    """Draw bad programs: how they end, and where in their code that happens."""
    chance = random.Random(seed)
    kinds = [kind for kind in endings.ENDINGS if kind not in DEADLY | UNIQUE]
    return [
        (chance.choice(kinds), chance.choices([*endings.PLACES], k=chance.choice((0, 1, 1, 2, 3))))
        for _ in range(count)
    ]


def all_over(runs: dict[str, Run]) -> None:
    """Wait until every run is over, and name those that are not."""
    left = dict(runs)

    def over() -> bool:
        for name, run in list(left.items()):
            if run.status in OVER:
                del left[name]
        return not left

    try:
        eventually(over, PATIENCE)
    except AssertionError:
        pytest.fail(f"not over: {[(name, run.status) for name, run in left.items()]}")


def longest_silence(run: Run) -> float:
    """Give the longest time in seconds for which nothing at all happened to a run, from its start to its end.

    No program here asks for anything that takes longer than a fifth of a second. So one that hangs does so in one such
    silence, and what others hold up is spread over many.
    """
    events = [stored.event for stored in run.events()]
    return max(after.at - before.at for before, after in itertools.pairwise(events))


def assert_prompt(runs: dict[str, Run], figure: Callable[..., None]) -> None:
    """See that no program has kept still for longer than it may before it went on or was over."""
    silences = {name: longest_silence(run) for name, run in runs.items()}
    figure("longest silence of a program", max(silences.values()), "s", f"{PROMPT:g}")
    assert not {name: silence for name, silence in silences.items() if silence > PROMPT}


def begin_processes(orchestrator: Orchestrator) -> None:
    """Have the app imported and workers begun: how long that takes is not what these tests are about."""
    orchestrator.start(endings.good, 1).result(60)


def ending_of(run: Run) -> str:
    """Say how a run ended, in the words for a person."""
    (*_, last) = [event.event for event in run.events() if event.type.startswith("run.")]
    if last.type == "run.parked":
        return f"parked: {last.reason}"
    return f"failed: {last.failure.sentence()}" if last.type == "run.failed" else last.type


def test_a_run_ends_or_is_parked_however_its_code_ends(orchestrator, figure):
    begin_processes(orchestrator)
    good = {number: orchestrator.start(endings.good, number) for number in range(4)}
    began = time.monotonic()
    runs = {ending: orchestrator.start(endings.bad, ending, [], 1) for ending in endings.ENDINGS}
    all_over(runs)
    figure("all endings over after", time.monotonic() - began, "s", "5")
    assert_prompt(runs, figure)
    said = {ending: ending_of(run) for ending, run in runs.items()}
    for ending in (each.__name__ for each in endings.WAITS):
        assert "no step, timer, message, approval or child run is left" in said[ending], said[ending]
        assert f"it waits at {endings.__file__}:" in said[ending]
    for ending in (each.__name__ for each in endings.OUTSIDE if each not in {endings.alarm, endings.another_loop}):
        assert said[ending].startswith("failed: RuntimeError: a workflow may not "), said[ending]
        assert said[ending].endswith("@tool"), said[ending]
        assert endings.__file__ in [*runs[ending].events()][-1].event.failure.traceback
    assert "something outside of its journal wanted to wake its code" in said["alarm"]
    for ending in endings.RAISED:
        assert said[ending].startswith("failed: "), said[ending]
    assert [run.result(60) for run in good.values()] == [endings.expected(number) for number in good]


@pytest.mark.parametrize("part", range(3))
def test_generated_programs_that_have_nothing_left_to_wait_for_are_over(orchestrator, figure, part):
    begin_processes(orchestrator)
    good = {number: orchestrator.start(endings.good, number) for number in range(4)}
    programs = drawn(SEED * 1000 + part, 60)
    began = time.monotonic()
    runs = {}
    for number, (ending, places) in enumerate(programs):
        name = f"{number}: {ending} {places}"
        runs[name] = orchestrator.start(endings.bad, ending, places, number % 3)
        if number % 5 == 0:
            runs[f"parent of {name}"] = orchestrator.start(endings.parent, ending, [])
    parents = {name: run for name, run in runs.items() if name.startswith("parent")}
    alone = {name: run for name, run in runs.items() if name not in parents}
    all_over(alone)
    figure(f"{len(runs)} generated programs over after", time.monotonic() - began, "s")
    for name, run in parents.items():  # these wait for a child, which is parked where it is stuck
        (child,) = [event.event.run_id for event in run.events() if event.event.type == "child.scheduled"]
        stuck = orchestrator.get(child)
        eventually(lambda run=run, stuck=stuck: run.status in OVER or stuck.status == "parked", what=name)
        alone[f"child of {name}"] = stuck
    assert_prompt(alone, figure)
    assert [run.result(60) for run in good.values()] == [endings.expected(number) for number in good]


def test_a_message_that_ends_badly_is_a_dead_letter_and_the_next_one_is_answered(orchestrator):
    programs = [(ending, []) for ending in endings.ENDINGS] + drawn(SEED, 30)
    completing = {endings.unwritable.__name__, endings.half_a_character.__name__}
    asked = []
    for number, (ending, places) in enumerate(programs):
        talk = orchestrator.session(endings.talks, f"{number}")
        talk.tell(endings.Bad(ending=ending, places=places))
        talk.tell(endings.Hello())
        asked.append((talk, ending, places))
    for talk, ending, places in asked:
        answer = talk.ask(endings.Hello(), PATIENCE)
        failed = [letter for letter in talk.history() if letter.status == "failed"]
        assert answer.answered == 3 - len(failed), (ending, places)
        assert len(failed) == 1 or places or ending in completing, (ending, places)
    with pytest.raises(TurnFailed, match="no step, timer, message, approval or child run is left"):
        asked[0][0].ask(endings.Bad(ending="event", places=[]), PATIENCE)


def test_a_run_that_swallows_its_cancellation_and_then_waits_for_nothing_is_cancelled(orchestrator):
    runs = [orchestrator.start(endings.waits_and_swallows) for _ in range(2)]
    for run in runs:
        eventually(lambda run=run: run.status == "waiting")
        run.cancel("enough")
    eventually(lambda: all(run.status == "cancelled" for run in runs), 30)
