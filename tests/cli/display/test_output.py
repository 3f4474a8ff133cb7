"""What code of runs prints, where a person looks for it: a terminal, a script's stderr, ``runs logs``, and HTTP."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from greenroom import Client
from tests.cli.conftest import ROOT, Answer, CommandLine
from tests.support import eventually

APP = """
import os, sys, time
from pathlib import Path
from greenroom import Orchestrator, tool, workflow

@tool
def search(topic: str) -> str:
    print("looking for", topic)
    print("a warning", file=sys.stderr)
    return topic

@tool
def gate(path: str) -> None:
    print("at the gate")
    os.write(1, b"and on without an end")
    while not Path(path).exists():
        time.sleep(0.01)

@tool
def paint() -> None:
    print("\\x1b[2J\\x1b]0;title\\x07red")
    print("    0.00 s  completed")

@workflow
async def report(topic: str, path: str = "/") -> str:
    print("begins")
    found = await search(topic)
    await gate(path)
    print("ends")
    return found

@workflow
async def painted() -> None:
    await paint()

if __name__ == "__main__":
    with Orchestrator("runs.db", **({"output": False} if sys.argv[1:] else {})) as orchestrator:
        print(orchestrator.start(report, "otters").result())
"""
LINES = ["r │ begins", "search#1 │ looking for otters", "search#1 │ a warning", "gate#1 │ at the gate"]
LAST = ["gate#1 │ and on without an end", "r │ ends"]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def app(greenroom: CommandLine) -> Path:
    path = greenroom.folder / "printing.py"
    path.write_text(APP)
    return path


def start(greenroom: CommandLine, *more: str) -> Answer:
    return greenroom("run", "printing.py:report", "-i", "topic=otters", "--id", "r", *more)


def printed(text: str) -> list[str]:
    """Give the lines that are output of workers, those of one moment in an order of their own."""
    return sorted(line for line in text.splitlines() if "│" in line)


@pytest.mark.parametrize("form", [(), ("-o", "json")])
def test_run_shows_them_on_stderr_and_the_result_alone_on_stdout(greenroom: CommandLine, form: tuple[str, ...]) -> None:
    answer = start(greenroom, *form)
    assert json.loads(answer.out) == "otters"
    assert printed(answer.err) == sorted(LINES + LAST)


def test_run_keeps_still_when_it_is_told_to(greenroom: CommandLine) -> None:
    answer = start(greenroom, "--quiet")
    assert printed(answer.err) == []
    assert printed(greenroom("runs", "logs", "r").out) == sorted(LINES + LAST)


def test_logs_are_read_by_step_from_the_end_with_times_and_as_json(greenroom: CommandLine) -> None:
    start(greenroom, "-q")
    assert greenroom("runs", "logs", "r", "--step", "gate").out.splitlines() == [LINES[3], LAST[0]]
    assert greenroom("runs", "logs", "r", "--tail", "1").out.splitlines() == LAST[1:]
    (stamped,) = greenroom("runs", "logs", "r", "-n", "1", "-t").out.splitlines()
    assert stamped.split(" ", 1)[1] == LAST[1]
    found = json.loads(greenroom("runs", "logs", "r", "-o", "json").out)
    assert [line["text"] for line in found if line["step"] == "gate#1"] == ["at the gate", "and on without an end"]
    assert {line["run_id"] for line in found} == {"r"}
    followed = greenroom("runs", "logs", "r", "-f", "-o", "json").out.splitlines()
    assert [json.loads(line) for line in followed] == found


def test_a_step_or_a_run_that_is_not_there_is_named_with_the_one_that_was_meant(greenroom: CommandLine) -> None:
    start(greenroom, "-q")
    assert "did you mean 'search#1'?" in greenroom("runs", "logs", "r", "--step", "serch#1", code=2).err
    assert "there is no run 'rr'" in greenroom("runs", "logs", "rr", code=3).err


def test_nothing_that_is_printed_can_drive_a_terminal_or_pass_for_a_line_of_ours(greenroom: CommandLine) -> None:
    answer = greenroom("run", "printing.py:painted", "--id", "r")
    for text in (answer.err, greenroom("runs", "logs", "r").out):
        assert "\x1b" not in text
        assert "paint#1 │ \\x1b[2J\\x1b]0;title\\x07red" in text
        assert "paint#1 │     0.00 s  completed" in text


def test_a_script_shows_them_on_its_stderr(greenroom: CommandLine, app: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "GREENROOM_HOME": str(greenroom.home)}
        command = [sys.executable, str(app), *arguments]
        return subprocess.run(
            command, cwd=greenroom.folder, env=environment, text=True, capture_output=True, timeout=50, check=True
        )

    done = run()
    assert done.stdout == "otters\n"
    assert {"search#1 │ looking for otters", "gate#1 │ at the gate"} <= set(done.stderr.splitlines())
    done = run("quiet")
    assert (done.stdout, done.stderr) == ("otters\n", "")


def test_they_are_kept_where_the_orchestrator_is_killed_and_not_said_twice_by_the_next(
    greenroom: CommandLine,
) -> None:
    gate = greenroom.folder / "open"
    inputs = ("-i", "topic=otters", "-i", f"path={gate}", "--id", "r")
    process = greenroom.start("run", "printing.py:report", *inputs)
    eventually(lambda: _known(greenroom) and "at the gate" in greenroom("runs", "logs", "r").out, 30)
    process.kill()
    process.communicate()
    eventually(lambda: greenroom.host() is None)
    kept = greenroom("runs", "logs", "r").out
    assert set(LINES) <= set(kept.splitlines())
    gate.touch()
    again = greenroom("run", "printing.py:report", "--id", "r")
    assert [line for line in printed(again.err) if line.startswith("r │")] == ["r │ ends"]
    everything = greenroom("runs", "logs", "r").out.splitlines()
    assert everything.count("r │ begins") == everything.count("search#1 │ looking for otters") == 1
    assert "gate#1 attempt 2 │ at the gate" in everything


def _known(greenroom: CommandLine) -> bool:
    return (greenroom.home / "journal.db.output" / "r.jsonl").exists()


def test_serve_shows_them_with_their_run_and_gives_them_by_http(greenroom: CommandLine) -> None:
    process = greenroom.start("serve", "printing.py", "--port", "0")
    assert process.stdout is not None
    url = process.stdout.readline().split()[2]
    token = (greenroom.home / "token").read_text().strip()
    with (
        Client(url, token) as client,
        httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}) as http,
    ):
        run = client.start_app("printing.py", "report", {"topic": "otters"}, id="r")
        assert run.result(30) == "otters"
        found = http.get("/runs/r/logs").json()
        assert sorted(line["text"] for line in found if line["step"] == "search#1") == [
            "a warning",
            "looking for otters",
        ]
        assert http.get("/runs/r/logs", params={"after": found[1]["offset"]}).json() == found[2:]
        assert http.get("/runs/r/logs", params={"after": found[1]["offset"], "limit": 1}).json() == found[2:3]
        assert [line["text"] for line in http.get("/runs/r/logs", params={"step": "gate"}).json()] == [
            "at the gate",
            "and on without an end",
        ]
        assert http.get("/runs/nobody/logs").status_code == 404
        assert [line.model_dump(mode="json") for line in run.logs()] == found
        assert [line.model_dump(mode="json") for line in run.logs(follow=True)] == found
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "r search#1 │ looking for otters" in err.splitlines()
    assert "r │ ends" in err.splitlines()


def test_logs_are_followed_from_another_terminal(greenroom: CommandLine) -> None:
    gate = greenroom.folder / "open"
    hosting = greenroom.start(
        "run", "printing.py:report", "-i", "topic=otters", "-i", f"path={gate}", "--id", "r", "-q"
    )
    eventually(lambda: _known(greenroom), 30)
    following = greenroom.start("runs", "logs", "r", "--follow")
    assert following.stdout is not None
    seen = [following.stdout.readline().rstrip()]
    while seen[-1] != "gate#1 │ and on without an end":
        seen.append(following.stdout.readline().rstrip())
    gate.touch()
    assert following.stdout.read().splitlines() == ["r │ ends"]
    assert following.wait(20) == 0
    assert hosting.wait(20) == 0


def test_a_worker_that_is_killed_from_outside_loses_nothing_that_it_wrote(greenroom: CommandLine) -> None:
    gate = greenroom.folder / "open"
    hosting = greenroom.start("run", "printing.py:report", "-i", "topic=otters", "-i", f"path={gate}", "--id", "r")
    eventually(lambda: _known(greenroom) and "at the gate" in greenroom("runs", "logs", "r").out, 30)
    workers = greenroom.result_of("actors", "list", "-o", "json")
    (pid,) = [worker["pid"] for worker in workers if worker["kind"] == "tool" and worker["status"] == "busy"]
    psutil.Process(pid).kill()
    gate.touch()
    _, err = hosting.communicate(timeout=30)
    assert hosting.returncode == 0
    assert {LINES[3], LAST[0], "gate#1 attempt 2 │ at the gate"} <= set(err.splitlines())
