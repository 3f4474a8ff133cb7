"""Where did my code fail? Each verb that shows a failure shows the author's file and line."""

import json

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.timeout(120)

APP = """
from pydantic import BaseModel
from greenroom import Retry, session, tool, workflow

@tool(retry=Retry(attempts=1))
def paint(name: str) -> str:
    return {"red": "f00"}[name]  # the tool

@workflow
async def flow(name: str) -> str:
    return await paint(name)  # the await

@workflow
async def own(name: str) -> str:
    raise ValueError("one\\nFORGED\\x1b[2J")  # the workflow

@workflow
async def spared(name: str) -> str:
    try:
        return await paint(name)
    except KeyError:
        return "none"

class Say(BaseModel):
    name: str

class Memory(BaseModel):
    pass

@session(state=Memory)
async def talk(state: Memory, message: Say) -> str:
    return await paint(message.name)
"""


@pytest.fixture
def theirs(greenroom: CommandLine) -> CommandLine:
    (greenroom.folder / "theirs.py").write_text(APP)
    return greenroom


def line(comment: str) -> int:
    return next(number for number, text in enumerate(APP.splitlines(), 1) if f"# {comment}" in text)


def frame(theirs: CommandLine, comment: str) -> str:
    return f'File "{theirs.folder / "theirs.py"}", line {line(comment)}, in '


def place(theirs: CommandLine, comment: str) -> str:
    return f"({theirs.folder / 'theirs.py'}:{line(comment)})"


def test_every_verb_leads_to_the_line(theirs: CommandLine) -> None:
    done = theirs("run", "theirs.py:flow", "-i", "name=blue", "--id", "one", code=1)
    assert f"{frame(theirs, 'the tool')}paint" in done.err
    assert f"{frame(theirs, 'the await')}flow" in done.err
    assert "/actors/" not in done.err
    assert place(theirs, "the tool") in done.err

    shown = theirs("runs", "show", "one").out
    assert f"{frame(theirs, 'the tool')}paint" in shown
    assert f"{frame(theirs, 'the await')}flow" in shown
    assert shown.count(frame(theirs, "the tool")) == 1, "the run's traceback shows that of the step"
    page = "".join(shown.split())  # without the breaks that 80 columns make
    assert place(theirs, "the tool") in page[page.index("paint#1") :]
    record = theirs.result_of("runs", "show", "one", "-o", "json")
    assert frame(theirs, "the await") in record["failure"]["traceback"]
    assert frame(theirs, "the tool") in record["steps"][0]["attempts"][0]["traceback"]

    told = theirs("runs", "events", "one").out
    assert sum(place(theirs, "the tool") in row for row in told.splitlines()) == 3
    assert frame(theirs, "the await") in told
    events = theirs.result_of("runs", "events", "one", "-o", "json")
    assert frame(theirs, "the tool") in events[-1]["failure"]["traceback"]

    assert frame(theirs, "the tool") in theirs("runs", "result", "one", code=1).err
    assert place(theirs, "the tool") in theirs("runs", "list").out


def test_the_log_has_the_lines(theirs: CommandLine) -> None:
    theirs("run", "theirs.py:flow", "-i", "name=blue", "--id", "one", code=1)
    lines = [json.loads(text) for text in (theirs.home / "log.jsonl").read_text().splitlines()]
    traces = {each["event"]: each.get("exception", "") for each in lines}
    assert frame(theirs, "the tool") in traces["attempt.ended"]
    assert frame(theirs, "the await") in traces["run.failed"]
    failed = next(each for each in lines if each["event"] == "run.failed")
    assert place(theirs, "the tool") in failed["message"]


def test_a_step_whose_failure_was_caught_leads_to_its_line(theirs: CommandLine) -> None:
    assert theirs.result_of("run", "theirs.py:spared", "-i", "name=blue", "--id", "one") == "none"
    assert f"{frame(theirs, 'the tool')}paint" in theirs("runs", "show", "one").out


def test_what_a_message_says_cannot_look_like_a_line_of_ours(theirs: CommandLine) -> None:
    said = theirs("run", "theirs.py:own", "-i", "name=x", "--id", "one", code=1).err
    said += theirs("runs", "show", "one").out + theirs("runs", "events", "one").out
    assert frame(theirs, "the workflow") in said
    assert "\x1b" not in said
    assert not any(each.lstrip().startswith("FORGED") for each in said.splitlines())


def test_dead_letters_and_who_asked_lead_to_the_line(theirs: CommandLine) -> None:
    asked = theirs("sessions", "ask", "theirs.py:talk", "ada", '{"name": "blue"}', code=1)
    assert f"{frame(theirs, 'the tool')}paint" in asked.err
    assert place(theirs, "the tool") in theirs("dead-letters", "list").out
    (letter,) = theirs.result_of("dead-letters", "list", "-o", "json")
    assert frame(theirs, "the tool") in letter["failure"]["traceback"]
    assert place(theirs, "the tool") in theirs("sessions", "show", "talk", "ada").out


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x = (\n1 +\n", "line 1"),
        ("import greenroom\n\nimport nowhere_to_be_found\n", "line 3, in <module>"),
        (
            "def f():\n    return {}['x']\n\ntry:\n    f()\nexcept KeyError as e:\n    raise ValueError('y') from e\n",
            "line 2, in f",
        ),
    ],
    ids=["syntax", "import", "cause"],
)
def test_an_app_that_cannot_be_imported_leads_to_its_line(theirs: CommandLine, text: str, wanted: str) -> None:
    path = theirs.folder / "theirs.py"
    path.write_text(text)
    process = theirs.start("run", "theirs.py:flow", "-i", "name=x")
    _, err = process.communicate(timeout=50)
    assert f'File "{path}", {wanted}' in err
    assert "/actors/" not in err
