"""Schedules with real orchestrators, real runs and real kills: each due moment is exactly one run."""

import fcntl
import json
import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from greenroom import (
    Budget,
    InvalidInput,
    Orchestrator,
    RunCancelled,
    RunNotFound,
    RunParked,
    Schedule,
    ScheduleBusy,
    ScheduleNotFound,
)
from greenroom.journal.interface import Append, RunRow
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.commands import PutSchedule
from greenroom.messages.core.times import iso
from greenroom.messages.events.schedules import FiringRecord, Plan, ScheduleCreated, ScheduleFired, ScheduleQueued
from greenroom.messages.ids import scheduled_id
from tests.acceptance import harness
from tests.acceptance.apps.effects import effects
from tests.acceptance.apps.steering import scheduled
from tests.acceptance.harness import reached
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

YEARLY = {"cron": "0 0 1 1 *"}


def statuses(schedule) -> list[str]:
    return [firing.status for firing in schedule.last_runs()]


# ---------------------------------------------------------------- making


def test_the_same_schedule_again_is_that_schedule_and_another_plan_changes_it(orchestrator, tmp_path):
    first = orchestrator.schedule("notes", scheduled.noted, "a.log", **YEARLY)
    assert first.record.cron == "0 0 1 1 *"
    events = len(orchestrator.reads.journal.events("@notes"))
    orchestrator.schedule("notes", scheduled.noted, path="a.log", **YEARLY)
    assert len(orchestrator.reads.journal.events("@notes")) == events
    orchestrator.schedule("notes", scheduled.noted, "b.log", every=86_400)
    (record,) = orchestrator.schedules()
    assert (record.arguments, record.cron, record.every) == ({"path": "b.log"}, None, 86_400.0)
    assert repr(first) == f"<Schedule notes: active, next at {iso(record.next_times[0])}>"


def test_next_times_are_those_of_the_time_zone_in_utc(orchestrator):
    berlin = orchestrator.schedule("nightly", scheduled.noted, "a.log", cron="0 3 * * *", timezone="Europe/Berlin")
    assert {f"{moment:%H:%M}" for moment in berlin.next_times(400)} == {"01:00", "02:00"}


def test_everything_wrong_with_a_schedule_is_said_at_once(orchestrator):
    with pytest.raises(InvalidInput, match="timezone.*minute"):
        orchestrator.schedule("x", scheduled.noted, "a.log", cron="61 * * * *", timezone="Mars/Olympus")
    with pytest.raises(InvalidInput, match="either cron"):
        orchestrator.schedule("x", scheduled.noted, "a.log")
    with pytest.raises(InvalidInput, match="overlap"):
        orchestrator.schedule("x", scheduled.noted, "a.log", every=60, overlap="perhaps")
    with pytest.raises(InvalidInput, match="path"):
        orchestrator.schedule("x", scheduled.noted, every=60)
    with pytest.raises(ValueError, match="a schedule's name"):
        orchestrator.schedule("no/name", scheduled.noted, "a.log", every=60)
    assert orchestrator.schedules() == []


def test_what_is_no_schedule_is_not_found(orchestrator):
    orchestrator.schedule("nightly", scheduled.noted, "a.log", **YEARLY)
    with pytest.raises(ScheduleNotFound, match="did you mean 'nightly'"):
        orchestrator.get_schedule("nihgtly")
    schedule = orchestrator.get_schedule("nightly")
    schedule.delete()
    for ask in (schedule.pause, schedule.resume, schedule.trigger, schedule.delete):
        with pytest.raises(ScheduleNotFound):
            ask()
    assert orchestrator.schedules() == []


def test_schedules_are_no_runs(orchestrator):
    orchestrator.schedule("nightly", scheduled.noted, "a.log", **YEARLY)
    assert orchestrator.runs() == []
    assert orchestrator.metrics().totals.runs == 0
    with pytest.raises(RunNotFound):
        orchestrator.get("@nightly").steps()
    with pytest.raises(RunNotFound):
        orchestrator.get("@nightly").cancel()


# ---------------------------------------------------------------- firing


def test_a_run_starts_at_its_moment_and_its_end_is_seen(orchestrator, tmp_path):
    path = tmp_path / "effects.log"
    schedule = orchestrator.schedule("tick", scheduled.noted, str(path), every=1, overlap="allow")
    due = schedule.next_times(2)
    eventually(lambda: statuses(schedule).count("completed") >= 2, 20)
    schedule.pause()
    done = [firing for firing in reversed(schedule.last_runs()) if firing.status == "completed"]
    assert [firing.due for firing in done[:2]] == due
    for firing in done:
        record = orchestrator.get(firing.run_id).record
        assert record.started_at >= firing.due
        assert firing.run_id == f"tick~{firing.due:%Y%m%dT%H%M%SZ}"
    assert {line["run"] for line in effects(path)} >= {firing.run_id for firing in done}


def test_a_triggered_run_has_its_typed_result_and_an_id_of_its_own(orchestrator, tmp_path):
    schedule = orchestrator.schedule("once", scheduled.guarded, str(tmp_path), overlap="allow", **YEARLY)
    first, second = schedule.trigger(), schedule.trigger()
    assert first.id != second.id
    (tmp_path / "gate").touch()
    assert (first.result(30), second.result(30)) == ("gate", "gate")
    assert statuses(schedule) == ["completed"] * 2
    assert all(firing.manual for firing in schedule.last_runs())


def test_each_run_has_the_budget_that_the_schedule_was_made_with(orchestrator):
    poor = scheduled.noted.options(budget=Budget(wall=0.001))
    run = orchestrator.schedule("poor", poor, "a.log", **YEARLY).trigger()
    with pytest.raises(RunParked, match="budget"):
        run.result(30)


def test_skip_starts_nothing_while_an_earlier_run_goes_on(orchestrator, tmp_path):
    schedule = orchestrator.schedule("often", scheduled.guarded, str(tmp_path), every=1)
    reached(tmp_path)
    eventually(lambda: schedule.record.skipped >= 2, 20)
    with pytest.raises(ScheduleBusy, match="goes on"):
        schedule.trigger()
    skipped = [firing for firing in schedule.last_runs() if firing.status == "skipped"]
    running = next(firing for firing in schedule.last_runs() if firing.status == "running")
    assert {(firing.reason, firing.run_id) for firing in skipped} == {("overlap", running.run_id)}
    (tmp_path / "gate").touch()
    eventually(lambda: schedule.record.fired >= 2, 20)


def test_queue_starts_the_next_run_at_the_end_of_the_earlier_one(orchestrator, tmp_path):
    schedule = orchestrator.schedule("inline", scheduled.guarded, str(tmp_path), overlap="queue", **YEARLY)
    first, second = schedule.trigger(), schedule.trigger()
    reached(tmp_path)
    assert statuses(schedule) == ["queued", "running"]
    with pytest.raises(RunNotFound):
        _ = second.status
    (tmp_path / "gate").touch()
    first.result(30)
    eventually(lambda: statuses(schedule) == ["completed"] * 2, 20)
    assert second.result(30) == "gate"
    assert second.record.started_at >= first.record.ended_at


def test_cancel_ends_the_earlier_run_and_then_starts_the_next(orchestrator, tmp_path):
    schedule = orchestrator.schedule("newest", scheduled.guarded, str(tmp_path), overlap="cancel", **YEARLY)
    first = schedule.trigger()
    reached(tmp_path)
    second = schedule.trigger()
    with pytest.raises(RunCancelled, match="the next run of schedule newest is due"):
        first.result(30)
    eventually(lambda: statuses(schedule) == ["running", "cancelled"], 20)
    (tmp_path / "gate").touch()
    assert second.result(30) == "gate"


GREET = """
from greenroom import workflow


@workflow
async def greet({parameters}) -> str:
    return "hello"
"""


def test_a_workflow_that_cannot_be_started_is_recorded_with_the_reason_and_tried_again(home, mark, tmp_path):
    app = tmp_path / "changing.py"
    plan = Plan(app=str(app), workflow="greet", arguments={"name": "otter"}, every=1.0)

    def life(source: str, until: str) -> FiringRecord:
        app.write_text(source)
        with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
            orchestrator.send(PutSchedule(name="greeting", plan=plan))
            schedule = orchestrator.get_schedule("greeting")
            known = {firing.run_id for firing in schedule.last_runs()}

            def news() -> list[FiringRecord]:
                return [each for each in schedule.last_runs() if each.status == until and each.run_id not in known]

            return eventually(news, 40)[0]

    assert life(GREET.format(parameters="name: str"), "completed").reason is None
    assert "name" in (life(GREET.format(parameters="topic: str"), "refused").reason or "")
    assert "cannot be imported" in (life("not Python", "refused").reason or "")
    assert life(GREET.format(parameters="name: str"), "completed").reason is None


HELD = """
import fcntl
from greenroom import workflow

with open({gate!r}) as gate:
    fcntl.flock(gate, fcntl.LOCK_SH)  # until the test lets go


@workflow
async def greet({parameters}) -> str:
    return "hello"
"""


@pytest.mark.parametrize("starts", [True, False], ids=["starts", "is refused"])
@pytest.mark.parametrize("meanwhile", ["nothing", "a deletion"])
def test_everyone_who_asks_for_a_run_is_answered_once_it_exists_or_is_refused(home, mark, tmp_path, meanwhile, starts):
    app, gate = tmp_path / "held.py", tmp_path / "gate"
    app.write_text(HELD.format(gate=str(gate), parameters="name: str" if starts else "topic: str"))
    plan = Plan(app=str(app), workflow="greet", arguments={"name": "otter"}, **YEARLY)

    created = ScheduleCreated(at=1.0, name="greeting", plan=plan, anchor=1.0, due=time.time() + 86_400)
    written(tmp_path / "runs.db", "greeting", created, status="running")

    def ask(schedule: Schedule) -> str:
        try:
            return schedule.trigger(key="1").status
        except InvalidInput:
            return "refused"

    with (
        gate.open("w") as held,
        ThreadPoolExecutor() as threads,
        Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator,
    ):
        fcntl.flock(held, fcntl.LOCK_EX)
        schedule = orchestrator.get_schedule("greeting")
        asked = [threads.submit(ask, schedule)]
        eventually(lambda: statuses(schedule) == ["starting"], 40)
        if meanwhile == "a deletion":
            schedule.delete()
        else:
            asked.append(threads.submit(ask, schedule))
            assert not wait(asked, 0.5).done
        fcntl.flock(held, fcntl.LOCK_UN)
        answers = {each.result(40) for each in asked}
        assert answers <= {"pending", "running", "completed"} if starts else answers == {"refused"}


# ---------------------------------------------------------------- restarts


def test_a_request_that_is_repeated_after_a_kill_is_answered_once_its_run_exists(home, mark, tmp_path):
    plan = Plan(app=scheduled.noted.definition.app, workflow="noted", arguments={"path": "a.log"}, **YEARLY)
    run_id = scheduled_id("notes", f"key-{sha256(b'1').hexdigest()[:32]}")
    written(
        tmp_path / "runs.db",
        "notes",
        ScheduleCreated(at=1.0, name="notes", plan=plan, anchor=1.0, due=time.time() + 86_400),
        ScheduleFired(at=2.0, run_id=run_id, due=2.0, manual=True),
        status="running",
    )
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.get_schedule("notes").trigger(key="1")
        assert run.id == run_id
        assert run.status in {"pending", "running", "waiting", "completed"}


def test_a_pause_and_what_is_due_next_outlive_the_orchestrator(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        schedule = first.schedule("nightly", scheduled.noted, "a.log", **YEARLY)
        due = schedule.next_times()
        first.schedule("other", scheduled.noted, "a.log", **YEARLY).pause("for now")
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        assert second.get_schedule("nightly").next_times() == due
        assert second.get_schedule("other").record.reason == "for now"
        assert second.get_schedule("other").next_times() == []
        second.get_schedule("other").resume()
        assert second.get_schedule("other").next_times() == due


def written(path: Path, name: str, *events, status: str) -> None:
    """Write a schedule's journal as an orchestrator would have left it."""
    plan = events[0].plan
    row = RunRow(f"@{name}", plan.workflow, plan.app, status, events[0].at, events[-1].at, kind="schedule")
    journal = SqliteJournal(path)
    journal.append(Append(f"@{name}", 0, events, row))
    journal.close()


def test_what_was_due_and_is_not_known_as_started_is_started_once(home, mark, tmp_path):
    plan = Plan(
        app=scheduled.guarded.definition.app,
        workflow="guarded",
        arguments={"folder": str(tmp_path)},
        cron="0 0 1 1 *",
        overlap="queue",
    )
    due = time.time() + 86_400
    written(
        tmp_path / "runs.db",
        "crashed",
        ScheduleCreated(at=1.0, name="crashed", plan=plan, anchor=1.0, due=2.0),
        ScheduleFired(at=2.0, run_id="crashed-a", due=2.0, next_due=3.0),
        ScheduleQueued(at=3.0, run_id="crashed-b", due=3.0, next_due=due),
        status="running",
    )
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        reached(tmp_path)
        assert [run.id for run in first.runs()] == ["crashed-a"]
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        (tmp_path / "gate").touch()
        schedule = second.get_schedule("crashed")
        eventually(lambda: statuses(schedule) == ["completed"] * 2, 30)
        assert [run.id for run in second.runs()] == ["crashed-b", "crashed-a"]
        types = [stored.type for stored in second.reads.journal.events("@crashed")]
        assert Counter(types)["schedule.run_started"] == 2


def test_moments_missed_while_nothing_ran_are_made_up_for_within_catch_up_and_skipped_before(home, mark, tmp_path):
    path = str(tmp_path / "effects.log")
    plan = Plan(
        app=scheduled.noted.definition.app,
        workflow="noted",
        arguments={"path": path},
        every=3600.0,
        overlap="allow",
        catch_up=3 * 3600.0 + 60.0,
    )
    now = time.time()
    anchor = float(int(now)) - 10 * 3600 - 30
    created = ScheduleCreated(at=anchor, name="hourly", plan=plan, anchor=anchor, due=anchor + 3600)
    written(tmp_path / "runs.db", "hourly", created, status="running")
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        schedule = orchestrator.get_schedule("hourly")
        eventually(lambda: schedule.record.fired == 4, 20)
        eventually(lambda: statuses(schedule) == ["completed"] * 4 + ["skipped"], 20)
        late = schedule.last_runs()[-1]
        assert (late.count, late.reason) == (6, "late")


def test_killed_around_its_moments_a_schedule_starts_each_of_them_exactly_once(home, mark, tmp_path):
    chance = random.Random(7)
    database = tmp_path / "runs.db"
    for lives in range(1, 7):
        owner = Owner(tmp_path)
        eventually(lambda lives=lives: said(tmp_path).count("scheduled") == lives, 30, what="the schedule")
        due = json.loads(harness.query(database, EVENTS_OF, "@tick")[0][0])["anchor"]
        moment = due + int(time.time() - due) + 1 + chance.uniform(-0.005, 0.06)
        eventually(lambda moment=moment: time.time() >= moment, 5, what="the moment of the kill")
        owner.kill(mark)
    owner = Owner(tmp_path)
    enough = len(fired(database)) + 3
    eventually(lambda: len(fired(database)) >= enough, 30, what="further runs")
    owner.end()

    with Orchestrator(database, pools=harness.pools()) as last:
        schedule = last.get_schedule("tick")
        schedule.pause()
        eventually(lambda: not any(firing.status in {"starting", "running"} for firing in schedule.last_runs()), 60)
        eventually(lambda: all(run.status == "completed" for run in last.runs(limit=1000)), 60)
    moments = fired(database)
    assert len(set(moments)) == len(moments)
    assert [round(later - before) for before, later in pairwise(moments)] == [1] * (len(moments) - 1)
    runs = harness.read_journal(database)
    del runs["@tick"]
    assert len(runs) == len(moments)
    done = Counter(line["run"] for line in effects(tmp_path / "effects.log"))
    assert set(done) == set(runs)


EVENTS_OF = "SELECT body FROM events WHERE run_id = ? ORDER BY seq"


def fired(database: Path) -> list[float]:
    bodies = [json.loads(body) for (body,) in harness.query(database, EVENTS_OF, "@tick")]
    return [body["due"] for body in bodies if body["type"] == "schedule.fired"]


def said(folder: Path) -> list[str]:
    path = folder / "client.log"
    return path.read_text().split() if path.exists() else []


class Owner:
    """One life of an orchestrator with a schedule."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.acceptance.apps.steering.clockwork", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def kill(self, mark: str) -> None:
        """Kill it with SIGKILL, and wait until everything of it is gone."""
        self.process.kill()
        self.process.communicate()
        eventually(lambda: not harness.census(mark), 10, what="the end of its workers")

    def end(self) -> None:
        """Have it close, and see that it did so in good order."""
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0
