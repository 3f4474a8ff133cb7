"""``run``: what goes in, what comes out, and how a run is left and taken up again."""

import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import CommandLine, Gate
from tests.support import eventually

pytestmark = pytest.mark.slow


def test_the_result_is_json_on_stdout_and_progress_is_on_stderr(greenroom: CommandLine) -> None:
    answer = greenroom("run", "app.py:total", "-i", "a=2", "-i", "b=40")
    assert json.loads(answer.out) == 42
    assert "add" in answer.err
    assert "completed" in answer.err.splitlines()[-1]


def test_words_are_read_by_the_workflows_signature(greenroom: CommandLine) -> None:
    answer = greenroom.result_of("run", "app.py:greet", "-i", "name=3", "-i", 'tags=["a", "b"]')
    assert answer == {"hello": "3", "tags": ["a", "b"]}


@pytest.mark.parametrize("form", ["json", "file", "stdin"])
def test_inputs_come_as_json_from_a_file_or_from_stdin(greenroom: CommandLine, form: str) -> None:
    document = '{"a": 5, "b": 6}'
    (greenroom.folder / "inputs.json").write_text(document)
    argument = {"json": document, "file": "@inputs.json", "stdin": "-"}[form]
    assert greenroom.result_of("run", "app.py:total", "--input", argument, given=document) == 11


def test_a_single_input_wins_over_the_document(greenroom: CommandLine) -> None:
    assert greenroom.result_of("run", "app.py:total", "--input", '{"a": 5}', "-i", "a=7") == 8


def test_nothing_is_left_running_after_a_run(greenroom: CommandLine) -> None:
    greenroom("run", "app.py:total", "-i", "a=1")
    assert greenroom.host() is None


# ---------------------------------------------------------------- mistakes


def test_a_file_that_does_not_exist_is_named_with_the_one_that_was_meant(greenroom: CommandLine) -> None:
    assert "did you mean 'app.py'?" in greenroom("run", "ap.py:total", code=2).err
    assert not greenroom.home.exists()


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Path.mkdir, "a folder, not a file"),
        (link_to_nothing, "a link to nothing"),
        (os.mkfifo, "not a file"),
    ],
)
@pytest.mark.parametrize("words", [("run", "odd.py:total"), ("serve", "odd.py"), ("chaos", "run", "odd.py:total")])
def test_what_is_there_and_is_no_file_is_not_offered_as_what_was_meant(
    greenroom: CommandLine, make: Callable[[Path], None], kind: str, words: tuple[str, ...]
) -> None:
    make(greenroom.folder / "odd.py")
    for typed, told in (("odd.py", f"'odd.py' is {kind}\n"), ("od.py", "there is no file 'od.py' in ")):
        err = greenroom(*(word.replace("odd.py", typed) for word in words), code=2).err
        assert told in err
        assert "did you mean" not in err


@pytest.mark.parametrize("target", ["app.py", "app.py:", "total"])
def test_a_target_without_a_workflow_says_how_to_name_one(greenroom: CommandLine, target: str) -> None:
    assert "FILE.py:NAME" in greenroom("run", target, code=2).err


def test_a_mistyped_workflow_is_answered_with_the_one_that_was_meant(greenroom: CommandLine) -> None:
    assert "did you mean 'total'?" in greenroom("run", "app.py:totl", "-i", "a=1", code=3).err


def test_every_input_that_does_not_fit_is_named(greenroom: CommandLine) -> None:
    answer = greenroom("run", "app.py:total", "-i", "b=many", "-i", "c=1", code=2)
    assert all(f"{field}:" in answer.err for field in ("a", "b", "c"))
    assert json.loads(greenroom("runs", "list", "-o", "json").out) == []


@pytest.mark.parametrize("document", ["{", "[1]", "@missing.json"])
def test_inputs_that_are_no_json_object_are_refused(greenroom: CommandLine, document: str) -> None:
    assert "--input" in greenroom("run", "app.py:total", "--input", document, code=2).err


def test_an_input_without_a_value_is_refused(greenroom: CommandLine) -> None:
    assert "KEY=VALUE" in greenroom("run", "app.py:total", "-i", "a", code=2).err


def test_an_id_that_cannot_be_is_refused(greenroom: CommandLine) -> None:
    assert "--id" in greenroom("run", "app.py:total", "-i", "a=1", "--id", "no spaces", code=2).err


def test_a_file_that_cannot_be_imported_shows_the_users_own_line(greenroom: CommandLine) -> None:
    (greenroom.folder / "bad.py").write_text("import nowhere_to_be_found\n")
    process = greenroom.start("run", "bad.py:total")
    _, err = process.communicate(timeout=50)
    assert process.returncode == 2
    assert "nowhere_to_be_found" in err
    assert "greenroom/cli" not in err


def test_a_failed_run_exits_1_and_says_at_what(greenroom: CommandLine) -> None:
    answer = greenroom("run", "app.py:broken", code=1)
    assert "no luck" in answer.err
    assert answer.out == ""


# ---------------------------------------------------------------- leaving and coming back


def test_an_id_that_exists_gives_the_same_result_without_running_again(greenroom: CommandLine, gate: Gate) -> None:
    gate.open()
    first = greenroom("run", *gate.inputs, "--id", "one")
    again = greenroom("run", "app.py:gate", "--id", "one")
    assert json.loads(first.out) == json.loads(again.out) == "through"
    assert gate.lines() == ["before", "after"]


def test_an_id_with_other_inputs_is_a_conflict(greenroom: CommandLine) -> None:
    greenroom("run", "app.py:total", "-i", "a=1", "--id", "one")
    assert "one" in greenroom("run", "app.py:total", "-i", "a=2", "--id", "one", code=2).err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_goes_on_where_it_stood(greenroom: CommandLine, gate: Gate, number: int, code: int) -> None:
    process = greenroom.start("run", *gate.inputs, "--id", "one")
    gate.reached()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "go on with: `greenroom run --id one`" in err
    assert "Traceback" not in err
    assert json.loads(greenroom("runs", "show", "one", "-o", "json").out)["status"] != "cancelled"
    gate.open()
    assert greenroom.result_of("run", "app.py:gate", "--id", "one") == "through"
    assert gate.lines() == ["before", "after"]


def test_a_run_whose_code_changed_is_parked_and_goes_on_once_the_code_is_back(
    greenroom: CommandLine, gate: Gate
) -> None:
    process = greenroom.start("run", *gate.inputs, "--id", "g-1")
    gate.reached()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    app = greenroom.folder / "app.py"
    code = app.read_text()
    app.write_text(code.replace('await note(effects, "before")', "await add(1, 2)"))
    answer = greenroom("run", "app.py:gate", "--id", "g-1", code=6)
    assert "event 3 of the journal holds the call of note#1 with " in answer.err
    assert f'but the code now waits for add#1 with {{"args":[1,2],"kwargs":{{}}}} ({app}:' in answer.err
    assert greenroom.result_of("runs", "show", "g-1", "-o", "json")["status"] == "parked"
    app.write_text(code)
    gate.open()
    assert greenroom.result_of("run", "app.py:gate", "--id", "g-1") == "through"
    assert gate.lines() == ["before", "after"], "nothing was repeated and nothing lost"


def test_a_run_that_takes_too_long_exits_124_and_is_kept(greenroom: CommandLine, gate: Gate) -> None:
    assert "--id one" in greenroom("run", *gate.inputs, "--id", "one", "--timeout", "1.5", code=124).err
    gate.open()
    assert greenroom.result_of("run", "app.py:gate", "--id", "one") == "through"


def test_a_killed_orchestrators_run_goes_on_and_no_worker_outlives_it(greenroom: CommandLine, gate: Gate) -> None:
    process = greenroom.start("run", *gate.inputs, "--id", "one")
    gate.reached()
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    process.kill()
    process.wait(10)
    eventually(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in below), 5)
    gate.open()
    assert greenroom.result_of("run", "app.py:gate", "--id", "one") == "through"
    assert gate.lines() == ["before", "after"]


# ---------------------------------------------------------------- in the background


def test_a_detached_run_prints_its_id_and_is_hosted_to_its_end(greenroom: CommandLine, gate: Gate) -> None:
    assert greenroom("run", *gate.inputs, "--detach", "--id", "one").out == "one\n"
    gate.reached()
    host = greenroom.host()
    assert host is not None
    assert "one" in greenroom("runs", "list").out
    gate.open()
    assert greenroom.result_of("runs", "result", "one", "--timeout", "30") == "through"
    eventually(lambda: greenroom.host() is None, 20, what="the end of the orchestrator in the background")
    assert (greenroom.home / "orchestrator.log").stat().st_mode & 0o777 == 0o600


def test_a_detached_run_that_cannot_start_says_why(greenroom: CommandLine) -> None:
    assert "did you mean 'total'?" in greenroom("run", "app.py:totl", "--detach", code=3).err
    assert "a:" in greenroom("run", "app.py:total", "--detach", code=2).err


def test_commands_of_another_terminal_reach_a_detached_run(greenroom: CommandLine, gate: Gate) -> None:
    assert greenroom.result_of("run", *gate.inputs, "--detach", "--id", "one", "-o", "json") == {"run_id": "one"}
    gate.reached()
    workers = greenroom.result_of("actors", "list", "-o", "json")
    assert {worker["kind"] for worker in workers} >= {"program", "tool"}
    tree = greenroom("actors", "tree").out
    assert all(str(worker["pid"]) in tree for worker in workers)
    assert "asked to end" in greenroom("runs", "cancel", "one", "--reason", "enough").out
    assert "enough" in greenroom("runs", "result", "one", "--timeout", "30", code=5).err


def test_a_detached_run_is_paused_and_goes_on_from_another_terminal(greenroom: CommandLine, gate: Gate) -> None:
    greenroom("run", *gate.inputs, "--detach", "--id", "one")
    gate.reached()
    assert greenroom("runs", "pause", "one", "--reason", "for lunch").out == "run one is paused\n"
    gate.open()
    shown = greenroom.result_of("runs", "show", "one", "-o", "json")
    assert (shown["status"], shown["reason"]) == ("paused", "for lunch")
    assert greenroom("runs", "resume", "one").out == "run one goes on\n"
    assert greenroom.result_of("runs", "result", "one", "--timeout", "30") == "through"
    assert "is completed already" in greenroom("runs", "pause", "one").out
    assert gate.lines() == ["before", "after"]


def test_a_run_is_forked_and_compared_with_its_fork_from_another_terminal(greenroom: CommandLine, gate: Gate) -> None:
    greenroom("run", *gate.inputs, "--detach", "--id", "one")
    gate.reached()
    assert "did you mean" in greenroom("runs", "fork", "one", "--at", "wait_fo#1", code=2).err
    assert "JSON" in greenroom("runs", "fork", "one", "--at", "wait_for#1", "--result", "{", code=2).err
    assert "'[null]'" in greenroom("runs", "fork", "one", "--at", "wait_for#1", "--input", "null", code=2).err
    said = greenroom("runs", "fork", "one", "--at", "wait_for#1", "--result", "false", "--id", "two").out
    assert said == "run two goes on from run one\n"
    assert greenroom.result_of("runs", "result", "two", "--timeout", "30") == "through"
    assert gate.lines() == ["before", "after"]
    gate.open()
    assert greenroom.result_of("runs", "result", "one", "--timeout", "30") == "through"
    found = greenroom.result_of("runs", "diff", "one", "two", "-o", "json")
    assert found == {"same": False, "what": "result", "key": "wait_for#1", "kind": "step", "a": True, "b": False}
    assert "step wait_for#1 has another result" in greenroom("runs", "diff", "one", "two").out
    assert greenroom("runs", "diff", "one", "one").out == "one and one do not differ\n"
    assert "there is no run" in greenroom("runs", "diff", "one", "three", code=3).err


def test_a_message_from_another_terminal_reaches_a_detached_run(greenroom: CommandLine) -> None:
    greenroom("run", "app.py:taught", "--detach", "--id", "one")
    assert "JSON" in greenroom("send", "one", "Lesson", "{", code=2).err
    assert "two" in greenroom("send", "two", "Lesson", "{}", code=3).err
    assert "word: Input should be a valid string" in greenroom("send", "one", "Lesson", '{"word": 7}', code=2).err
    assert greenroom("send", "one", "Lesson", '{"word": "otter"}', "--key", "k").out == "run one has the message\n"
    assert greenroom.result_of("runs", "result", "one", "--timeout", "30") == "otter"
    eventually(lambda: greenroom.host() is None, 20)
    assert "no orchestrator" in greenroom("send", "one", "Lesson", "{}", code=4).err


def test_a_killed_worker_is_replaced_and_its_step_not_charged(greenroom: CommandLine, gate: Gate) -> None:
    greenroom("run", *gate.inputs, "--detach", "--id", "one")
    gate.reached()

    def busy() -> list[dict[str, object]]:
        workers = greenroom.result_of("actors", "list", "-o", "json")
        return [worker for worker in workers if worker["kind"] == "tool" and worker["status"] == "busy"]

    (worker,) = eventually(busy)
    assert "KILL sent" in greenroom("actors", "kill", str(worker["id"])).out
    gate.open()
    assert greenroom.result_of("runs", "result", "one", "--timeout", "30") == "through"
    shown = greenroom.result_of("runs", "show", "one", "-o", "json")
    (waited,) = [step for step in shown["steps"] if step["name"] == "wait_for"]
    assert [attempt["outcome"] for attempt in waited["attempts"]] == ["crash", "ok"]
    assert waited["attempts"][0]["exit"]["signal"] == "SIGKILL"
    assert not waited["attempts"][0]["charged"]


def test_an_unknown_worker_or_signal_is_answered_plainly(greenroom: CommandLine, gate: Gate, tmp_path: Path) -> None:
    greenroom("run", *gate.inputs, "--detach", "--id", "one")
    assert "nobody" in greenroom("actors", "kill", "nobody", code=3).err
    assert "no signal 'HARD'" in greenroom("actors", "kill", "nobody", "--signal", "HARD", code=2).err
    gate.open()
    greenroom("runs", "result", "one", "--timeout", "30")


def test_a_terminal_sees_progress_that_redraws_itself(greenroom: CommandLine) -> None:
    ours, theirs = os.openpty()
    process = greenroom.start("run", "app.py:total", "-i", "a=1", stderr=theirs)
    os.close(theirs)
    drawn = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the last writer has closed its end
            break
        if not piece:
            break
        drawn += piece
    os.close(ours)
    out, _ = process.communicate(timeout=30)
    assert json.loads(out) == 2
    assert b"\x1b[" in drawn
    assert b"add#1" in drawn
    assert b"1 of 1 steps done" in drawn


def test_a_terminal_shows_the_command_that_answers_what_a_run_asks(
    greenroom: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (greenroom.folder / "asking.py").write_text(
        "from greenroom import approve, workflow\n\n\n@workflow\nasync def release() -> str:\n"
        "    return (await approve('release')).decision\n"
    )
    ours, theirs = os.openpty()
    process = greenroom.start("run", "asking.py:release", "--id", "r", stderr=theirs)
    os.close(theirs)
    drawn = b""
    while (command := re.search(rb"approve with `[^`]*(approvals approve [^`]+)`", drawn)) is None:
        drawn += os.read(ours, 65536)
    greenroom(*shlex.split(command[1].decode()))
    with suppress(OSError):  # the last writer has closed its end
        while os.read(ours, 65536):
            pass
    os.close(ours)
    assert process.communicate(timeout=30)[0] == '"approve"\n'
