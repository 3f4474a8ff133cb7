"""A worker that is dead before it reads what it is sent: nothing had begun, so nothing is charged and nothing waits."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom import Orchestrator
from tests.acceptance import harness
from tests.acceptance.apps.kills import unread
from tests.support import eventually

pytestmark = pytest.mark.slow

ROUNDS = 40
KINDS: dict[str, tuple[str, Any]] = {
    "tool": ("tool", unread.use_tool),
    "once": ("tool", unread.use_once),
    "llm": ("llm", unread.use_llm),
    "evaluator": ("evaluator", unread.use_evaluator),
    "program": ("program", unread.use_program),
}
"""By kind of work: the pool whose worker is killed, and a workflow that needs it next."""


@pytest.fixture
def opened(tmp_path: Path, home: Path, mark: str):
    """Give an orchestrator whose pools put up with any number of idle deaths."""

    def make(backend: str = "zygote", crowd: str = "", size: int = 1) -> Orchestrator:
        """One worker in each pool, or ``size`` in the one called ``crowd``, each of which takes one job at a time."""
        options: dict[str, Any] = {"max_restarts": 10_000, "backend": backend, "size": 1}
        each = dict.fromkeys(harness.KINDS, options)
        if crowd:
            each[crowd] = options | {"size": size} | ({"concurrency": 1} if crowd in {"llm", "program"} else {})
        pools = harness.pools(**each)
        orchestrators.append(Orchestrator(tmp_path / "runs.db", pools=pools))
        return orchestrators[-1].__enter__()

    orchestrators: list[Orchestrator] = []
    yield make
    for orchestrator in orchestrators:
        orchestrator.close()


def idle(orchestrator: Orchestrator, pool: str) -> list[Any]:
    """Wait until the pool has a worker and all of its workers are idle; give them."""

    def found() -> list[Any]:
        workers = [worker for worker in orchestrator.workers() if worker.kind == pool]
        return workers if workers and all(worker.status == "idle" for worker in workers) else []

    return eventually(found, 30)


def assert_nothing_was_charged(run: Any) -> None:
    for step in run.steps():
        assert [attempt.outcome for attempt in step.attempts] == ["ok"], (run.id, step)
        for evaluation in step.evaluations:
            assert evaluation.error is None, (run.id, evaluation)
    for stored in run.events():
        event = stored.event
        assert event.type not in {"retry.scheduled", "run.parked"}, event
        assert event.type != "program.ended" or not event.charged, event


def from_outside(_orchestrator: Orchestrator, worker: Any) -> None:
    os.kill(worker.pid, signal.SIGKILL)


def by_order(orchestrator: Orchestrator, worker: Any) -> None:
    orchestrator.kill(worker.id)


def as_a_fault(_orchestrator: Orchestrator, worker: Any) -> None:
    os.kill(worker.pid, signal.SIGSEGV)


def twice(orchestrator: Orchestrator, worker: Any) -> None:
    os.kill(worker.pid, signal.SIGSTOP)
    os.kill(worker.pid, signal.SIGKILL)


KILLERS: list[Callable[[Orchestrator, Any], None]] = [from_outside, by_order, as_a_fault, twice]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killer", KILLERS)
def test_what_a_dead_worker_never_read_is_sent_again_uncharged(
    killer: Callable[[Orchestrator, Any], None], kind: str, opened: Any, tmp_path: Path
):
    orchestrator = opened()
    pool, workflow = KINDS[kind]
    assert orchestrator.start(workflow, str(tmp_path), -1).result(30) == -1
    runs = []
    for number in range(ROUNDS):
        for worker in idle(orchestrator, pool):
            killer(orchestrator, worker)
        runs.append(orchestrator.start(workflow, str(tmp_path), number))
        assert runs[-1].result(30) == number
    for run in runs:
        assert_nothing_was_charged(run)
    if kind in {"tool", "once"}:
        began = sorted((tmp_path / "begun").read_text().splitlines())
        assert began == sorted(f"{'plain' if kind == 'tool' else kind} {number}" for number in range(-1, ROUNDS))


def assemble(orchestrator: Orchestrator, kind: str, size: int, folder: Path) -> list[Any]:
    """Have a pool begin as many workers as it may, by giving it much to do at once; give them, all idle."""
    pool, workflow = KINDS[kind]
    for _ in range(100):
        runs = [orchestrator.start(workflow, str(folder), -1) for _ in range(2 * size)]
        assert [run.result(60) for run in runs] == [-1] * len(runs)
        if len(workers := idle(orchestrator, pool)) == size:
            return workers
    msg = f"the pool has {len(workers)} workers and not {size}"
    raise AssertionError(msg)


def send_to_the_dead(orchestrator: Orchestrator, kind: str, workers: list[Any], first: int, folder: Path) -> list[Any]:
    """Give each of these workers a piece of work that it will never read, and see that nobody is the worse for it."""
    gone, size = {worker.pid for worker in workers}, len(workers)
    runs = [orchestrator.start(KINDS[kind][1], str(folder), first + number) for number in range(size)]
    assert [run.result(100) for run in runs] == [first + number for number in range(size)]
    for run in runs:
        assert_nothing_was_charged(run)
        assert gone.isdisjoint(attempt.pid for step in run.steps() for attempt in step.attempts)
    eventually(lambda: gone.isdisjoint(worker.pid for worker in orchestrator.workers()), 30)
    return runs


def begun(folder: Path, kind: str) -> list[str]:
    """Give the numbers that tools have noted when they began, those of the assembly left out."""
    words = (folder / "begun").read_text().split()
    assert set(words[::2]) == {"plain" if kind == "tool" else kind}
    return [number for number in words[1::2] if number != "-1"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["once", "evaluator", "program"])
def test_the_same_with_interpreters_of_their_own(kind: str, opened: Any, tmp_path: Path):
    pool, size = KINDS[kind][0], 8
    orchestrator = opened("spawn", pool, size)
    for first in range(0, ROUNDS, size):
        workers = assemble(orchestrator, kind, size, tmp_path)
        for worker in workers:
            from_outside(orchestrator, worker)
        send_to_the_dead(orchestrator, kind, workers, first, tmp_path)
    if kind == "once":
        assert sorted(begun(tmp_path, kind), key=int) == [str(number) for number in range(ROUNDS)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stopped_worker_never_read_is_sent_again_uncharged_once_its_silence_is_noticed(
    kind: str, opened: Any, tmp_path: Path
):
    pool, size = KINDS[kind][0], ROUNDS // 2
    orchestrator = opened("zygote", pool, size)
    runs = []
    for first in range(0, ROUNDS, size):
        workers = assemble(orchestrator, kind, size, tmp_path)
        for worker in workers:
            os.kill(worker.pid, signal.SIGSTOP)
        runs += send_to_the_dead(orchestrator, kind, workers, first, tmp_path)
    if kind in {"tool", "once"}:
        assert sorted(begun(tmp_path, kind), key=int) == [str(number) for number in range(ROUNDS)]
        moved = [run.id for run in runs if any(stored.event.type == "attempt.moved" for stored in run.events())]
        assert len(moved) == ROUNDS, "each of them had been sent to a worker that was stopped"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["exit", "segfault", "kill"])
def test_a_worker_that_an_earlier_steps_thread_ends_takes_no_later_step_along(how: str, opened: Any, tmp_path: Path):
    orchestrator = opened()
    for number in range(ROUNDS):
        trigger = tmp_path / f"trigger-{number}"
        pid = orchestrator.start(unread.trap, str(trigger), how).result(30)
        idle(orchestrator, "tool")
        trigger.touch()
        eventually(lambda pid=pid: _has_died(pid), 30)
        run = orchestrator.start(unread.use_once, str(tmp_path), number)
        assert run.result(30) == number
        assert_nothing_was_charged(run)


def _has_died(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.timeout(120)
def test_the_record_names_the_worker_that_has_done_the_work(opened: Any, tmp_path: Path):
    orchestrator = opened()
    orchestrator.start(unread.use_once, str(tmp_path), -1).result(30)
    (worker,) = idle(orchestrator, "tool")
    os.kill(worker.pid, signal.SIGSTOP)  # so that it is sent the step, and never reads it
    run = orchestrator.start(unread.use_once, str(tmp_path), 1)
    eventually(lambda: run.steps() and run.steps()[0].attempts and run.steps()[0].attempts[0].pid == worker.pid, 30)
    os.kill(worker.pid, signal.SIGKILL)
    assert run.result(30) == 1
    ((attempt,),) = [step.attempts for step in run.steps()]
    assert attempt.outcome == "ok"
    assert attempt.pid != worker.pid
    assert "attempt.moved" in [stored.event.type for stored in run.events()]
