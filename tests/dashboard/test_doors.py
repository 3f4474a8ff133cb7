"""Every command has the same effect through every door that it has: Python, the client, HTTP, and the command line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from greenroom import Client, Orchestrator, Run, Schedule, ScheduleNotFound
from greenroom.dashboard.routes.commands import WAYS, every_command
from greenroom.messages import commands as c
from greenroom.messages.core.message import Message
from greenroom.messages.events.schedules import Plan
from tests.dashboard.conftest import APP, start
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


# ---------------------------------------------------------------- the doors


@dataclass
class Doors:
    """The ways in."""

    orchestrator: Orchestrator
    client: Client
    api: httpx.Client

    def python(self, command: Any) -> Any:
        return self.orchestrator.send(command).model_dump(mode="json")

    def remote(self, command: Any) -> Any:
        return self.client.send(command).model_dump(mode="json")

    def messages(self, command: Any) -> Any:
        return answer(self.api.post("/messages", content=command.model_dump_json(), headers=JSON))

    def path(self, command: Any) -> Any:
        """Send it to its own path, with what does not stand there as the body."""
        way = next(way for way in WAYS if way.command is type(command))
        fields = command.model_dump(mode="json", exclude={"type", *way.in_path})
        place = way.path.format(**{name: quote(getattr(command, name), safe="") for name in way.in_path})
        return answer(self.api.post(place, json=fields))

    def line(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(ROOT / "main.py"), *arguments]
        return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ))


JSON = {"Content-Type": "application/json"}


def answer(response: httpx.Response) -> Any:
    """Give a reply; that of a refusal is read from its problem."""
    found = response.json()
    if response.is_success:
        return found
    return {"type": "refused", "code": found["code"], "message": found["detail"], "faults": found.get("errors", [])}


@pytest.fixture
def doors(orchestrator, client, api) -> Doors:
    return Doors(orchestrator, client, api)


# ---------------------------------------------------------------- the table


@dataclass(frozen=True)
class Row:
    """One command: what it is sent to, and what can be seen of it afterwards."""

    command: type[Message]
    before: Callable[[Orchestrator, str, Path], Any]
    """Makes what it needs, under an id; what it gives goes to the next two."""
    make: Callable[[Any], Any]
    """Gives the command."""
    after: Callable[[Any], Any]
    """Gives what it has led to, without what is different each time."""
    line: Callable[[Any], list[str]] | None
    """The command line; None where there is none, for the reason beside it."""


def waiting(orchestrator: Orchestrator, run_id: str, _folder: Path) -> Run:
    run = start(orchestrator, "words", run_id)
    eventually(lambda: run.status == "waiting")
    return run


def paused(orchestrator: Orchestrator, run_id: str, folder: Path) -> Run:
    run = waiting(orchestrator, run_id, folder)
    run.pause()
    return run


def stuck(orchestrator: Orchestrator, run_id: str, _folder: Path) -> Run:
    run = start(orchestrator, "stuck", run_id)
    eventually(lambda: run.status == "parked")
    return run


def failed(orchestrator: Orchestrator, run_id: str, _folder: Path) -> Run:
    run = start(orchestrator, "broken", run_id)
    eventually(lambda: run.status == "failed")
    return run


def asking(orchestrator: Orchestrator, run_id: str, _folder: Path) -> Run:
    run = start(orchestrator, "release", run_id, version="7")
    eventually(run.approvals)
    return run


def standing(orchestrator: Orchestrator, run_id: str, folder: Path) -> tuple[Run, str]:
    note = folder / run_id
    run = start(orchestrator, "standing", run_id, path=str(note))
    pid = eventually(lambda: note.exists() and note.read_text())
    return run, next(one.id for one in orchestrator.workers() if str(one.pid) == pid)


def nothing(orchestrator: Orchestrator, run_id: str, _folder: Path) -> tuple[Orchestrator, str]:
    return orchestrator, run_id


def summed(orchestrator: Orchestrator, run_id: str, _folder: Path) -> tuple[Orchestrator, str]:
    start(orchestrator, "total", run_id, a=1).result(30)
    return orchestrator, run_id


def talked_to(orchestrator: Orchestrator, key: str, _folder: Path) -> tuple[Orchestrator, str]:
    orchestrator.send(c.AskSession(app=str(APP), session="chat", session_key=key, value={"text": "so"}))
    return orchestrator, key


def set_aside(orchestrator: Orchestrator, key: str, _folder: Path) -> tuple[Orchestrator, str]:
    orchestrator.send(c.AskSession(app=str(APP), session="chat", session_key=key, value={"text": "bad"}))
    return orchestrator, key


def turning(orchestrator: Orchestrator, key: str, _folder: Path) -> tuple[Orchestrator, str]:
    tell = c.TellSession(app=str(APP), session="chat", session_key=key, value={"text": "endless"})
    orchestrator.send(tell)
    eventually(lambda: orchestrator.reads.session(f"chat/{key}").status == "waiting")
    return orchestrator, key


def turned(scene: tuple[Orchestrator, str]) -> Any:
    reads = scene[0].reads
    (turn,) = eventually(lambda: [one for one in reads.history(f"chat/{scene[1]}") if one.status == "failed"])
    return turn.error, reads.session_state(f"chat/{scene[1]}")


def letters(scene: tuple[Orchestrator, str]) -> list[str]:
    return [letter.letter for letter in scene[0].dead_letters() if letter.run_id == f"chat/{scene[1]}"]


def answered(scene: tuple[Orchestrator, str]) -> Any:
    (turn,) = eventually(
        lambda: [one for one in scene[0].reads.history(f"chat/{scene[1]}") if one.status == "answered"]
    )
    return turn.message, turn.reply, turn.key


def types(run: Run) -> list[str]:
    return [stored.type for stored in run.events()]


def told(run: Run, *names: str) -> Any:
    """Give the newest event of some types, without when it was."""
    found = [stored.event for stored in run.events() if stored.type in names]
    return [event.model_dump(exclude={"at"}) for event in found]


def begun_again(run: Run) -> Any:
    eventually(lambda: types(run).count("program.started") == 2 and run.status == "failed")
    return told(run, "run.retried", "run.failed")


def parked_again(run: Run) -> Any:
    eventually(lambda: types(run).count("run.parked") == 2)
    run.cancel()
    eventually(lambda: run.status == "cancelled")
    return told(run, "run.resumed")


def crashed(scene: tuple[Run, str]) -> Any:
    run, _ = scene
    (first,) = eventually(lambda: [one for step in run.steps() for one in step.attempts if one.outcome == "crash"])
    gone = first.outcome, first.exit.signal, first.exit.injected, first.charged
    run.cancel()
    return gone


def replaced(scene: tuple[Run, str]) -> Any:
    run, worker = scene
    first, second = eventually(lambda: [attempts for step in run.steps() if len(attempts := step.attempts) == 2])[0]
    run.cancel()
    assert first.worker == worker
    return first.outcome, first.exit.kind, first.exit.detail, first.charged, second.number


def started(scene: tuple[Orchestrator, str]) -> Any:
    run = scene[0].get(scene[1])
    return run.result(30), told(run, "run.started")[0]["arguments"]


PLAN = Plan(app=str(APP), workflow="total", arguments={"a": "3"}, cron="0 0 1 1 *")


def scheduled(orchestrator: Orchestrator, name: str, _folder: Path) -> Schedule:
    orchestrator.send(c.PutSchedule(name=name, plan=PLAN))
    return orchestrator.get_schedule(name)


def listed(orchestrator: Orchestrator, _name: str, folder: Path) -> Schedule:
    return scheduled(orchestrator, "listed", folder)


def on_hold(orchestrator: Orchestrator, name: str, folder: Path) -> Schedule:
    schedule = scheduled(orchestrator, name, folder)
    schedule.pause()
    return schedule


def made(scene: tuple[Orchestrator, str]) -> Any:
    record = scene[0].get_schedule(scene[1]).record
    return record.model_dump(exclude={"name", "created_at", "updated_at"})


def triggered(schedule: Schedule) -> Any:
    eventually(lambda: [firing.status for firing in schedule.last_runs()] == ["completed"])
    return schedule.last_runs()[0].manual


def deleted(schedule: Schedule) -> bool:
    with pytest.raises(ScheduleNotFound):
        _ = schedule.record
    return True


def name_of(row: Row) -> str:
    return row.command.__name__


ROWS = (
    Row(
        c.StartRun,
        nothing,
        lambda scene: c.StartRun(run_id=scene[1], app=str(APP), workflow="total", arguments={"a": "3"}),
        started,
        None,  # `greenroom run` is an orchestrator of its own
    ),
    Row(
        c.CancelRun,
        waiting,
        lambda run: c.CancelRun(run_id=run.id, reason="no more"),
        lambda run: (eventually(lambda: run.status == "cancelled"), run.record.reason),
        lambda run: ["runs", "cancel", run.id, "--reason", "no more"],
    ),
    Row(
        c.SignalRun,
        waiting,
        lambda run: c.SignalRun(run_id=run.id, name="Word", value={"text": "so"}, key="k"),
        lambda run: (run.result(30), told(run, "message.received")),
        lambda run: ["send", run.id, "Word", '{"text": "so"}', "--key", "k"],
    ),
    Row(
        c.DecideApproval,
        asking,
        lambda run: c.DecideApproval(
            approval=run.approvals()[0].id, decision="edit", args=["8", "9"], comment="better", by="ada"
        ),
        lambda run: run.result(30),
        lambda run: [
            *("approvals", "edit", run.approvals()[0].id),
            *("--args", '["8", "9"]', "--comment", "better", "--by", "ada"),
        ],
    ),
    Row(
        c.PauseRun,
        waiting,
        lambda run: c.PauseRun(run_id=run.id, reason="for lunch"),
        lambda run: (run.status, told(run, "run.paused")),
        lambda run: ["runs", "pause", run.id, "--reason", "for lunch"],
    ),
    Row(
        c.ResumeRun,
        paused,
        lambda run: c.ResumeRun(run_id=run.id),
        lambda run: (eventually(lambda: run.status == "waiting"), told(run, "run.resumed")),
        lambda run: ["runs", "resume", run.id],
    ),
    Row(
        c.ResumeParked,
        stuck,
        lambda _run: c.ResumeParked(name="stuck"),
        parked_again,
        lambda _run: ["runs", "resume", "--all", "--name", "stuck"],
    ),
    Row(
        c.RetryRun,
        failed,
        lambda run: c.RetryRun(run_id=run.id),
        begun_again,
        lambda run: ["runs", "retry", run.id],
    ),
    Row(
        c.ForkRun,
        summed,
        lambda scene: c.ForkRun(run_id=scene[1], at="add#1", result=40, id=f"{scene[1]}-fork"),
        lambda scene: scene[0].get(f"{scene[1]}-fork").result(30),
        lambda scene: ["runs", "fork", scene[1], "--at", "add#1", "--result", "40", "--id", f"{scene[1]}-fork"],
    ),
    Row(
        c.PutSchedule,
        nothing,
        lambda scene: c.PutSchedule(name=scene[1], plan=PLAN),
        made,
        lambda scene: ["schedules", "create", scene[1], f"{APP}:total", "-i", "a=3", "--cron", "0 0 1 1 *"],
    ),
    Row(
        c.PauseSchedule,
        scheduled,
        lambda schedule: c.PauseSchedule(name=schedule.name, reason="for lunch"),
        lambda schedule: (schedule.status, schedule.record.reason),
        lambda schedule: ["schedules", "pause", schedule.name, "--reason", "for lunch"],
    ),
    Row(
        c.ResumeSchedule,
        on_hold,
        lambda schedule: c.ResumeSchedule(name=schedule.name),
        lambda schedule: schedule.next_times(),
        lambda schedule: ["schedules", "resume", schedule.name],
    ),
    Row(
        c.TriggerSchedule,
        scheduled,
        lambda schedule: c.TriggerSchedule(name=schedule.name),
        triggered,
        lambda schedule: ["schedules", "trigger", schedule.name],
    ),
    Row(
        c.DeleteSchedule,
        scheduled,
        lambda schedule: c.DeleteSchedule(name=schedule.name),
        deleted,
        lambda schedule: ["schedules", "delete", schedule.name],
    ),
    Row(
        c.ListSchedules,
        listed,
        lambda schedule: c.ListSchedules(name=schedule.name),
        lambda _: None,
        lambda schedule: ["schedules", "show", schedule.name],
    ),
    Row(
        c.TellSession,
        nothing,
        lambda scene: c.TellSession(app=str(APP), session="chat", session_key=scene[1], value={"text": "so"}, key="k"),
        answered,
        lambda scene: ["sessions", "tell", f"{APP}:chat", scene[1], '{"text": "so"}', "--key", "k"],
    ),
    Row(
        c.AskSession,
        nothing,
        lambda scene: c.AskSession(app=str(APP), session="chat", session_key=scene[1], value={"text": "so"}, key="k"),
        answered,
        lambda scene: ["sessions", "ask", f"{APP}:chat", scene[1], '{"text": "so"}', "--key", "k"],
    ),
    Row(
        c.CloseSession,
        talked_to,
        lambda scene: c.CloseSession(session="chat", session_key=scene[1]),
        lambda scene: eventually(lambda: scene[0].reads.session(f"chat/{scene[1]}").status == "completed"),
        lambda scene: ["sessions", "close", "chat", scene[1]],
    ),
    Row(
        c.CancelTurn,
        turning,
        lambda scene: c.CancelTurn(session="chat", session_key=scene[1], reason="no more"),
        turned,
        lambda scene: ["sessions", "cancel-turn", "chat", scene[1], "--reason", "no more"],
    ),
    Row(
        c.RedriveDeadLetter,
        set_aside,
        lambda scene: c.RedriveDeadLetter(run_id=f"chat/{scene[1]}", letter=letters(scene)[0]),
        lambda scene: eventually(lambda: len(scene[0].reads.history(f"chat/{scene[1]}")) == 2),
        lambda scene: ["dead-letters", "redrive", f"chat/{scene[1]}", letters(scene)[0]],
    ),
    Row(
        c.DropDeadLetter,
        set_aside,
        lambda scene: c.DropDeadLetter(run_id=f"chat/{scene[1]}", letter=letters(scene)[0]),
        letters,
        lambda scene: ["dead-letters", "drop", f"chat/{scene[1]}", letters(scene)[0]],
    ),
    Row(
        c.KillWorker,
        standing,
        lambda scene: c.KillWorker(worker=scene[1], signal=11),
        crashed,
        lambda scene: ["actors", "kill", scene[1], "--signal", "SEGV"],
    ),
    Row(
        c.RestartWorker,
        standing,
        lambda scene: c.RestartWorker(worker=scene[1]),
        replaced,
        lambda scene: ["actors", "restart", scene[1]],
    ),
    Row(
        c.ListWorkers,
        summed,
        lambda _: c.ListWorkers(),
        lambda _: None,
        lambda _: ["actors", "list"],
    ),
    Row(
        c.ShowTree,
        summed,
        lambda _: c.ShowTree(),
        lambda _: None,
        lambda _: ["actors", "tree"],
    ),
    Row(
        c.ShowApp,
        nothing,
        lambda _: c.ShowApp(app=str(APP)),
        lambda _: None,
        None,  # whoever types has the file; a server asks because it must not import it
    ),
)
OTHER_PATHS = {
    c.ListSchedules: "/schedules",
    c.ListWorkers: "/actors",
    c.ShowTree: "/actors",
    c.ShowApp: "/workflows",
    c.StartRun: "/runs",
    c.TellSession: "/sessions",
    c.AskSession: "/sessions",
}
"""Commands whose path over HTTP is no POST of what they hold; other tests look at those."""


def test_every_command_stands_in_the_table_and_has_a_path():
    assert sorted(row.command.__name__ for row in ROWS) == sorted(each.__name__ for each in every_command())
    paths = {way.command for way in WAYS} | set(OTHER_PATHS)
    assert paths == set(every_command())


FORK_TO_NOTHING = Row(
    c.ForkRun,
    failed,
    lambda run: c.ForkRun(run_id=run.id, at="explode#1", result=None, id=f"{run.id}-none"),
    lambda run: run.fork(at="explode#1", result=None, id=f"{run.id}-none").result(30),
    lambda run: ["runs", "fork", run.id, "--at", "explode#1", "--result", "null", "--id", f"{run.id}-none"],
)
"""The step that raised is given None as its result; if the result were left out, it would raise again."""


@pytest.mark.parametrize("row", [*ROWS, pytest.param(FORK_TO_NOTHING, id="a result of None")], ids=name_of)
def test_a_command_has_the_same_effect_through_every_door(row: Row, doors: Doors, tmp_path: Path):
    ways: dict[str, Callable[[Any], Any]] = {"python": doors.python, "remote": doors.remote, "messages": doors.messages}
    if row.command not in OTHER_PATHS:
        ways["path"] = doors.path
    replies: dict[str, Any] = {}
    effects: dict[str, Any] = {}
    for name, send in ways.items():
        scene = row.before(doors.orchestrator, name, tmp_path)
        command = row.make(scene)
        assert type(command) is row.command
        replies[name] = plain(send(command), name)
        effects[name] = row.after(scene)
    if row.line is not None:
        scene = row.before(doors.orchestrator, "line", tmp_path)
        done = doors.line(*row.line(scene), "-o", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
        effects["line"] = row.after(scene)
    assert replies == dict.fromkeys(replies, replies["python"])
    assert effects == dict.fromkeys(effects, effects["python"])


def plain(reply: dict[str, Any], run_id: str) -> Any:
    """Give a reply without what is different each time: the run, and what processes do at this moment."""
    if reply["type"] == "workers":
        return sorted(one["id"] for one in reply["workers"])
    if reply["type"] == "tree":
        return reply["root"]["kind"], [child["id"] for child in reply["root"]["children"]]
    if reply["type"] == "resumed":
        return [one.replace(run_id, "ID") for one in reply["run_ids"]]
    timeless = re.compile(r"\d{8}T\d{6}Z")
    words = {name: value for name, value in reply.items() if isinstance(value, str)}
    return reply | {name: timeless.sub("MOMENT", value).replace(run_id, "ID") for name, value in words.items()}


def test_every_field_at_fault_is_named_through_every_door(doors: Doors):
    command = c.AskSession(app=str(APP), session="chat", session_key="k", name="Word", value={"text": 1, "more": 2})
    replies = [doors.python(command), doors.remote(command), doors.messages(command)]
    assert replies == [replies[0]] * 3
    assert [fault["field"] for fault in replies[0]["faults"]] == ["message.text"]


NOBODY = (
    (c.CancelRun(run_id="nobody"), ["runs", "cancel", "nobody"]),
    (c.SignalRun(run_id="nobody", name="Word", value={}), ["send", "nobody", "Word", "{}"]),
    (c.DecideApproval(approval="nobody:x", decision="approve"), ["approvals", "approve", "nobody:x"]),
    (c.PauseRun(run_id="nobody"), ["runs", "pause", "nobody"]),
    (c.ResumeRun(run_id="nobody"), ["runs", "resume", "nobody"]),
    (c.RetryRun(run_id="nobody"), ["runs", "retry", "nobody"]),
    (c.ForkRun(run_id="nobody"), ["runs", "fork", "nobody"]),
    (c.CloseSession(session="chat", session_key="nobody"), ["sessions", "close", "chat", "nobody"]),
    (c.CancelTurn(session="chat", session_key="nobody"), ["sessions", "cancel-turn", "chat", "nobody"]),
    (c.RedriveDeadLetter(run_id="nobody", letter="1"), ["dead-letters", "redrive", "nobody", "1"]),
    (c.DropDeadLetter(run_id="nobody", letter="1"), ["dead-letters", "drop", "nobody", "1"]),
    (c.PauseSchedule(name="nobody"), ["schedules", "pause", "nobody"]),
    (c.ResumeSchedule(name="nobody"), ["schedules", "resume", "nobody"]),
    (c.TriggerSchedule(name="nobody"), ["schedules", "trigger", "nobody"]),
    (c.DeleteSchedule(name="nobody"), ["schedules", "delete", "nobody"]),
    (c.KillWorker(worker="nobody"), ["actors", "kill", "nobody"]),
    (c.RestartWorker(worker="nobody"), ["actors", "restart", "nobody"]),
)


def test_what_is_not_there_is_not_found_through_every_door(doors: Doors):
    start(doors.orchestrator, "total", "total", a=1).result(30)
    for command, arguments in NOBODY:
        replies = [doors.python(command), doors.remote(command), doors.messages(command), doors.path(command)]
        for reply in replies:  # commands in it lead to the home, for whoever reads it there
            reply["message"] = reply["message"].replace(f" --home {doors.orchestrator.home.path}", "")
        assert replies == [replies[0]] * 4, command
        assert (replies[0]["type"], replies[0]["code"]) == ("refused", "not_found"), command
        assert doors.line(*arguments).returncode == 3, command
