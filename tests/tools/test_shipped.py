"""Shipped tools in workers: programs, snippets, and refusals as failures that are not tried again."""

import json
import socket

import pytest

from greenroom.messages.core.errors import DefinitionError
from greenroom.tools import python_snippet, shell_command
from tests.tools.apps import shipped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


BOMB = """
import subprocess, sys, time
for _ in range(30):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""


def shell(orchestrator, *command):
    return orchestrator.start(shipped.run_shell, list(command)).result(60)


def python(orchestrator, code):
    return orchestrator.start(shipped.run_python, code).result(60)


def test_a_program_has_its_arguments_as_they_are_and_no_shell_reads_them(orchestrator):
    done = json.loads(shell(orchestrator, "printf", "%s|", "$HOME", "; ls", "a'b", "`id`"))
    assert done == {"exit_code": 0, "stdout": "$HOME|; ls|a'b|`id`|", "stderr": "", "truncated": False, "ended_by": ""}
    assert json.loads(shell(orchestrator, "false"))["exit_code"] == 1
    listed = json.loads(shell(orchestrator, "ls", "/no-such-folder"))
    assert (listed["exit_code"], "/no-such-folder" in listed["stderr"]) == (2, True)


def test_programs_that_are_not_allowed_or_not_there_are_refused(orchestrator):
    assert "'sh' is not one of the programs that may be run: printf, ls" in shell(orchestrator, "sh", "-c", "id")
    assert "the command is empty, and begins with none of the programs that may be run: printf, ls" in shell(
        orchestrator
    )
    assert "there is no program 'no-such-program'" in shell(orchestrator, "no-such-program")
    assert "'/bin/ls' is not one of" in shell(orchestrator, "/bin/ls")
    with pytest.raises(DefinitionError, match="needs the programs"):
        shell_command("s", programs="ls")


def test_a_flood_of_output_ends_with_the_time_of_the_tool(orchestrator):
    assert "overran its time of 5 s" in shell(orchestrator, "yes")
    assert json.loads(shell(orchestrator, "printf", "x" * 3000)) | {"stderr": ""} == {
        "exit_code": 0,
        "stdout": "x" * 1000,
        "stderr": "",
        "truncated": True,
        "ended_by": "",
    }


def test_a_snippet_prints_and_raises_and_sees_little_of_its_surroundings(orchestrator):
    assert json.loads(python(orchestrator, "print(6 * 7)"))["stdout"] == "42\n"
    broken = json.loads(python(orchestrator, "1 / 0"))
    assert (broken["exit_code"], "ZeroDivisionError" in broken["stderr"]) == (1, True)
    code = "import os; print(sorted(os.environ), os.listdir('.'), os.getcwd() == os.environ['HOME'])"
    names, rest = json.loads(python(orchestrator, code))["stdout"].split("] ", 1)
    assert set(json.loads(names.replace("'", '"') + "]")) <= {"HOME", "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"}
    assert rest == "[] True\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("10**10**9", "SIGXCPU"),
        ("import os; os._exit(9)", '"exit_code":9'),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("x = []\nwhile True: x.append(bytearray(10 << 20))", "MemoryError"),
        ("import time; time.sleep(600)", "overran its time of 15 s"),
        (BOMB, "its limit is 8 besides the worker"),
        ("x = [open('/dev/null') for _ in range(100)]", "Too many open files"),
    ],
)  # fmt: skip
def test_a_snippet_that_breaks_a_limit_is_told_and_the_next_one_works(orchestrator, code, said):
    assert said in python(orchestrator, code)
    assert json.loads(python(orchestrator, "print('fine')"))["stdout"] == "fine\n"


def test_a_snippet_has_no_network_by_default(orchestrator):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3)"
        assert "unreachable" in json.loads(python(orchestrator, code))["stderr"]
        done = python_snippet("open", network=True).fn(code)
        assert (done.exit_code, done.stderr) == (0, "")


def test_a_process_that_a_program_leaves_behind_does_not_hold_the_result_up():
    """It holds the pipes open, and prints for ever."""
    code = "import os, subprocess; print('done', flush=True); subprocess.Popen(['yes']); os._exit(0)"
    done = python_snippet("leaves").fn(code)
    assert "done" in done.stdout
    assert done.exit_code == 0


def test_a_refusal_fails_the_step_at_once(orchestrator):
    run = orchestrator.start(shipped.refused)
    out, private = run.result(60)
    assert "'../conftest.py' leads out of the folder" in out
    assert "is not public, so no connection is made" in private
    assert [len(step.attempts) for step in run.steps()] == [1, 1]
