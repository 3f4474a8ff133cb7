"""What an orchestrator promises of itself: what it takes, what it refuses, and to whom it belongs."""

import re
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator, Pool, run
from greenroom.messages.core.errors import JournalError
from greenroom.testing import VirtualClock
from tests.workflows.api.test_scripts import run_script
from tests.workflows.apps.family import Card, add, card, child

FORKS = """
import os
import sys

from greenroom import Orchestrator, OrchestratorClosed, tool, workflow

place, how = sys.argv[1:]

@tool
def double(n: int) -> int:
    return 2 * n

@workflow
async def doubled(n: int) -> int:
    return await double(n)

def attempts():
    yield lambda: run.result()
    yield lambda: run.status
    yield lambda: orchestrator.start(doubled, 3)
    yield lambda: orchestrator.runs()
    yield lambda: orchestrator.workers()
    yield lambda: run.cancel()

with Orchestrator(place) as orchestrator:
    run = orchestrator.start(doubled, 1)
    print(run.result(timeout=30), flush=True)
    child = os.fork()
    if child == 0:
        for attempt in attempts():
            try:
                attempt()
            except OrchestratorClosed as error:
                print("is a fork of it" in str(error), flush=True)
        if how == "exits":
            sys.exit(7)
        orchestrator.close()
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(orchestrator.start(doubled, 2).result(timeout=30))
"""


@pytest.mark.parametrize("how", ["exits", "closes"])
def test_a_fork_of_its_process_is_refused_and_harms_nothing(tmp_path: Path, how: str) -> None:
    script = tmp_path / "forks.py"
    script.write_text(FORKS)
    lines = run_script(script, str(tmp_path / "runs.db"), how).splitlines()
    assert lines == ["2", *["True"] * 6, "7", "4"]


FORK_LIVES_ON = """
import os
import sys

from greenroom import Orchestrator, tool, workflow

place, = sys.argv[1:]

@tool
def double(n: int) -> int:
    return 2 * n

@workflow
async def doubled(n: int) -> int:
    return await double(n)

ours, theirs = os.pipe()
with Orchestrator(place) as orchestrator:
    print(orchestrator.start(doubled, 1).result(timeout=30), flush=True)
    child = os.fork()
    if child == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(7)
with Orchestrator(place) as orchestrator:
    print(orchestrator.start(doubled, 2).result(timeout=30))
os.close(theirs)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_that_outlives_its_orchestrator_holds_no_lock_and_is_not_taken_for_a_worker(tmp_path: Path) -> None:
    script = tmp_path / "lives_on.py"
    script.write_text(FORK_LIVES_ON)
    assert run_script(script, str(tmp_path / "runs.db")).splitlines() == ["2", "4", "7"]


def test_a_run_found_by_its_id_has_its_type_where_its_workflow_is_known(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "runs.db", home=tmp_path) as orchestrator:
        orchestrator.start(card, "otters", id="card").result(timeout=30)
    with Orchestrator(tmp_path / "runs.db", home=tmp_path) as orchestrator:
        assert orchestrator.get("card").result() == Card(title="otters")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (child.fn, "only a function decorated with @workflow can be started as a run, not <function child"),
        (add, "<tool `add` of .*> is a step, and only workflows are started as runs"),
        ("child", "only a function decorated with @workflow can be started as a run, not 'child'"),
    ],
)
def test_what_is_no_workflow_is_not_started(tmp_path: Path, wrong: Any, reason: str) -> None:
    with Orchestrator(":memory:", home=tmp_path) as orchestrator, pytest.raises(TypeError, match=reason):
        orchestrator.start(wrong, 1)
    with pytest.raises(TypeError, match=reason):
        run(wrong, 1)


def test_a_call_that_is_started_in_place_of_its_workflow_is_told_how(tmp_path: Path) -> None:
    reason = re.escape("what is started is the workflow, not its call: start(child, ...) in place of start(child(...))")
    with Orchestrator(":memory:", home=tmp_path) as orchestrator, pytest.raises(TypeError, match=reason):
        orchestrator.start(child(1))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]
    with pytest.raises(TypeError, match=reason):
        run(child(1))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]


def test_lists_of_a_status_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    with Orchestrator(":memory:", home=tmp_path) as orchestrator:
        for wrong in ("canceled", ("failed", "canceled")):
            for lists in (orchestrator.runs, orchestrator.sessions):
                with pytest.raises(ValueError, match="a status is one of pending, running, .*, not 'canceled'"):
                    lists(status=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the test
        assert list(orchestrator.runs(status=["failed", "cancelled"])) == []


def test_an_id_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with (
        Orchestrator(":memory:", home=tmp_path) as orchestrator,
        pytest.raises(ValueError, match="a run id is 1 to 200 letters, .* not 5"),
    ):
        orchestrator.start(child, 1, id=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the test


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"pools": {"tool": 3}}, TypeError, r"pools\['tool'\] has to be a Pool, such as Pool\(size=4\), not 3"),
        ({"pools": [Pool()]}, TypeError, r"pools is a mapping such as pools={'tool': Pool\(size=4\)}, not \["),
        ({"durability": "none"}, ValueError, "durability is 'full' or 'process', not 'none'"),
        ({"clock": 3}, TypeError, r"clock is a clock, such as VirtualClock\(\) of .*, not 3"),
        ({"clock": VirtualClock}, TypeError, r"clock is a clock, such as VirtualClock\(\) of .*, not <class "),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(
    tmp_path: Path, options: dict[str, Any], kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_at_a_url_is_refused_and_makes_no_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JournalError, match=r"a journal at a URL \(postgresql://\.\.\.\) cannot be opened"):
        Orchestrator("postgresql://user:secret@localhost/runs", home=tmp_path / "home")
    assert not (tmp_path / "postgresql:").exists()
