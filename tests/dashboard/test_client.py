"""The client has what the orchestrator has, and it means the same."""

import asyncio
import inspect
import json
import os
import signal
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from greenroom import (
    ApprovalClosed,
    ApprovalNotFound,
    Client,
    GreenroomError,
    IdConflict,
    InvalidInput,
    NotAuthorized,
    Orchestrator,
    OrchestratorUnreachable,
    RunCancelled,
    RunEnded,
    RunFailed,
    RunNotFound,
    WorkerNotFound,
)
from greenroom.dashboard.server import Server
from greenroom.messages.commands import Refused, SignalRun, StartRun
from greenroom.messages.refusals import LONGEST_ARGUMENTS, LONGEST_MESSAGE
from greenroom.workflows.home.home import began
from tests.dashboard.apps.offered import Word, chat, total
from tests.dashboard.conftest import APP, start
from tests.support import eventually

pytestmark = pytest.mark.slow

OWN = {
    "announce",
    "check_alive",
    "flush_output",
    "goes_on",
    "home",
    "hurry",
    "leave",
    "on_delay",
    "peek",
    "until_sent",
    "watch",
}
"""What only an orchestrator in this process has: it is about the process."""


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_method_of_the_orchestrator_is_one_of_the_client_with_the_same_parameters():
    assert public(Orchestrator) - public(Client) <= OWN
    assert public(Client) <= public(Orchestrator)
    for name in public(Client):
        ours, theirs = getattr(Client, name), getattr(Orchestrator, name)
        if inspect.isfunction(ours) and name != "close":  # an orchestrator's is about its steps too
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name


def test_a_run_is_started_and_awaited_like_one_of_this_process(client, orchestrator):
    run = client.start_app(APP, "total", {"a": 3, "b": 4}, id="seven")
    assert run.result(30) == 7
    here = orchestrator.get("seven")
    assert (run.status, run.steps(), list(run.events()), run.record) == (
        here.status,
        here.steps(),
        list(here.events()),
        here.record,
    )
    assert list(run.events(after=2)) == list(here.events(after=2))
    assert run.usage == {}
    assert client.runs() == orchestrator.runs()
    assert client.runs(status="failed") == []
    assert client.get("seven").result(1) == 7
    assert client.metrics() == orchestrator.metrics()
    assert repr(run) == "<Run seven: completed>"
    assert asyncio.run(awaited(client.get("seven"))) == 7


async def awaited(run):
    return await run


def test_a_workflow_of_this_process_is_started_with_its_arguments_checked_here(client):
    assert client.start(total, 2, b=3).result(30) == 5
    with pytest.raises(InvalidInput, match="a:"):
        client.start(total, "many")
    assert client.start_app("offered.py", "total", {"a": 1}).result(30) == 2


def test_what_a_run_asks_a_person_is_listed_and_decided_over_the_wire(client, orchestrator, api):
    run = start(client, "release", "release-7", version="7")
    (asked,) = eventually(run.approvals)
    assert client.approvals() == client.approvals("release-7") == orchestrator.approvals() == [asked]
    with pytest.raises(InvalidInput, match="an edit says what is to be used instead"):
        client.decide(asked.id, "edit")
    path = f"/approvals/{quote(asked.id, safe='')}"
    decision = {"decision": "edit", "args": ["8"], "by": "ada"}
    assert [api.post(path, json=decision).status_code for _ in range(2)] == [200, 200]
    assert run.result(30) == "edit ['8'] by ada"
    assert api.get("/approvals").json() == []
    with pytest.raises(ApprovalClosed, match="decided already"):
        client.decide(asked.id, "reject")
    with pytest.raises(ApprovalNotFound, match="there is no approval"):
        client.decide("nobody~~approve~.1", "reject")
    with pytest.raises(RunNotFound, match="nobody"):
        client.approvals("nobody")
    problem = api.post(path, json={"decision": "reject"})
    assert (problem.status_code, problem.json()["code"]) == (409, "conflict")


def test_what_is_refused_there_is_raised_here(client):
    with pytest.raises(InvalidInput, match="a:"):
        client.start_app(str(APP), "total", {"a": "many"})
    with pytest.raises(RunNotFound, match="did you mean 'total'"):
        client.start_app(str(APP), "totals", {"a": 1})
    with pytest.raises(RunNotFound, match="not served"):
        client.start_app("/tmp/other.py", "total", {"a": 1})
    with pytest.raises(RunNotFound, match="nobody"):
        client.get("nobody")
    with pytest.raises(RunNotFound, match="there is no run ''"):
        client.get("")
    with pytest.raises(InvalidInput, match="cursor") as named:
        client.runs(cursor="x")
    assert [field for field, _ in named.value.errors] == ["cursor"]
    with pytest.raises(WorkerNotFound, match="nobody"):
        client.kill("nobody")
    with pytest.raises(ValueError, match="signal"):
        client.kill("nobody", 99)
    start(client, "broken", "broken", why="the moon")
    with pytest.raises(RunFailed, match="the moon") as caught:
        client.get("broken").result(30)
    assert (caught.value.run_id, caught.value.step) == ("broken", "explode#1")
    assert [attempt.outcome for attempt in caught.value.attempts] == ["error"]
    assert caught.value.attempts[0].progress["lit"] == "the moon"
    with pytest.raises(IdConflict):
        start(client, "broken", "broken", why="the sun")
    refused = client.send(SignalRun(run_id="broken", name="Word", value={"text": "so"}))
    assert isinstance(refused, Refused)
    assert refused.code == "ended"
    odd = client.send(StartRun(run_id="odd", app=str(APP), workflow="total", arguments={}))
    assert isinstance(odd, Refused)
    assert odd.code == "invalid"


def test_a_client_sends_what_an_orchestrator_takes_however_long(client):
    longest = "x" * (LONGEST_ARGUMENTS - 100)
    start(client, "release", "release", version=longest)
    assert next(iter(client.get("release").events())).event.arguments["version"] == longest
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        start(client, "release", "more", version=longest + "x" * 100)
    run = start(client, "words", "words")
    run.signal(Word(text="x" * (LONGEST_MESSAGE - 100)))
    assert len(run.result(30)[0]) == LONGEST_MESSAGE - 100


@pytest.mark.parametrize("name", [".", "..", "...", "a.b"])
def test_runs_and_sessions_are_found_by_names_of_dots(name, client, orchestrator):
    """Clients leave the parts ``.`` and ``..`` out of paths, or take them for the folder above."""
    run = client.start_app(APP, "total", {"a": 3, "b": 4}, id=name)
    assert (run.id, run.result(30)) == (name, 7)
    assert run.steps() == orchestrator.get(name).steps()
    talk = client.session(chat, name)
    talk.ask(Word(text="hello"), timeout=30)
    assert talk.history() == orchestrator.session(chat, name).history()


def test_a_run_is_steered_and_followed(client):
    run = start(client, "words", "words", count=2)
    seen: list[str] = []
    follower = threading.Thread(target=lambda: seen.extend(stored.type for stored in run.events(follow=True)))
    follower.start()
    with pytest.raises(TimeoutError, match=r"words has not ended within 0\.1 s"):
        run.result(0.1)
    eventually(lambda: run.status == "waiting")
    run.pause("for lunch")
    eventually(lambda: run.status == "paused")
    run.resume()
    run.signal(Word(text="one"), key="1")
    run.signal(Word(text="one"), key="1")
    run.signal(Word(text="two"))
    assert run.result(30) == ["one", "two"]
    assert run.state == {"words": ["one", "two"]}
    follower.join(30)
    assert seen == [stored.type for stored in run.events()]
    with pytest.raises(RunEnded):
        run.signal(Word(text="three"))
    other = start(client, "words", "others")
    other.cancel("no more")
    with pytest.raises(RunCancelled, match="no more"):
        other.result(30)
    assert list(other.events(follow=True)) == list(other.events())


def test_workers_are_seen_and_killed(client, tmp_path: Path):
    run = start(client, "standing", "standing", path=str(tmp_path / "pid"))
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    (worker,) = [one for one in client.workers() if one.pid == pid]
    assert client.tree().kind == "supervisor"
    client.kill(worker.id, signal.SIGSEGV)
    eventually(lambda: run.steps()[0].attempts[0].outcome == "crash")


def test_a_long_history_comes_whole(client, orchestrator, monkeypatch):
    monkeypatch.setattr("greenroom.workflows.api.client.queries.EVENTS", 3)
    run = start(client, "total", "total", a=1)
    run.result(30)
    here = list(orchestrator.get("total").events())
    assert list(run.events()) == here
    assert client.reads.events("total", 0, 4) == here[:4]


def test_without_a_server_or_a_token_it_says_what_to_do(home: Path, orchestrator, monkeypatch):
    with pytest.raises(OrchestratorUnreachable, match="greenroom serve"):
        Client()
    with pytest.raises(NotAuthorized, match="GREENROOM_TOKEN"):
        Client("http://127.0.0.1:1")
    with pytest.raises(OrchestratorUnreachable, match="cannot be reached"):
        Client("http://127.0.0.1:1", "x" * 20).runs()
    with Server(orchestrator, [str(APP)], port=0) as server:
        with pytest.raises(NotAuthorized, match="token"):
            Client(server.url, "x" * 20).runs()
        monkeypatch.setenv("GREENROOM_TOKEN", server.token.value)
        assert Client(server.url).runs() == []
        assert server.token.value not in repr(Client())
    with pytest.raises(OrchestratorUnreachable):
        Client()


def test_a_wait_for_a_server_that_ends_says_so(orchestrator):
    failed: list[GreenroomError] = []

    def wait(act) -> None:
        try:
            act()
        except GreenroomError as error:
            failed.append(error)

    with Server(orchestrator, [str(APP)], port=0) as server:
        client = Client()
        run = start(client, "words", "words")
        eventually(lambda: run.status == "waiting")
        waits = (run.result, lambda: list(run.events(follow=True)))
        threads = [threading.Thread(target=wait, args=(act,)) for act in waits]
        for thread in threads:
            thread.start()
        eventually(lambda: len(server.desk._waits) == 2)
    with client:
        for thread in threads:
            thread.join(20)
    assert [type(error) for error in failed] == [OrchestratorUnreachable] * 2


def test_a_later_process_with_the_pid_of_a_dead_server_is_not_taken_for_it(home: Path):
    home.mkdir()
    (home / "token").write_text("x" * 20)
    (home / "token").chmod(0o600)
    record: dict[str, object] = {"pid": os.getpid(), "url": "http://127.0.0.1:1", "began": began(os.getpid())}
    (home / "orchestrator.json").write_text(json.dumps(record))
    Client().close()
    (home / "orchestrator.json").write_text(json.dumps({**record, "began": 1}))
    with pytest.raises(OrchestratorUnreachable, match="no orchestrator is served"):
        Client()


def test_the_record_of_a_dead_server_is_not_believed(home: Path):
    home.mkdir()
    (home / "token").write_text("x" * 20)
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    (home / "orchestrator.json").write_text(f'{{"pid": {gone}, "url": "http://127.0.0.1:1"}}')
    with pytest.raises(OrchestratorUnreachable, match="no orchestrator is served"):
        Client()
