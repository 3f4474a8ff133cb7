"""Every list comes a page at a time: whole, once, in order, and unmoved by what is added meanwhile."""

import json
import os
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from greenroom import InvalidInput
from greenroom.messages.commands import PutSchedule
from greenroom.messages.events.schedules import Plan
from greenroom.messages.records.pages import read_cursor, write_cursor
from tests.dashboard.apps import offered
from tests.dashboard.conftest import APP, start
from tests.support import ROOT, eventually

pytestmark = pytest.mark.timeout(120)


def following(http: httpx.Client, path: str, **params: object) -> list[list[dict]]:
    """Read a list by its links alone, without any help of ours."""
    answer = http.get(f"/api/v1{path}", params=params)
    pages = []
    while True:
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        if "next" not in answer.links:
            return pages
        answer = http.get(answer.links["next"]["url"])


@pytest.fixture
def filled(orchestrator, server) -> None:
    for number in range(5):
        start(orchestrator, "total", f"total-{number}", a=number).result(30)
        orchestrator.session(offered.chat, f"k/{number}".replace("/", "-")).ask(offered.Word(text="so"), timeout=30)
    for number in range(3):
        start(orchestrator, "release", f"asks-{number}", version=str(number))
        plan = Plan(app=str(APP), workflow="total", arguments={"a": 1}, cron="0 0 1 1 *")
        orchestrator.send(PutSchedule(name=f"yearly-{number}", plan=plan))
        orchestrator.session(offered.chat, "bad").tell(offered.Word(text="bad"))
    start(orchestrator, "sums", "sums", numbers=9).result(30)
    eventually(lambda: len(orchestrator.approvals()) == 3 and len(orchestrator.dead_letters()) == 3)


LISTS = {
    "/runs": 9,
    "/runs?name=total": 5,
    "/sessions": 6,
    "/sessions?name=chat": 6,
    "/approvals": 3,
    "/dead-letters": 3,
    "/schedules": 3,
    "/workflows": 9,
    "/sessions/chat/bad/history": 3,
    "/runs/total-0/events": None,
    "/runs/total-0/events?after=2": None,
    "/runs/total-0/steps": 1,
    "/runs/sums/steps": 9,
    "/runs/sums/steps?after=4": 5,
}


def test_every_list_is_the_same_whole_or_in_pages(http, api, filled):
    for place, count in LISTS.items():
        parts = urlsplit(place)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        whole = api.get(parts.path, params=query)
        assert "link" not in whole.headers, place
        assert count is None or len(whole.json()) == count, place
        for size in (1, 2, 7):
            pages = following(http, parts.path, limit=size, **query)
            assert [item for page in pages for item in page] == whole.json(), (place, size)
            assert all(len(page) == size for page in pages[:-1]), (place, size)
            assert 0 < len(pages[-1]) <= size, (place, size)


def test_what_is_added_meanwhile_moves_nothing(api, http, orchestrator):
    for number in range(4):
        start(orchestrator, "total", f"run-{number}", a=number).result(30)
    first = api.get("/runs", params={"limit": 2})
    for number in range(4, 7):
        start(orchestrator, "total", f"run-{number}", a=number).result(30)
    rest = http.get(first.links["next"]["url"])
    assert [run["id"] for run in (*first.json(), *rest.json())] == ["run-3", "run-2", "run-1", "run-0"]
    assert "next" not in rest.links


def test_what_is_no_cursor_of_the_list_is_refused_with_a_sentence(api, filled):
    cursor = {
        "approvals": write_cursor("approvals", ("2026", "x")),
        "nobody": write_cursor("runs", ("nobody",)),
        "number": write_cursor("runs", (3,)),
    }
    for path in (place for place in LISTS if "?" not in place):
        for bad in ("x", "", "%%%", "é", "a" * 5000, "W10", "e30", cursor["nobody"] if path == "/runs" else "bnVsbA"):
            answer = api.get(path, params={"cursor": bad})
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (
                path,
                bad,
            )
            assert "cursor" in answer.json()["detail"], (path, bad)
            assert answer.json()["errors"][0]["field"].endswith("cursor")
        if path != "/approvals":
            assert api.get(path, params={"cursor": cursor["approvals"]}).status_code == 422
    assert api.get("/runs", params={"cursor": cursor["number"]}).status_code == 422
    for limit in ("0", "-1", "10001", "many"):
        assert api.get("/runs", params={"limit": limit}).json()["code"] == "invalid_request"


def test_the_client_and_the_orchestrator_go_on_in_the_same_way(client, orchestrator, filled, monkeypatch):
    monkeypatch.setattr("greenroom.workflows.api.client.queries.MOST", 2)
    assert client.runs() == orchestrator.runs()
    assert client.approvals() == orchestrator.approvals()
    assert client.dead_letters() == orchestrator.dead_letters()
    assert client.session(offered.chat, "bad").history() == orchestrator.session(offered.chat, "bad").history()
    for helm in (client, orchestrator):
        first = helm.runs(limit=5)
        assert first.next is not None
        rest = helm.runs(cursor=first.next)
        assert ([*first, *rest], rest.next) == (orchestrator.runs(), None)
        assert helm.runs(limit=5) == first
        assert helm.runs(limit=5).next == first.next
        assert len(helm.sessions(limit=4)) == 4
        assert helm.sessions(cursor=helm.sessions(limit=4).next) == helm.sessions()[4:]
        assert helm.sessions(status="completed") == []
        with pytest.raises(InvalidInput, match="cursor"):
            helm.runs(cursor="x")
        with pytest.raises(InvalidInput, match="cursor"):
            helm.sessions(cursor=first.next)
        with pytest.raises(ValueError, match="from 1 on"):
            helm.runs(limit=0)


def test_the_command_line_says_how_a_list_goes_on(filled):
    def line(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(ROOT / "main.py"), *arguments, "-o", "json"]
        return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ))

    for verb in ("runs", "sessions"):
        first = line(verb, "list", "--limit", "4")
        rest = line(verb, "list", *first.stderr.partition("go on with ")[2].split())
        every = line(verb, "list")
        assert json.loads(first.stdout) + json.loads(rest.stdout) == json.loads(every.stdout)
        assert (rest.stderr, every.stderr) == ("", "")
        assert line(verb, "list", "--cursor", "x").returncode == 2


def test_a_cursor_is_read_as_it_was_written():
    for place in (("a",), ("ü/ä", 3, ""), (2**53,)):
        cursor = write_cursor("list", place)
        assert cursor.replace("-", "").replace("_", "").isalnum()
        assert read_cursor("list", cursor, [type(part) for part in place]) == place
        with pytest.raises(InvalidInput):
            read_cursor("other", cursor, [type(part) for part in place])
