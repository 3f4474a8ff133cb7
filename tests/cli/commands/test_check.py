"""``greenroom check`` replays what has not ended with the code as it is now, and changes nothing."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, CommandLine, Gate


@pytest.fixture
def waiting(greenroom: CommandLine, gate: Gate) -> Path:
    """Leave one run of ``gate`` behind that was cut off in its second step, and one of ``taught`` that waits."""
    process = greenroom.start("run", *gate.inputs, "--id", "g-1")
    gate.reached()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    greenroom("run", "app.py:taught", "--id", "t-1", "--timeout", "2", code=124)
    return greenroom.folder / "app.py"


def stored(greenroom: CommandLine) -> str:
    return hashlib.sha256((greenroom.home / "journal.db").read_bytes()).hexdigest()


def test_nothing_to_check_is_well(greenroom: CommandLine) -> None:
    answer = greenroom("check", "-o", "json")
    assert answer.out == "[]\n"
    assert "no runs" in answer.err


def test_code_that_fits_is_equal_and_code_that_does_not_is_named(
    greenroom: CommandLine, gate: Gate, waiting: Path
) -> None:
    before = stored(greenroom)
    found = {record["run_id"]: record for record in greenroom.result_of("check", "-o", "json")}
    assert {key: (record["verdict"], record["changed"]) for key, record in found.items()} == {
        "g-1": ("equal", False),
        "t-1": ("equal", False),
    }
    code = waiting.read_text()
    waiting.write_text(code.replace('await note(effects, "before")', 'await note(effects, "soon")'))
    found = {record["run_id"]: record for record in greenroom.result_of("check", "-o", "json", code=1)}
    assert found["t-1"]["verdict"] == "equal"
    assert found["g-1"]["verdict"] == "differs"
    difference = found["g-1"]["difference"]
    assert (difference["kind"], difference["key"], difference["seq"]) == ("arguments", "note#1", 3)
    assert difference["changes"] == ['args[1] was "before" and is "soon"']
    assert difference["asked"][0]["place"].startswith(f"{waiting}:")
    assert 'args[1] was "before" and is "soon"' in greenroom("check", code=1).out
    waiting.write_text(code.replace('await note(effects, "after")', 'await note(effects, "at last")'))
    found = {record["run_id"]: record for record in greenroom.result_of("check", "-o", "json")}
    assert (found["g-1"]["verdict"], found["g-1"]["changed"]) == ("equal", True)
    assert gate.lines() == ["before"]
    assert stored(greenroom) == before


def test_code_that_does_not_load_is_said_to(greenroom: CommandLine, waiting: Path) -> None:
    waiting.write_text("import nothing_of_that_name\n")
    found = greenroom.result_of("check", "-o", "json", code=1)
    assert {record["verdict"] for record in found} == {"unloadable"}
    assert all("nothing_of_that_name" in record["reason"] for record in found)
    waiting.write_text("from greenroom import workflow\n")
    found = greenroom.result_of("check", "-o", "json", code=1)
    assert {record["verdict"] for record in found} == {"unloadable"}
    assert "cannot be loaded" in greenroom("check", code=1).out


def test_a_file_elsewhere_takes_the_place_of_the_recorded_one(greenroom: CommandLine, waiting: Path) -> None:
    elsewhere = greenroom.folder / "next"
    elsewhere.mkdir()
    copy = elsewhere / "app.py"
    copy.write_text(waiting.read_text().replace('await note(effects, "before")', "await add(1, 2)"))
    found = greenroom.result_of("check", str(copy), "-o", "json", code=1)
    assert sorted(record["verdict"] for record in found) == ["differs", "equal"]
    assert greenroom.result_of("check", str(waiting), "-o", "json")
    other = elsewhere / "other.py"
    other.write_text("")
    assert greenroom.result_of("check", str(other), "-o", "json") == []


def test_it_works_beside_a_running_orchestrator(greenroom: CommandLine, gate: Gate) -> None:
    process = greenroom.start("run", *gate.inputs, "--id", "g-1")
    gate.reached()
    (record,) = greenroom.result_of("check", "-o", "json")
    assert (record["run_id"], record["status"], record["verdict"]) == ("g-1", "running", "equal")
    gate.open()
    out, _ = process.communicate(timeout=30)
    assert out.strip() == '"through"'


SESSION = """
from pydantic import BaseModel

from greenroom import approve, session, tool


class Total(BaseModel):
    sum: int = 0


class Add(BaseModel):
    n: int


@tool
def double(n: int) -> int:
    return n * 2


@session(state=Total)
async def adder(state: Total, message: Add) -> int:
    state.sum += await double(message.n)
    if message.n > 10:
        await approve("add much")
    return state.sum
"""

ASKING = """
import sys
from tests.support import eventually
from greenroom import Orchestrator
from greenroom.messages.commands import AskSession, TellSession

with Orchestrator() as orchestrator:
    orchestrator.send(AskSession(app=sys.argv[1], session="adder", session_key="idle", value={"n": 1}))
    orchestrator.send(TellSession(app=sys.argv[1], session="adder", session_key="asking", value={"n": 11}))
    eventually(orchestrator.approvals, what="the question")
"""


def test_a_session_is_replayed_where_it_is_dealing_with_a_message(greenroom: CommandLine) -> None:
    app = greenroom.folder / "adding.py"
    app.write_text(SESSION)
    environment = os.environ | {"GREENROOM_HOME": str(greenroom.home), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", ASKING, str(app)], cwd=greenroom.folder, env=environment, check=True)
    (record,) = greenroom.result_of("check", "-o", "json")
    assert (record["run_id"], record["verdict"]) == ("adder/asking", "equal")
    app.write_text(SESSION.replace("double(message.n)", "double(message.n + 1)"))
    (record,) = greenroom.result_of("check", "-o", "json", code=1)
    assert record["difference"]["changes"] == ["args[0] was 11 and is 12"]
