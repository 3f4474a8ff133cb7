"""What a run asks a person waits for them, whatever is killed meanwhile, and is decided once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from greenroom import (
    Approval,
    ApprovalClosed,
    ApprovalNotFound,
    InvalidInput,
    Orchestrator,
    RunNotFound,
    approve,
)
from greenroom.messages.records.records import ApprovalRecord
from greenroom.testing import assert_state_is_fold
from tests.acceptance import harness
from tests.acceptance.apps.steering import asking
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def asked(of: Any, count: int = 1) -> list[ApprovalRecord]:
    """Wait until so many questions are open."""
    return eventually(lambda: found if len(found := of.approvals()) == count else None, what="a question")


@pytest.mark.parametrize(
    ("decision", "args", "result", "lines"),
    [
        ("approve", None, "released to prod, said ada", ["build 7", "release 7 to prod"]),
        ("edit", {"version": "8", "to": "test"}, "released to test, said ada", ["build 7", "release 8 to test"]),
        ("reject", None, "not released: too early", ["build 7"]),
    ],
)
def test_a_run_does_what_a_person_decides(orchestrator, tmp_path, decision, args, result, lines):
    log = tmp_path / "log"
    run = orchestrator.start(asking.release, "7", str(log), id="release-7")
    (record,) = asked(orchestrator)
    assert record == run.approvals()[0]
    assert (record.id, record.run_id, record.workflow) == ("release-7~~approve~.1", "release-7", "release")
    assert (record.action, record.args) == ("release 7", {"version": "7", "to": "prod"})
    eventually(lambda: run.status == "waiting")
    orchestrator.decide(record.id, decision, args, comment="too early", by="ada")
    assert run.result(30) == result
    assert orchestrator.approvals() == []
    assert log.read_text().splitlines() == lines


def test_a_run_that_waits_for_a_person_holds_nothing_and_is_found_without_being_read(orchestrator, tmp_path):
    runs = [orchestrator.start(asking.release, str(n), str(tmp_path / "log")) for n in range(10)]
    asked(orchestrator, 10)
    alive = orchestrator._engine.runs.statistics
    eventually(lambda: alive()["live"] == 0, 20, what="leaving memory")
    assert {record.run_id for record in orchestrator.approvals()} == {run.id for run in runs}
    assert alive()["live"] == alive()["loading"] == 0
    for record in orchestrator.approvals():
        orchestrator.decide(record.id, "reject", comment="no")
    assert [run.result(30) for run in runs] == ["not released: no"] * 10


def test_a_wait_for_a_person_ends_at_its_limit_and_its_question_with_it(orchestrator):
    run = orchestrator.start(asking.impatient)
    (first,) = asked(orchestrator)
    assert_state_is_fold(run)
    (second,) = eventually(lambda: [each for each in orchestrator.approvals() if each.action == "then later"] or None)
    assert orchestrator.approvals() == [second]
    with pytest.raises(ApprovalClosed, match="not open any more"):
        orchestrator.decide(first.id, "approve")
    orchestrator.decide(second.id, "approve")
    assert run.result(30) == "gave up, then approve"


@pytest.mark.parametrize("number", [signal.SIGCONT, signal.SIGKILL])
def test_a_decision_after_the_end_of_its_time_is_refused_though_the_program_has_not_given_up_yet(orchestrator, number):
    run = orchestrator.start(asking.impatient, 2.0)
    (question,) = asked(run)
    (program,) = [each for each in orchestrator.workers() if each.kind == "program"]
    os.kill(program.pid, signal.SIGSTOP)  # it cannot say that it has given up
    eventually(lambda: [stored for stored in run.events() if stored.event.type == "timer.fired"])

    async def decide_late() -> None:
        deciding = asyncio.create_task(orchestrator.aio.decide(question.id, "approve"))
        for _ in range(20):
            await orchestrator.aio.workers()  # each is a trip by the way that the decision takes
        assert not deciding.done()
        os.kill(program.pid, number)
        with pytest.raises(ApprovalClosed, match="no longer waits for it"):
            await deciding

    asyncio.run(decide_late())
    eventually(lambda: [record.action for record in run.approvals()] == ["then later"])
    orchestrator.decide(run.approvals()[0].id, "reject")
    assert run.result(30) == "gave up, then reject"


def test_what_a_child_asks_is_listed_for_its_parent_too(orchestrator, tmp_path):
    run = orchestrator.start(asking.parent, "7", str(tmp_path / "log"), id="above")
    other = orchestrator.start(asking.release, "8", str(tmp_path / "log"), id="above-7")
    asked(orchestrator, 2)
    (record,) = run.approvals()
    assert record.id == "above~7E1~~approve~.1"
    orchestrator.decide(record.id, "reject", comment="no")
    assert run.result(30) == "child: not released: no"
    run.id = other.id
    assert [record.run_id for record in run.approvals()] == ["above-7"]
    other.cancel()


def test_who_names_a_run_in_place_of_what_it_asks_is_told_the_questions(orchestrator, tmp_path):
    run = orchestrator.start(asking.release, "7", str(tmp_path / "log"), id="build")
    (record,) = asked(orchestrator)
    with pytest.raises(ApprovalNotFound, match=f"there is no approval 'build'; did you mean '{record.id}'"):
        orchestrator.decide("build", "approve")
    run.cancel()


def test_a_decision_is_made_once(orchestrator, tmp_path):
    run = orchestrator.start(asking.release, "7", str(tmp_path / "log"))
    (record,) = asked(orchestrator)
    with pytest.raises(InvalidInput, match="an edit says what is to be used instead"):
        orchestrator.decide(record.id, "edit")
    with pytest.raises(InvalidInput, match="only an edit has other args"):
        orchestrator.decide(record.id, "reject", {"version": "9"})
    for _ in range(2):
        orchestrator.decide(record.id, "reject", by="ada", comment="no")
    with pytest.raises(ApprovalClosed, match="decided already: it was rejected by ada"):
        orchestrator.decide(record.id, "approve")
    assert run.result(30) == "not released: no"
    orchestrator.decide(record.id, "reject")
    with pytest.raises(ApprovalClosed, match="decided already"):
        orchestrator.decide(record.id, "approve")
    with pytest.raises(ApprovalNotFound, match="has not asked for it"):
        orchestrator.decide(record.id.removesuffix("1") + "2", "approve")
    with pytest.raises(ApprovalNotFound, match="there is no approval 'nothing'"):
        orchestrator.decide("nothing", "approve")
    with pytest.raises(RunNotFound, match="nobody"):
        orchestrator.approvals("nobody")


def test_cancelling_a_run_takes_its_question_back(orchestrator, tmp_path):
    run = orchestrator.start(asking.release, "7", str(tmp_path / "log"))
    asked(orchestrator)
    run.cancel("enough")
    eventually(lambda: run.status == "cancelled")
    assert orchestrator.approvals() == []


def test_a_decision_while_the_run_is_paused_is_heard_when_it_goes_on(orchestrator, tmp_path):
    run = orchestrator.start(asking.release, "7", str(tmp_path / "log"))
    (record,) = asked(orchestrator)
    run.pause()
    orchestrator.decide(record.id, "approve", by="ada")
    assert run.status == "paused"
    run.resume()
    assert run.result(30) == "released to prod, said ada"


HOST = """
import sys
from tests.acceptance.apps.steering import asking
from greenroom import Orchestrator
with Orchestrator(sys.argv[1]) as orchestrator:
    if sys.argv[3] == "release":
        run = orchestrator.start(asking.release, "7", sys.argv[2], id="r")
    else:
        run = orchestrator.start(asking.brief, sys.argv[2], id="r")
    for _ in run.events(follow=True):
        if run.approvals():
            break
    print("asked", flush=True)
    for line in sys.stdin:
        orchestrator.decide("r:" + line.strip(), "approve", by="ada")
        print("decided", flush=True)
    run.result()
"""


class Hosted:
    """An orchestrator in a process of its own, which is killed where the test says so."""

    def __init__(self, tmp_path: Path, log: Path, what: str) -> None:
        script = tmp_path / "host.py"
        script.write_text(HOST)
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "runs.db"), str(log), what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        with self.process:
            pass

    def hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def decide(self, key: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{key}\n")
        self.process.stdin.flush()
        self.hear("decided")


def test_a_question_outlives_the_kill_of_its_orchestrator_and_so_does_its_answer(home, mark, tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        with Hosted(tmp_path, log, "release") as host:
            host.hear("asked")
    with Hosted(tmp_path, log, "release") as host:
        host.hear("asked")
        host.decide("approve#1")
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.get("r")
        assert run.result(30) == "released to prod, said ada"
        assert_state_is_fold(run)
        types = [stored.type for stored in run.events()]
        assert (types.count("approval.asked"), types.count("approval.decided")) == (1, 1)
        assert log.read_text().splitlines().count("build 7") == 1


@pytest.mark.parametrize(
    ("decision", "args", "result"),
    [
        ("approve", None, "They swim., They eat."),
        ("edit", {"title": "Otters", "bullets": ["Both."]}, "Both."),
        ("reject", None, "refused: step careful#1 failed after 1 attempt: rejected by ada: no"),
    ],
)
def test_a_person_decides_about_a_result_that_evaluators_rejected(orchestrator, tmp_path, decision, args, result):
    run = orchestrator.start(asking.brief, str(tmp_path))
    (record,) = asked(orchestrator)
    assert (record.step, record.action) == ("careful#1", "use the result of careful")
    assert record.args == asking.LONG.model_dump()
    assert record.reason == "short gave 0.20 where 0.70 is needed: one bullet at most"
    eventually(lambda: (run.status, run.steps()[0].status) == ("waiting", "escalated"))
    orchestrator.decide(record.id, decision, args, by="ada", comment="no")
    assert run.result(30) == result
    (step, *_) = run.steps()
    assert [attempt.outcome for attempt in step.attempts] == ["rejected" if decision == "reject" else "ok"]
    assert orchestrator.metrics().totals.rejections == 1
    assert_state_is_fold(run)


def test_an_edit_that_is_no_result_of_the_step_is_refused_by_field_and_the_question_stays(orchestrator, tmp_path):
    run = orchestrator.start(asking.brief, str(tmp_path))
    (record,) = asked(orchestrator)
    with pytest.raises(InvalidInput, match=r"cannot be the result of careful#1: title: .*; bullets: "):
        orchestrator.decide(record.id, "edit", {"title": 3, "bullets": "none"})
    assert orchestrator.approvals() == [record]
    orchestrator.decide(record.id, "edit", {"title": "Otters", "bullets": []})
    assert run.result(30) == ""


def test_a_rejected_result_waits_for_a_person_through_the_kill_of_its_orchestrator(home, mark, tmp_path):
    with Hosted(tmp_path, tmp_path, "brief") as host:
        host.hear("asked")
    with Hosted(tmp_path, tmp_path, "brief") as host:
        host.hear("asked")
        host.decide("careful#1@1")
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.get("r")
        assert run.result(30) == "They swim., They eat."
        assert len(run.steps()[0].attempts) == 1, "the model is not asked again"


def test_what_cannot_be_asked_says_so(orchestrator):
    with pytest.raises(RuntimeError, match="workflow code"):
        asyncio.run(approve("anything"))
    assert Approval(decision="approve").args is None


def greenroom(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "greenroom", "--home", str(home), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_line_lists_and_decides_and_its_exit_codes_tell(home, mark, tmp_path):
    place = tmp_path / "home of its own"
    target = f"{ROOT / 'tests/acceptance/apps/steering/asking.py'}:release"
    inputs = ("-i", "version=7", "-i", f"log={tmp_path / 'log'}")
    waited = greenroom(place, "run", target, *inputs, "--id", "r", "--timeout", "3")
    assert waited.returncode == 6, waited.stderr
    assert "waits for a person: release 7 (r~~approve~.1)" in waited.stderr
    assert greenroom(place, "runs", "result", "r").returncode == 6
    assert greenroom(place, "approvals", "approve", "r~~approve~.1").returncode == 4, "nobody is there to hear it"
    assert greenroom(place, "approvals", "approve", "s~~approve~.1").returncode == 3
    (record,) = json.loads(greenroom(place, "approvals", "list", "-o", "json").stdout)
    assert (record["id"], record["action"]) == ("r~~approve~.1", "release 7")
    with Orchestrator(home=place, pools=harness.pools()):
        assert "r~~approve~.1" in greenroom(place, "approvals", "list", "--run", "r").stdout
        assert greenroom(place, "approvals", "edit", "r~~approve~.1").returncode == 2
        assert greenroom(place, "approvals", "edit", "r~~approve~.1", "--args", "{").returncode == 2
        edit = ("approvals", "edit", "r~~approve~.1", "--by", "ada", "--comment", "safer", "--args")
        done = greenroom(place, *edit, '{"version": "7", "to": "test"}')
        assert (done.returncode, done.stdout) == (0, "approval r~~approve~.1 is edited\n"), done.stderr
        again = greenroom(place, "approvals", "reject", "r~~approve~.1")
        assert again.returncode == 2
        assert "approval r~~approve~.1 has been decided already: it was edited by ada" in again.stderr
        assert greenroom(place, "approvals", "approve", "r:approve#2").returncode == 3
        assert (
            json.loads(greenroom(place, "runs", "result", "r", "--timeout", "30").stdout)
            == "released to test, said ada"
        )
    assert "has approval of something else by ada (approve#1): safer" in greenroom(place, "runs", "events", "r").stdout
