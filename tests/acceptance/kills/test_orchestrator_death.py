"""The orchestrator is killed at any moment, several times over, and started again: nothing is lost or done twice."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.acceptance import harness
from tests.acceptance.apps.effects import effects
from tests.acceptance.apps.kills import branchy, durable
from tests.support import eventually

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("ACCEPTANCE_SEED", "2026"))
RUNS = 100
OUTLIVES = 1.0
"""Seconds that a worker may outlive its orchestrator."""


class Owner:
    """One life of an orchestrator that works in a folder."""

    def __init__(self, folder: Path, count: int = RUNS, app: str = "durable") -> None:
        self.folder = folder
        self.started = time.time()
        self.output = (folder / "output.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.apps.kills.owner", str(folder), str(count), app],
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def wait_until(self, condition: Callable[[], object], deadline: float = 60.0) -> None:
        """Wait for a condition for as long as the process lives."""

        def come() -> bool:
            return bool(condition()) or self.process.poll() is not None

        eventually(come, deadline)

    def ended(self) -> bool:
        """Say whether it has finished its work and ended, in which case nothing is left to kill."""
        if self.process.poll() is None:
            return False
        self.finish()
        return True

    def kill(self, mark: str) -> float:
        """Kill it with SIGKILL; give the seconds for which the last of its processes outlived it."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        at = time.monotonic()
        self.process.kill()
        self.process.wait()
        self.output.close()
        eventually(
            lambda: all(harness.is_over(process.pid, _birth(process)) for process in family), 10.0, what="their end"
        )
        known = time.monotonic() - at
        eventually(lambda: not harness.census(mark), 10.0, what="the end of processes that were not seen before")
        return known

    def finish(self, timeout: float = 90.0) -> None:
        """Wait for its own end."""
        code = self.process.wait(timeout)
        self.output.close()
        assert code == 0, (self.folder / "output.log").read_text()[-4000:]


def _birth(process: psutil.Process) -> float | None:
    return process.create_time() if process.is_running() else None


def completed_steps(folder: Path) -> set[tuple[str, str]]:
    """Give run and key of every step that the journal holds as completed."""
    journal = folder / "runs.db"
    if not journal.exists():
        return set()
    return {(run_id, key) for run_id, log in harness.read_journal(journal).items() for key in log.completed()}


def effect_counts(folder: Path) -> Counter[tuple[str, str]]:
    return Counter((line["run"], line["step"]) for line in effects(folder / "effects.log"))


def effects_before_their_cause(folder: Path) -> list[tuple[str, str]]:
    """Give run and key of effects that came again after the effect of a step which follows from them.

    The later step was begun because of a result that was not on the disk, or the earlier one would not run again.
    """
    newest: dict[str, int] = {}
    early: list[tuple[str, str]] = []
    for line in effects(folder / "effects.log"):
        run, step = line["run"], line["step"]
        place = {"append#1": 1, "append#2": 3, "append#3": 4}.get(step, 2)  # the branches come second, all at once
        if place < newest.get(run, 0):
            early.append((run, step))
        newest[run] = max(place, newest.get(run, 0))
    return early


def client_log(folder: Path, word: str) -> list[list[str]]:
    path = folder / "client.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split() for line in lines if line.startswith(word)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_points_everything_completes_and_no_completed_effect_repeats(
    seed: int, tmp_path: Path, mark: str, figure: Callable[..., None]
):
    chance = random.Random(seed)
    settled: dict[tuple[str, str], int] = {}
    outlived: list[float] = []
    kills = 0
    total = RUNS * durable.STEPS
    points = sorted(chance.sample(range(1, total - 20), 3))
    for point in points:
        owner = Owner(tmp_path)
        owner.wait_until(lambda point=point: len(effects(tmp_path / "effects.log")) >= point)
        _kill_and_account(owner, mark, tmp_path, settled, outlived)
        kills += 1
        for _ in range(chance.randint(0, 2)):  # again, while it recovers
            owner = Owner(tmp_path)
            lives = len(client_log(tmp_path, "opened"))
            if chance.random() < 0.5:
                owner.wait_until(lambda lives=lives: len(client_log(tmp_path, "opened")) > lives)
            time.sleep(chance.uniform(0.0, 0.8))  # a random moment, not an event
            _kill_and_account(owner, mark, tmp_path, settled, outlived)
            kills += 1
    acknowledged = {line[1] for line in client_log(tmp_path, "accepted")}
    Owner(tmp_path).finish()

    logs = harness.read_journal(tmp_path / "runs.db")
    assert acknowledged <= set(logs)
    assert {log.row["status"] for log in logs.values()} == {"completed"}
    assert {run_id: log.of("run.completed")[0]["result"] for run_id, log in logs.items()} == {
        f"run-{number}": durable.expected(number) for number in range(RUNS)
    }
    assert harness.broken_invariants(logs, effects(tmp_path / "effects.log")) == []
    counts = effect_counts(tmp_path)
    assert len(counts) == total
    repeated = {step: (before, counts[step]) for step, before in settled.items() if counts[step] != before}
    assert repeated == {}, "effects of steps that were recorded as completed before a kill were repeated"
    assert effects_before_their_cause(tmp_path) == []
    assert max(counts.values()) <= kills + 1
    figure(f"seed {seed}: {kills} kills, effects of steps cut off in flight and repeated", sum(counts.values()) - total)
    figure("longest life of a worker after its orchestrator", max(outlived), "s", f"{OUTLIVES:g}")
    assert max(outlived) < OUTLIVES


def _kill_and_account(
    owner: Owner, mark: str, folder: Path, settled: dict[tuple[str, str], int], outlived: list[float]
) -> None:
    """Kill it, and note how often the effect of every completed step stands now: it must never stand more often."""
    outlived.append(owner.kill(mark))
    counts = effect_counts(folder)
    for step in completed_steps(folder):
        settled.setdefault(step, counts[step])


@pytest.mark.timeout(180)
def test_branches_races_children_models_and_timers_survive_the_orchestrators_death(
    tmp_path: Path, mark: str, figure: Callable[..., None]
):
    chance = random.Random(SEED)
    count = 40
    settled: dict[tuple[str, str], int] = {}
    outlived: list[float] = []
    for _ in range(6):
        owner = Owner(tmp_path, count, "branchy")
        before = len(effects(tmp_path / "effects.log"))
        point = before + chance.randint(1, 60)
        owner.wait_until(lambda point=point: len(effects(tmp_path / "effects.log")) >= point)
        if owner.ended():
            break
        _kill_and_account(owner, mark, tmp_path, settled, outlived)
    Owner(tmp_path, count, "branchy").finish()

    logs = harness.read_journal(tmp_path / "runs.db")
    assert {log.row["status"] for log in logs.values()} == {"completed"}
    for number in range(count):
        (ended,) = logs[f"run-{number}"].of("run.completed")
        assert ended["result"] == list(branchy.expected(number))
    assert harness.broken_invariants(logs, effects(tmp_path / "effects.log")) == []
    counts = effect_counts(tmp_path)
    assert {step: (before, counts[step]) for step, before in settled.items() if counts[step] != before} == {}
    figure("branchy runs: longest life of a worker after its orchestrator", max(outlived), "s", f"{OUTLIVES:g}")
    assert max(outlived) < OUTLIVES


@pytest.mark.timeout(120)
def test_no_payment_and_no_model_call_happens_before_it_is_on_the_disk_or_twice(tmp_path: Path, mark: str):
    chance = random.Random(SEED)
    log = tmp_path / "effects.log"
    for _ in range(5):
        owner = Owner(tmp_path, 20, "paying")
        point = len(effects(log)) + chance.randint(1, 40)
        owner.wait_until(lambda point=point: len(effects(log)) >= point)
        if owner.ended():  # the pieces of work were large enough to be all of it
            break
        owner.kill(mark)
        logs = harness.read_journal(tmp_path / "runs.db")
        recorded = {event["token"] for run_log in logs.values() for event in run_log.of("attempt.started")}
        early = [line for line in effects(log) if line["token"] not in recorded]
        assert early == [], "an effect stands of which the journal knows nothing"
    Owner(tmp_path, 20, "paying").finish()

    paid = Counter((line["run"], line["step"]) for line in effects(log) if line["what"] == "paid")
    assert len(paid) > 0
    assert max(paid.values()) == 1
    logs = harness.read_journal(tmp_path / "runs.db")
    assert harness.broken_invariants(logs, effects(log)) == []
    for run_id, run_log in logs.items():
        (ended,) = run_log.of("run.completed")
        unknown = [event["key"] for event in run_log.of("step.failed")]
        assert {event["reason"] for event in run_log.of("step.failed")} <= {"unknown"}
        assert ended["result"] == 6 - len(unknown)
        assert all((run_id, f"pay#{number}") in paid or f"pay#{number}" in unknown for number in range(1, 7))


@pytest.mark.timeout(120)
def test_after_kill_9_one_hundred_runs_go_on_within_a_second(tmp_path: Path, mark: str, figure: Callable[..., None]):
    delays: list[float] = []
    for point in (RUNS, 2 * RUNS, 3 * RUNS):
        owner = Owner(tmp_path)
        owner.wait_until(lambda point=point: len(effects(tmp_path / "effects.log")) >= point)
        owner.wait_until(lambda: len({line[1] for line in client_log(tmp_path, "accepted")}) == RUNS)
        owner.kill(mark)
        lives = len(client_log(tmp_path, "opened"))
        open_runs = {
            run_id for run_id, log in harness.read_journal(tmp_path / "runs.db").items() if log.row["ended_at"] is None
        }
        owner = Owner(tmp_path)
        owner.wait_until(partial(_all_go_on, tmp_path, open_runs, owner.started))
        if not owner.ended():
            owner.kill(mark)
        opening = float(client_log(tmp_path, "opened")[lives][1])
        delays.append(_went_on_at(tmp_path, open_runs, opening) - opening)
        figure(f"restart to {len(open_runs)} runs going on", delays[-1], "s", "1.0 in a quiet machine")
    Owner(tmp_path).finish()
    assert sorted(delays)[1] < 3.0, "far beyond the target, even for a loaded machine"


def _all_go_on(folder: Path, runs: set[str], since: float) -> bool:
    """Say whether each run has had its program started since then."""
    started = harness.query(
        folder / "runs.db", "SELECT DISTINCT run_id FROM events WHERE type = 'program.started' AND at >= ?", since
    )
    return runs <= {run_id for (run_id,) in started}


def _went_on_at(folder: Path, runs: set[str], since: float) -> float:
    logs = harness.read_journal(folder / "runs.db")
    firsts = [
        min((event["at"] for event in logs[run_id].of("program.started") if event["at"] >= since), default=float("inf"))
        for run_id in runs
    ]
    return max(firsts)
