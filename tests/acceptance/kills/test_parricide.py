"""A step that kills the process from which all workers are forked is found, and its neighbours come to their ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator, RunFailed
from tests.acceptance import harness
from tests.acceptance.apps.kills import parricide
from tests.support import ROOT, eventually

pytestmark = pytest.mark.slow

NEIGHBOURS = 6


def zygote_of(orchestrator: Orchestrator) -> int | None:
    """Give the pid of the zygote that serves, None while there is none."""
    found = re.search(r"zygote: pid (\d+)", orchestrator.tree().children[0].detail)
    return int(found[1]) if found else None


def assert_uncharged(run: Any) -> None:
    for step in run.steps():
        assert step.attempts[-1].outcome == "ok", (run.id, step)
    ends = [stored.event for stored in run.events() if stored.event.type == "attempt.ended"]
    assert not [event for event in ends if event.outcome != "ok" and event.charged], ends


def assert_found(run: Any, near: int = 2) -> None:
    """The step was near some deaths, ran alone below zygotes of its own, killed two of those, and was set aside."""
    (step,) = [step for step in run.steps() if step.name == "kill"]
    assert [attempt.outcome for attempt in step.attempts] == ["crash"] * (near + 2)
    assert [attempt.exit.kind for attempt in step.attempts] == ["backend_lost"] * (near + 2)
    ends = [stored.event for stored in run.events() if stored.event.type == "attempt.ended"]
    assert [event.charged for event in ends if event.key == step.key] == [False] * near + [True] * 2
    (failed,) = [stored.event for stored in run.events() if stored.event.type == "step.failed"]
    assert failed.reason == "quarantined"


def crowd(orchestrator: Orchestrator, guilty: Any, *arguments: Any, seconds: float = 1.0) -> Any:
    """Run the guilty one among neighbours, all of which come to their ends."""
    runs = [orchestrator.start(parricide.neighbour, seconds) for _ in range(NEIGHBOURS // 2)]
    run = orchestrator.start(guilty, *arguments)
    runs += [orchestrator.start(parricide.neighbour, seconds) for _ in range(NEIGHBOURS // 2)]
    for neighbour in runs:
        assert neighbour.result(90) == 2 * seconds
        assert_uncharged(neighbour)
    return run


@pytest.fixture
def crowded(tmp_path: Path, home: Path, mark: str):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(tool={"size": 8})) as opened:
        yield opened


@pytest.mark.timeout(180)
@pytest.mark.parametrize("deed", [deed for deed in parricide.DEEDS if deed != "kill_all"])
def test_a_step_that_kills_its_zygote_is_found_and_its_neighbours_go_on(crowded: Orchestrator, deed: str):
    run = crowd(crowded, parricide.killer, deed)
    with pytest.raises(RunFailed, match="died with the process that forked it"):
        run.result(90)
    assert_found(run)
    assert crowded.start(parricide.neighbour, 0.0).result(30) == 0.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("deed", ["kill_parent", "kill_keeper", "kill_group_of_parent"])
def test_a_step_that_kills_its_zygote_while_nothing_else_runs_is_found_as_soon(
    tmp_path: Path, home: Path, mark: str, deed: str
):
    """Its further zygotes, which start at once, die within moments of one another."""
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.start(parricide.killer, deed)
        with pytest.raises(RunFailed, match="died with the process that forked it"):
            run.result(90)
        assert_found(run)


@pytest.mark.timeout(180)
def test_what_is_known_of_a_step_survives_the_orchestrator(tmp_path: Path, home: Path, mark: str):
    """Two deaths before its end count after it: the third attempt runs apart at once."""
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        run = first.start(parricide.killer, "kill_parent")
        eventually(lambda: run.steps() and len(run.steps()[0].attempts) >= 2, 60)
        run_id = run.id
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        with pytest.raises(RunFailed):
            second.get(run_id).result(90)
        (step,) = second.get(run_id).steps()
        lost = [attempt.exit.kind for attempt in step.attempts]
        assert 4 <= lost.count("backend_lost") <= 5, lost


@pytest.mark.timeout(180)
def test_a_program_that_kills_its_zygote_fails_and_its_neighbours_go_on(crowded: Orchestrator):
    run = crowd(crowded, parricide.program_killer)
    with pytest.raises(RunFailed, match="took its process down"):
        run.result(90)


@pytest.mark.timeout(180)
def test_an_evaluator_that_kills_its_zygote_counts_as_broken_and_its_neighbours_go_on(crowded: Orchestrator):
    run = crowd(crowded, parricide.evaluator_killer)
    assert run.result(90)
    (step,) = run.steps()
    assert "died with the process that forked it" in (step.evaluations[0].error or "")


@pytest.mark.timeout(180)
def test_a_stopped_zygote_costs_its_neighbours_seconds_and_no_attempt(crowded: Orchestrator, tmp_path: Path):
    run = crowd(crowded, parricide.stopper, str(tmp_path))
    assert run.result(60) == "stopped"
    assert_uncharged(run)


@pytest.mark.timeout(180)
def test_a_zygote_that_others_kill_again_and_again_makes_its_app_wait_and_say_so(crowded: Orchestrator):
    crowded.start(parricide.neighbour, 0.0).result(30)
    for number in range(6):
        zygote = eventually(lambda: zygote_of(crowded), 30)
        os.kill(zygote, signal.SIGKILL)
        eventually(lambda lost=number + 1: f"zygotes lost: {lost}" in crowded.tree().children[0].detail, 30)
    assert "degraded" in _statuses(crowded)


def _statuses(orchestrator: Orchestrator) -> set[str]:
    return {pool.status for app in orchestrator.tree().children for pool in app.children}


SCRIPT = """
import sys
from tests.acceptance.apps.kills import parricide
from tests.acceptance.kills.test_parricide import assert_found, crowd
from greenroom import Orchestrator, Pool, RunFailed

with Orchestrator(sys.argv[1], pools={"tool": Pool(size=8)}) as orchestrator:
    run = crowd(orchestrator, parricide.killer, "kill_all")
    try:
        run.result(90)
    except RunFailed as error:
        assert_found(run, near=len(run.steps()[0].attempts) - 2)
        print("found after", len(run.steps()[0].attempts))
"""


@pytest.mark.timeout(180)
def test_a_step_that_kills_every_process_it_may_is_found_where_the_orchestrator_is_spared(tmp_path: Path, home: Path):
    """As in a container whose first process is the orchestrator, which that signal does not reach.

    The zygotes of neighbours die with the third one, so a fourth attempt runs without any beside it. Only where these
    had not loaded the app by then the third was alone.
    """
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespace can be made here")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [*alone, sys.executable, str(tmp_path / "script.py"), str(tmp_path / "runs.db")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.stdout in {"found after 4\n", "found after 5\n"}, done.stdout + done.stderr
