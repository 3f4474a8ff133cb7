"""One orchestrator per home, and any number of ``run``: who comes first is it, and the others submit to it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import ROOT, CommandLine, Gate
from tests.support import eventually

SCRIPT = """
import sys

from greenroom import Orchestrator

with Orchestrator(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def gated(gate: Gate, name: str) -> Gate:
    return Gate(gate.path.with_name(f"{name}-open"), gate.effects.with_name(f"{name}-effects"))


def pid_of_host(greenroom: CommandLine) -> int:
    host = greenroom.host()
    assert host is not None
    return host.pid


def ended(process: "subprocess.Popen[str]", seconds: float = 40) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err, err
    return process.returncode, out, err


@pytest.fixture
def leader(greenroom: CommandLine, gate: Gate) -> "subprocess.Popen[str]":
    """Give the ``run`` that is the orchestrator; its own run waits at the gate."""
    process = greenroom.start("run", *gate.inputs, "--id", "first")
    gate.reached()
    return process


def test_a_second_run_is_the_first_ones_and_is_followed_to_its_result(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]"
) -> None:
    answer = greenroom("run", "app.py:total", "-i", "a=2", "-i", "b=40", "--id", "second")
    assert json.loads(answer.out) == 42
    assert "add#1 completed" in answer.err, "progress is shown as of a run of one's own"
    assert pid_of_host(greenroom) == leader.pid
    gate.open()
    assert ended(leader)[:2] == (0, '"through"\n')


def test_a_submitted_run_of_an_app_that_the_orchestrator_has_never_seen_is_loaded_by_its_path(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "beside.py").write_text("WORD = 'found'\n")
    (folder / "other.py").write_text(
        "from beside import WORD\nfrom greenroom import tool, workflow\n\n\n@tool\ndef look() -> str:\n    return WORD\n"
        "\n\n@workflow\nasync def search() -> str:\n    return await look()\n"
    )
    assert greenroom.result_of("run", "elsewhere/other.py:search") == "found"
    gate.open()
    assert ended(leader)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("app.py:broken",), 1, "no luck"),
        (("app.py:total", "-i", "b=many"), 2, "a:"),
        (("app.py:totl",), 3, "did you mean 'total'?"),
        (("--id", "nobody"), 3, "there is no run 'nobody'"),
        (("app.py:total", "-i", "a=1", "--id", "first"), 2, "first"),
        (("app.py:taught", "--timeout", "0.5"), 124, "come back to it with: `greenroom run --id taught-"),
    ],
)
def test_what_comes_of_a_submitted_run_has_the_exit_code_of_any_other(
    greenroom: CommandLine,
    leader: "subprocess.Popen[str]",
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    assert words in greenroom("run", *arguments, code=code).err
    assert leader.poll() is None


def test_a_run_is_attached_to_whatever_its_state(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]"
) -> None:
    follower = greenroom.start("run", "--id", "first")
    greenroom("runs", "pause", "first")
    paused = greenroom.start("run", "app.py:gate", "--id", "first")  # whoever asks for it wants it to go on
    eventually(lambda: greenroom.result_of("runs", "show", "first", "-o", "json")["status"] != "paused", 20)
    assert (
        "other arguments"
        in greenroom("run", "app.py:gate", "-i", "path=x", "-i", "effects=y", "--id", "first", code=2).err
    )
    assert "workflow 'gate'" in greenroom("run", "app.py:taught", "--id", "first", code=2).err
    greenroom("run", "app.py:broken", "--id", "bad", code=1)
    assert "no luck" in greenroom("run", "--id", "bad", code=1).err
    greenroom("run", "app.py:total", "-i", "a=1", "--id", "good")
    assert greenroom.result_of("run", "--id", "good") == 2
    greenroom("run", "app.py:taught", "--id", "given-up", "--detach")
    greenroom("runs", "cancel", "given-up")
    assert greenroom("run", "--id", "given-up", code=5).out == ""
    gate.open()
    assert [ended(each)[:2] for each in (follower, paused, leader)] == [(0, '"through"\n')] * 3
    assert gate.lines() == ["before", "after"]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_follower_that_is_interrupted_leaves_the_run_going_and_says_how_to_come_back(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]", number: int, exit_code: int
) -> None:
    second = gated(gate, "second")
    follower = greenroom.start("run", *second.inputs, "--id", "second")
    second.reached()
    follower.send_signal(number)
    code, out, err = ended(follower)
    assert (code, out) == (exit_code, "")
    assert f"run second goes on in the orchestrator with pid {leader.pid}" in err
    (command,) = re.findall(r"come back to it with `greenroom ([^`]+)`", err)
    second.open()
    assert greenroom.result_of(*command.split()) == "through"
    assert second.lines() == ["before", "after"]


def test_the_first_stays_until_what_others_submitted_is_done_and_has_told_its_result_before(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]"
) -> None:
    second, third = gated(gate, "second"), gated(gate, "third")
    follower = greenroom.start("run", *second.inputs, "--id", "second")
    second.reached()
    assert greenroom("run", *third.inputs, "--id", "third", "--detach").out == "third\n"
    third.reached()
    gate.open()
    assert leader.stdout is not None
    assert leader.stdout.readline() == '"through"\n', "while it stays"
    assert leader.stderr is not None
    said = ""
    while "until they are done" not in said:
        said = leader.stderr.readline()
        assert said
    assert "second, third" in said
    assert leader.poll() is None
    second.open()
    assert ended(follower)[:2] == (0, '"through"\n')
    assert leader.poll() is None
    third.open()
    assert ended(leader)[0] == 0
    assert greenroom.result_of("runs", "result", "third") == "through"


def test_the_first_that_is_interrupted_names_every_run_that_stops_with_it_and_its_follower_says_so_too(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]"
) -> None:
    second = gated(gate, "second")
    follower = greenroom.start("run", *second.inputs, "--id", "second")
    second.reached()
    leader.send_signal(signal.SIGINT)
    code, _, err = ended(leader)
    assert code == 130
    assert "go on with: `greenroom run --id first`" in err
    assert "go on with: `greenroom run --id second`" in err
    code, _, err = ended(follower)
    assert code == 4
    assert "`greenroom run --id second` goes on with it" in err


def test_a_follower_whose_orchestrator_is_killed_says_how_to_go_on_and_nothing_is_done_twice(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]"
) -> None:
    second = gated(gate, "second")
    follower = greenroom.start("run", *second.inputs, "--id", "second")
    second.reached()
    leader.kill()
    code, out, err = ended(follower)
    assert (code, out) == (4, "")
    (command,) = re.findall(r"`greenroom ([^`]+)` goes on with it", err)
    second.open()
    assert greenroom.result_of(*command.split()) == "through"
    assert second.lines() == ["before", "after"]
    for look in (("runs", "list"), ("runs", "show", "first")):
        assert "run first has not ended, and no orchestrator has it" in greenroom(*look).err


@pytest.mark.parametrize("_again", range(3))
def test_of_several_that_begin_at_once_one_is_the_orchestrator_and_all_have_their_results(
    greenroom: CommandLine, _again: int
) -> None:
    runs = [greenroom.start("run", "app.py:total", "-i", f"a={number}") for number in range(4)]
    for number, process in enumerate(runs):
        code, out, err = ended(process, 90)
        assert (code, out) == (0, f"{number + 1}\n"), err
    assert greenroom.host() is None
    assert len(greenroom.result_of("runs", "list", "-o", "json")) == 4


def test_of_several_of_one_id_all_have_the_one_result(greenroom: CommandLine, gate: Gate) -> None:
    gate.open()
    runs = [greenroom.start("run", *gate.inputs, "--id", "one") for _ in range(3)]
    assert [ended(process, 90)[:2] for process in runs] == [(0, '"through"\n')] * 3
    assert gate.lines() == ["before", "after"]


@pytest.fixture
def late(greenroom: CommandLine, tmp_path: Path) -> Path:
    """Give a file until whose existence the import of ``late.py`` does not end; it makes ``begun`` beside it first."""
    go = tmp_path / "go"
    (greenroom.folder / "late.py").write_text(
        "import time\nfrom pathlib import Path\n\nfrom greenroom import workflow\n\n"
        f"go = Path({str(go)!r})\ngo.with_name('begun').touch()\nwhile not go.exists():\n    time.sleep(0.01)\n"
        "\n\n@workflow\nasync def late() -> str:\n    return 'late'\n"
    )
    return go


@pytest.mark.usefixtures("leader")
@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_an_interrupted_submission_names_the_run_that_may_still_start(
    greenroom: CommandLine, gate: Gate, late: Path, options: tuple[str, ...]
) -> None:
    follower = greenroom.start("run", "late.py:late", *options)
    eventually(late.with_name("begun").exists, 30)
    follower.send_signal(signal.SIGINT)
    code, out, err = ended(follower)
    assert (code, out) == (130, "")
    (command,) = re.findall(r"may still be started by the orchestrator .* was with `greenroom ([^`]+)`", err)
    late.touch()
    run_id = command.split()[-1]
    eventually(lambda: run_id in greenroom("runs", "list").out, 30)
    assert greenroom.result_of("runs", "result", run_id, "--timeout", "30") == "late"
    assert "late" in greenroom(*command.split()).out
    gate.open()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_detached_run_that_is_interrupted_before_it_is_durable_is_not_started_behind_ones_back(
    greenroom: CommandLine, late: Path, number: int, exit_code: int
) -> None:
    detaching = greenroom.start("run", "late.py:late", "--id", "one", "--detach")
    eventually(late.with_name("begun").exists, 30)
    detaching.send_signal(number)
    code, out, _ = ended(detaching)
    assert (code, out) == (exit_code, "")
    assert greenroom.host() is None, "the process in the background has ended"
    late.touch()
    greenroom("runs", "show", "one", code=3)


def test_a_detached_run_goes_on_in_the_background_and_is_followed_as_it_says(
    greenroom: CommandLine, gate: Gate
) -> None:
    answer = greenroom("run", *gate.inputs, "--id", "one", "--detach")
    assert answer.out == "one\n"
    (command,) = re.findall(r"follow it with `greenroom ([^`]+)`", answer.err)
    gate.reached()
    assert f"pid {pid_of_host(greenroom)}" in answer.err
    second = gated(gate, "second")
    assert greenroom("run", *second.inputs, "--id", "two", "--detach").out == "two\n"
    gate.open()
    assert greenroom.result_of(*command.split()) == "through"
    second.reached()
    assert greenroom.host() is not None, "it serves until all are done"
    second.open()
    assert greenroom.result_of("runs", "result", "two", "--timeout", "30") == "through"
    eventually(lambda: greenroom.host() is None, 30)


def test_a_shell_catches_the_id_of_a_detached_run(greenroom: CommandLine) -> None:
    script = f'id=$({sys.executable} {ROOT / "main.py"} run app.py:total -i a=1 --detach) && echo "[$id]"'
    environment = os.environ | {"GREENROOM_HOME": str(greenroom.home)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=greenroom.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r"\[total-\w{12}\]\n", done.stdout)


def test_detached_runs_are_not_waited_for(greenroom: CommandLine) -> None:
    assert "--detach" in greenroom("run", "app.py:total", "-i", "a=1", "--detach", "--timeout", "3", code=2).err
    assert "FILE.py:NAME" in greenroom("run", code=2).err
    assert "FILE.py:NAME" in greenroom("run", "-i", "a=1", "--id", "x", code=2).err


def test_a_server_and_a_script_take_runs_too(greenroom: CommandLine, tmp_path: Path) -> None:
    server = greenroom.start("serve", "app.py", "--port", "0")
    assert server.stdout is not None
    assert "serving" in server.stdout.readline()
    assert greenroom.result_of("run", "app.py:total", "-i", "a=4", "--id", "four") == 5
    assert pid_of_host(greenroom) == server.pid
    greenroom("run", "app.py:broken", "--id", "bad", code=1)
    server.send_signal(signal.SIGINT)
    _, _, err = ended(server)
    lines = err.splitlines()
    for words in ("run four started: workflow total", "run four completed", "run bad failed"):
        assert [line for line in lines if words in line], (words, lines)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "runs.db")]
    environment = os.environ | {"GREENROOM_HOME": str(greenroom.home), "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "open\n"
        assert greenroom.result_of("run", "app.py:total", "-i", "a=5", "--journal", "runs.db", "--id", "five") == 6
        assert greenroom.result_of("run", "--journal", str(tmp_path / "runs.db"), "--id", "five") == 6
        assert pid_of_host(greenroom) == script.pid
        script.communicate()


def test_nobody_is_left_behind_by_followers(
    greenroom: CommandLine, gate: Gate, leader: "subprocess.Popen[str]"
) -> None:
    greenroom("run", "app.py:total", "-i", "a=1")
    below = psutil.Process(leader.pid).children(recursive=True)
    gate.open()
    assert ended(leader)[0] == 0
    eventually(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in below), 5)


# ---------------------------------------------------------------- small things beside


def test_the_version_is_an_option_too(greenroom: CommandLine) -> None:
    assert re.fullmatch(r"greenroom \d+\.\d+\.\S+\n", greenroom("--version").out)
    (first, *_) = greenroom("version").out.split(",")
    assert greenroom("--version").out.strip() == first


def test_several_unfinished_runs_that_nobody_has_are_said_to_be_and_go_on_as_it_says(
    greenroom: CommandLine, gate: Gate
) -> None:
    second = gated(gate, "second")
    host = greenroom.start("run", *gate.inputs, "--id", "one")
    gate.reached()
    greenroom("run", *second.inputs, "--id", "two", "--detach")
    second.reached()
    host.kill()
    host.wait(20)
    err = greenroom("runs", "list").err
    assert "2 runs have not ended, and no orchestrator has them" in err
    (command,) = re.findall(r"with `greenroom ([^`]+)` they go on", err)
    said = greenroom(*command.split())
    assert set(said.out.splitlines()) == {"run one goes on", "run two goes on"}
    gate.open()
    second.open()
    for run_id in ("one", "two"):
        assert greenroom.result_of("run", "--id", run_id) == "through"
    eventually(lambda: greenroom.host() is None, 30)
    assert gate.lines() == second.lines() == ["before", "after"]
    assert "no orchestrator" not in greenroom("runs", "list").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_given_what_completes_verbs_and_options(greenroom: CommandLine, shell: str) -> None:
    source = subprocess.run(
        [sys.executable, str(ROOT / "main.py")],
        env=os.environ | {"_GREENROOM_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert f"_GREENROOM_COMPLETE={shell}_complete" in source.stdout, source.stderr
    assert f"_GREENROOM_COMPLETE={shell}_source" in greenroom("--help").out


def test_bash_completes_what_is_typed(greenroom: CommandLine) -> None:
    program = greenroom.folder / "greenroom"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "main.py"} "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(_GREENROOM_COMPLETE=bash_source greenroom)"\n'
        'complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _greenroom_completion greenroom; '
        'echo "${COMPREPLY[@]}"; }\n'
        "complete_words greenroom ru\ncomplete_words greenroom runs re\ncomplete_words greenroom run --det\n"
    )
    environment = os.environ | {"PATH": f"{greenroom.folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["run", "runs"],
        ["result", "resume", "retry"],
        ["--detach"],
    ], done.stderr
