"""What ``runs show`` and ``runs events --follow`` tell a person, at a terminal of 80 columns."""

import json
import re

import pytest

from tests.cli.conftest import CommandLine
from tests.support import eventually

pytestmark = pytest.mark.slow

APP = """
from greenroom import Retry, approve, current, tool, workflow


@tool(retry=Retry(attempts=2, initial=0.05))
def look(place: str, units: str = "metric") -> dict[str, object]:
    current().heartbeat({"asked": place})
    if current().attempt == 1:
        raise ConnectionError("there is no line to " + place + ", " + "and nobody answers " * 8)
    return {"place": place, "units": units}


@workflow
async def report(place: str) -> str:
    await look(place, units="imperial")
    answer = await approve("publish the report", {"to": "everybody"})
    return f"{answer.decision} by {answer.by}"
"""


@pytest.fixture
def waiting(greenroom: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("COLUMNS", "80")
    (greenroom.folder / "reports.py").write_text(APP)
    greenroom("run", "reports.py:report", "-i", "place=Oslo", "--id", "r", "--detach")
    eventually(lambda: greenroom.result_of("approvals", "list", "-o", "json"), 30, what="the run's question")
    return greenroom


def test_the_page_of_a_run_says_all_of_it_in_80_columns(waiting: CommandLine) -> None:
    page = waiting("runs", "show", "r").out
    assert max(len(line) for line in page.splitlines()) <= 80
    (approval,) = waiting.result_of("approvals", "list", "-o", "json")
    for said in (
        'input      {"place": "Oslo"}',
        "waits for  a person, to decide 'publish the report': approval",
        '("Oslo", units="imperial") -> {"place": "Oslo", "units": "imperial"}',
        'progress: {"asked": "Oslo"}',
        "asks a person: publish the report",
        "decide, while it runs, with one of:",
        *(f"approvals {verb} '{approval['id']}'`" for verb in ("approve", "reject")),
    ):
        assert said in page, page
    lines = page.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split()[:2] == ["1", "error"])
    assert "ConnectionError: there is no line to Oslo" in "".join(lines[at : at + 4])


def test_a_decision_stays_on_the_page_with_who_made_it(waiting: CommandLine) -> None:
    (approval,) = waiting.result_of("approvals", "list", "-o", "json")
    waiting("approvals", "edit", approval["id"], "--args", '{"to": "friends"}', "--by", "ada", "--comment", "less")
    assert waiting.result_of("runs", "result", "r", "--timeout", "30") == "edit by ada"
    page = waiting("runs", "show", "r").out
    assert "approved with changes by ada: publish the report" in page
    assert '{"to": "friends"}' in page
    assert re.search(r'^result +"edit by ada"$', page, re.MULTILINE)
    (decision,) = waiting.result_of("runs", "show", "r", "-o", "json")["decisions"]
    assert (decision["decision"], decision["by"], decision["comment"]) == ("edit", "ada", "less")
    assert (decision["asked"], decision["args"]) == ({"to": "everybody"}, {"to": "friends"})


def test_events_are_followed_to_the_end_of_the_run(waiting: CommandLine) -> None:
    follower = waiting.start("runs", "events", "r", "--follow", "-o", "json")
    (approval,) = waiting.result_of("approvals", "list", "-o", "json")
    waiting("approvals", "approve", approval["id"])
    out, _ = follower.communicate(timeout=30)
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "run.completed"
