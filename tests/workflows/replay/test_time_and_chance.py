"""Time and chance: the same on every replay, another in every run."""

import asyncio
import os
import random as chance
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator, now, random, uuid4, workflow
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.json_text import plain
from tests.support import eventually
from tests.workflows.apps.chance import draw, drawing
from tests.workflows.replay.test_replay import double
from tests.workflows.world import World


@workflow
async def draws(width: int) -> list[list[tuple[float, str, float]]]:
    """Draw in concurrent branches, between awaits that end in any order."""

    async def branch(n: int) -> list[tuple[float, str, float]]:
        drawn: list[tuple[float, str, float]] = []
        for turn in range(4):
            drawn.append((now().timestamp(), str(uuid4()), random()))
            await double(n + turn)
        return drawn

    return list(await asyncio.gather(*(branch(n) for n in range(width))))


@pytest.mark.parametrize("seed", range(15))
def test_what_is_drawn_does_not_depend_on_crashes_or_on_what_ended_first(seed: int) -> None:
    calm = World(draws.definition, 0, crashes=0.0, width=3)
    rough = World(draws.definition, seed, width=3)
    quiet: Any = plain(calm.run().result)
    crashed: Any = plain(rough.run().result)
    assert [[entry[1:] for entry in branch] for branch in crashed] == [
        [entry[1:] for entry in branch] for branch in quiet
    ]
    recorded = {round(decode_event(body).at, 6) for body in rough.journal}  # a datetime holds no more
    for branch in crashed:
        moments = [entry[0] for entry in branch]
        assert moments == sorted(moments)
        assert recorded.issuperset(moments)
    identities = [entry[1] for branch in quiet for entry in branch]
    assert len(set(identities)) == 12


def test_a_program_that_is_killed_draws_the_same_again_and_another_run_does_not(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with Orchestrator(tmp_path / "runs.db") as orchestrator:
        begun = datetime.now(UTC)
        runs = [orchestrator.start(drawing, str(gate)) for _ in range(2)]
        eventually(lambda: all(run.steps() and run.steps()[0].status == "running" for run in runs))
        orchestrator.kill(next(worker.id for worker in orchestrator.workers() if worker.kind == "program"))
        eventually(lambda: all(any(s.event.type == "program.ended" for s in run.events()) for run in runs))
        os.close(os.open(gate, os.O_WRONLY))
        (first, sent, later), (other, *_) = (run.result(30) for run in runs)
    assert first == sent, "what the step was given before the kill is what the program drew after it"
    assert len({first.identity, later.identity, other.identity}) == 3
    assert len({first.number, later.number, other.number}) == 3
    assert begun.timestamp() <= first.at <= later.at <= datetime.now(UTC).timestamp()


def test_outside_of_a_workflow_they_are_what_their_names_say() -> None:
    assert now() - datetime.now(UTC) < timedelta(seconds=5)
    assert uuid4().version == 4
    chance.seed(7)
    expected = chance.random()
    chance.seed(7)
    assert random() == expected
    assert draw().identity != draw().identity
