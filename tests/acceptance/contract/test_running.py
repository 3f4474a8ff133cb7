"""What those who start runs are promised: handles, ids, state, events, cancellation, workers."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from greenroom import (
    IdConflict,
    Orchestrator,
    OrchestratorClosed,
    RunCancelled,
    RunFailed,
    RunNotFound,
    RunParked,
    WorkerNotFound,
)
from tests.acceptance import harness
from tests.acceptance.apps.contract import authoring
from tests.acceptance.apps.steering import running
from tests.acceptance.harness import reached
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
APPS = Path(__file__).parent.parent / "apps" / "contract"


# ---------------------------------------------------------------- ids


def test_starting_twice_with_one_id_gives_one_run(orchestrator, tmp_path):
    first = orchestrator.start(running.gated, str(tmp_path), id="only-one")
    reached(tmp_path)
    again = orchestrator.start(running.gated, str(tmp_path), id="only-one")
    (tmp_path / "gate").touch()
    assert first.result(30) == again.result(30) == "gate"
    assert orchestrator.start(running.gated, str(tmp_path), id="only-one").result(30) == "gate", (
        "also when it has ended"
    )
    assert len((tmp_path / "gate.reached").read_text().splitlines()) == 1
    assert [run.id for run in orchestrator.runs()] == ["only-one"]


def test_one_id_for_different_work_is_a_conflict(orchestrator, tmp_path):
    orchestrator.start(running.halving, 4, id="taken").result(30)
    with pytest.raises(IdConflict, match="taken.*other arguments"):
        orchestrator.start(running.halving, 6, id="taken")
    with pytest.raises(IdConflict, match="halving"):
        orchestrator.start(running.gated, str(tmp_path), id="taken")
    assert orchestrator.get("taken").result(30) == 2.0


def test_many_threads_may_start_the_same_run_at_once(orchestrator, tmp_path):
    (tmp_path / "gate").touch()
    results: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(orchestrator.start(running.gated, str(tmp_path), id="same").result(30))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["gate"] * 8
    assert len((tmp_path / "gate.reached").read_text().splitlines()) == 1


def test_an_unknown_run_is_named_with_a_suggestion(orchestrator):
    orchestrator.start(running.halving, 4, id="brief-otters").result(30)
    with pytest.raises(RunNotFound, match="brief-otters"):
        orchestrator.get("brief-oters")


# ---------------------------------------------------------------- results


def test_waiting_for_a_result_can_time_out_and_the_run_goes_on(orchestrator, tmp_path):
    run = orchestrator.start(running.gated, str(tmp_path))
    reached(tmp_path)
    with pytest.raises(TimeoutError, match=run.id):
        run.result(timeout=0.2)
    assert run.status == "running"
    (tmp_path / "gate").touch()
    assert run.result(30) == "gate"
    assert run.status == "completed"


def test_a_run_can_be_awaited_in_asynchronous_code(orchestrator):
    async def several() -> tuple[list[float], str]:
        runs = [orchestrator.start(running.halving, number) for number in (2, 4, 6)]
        halves = list(await asyncio.gather(*runs))
        try:
            await orchestrator.start(running.halving, 3)
        except RunFailed as failed:
            return halves, str(failed)
        return halves, ""

    halves, failure = asyncio.run(several())
    assert halves == [1.0, 2.0, 3.0]
    assert "3 is odd" in failure


def test_closing_the_orchestrator_ends_every_wait(tmp_path, home, mark):
    orchestrator = Orchestrator(tmp_path / "runs.db", pools=harness.pools())
    run = orchestrator.start(running.gated, str(tmp_path), id="later")
    reached(tmp_path)
    seen: list[BaseException] = []

    def wait() -> None:
        try:
            run.result()
        except OrchestratorClosed as error:
            seen.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    orchestrator.close()
    orchestrator.close()
    waiter.join(10)
    assert len(seen) == 1
    with pytest.raises(OrchestratorClosed):
        orchestrator.start(running.halving, 2)
    (tmp_path / "gate").touch()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as again:
        assert again.get("later").result(30) == "gate"


# ---------------------------------------------------------------- looking


def test_shared_state_is_visible_from_outside_while_the_run_goes_on(orchestrator, tmp_path):
    run = orchestrator.start(running.tracked, str(tmp_path))
    reached(tmp_path, "first")
    eventually(lambda: run.state.done == 1)
    assert run.state == running.Progress(done=1, notes=["begun"])
    (tmp_path / "first").touch()
    reached(tmp_path, "second")
    eventually(lambda: run.state.done == 2)
    (tmp_path / "second").touch()
    assert run.result(30) == 3
    assert run.state.done == 3


@pytest.mark.parametrize(
    ("thing", "reason"),
    [("many", "does not fit Progress: done: Input should be a valid integer"), ("object", "cannot be written as JSON")],
)
def test_a_state_that_does_not_fit_its_model_fails_the_run(orchestrator, thing, reason):
    run = orchestrator.start(running.lost, thing)
    with pytest.raises(RunFailed, match=f"the state of workflow `lost` {reason}"):
        run.result(30)
    assert run.state == running.Progress()


def test_state_survives_the_death_of_the_program(orchestrator, tmp_path):
    run = orchestrator.start(running.tracked, str(tmp_path))
    reached(tmp_path, "first")
    (program,) = [worker for worker in orchestrator.workers() if worker.kind == "program"]
    orchestrator.kill(program.id)
    (tmp_path / "first").touch()
    reached(tmp_path, "second")
    (tmp_path / "second").touch()
    assert run.result(30) == 3
    assert run.state == running.Progress(done=3, notes=["begun"])
    assert [len(step.attempts) for step in run.steps()] == [1, 1], "no step was repeated"


def test_status_tells_where_a_run_stands(orchestrator, tmp_path):
    gated = orchestrator.start(running.gated, str(tmp_path))
    asleep = orchestrator.start(running.asleep, 600.0)
    failed = orchestrator.start(running.halving, 3)
    reached(tmp_path)
    eventually(lambda: asleep.status == "waiting")
    eventually(lambda: failed.status == "failed")
    assert gated.status == "running"
    asleep.cancel()
    eventually(lambda: asleep.status == "cancelled")
    (tmp_path / "gate").touch()
    gated.result(30)
    assert {run.id: run.status for run in orchestrator.runs()} == {
        gated.id: "completed",
        asleep.id: "cancelled",
        failed.id: "failed",
    }
    assert [run.id for run in orchestrator.runs(status="failed")] == [failed.id]
    assert [run.id for run in orchestrator.runs(name="gated")] == [gated.id]
    assert len(orchestrator.runs(limit=2)) == 2


def park(orchestrator, folder: Path):
    """Start a run, and have its program replayed with code that has become different, while its second step runs."""
    run = orchestrator.start(running.fickle, str(folder), id="fickle")
    (folder / "first").touch()
    reached(folder)
    (folder / "other-way").touch()
    orchestrator.kill(next(worker.id for worker in orchestrator.workers() if worker.kind == "program"))
    with pytest.raises(RunParked, match="replayed.*gate"):
        run.result(30)
    assert run.status == "parked"
    (folder / "other-way").unlink()
    return run


def test_code_that_changed_under_a_run_parks_it_until_it_is_resumed(orchestrator, tmp_path):
    run = park(orchestrator, tmp_path)
    run.resume()
    (tmp_path / "gate").touch()
    assert run.result(30) == "gate"
    assert [[attempt.outcome for attempt in step.attempts] for step in run.steps()] == [["ok"], ["ok"]]


def test_a_parked_run_can_be_resumed_by_another_orchestrator(tmp_path, home, mark):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        park(first, tmp_path)
    (tmp_path / "gate").touch()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        run = second.get("fickle")
        assert run.status == "parked"
        run.resume()
        assert run.result(30) == "gate"
        first_step, second_step = run.steps()
        assert len(first_step.attempts) == 1
        assert [attempt.exit and attempt.exit.kind for attempt in second_step.attempts] == ["orchestrator_lost", None]


def test_a_parked_run_can_be_cancelled(orchestrator, tmp_path):
    run = park(orchestrator, tmp_path)
    run.cancel("never mind")
    with pytest.raises(RunCancelled, match="never mind"):
        run.result(30)


def test_events_can_be_read_from_any_point_and_followed_to_the_end(orchestrator, tmp_path):
    run = orchestrator.start(running.tracked, str(tmp_path))
    followed: list[tuple[int, str]] = []
    follower = threading.Thread(
        target=lambda: followed.extend((event.seq, event.type) for event in run.events(follow=True))
    )
    follower.start()
    for name in ("first", "second"):
        reached(tmp_path, name)
        (tmp_path / name).touch()
    run.result(30)
    follower.join(10)
    assert not follower.is_alive()
    everything = [(event.seq, event.type) for event in run.events()]
    assert followed == everything
    assert [seq for seq, _ in everything] == list(range(1, len(everything) + 1))
    assert everything[0][1] == "run.started"
    assert everything[-1][1] == "run.completed"
    assert [(event.seq, event.type) for event in run.events(after=3)] == everything[3:]
    assert list(run.events(after=len(everything), follow=True)) == []


# ---------------------------------------------------------------- cancelling


def test_a_cancelled_run_cleans_up_and_starts_nothing_else(orchestrator, tmp_path):
    run = orchestrator.start(running.cleaned_up, str(tmp_path))
    pid = reached(tmp_path)
    run.cancel("no longer wanted")
    with pytest.raises(RunCancelled, match="no longer wanted"):
        run.result(30)
    assert run.status == "cancelled"
    assert (tmp_path / "log").read_text() == "cleaned up\n"
    gate, note = run.steps()
    assert (gate.status, [attempt.outcome for attempt in gate.attempts]) == ("cancelled", ["cancelled"])
    assert (note.status, [attempt.outcome for attempt in note.attempts]) == ("completed", ["ok"])
    eventually(lambda: not psutil.pid_exists(pid), what="the end of what worked on the cancelled step")
    run.cancel("again")
    assert run.status == "cancelled"


def test_a_cancellation_survives_the_end_of_the_orchestrator(tmp_path, home, mark):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        run = first.start(running.cleaned_up, str(tmp_path), id="unwanted")
        reached(tmp_path)
        run.cancel("no longer wanted")
    with (
        Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second,
        pytest.raises(RunCancelled, match="no longer wanted"),
    ):
        second.get("unwanted").result(30)
    # The first one may have been closed between the effect of this step and its record: then it is done once more.
    assert set((tmp_path / "log").read_text().splitlines()) == {"cleaned up"}


def test_a_program_that_answers_a_cancellation_with_more_work_is_ended_at_the_limit(orchestrator, tmp_path):
    run = orchestrator.start(running.stubborn, str(tmp_path))
    reached(tmp_path)
    run.cancel(within=0.5)
    with pytest.raises(RunCancelled):
        run.result(30)


def test_a_run_that_has_ended_stays_as_it_is_when_cancelled(orchestrator):
    run = orchestrator.start(running.halving, 4)
    run.result(30)
    run.cancel("too late")
    assert (run.status, run.result(1)) == ("completed", 2.0)


def test_nothing_starts_after_a_run_was_cancelled(orchestrator, tmp_path):
    """Cancelled while steps run, wait for a worker, and wait for another attempt."""
    log = str(tmp_path / "log")
    runs = [orchestrator.start(running.busy, log, number) for number in range(6)]
    eventually(lambda: Path(log).exists() and len(Path(log).read_text().splitlines()) > 20)
    for run in runs:
        run.cancel()
    for run in runs:
        with pytest.raises(RunCancelled):
            run.result(30)
    for run in runs:
        events = list(run.events())
        assert events[-1].type == "run.cancelled"
        assert {step.status for step in run.steps()} <= {"completed", "cancelled", "failed"}
    # What ran at the cancellation has a moment to end by itself.
    eventually(lambda: not any(each.kind == "tool" and each.status == "busy" for each in orchestrator.workers()))
    written = len(Path(log).read_text().splitlines())
    orchestrator.start(running.halving, 4).result(30)
    assert len(Path(log).read_text().splitlines()) == written


# ---------------------------------------------------------------- workers


def test_workers_are_listed_with_what_they_do(orchestrator, tmp_path):
    run = orchestrator.start(running.gated, str(tmp_path))
    pid = reached(tmp_path)
    (tool,) = [worker for worker in orchestrator.workers() if worker.pid == pid]
    assert (tool.kind, tool.status, tool.run_id, tool.incarnation) == ("tool", "busy", run.id, 1)
    assert "gate" in tool.step
    assert tool.rss_bytes > 1024 * 1024
    (program,) = [worker for worker in orchestrator.workers() if worker.kind == "program"]
    assert psutil.pid_exists(program.pid)
    (tmp_path / "gate").touch()
    run.result(30)
    eventually(lambda: [worker.status for worker in orchestrator.workers() if worker.pid == pid] == ["idle"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_killing_a_worker_costs_its_step_nothing(orchestrator, tmp_path, number):
    run = orchestrator.start(running.gated, str(tmp_path))
    pid = reached(tmp_path)
    (worker,) = [worker for worker in orchestrator.workers() if worker.pid == pid]
    orchestrator.kill(worker.id, signal=number)
    eventually(lambda: len((tmp_path / "gate.reached").read_text().split()) == 2)
    (tmp_path / "gate").touch()
    assert run.result(30) == "gate"
    first, second = run.steps()[0].attempts
    assert (first.outcome, first.charged, second.outcome) == ("crash", False, "ok")
    assert first.exit.signal == number.name
    assert first.exit.injected
    assert first.pid == pid != second.pid
    (again,) = [found for found in orchestrator.workers() if found.id == worker.id]
    assert (again.incarnation, again.restarts) == (2, 1)


def test_killing_an_unknown_worker_is_refused(orchestrator):
    with pytest.raises(WorkerNotFound, match="nobody"):
        orchestrator.kill("nobody")
    with pytest.raises(ValueError, match="no signal 999"):
        orchestrator.kill("tool-1", signal=999)


def test_the_tree_shows_supervisors_pools_and_workers(orchestrator):
    orchestrator.start(running.halving, 4).result(30)
    pids: set[int] = set()
    kinds: set[str] = set()

    def walk(node) -> None:
        kinds.add(node.kind)
        if node.pid is not None:
            pids.add(node.pid)
        for below in node.children:
            walk(below)

    walk(orchestrator.tree())
    assert {worker.pid for worker in orchestrator.workers()} <= pids
    assert {"tool", "program"} <= kinds or len(kinds) > 2


def test_metrics_count_what_the_journal_holds(orchestrator, tmp_path):
    for number in (2, 4, 6):
        orchestrator.start(running.halving, number).result(30)
    with pytest.raises(RunFailed):
        orchestrator.start(running.halving, 3).result(30)
    text = orchestrator.metrics().model_dump_json()
    assert "halving" in text
    assert "half" in text


def test_a_dead_worker_is_replaced_quickly(orchestrator, figure: Callable[..., None]):
    delays: list[float] = []
    for _ in range(5):  # one more, and the pool would give up
        orchestrator.start(running.halving, 2).result(
            30
        )  # a worker that has never done anything is restarted with delay
        (worker,) = [found for found in orchestrator.workers() if found.kind == "tool"]
        killed = time.monotonic()
        os.kill(worker.pid, signal.SIGKILL)
        eventually(lambda old=worker.pid: _replaced(orchestrator, old), what="a replacement that is ready")
        delays.append(time.monotonic() - killed)
    figure("SIGKILL of an idle tool worker to its replacement ready, median", sorted(delays)[2] * 1000, "ms", "30 ms")


def _replaced(orchestrator, old: int) -> bool:
    return any(
        worker.kind == "tool" and worker.pid not in {None, old} and worker.status == "idle"
        for worker in orchestrator.workers()
    )


# ---------------------------------------------------------------- scripts


def script(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of a script in a folder of its own, the way a user runs it."""
    path = folder / name
    path.write_text((APPS / name).read_text())
    environ = {**os.environ, "PYTHONPATH": str(APPS.parents[3])}  # where the package is not installed
    return subprocess.run(
        [sys.executable, name, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_plain_script_without_a_guard_runs_once(tmp_path, mark):
    ended = script("plain.py", tmp_path, "world")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["once", "HELLO WORLD! True"]


def test_the_ten_line_program_of_the_documentation_works(tmp_path, mark):
    for _ in range(2):  # the second time it finds the run that has ended
        ended = script("ten_lines.py", tmp_path)
        assert ended.returncode == 0, ended.stderr
        name, bullets, status = ended.stdout.split()
        assert (name, status) == ("Brief", "completed")
        assert 1 <= int(bullets) <= 5


def test_an_orchestrator_with_durability_process_or_in_memory_works_too(tmp_path, home, mark):
    with Orchestrator(tmp_path / "fast.db", durability="process", pools=harness.pools()) as fast:
        assert fast.start(authoring.sequential, 1).result(30) == [1, 2, 4, 8]
    with Orchestrator(":memory:", pools=harness.pools()) as fleeting:
        assert fleeting.start(authoring.sequential, 1).result(30) == [1, 2, 4, 8]


def test_runs_may_be_left_alone_on_opening(tmp_path, home, mark):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        first.start(running.gated, str(tmp_path), id="left")
        reached(tmp_path)
    (tmp_path / "gate").touch()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), recover=False) as second:
        assert second.get("left").status == "running"
        assert second.start(running.halving, 4).result(30) == 2.0
        assert second.workers() == [] or all(worker.run_id != "left" for worker in second.workers())
        assert second.get("left").status == "running"
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as third:
        assert third.get("left").result(30) == "gate"
