"""The witnesses themselves: a checker that cannot fail proves nothing."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator
from tests.acceptance import harness
from tests.acceptance.apps.effects import effects
from tests.acceptance.apps.kills import durable
from tests.support import eventually

pytestmark = pytest.mark.slow

Logs = dict[str, harness.RunLog]
Effects = list[dict[str, Any]]


@pytest.fixture
def sound(tmp_path: Path, home: Path, mark: str) -> tuple[Logs, Effects]:
    """Give the journal and the effects of two runs that went well."""
    log = tmp_path / "effects.log"
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        runs = [orchestrator.start(durable.several, str(log), number, id=f"run-{number}") for number in range(2)]
        assert [run.result(30) for run in runs] == [durable.expected(number) for number in range(2)]
    return harness.read_journal(tmp_path / "runs.db"), effects(log)


def lose_an_event(logs: Logs, _effects: Effects) -> None:
    log = logs["run-0"]
    for part in (log.seqs, log.events):
        del part[4]
    del log.lines[1]


def change_an_event(logs: Logs, _effects: Effects) -> None:
    seq, body, head = logs["run-0"].lines[1]
    logs["run-0"].lines[1] = (seq, body + " ", head)


def lose_the_last_event(logs: Logs, _effects: Effects) -> None:
    log = logs["run-0"]
    for part in (log.seqs, log.events, log.lines):
        part.pop()
    log.row["last_seq"] -= 1


def complete_a_step_twice(logs: Logs, _effects: Effects) -> None:
    log = logs["run-0"]
    log.events.append(log.of("step.completed")[0])


def use_a_token_twice(logs: Logs, _effects: Effects) -> None:
    first, second = (logs[run_id].of("attempt.started")[0] for run_id in ("run-0", "run-1"))
    second["token"] = first["token"]


def accept_a_stale_result(logs: Logs, _effects: Effects) -> None:
    log = logs["run-0"]
    started = log.of("attempt.started")[0]
    log.events.insert(log.events.index(started) + 1, {**started, "attempt": 2, "token": "9:9"})


def repeat_an_effect(_logs: Logs, effects: Effects) -> None:
    effects.append(effects[0])


def have_an_effect_after_the_result(_logs: Logs, effects: Effects) -> None:
    effects.append({**effects[0], "token": "9:9"})


def have_an_old_effect_late(_logs: Logs, effects: Effects) -> None:
    effects.append({**effects[0], "token": "0:1"})


def let_epochs_fall(logs: Logs, _effects: Effects) -> None:
    logs["run-0"].of("attempt.started")[0]["token"] = "9:1"


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (lose_an_event, "gaps"),
        (lose_the_last_event, "newest hash"),
        (change_an_event, "hash chain breaks"),
        (complete_a_step_twice, "2 times step.completed"),
        (use_a_token_twice, "given 2 times"),
        (accept_a_stale_result, "not the newest"),
        (repeat_an_effect, "had 2 effects"),
        (have_an_effect_after_the_result, "completed under"),
        (have_an_old_effect_late, "older tokens follow newer"),
        (let_epochs_fall, "epochs fall"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_broken_invariant_is_found(sound, spoil: Callable[[Logs, Effects], None], finding: str):
    logs, lines = copy.deepcopy(sound)
    assert harness.broken_invariants(logs, lines) == []
    spoil(logs, lines)
    assert any(finding in sentence for sentence in harness.broken_invariants(logs, lines))


def test_the_census_finds_a_process_by_its_environment_its_files_and_its_command(tmp_path: Path, mark: str):
    hold = (
        "import sys, time; open(sys.argv[1], 'w'); held = open(sys.argv[1]); print('up', flush=True); time.sleep(600)"
    )
    bare = {name: value for name, value in os.environ.items() if name != harness.MARK}
    argument = [sys.executable, "-c", hold, str(tmp_path / "file")]
    marked = [sys.executable, "-c", hold, os.devnull]
    for command, environ in ((argument, bare), (marked, dict(os.environ))):
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            assert [found.pid for found in harness.census(mark)] == [process.pid]
            assert not harness.is_over(process.pid)
            process.kill()
        eventually(lambda: harness.census(mark) == [])
        assert harness.is_over(process.pid)
