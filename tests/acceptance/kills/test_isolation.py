"""One step breaks its process in every way there is, and fifty runs beside it notice nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from greenroom import Orchestrator
from tests.acceptance import harness
from tests.acceptance.apps.kills import faulty

pytestmark = pytest.mark.slow

NEIGHBOURS = 50


@dataclass(frozen=True)
class Cause:
    """What the journal must say of the first attempt."""

    outcome: str
    kinds: tuple[str, ...] = ()
    """Kinds of exit, one of which it must be; none where the process did not die."""
    code: int | None = None
    signal: str | None = None
    error: str = ""
    """What the sentence about the attempt must hold."""


FAULTS = {
    "exit_three": Cause("crash", ("exited",), code=3, error="exited with code 3"),
    "segfault": Cause("crash", ("signaled",), signal="SIGSEGV", error="SIGSEGV"),
    "kill_itself": Cause("crash", ("signaled",), signal="SIGKILL", error="SIGKILL"),
    "stop_itself": Cause("crash", ("hung",), error="hung"),
    "hold_the_gil": Cause("timeout", ("timeout",), error="overran its time"),
    "eat_memory": Cause("error", error="MemoryError"),
    "daemonise": Cause("ok"),
    "daemonise_and_die": Cause("crash", ("exited",), code=3),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("fault", "backend"),
    [*((fault, "zygote") for fault in FAULTS), ("kill_itself", "spawn"), ("daemonise_and_die", "spawn")],
)
def test_a_step_that_breaks_its_process_is_retried_and_its_neighbours_go_on(
    fault: str, backend: str, tmp_path: Path, home: Path, mark: str, figure: Callable[..., None]
):
    cause = FAULTS[fault]
    began = time.monotonic()
    pools = harness.pools(tool={"memory_mb": 256, "size": 3, "backend": backend}, program={"backend": backend})
    with Orchestrator(tmp_path / "runs.db", pools=pools) as orchestrator:
        runs = [orchestrator.start(faulty.healthy, number) for number in range(NEIGHBOURS // 2)]
        broken = orchestrator.start(faulty.faulty, fault, str(tmp_path))
        runs += [orchestrator.start(faulty.healthy, number) for number in range(NEIGHBOURS // 2, NEIGHBOURS)]

        results = [run.result(60) for run in runs]
        how, daemon_lived = broken.result(60)
        took = time.monotonic() - began

        assert results == [sum(item * item for item in range(n, n + 4)) for n in range(NEIGHBOURS)]
        assert how == ("survived" if fault == "daemonise" else "recovered")
        assert daemon_lived is False
        _assert_cause_is_named(broken.steps()[0], cause)
        for run in runs:
            for step in run.steps():
                assert [attempt.outcome for attempt in step.attempts] == ["ok"], (run.id, step)
        family = {process.pid for process in harness.census(mark)}
        assert {worker.pid for worker in orchestrator.workers()} <= family, (
            "the census sees what it must not find later"
        )
        for worker in orchestrator.workers():
            if worker.pid is not None and psutil.pid_exists(worker.pid):
                below = psutil.Process(worker.pid).children(recursive=True)
                assert not below, f"{worker.id} has processes below it: {harness.describe(below)}"
    figure(f"{fault} ({backend}): all {NEIGHBOURS + 1} runs", took, "s")
    assert not harness.census(mark)
    logs = harness.read_journal(tmp_path / "runs.db")
    assert harness.broken_invariants(logs, []) == []


def _assert_cause_is_named(step, cause: Cause) -> None:
    first, *others = step.attempts
    assert first.outcome == cause.outcome, first
    assert cause.error in (first.error or ""), first
    assert [attempt.outcome for attempt in others] == ([] if cause.outcome == "ok" else ["ok"])
    if cause.kinds:
        assert first.exit is not None, first
        assert first.exit.kind in cause.kinds, first
        assert (first.exit.code, first.exit.signal)[cause.signal is not None] == (cause.signal or cause.code) or (
            cause.signal is None and cause.code is None
        ), first
        assert first.exit.peak_memory_mb is not None, first
    if cause.outcome == "crash" and cause.signal == "SIGSEGV":
        assert "Segmentation fault" in first.exit.stderr, "faulthandler's text is kept"
