"""Each limit of a tool: what breaks it fails the attempt in time, the sentence says which one, the next call works."""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from greenroom import Orchestrator, Pool, RunFailed
from greenroom.supervision.kernel import namespaces
from tests.acceptance.apps.limits import unruly
from tests.acceptance.harness import census
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LATE = 3.0
"""Seconds by which a loaded machine may be late. It may need six to give a tool one second of CPU time."""


@pytest.fixture
def orchestrator(tmp_path, mark):
    pools = {"tool": Pool(size=1)}
    with Orchestrator(home=tmp_path / "home", durability="process", pools=pools, output=False) as opened:
        yield opened


@pytest.mark.parametrize(
    ("tool", "how", "limit", "ends", "said"),
    [
        ("slow", "power", 1.0, ("timeout", "timeout"), "overran its time of 1 s and was killed; `timeout=` gives it more"),
        ("slow", "regex", 1.0, ("timeout", "timeout"), "overran its time of 1 s"),
        ("slow", "orphans", 1.0, ("timeout", "timeout"), "overran its time of 1 s"),
        ("slow", "daemons", 1.0, ("timeout", "timeout"), "overran its time of 1 s"),
        ("slow", "flood", 1.0, ("timeout", "timeout"), "overran its time of 1 s"),
        ("slow", "flood of lines", 1.0, ("timeout", "timeout"), "overran its time of 1 s"),
        ("slow", "exit", 1.0, ("crash", "exited"), "exited with code 7"),
        ("slow", "segfault", 1.0, ("crash", "signaled"), "was killed by SIGSEGV"),
        ("busy", "power", 6.0, ("crash", "cpu_limit"), "used up its CPU seconds and was killed (its limit is 1 s; `cpu=` gives"),
        ("leak", "leak", 1.0, ("error", None), "MemoryError: its process may allocate 300 MiB; `memory_mb=` gives it more"),
        ("forks", "bomb", 1.0, ("crash", "process_limit"), "its limit is 3 besides the worker; `processes=` gives it more"),
        ("opens", "files", 1.0, ("error", None), "its process may have 40 descriptors open; `open_files=` gives it more"),
    ],
)  # fmt: skip
def test_what_breaks_a_limit_fails_in_time_and_the_next_call_works(
    orchestrator, mark, tool, how, limit, ends, said, figure
):
    assert orchestrator.start(unruly.call, tool, "fine").result(60) == "fine"
    run = orchestrator.start(unruly.call, tool, how)
    result = run.result(60)
    (step,) = run.steps()
    (attempt,) = step.attempts
    assert (attempt.outcome, attempt.exit and attempt.exit.kind) == ends, attempt
    assert said in attempt.error
    assert result.startswith("failed: ")
    took = (attempt.ended_at - attempt.started_at).total_seconds()
    figure(f"{tool}, {how}: seconds until the failure is known", took, "s", f"{limit + 0.5:g}")
    assert took < limit + LATE
    for _ in range(2):
        assert orchestrator.start(unruly.call, tool, "fine").result(60) == "fine"
    assert not [process for process in census(mark) if "left behind by unruly" in process.cmdline()]


@pytest.mark.parametrize(
    ("piece_bytes", "items"), [(1 << 20, 100_000), (1 << 14, 10_000), (1 << 10, 10_000), (100, 10_000)]
)
def test_a_result_for_which_no_memory_is_left_fails_in_time_and_names_the_limit_unless_it_still_fits(
    tmp_path, mark, monkeypatch, piece_bytes, items
):
    monkeypatch.setenv("RUST_BACKTRACE", "1")  # pydantic's code would describe its stack, and has no memory for that
    with Orchestrator(home=tmp_path / "home", durability="process", output=False) as orchestrator:
        run = orchestrator.start(unruly.overfill, piece_bytes, items)
        result = run.result(60)
        assert result == str(items) or "`memory_mb=` gives it more" in result
        assert run.steps()[0].attempts[0].outcome != "timeout"


@pytest.mark.parametrize(
    ("workflow", "said"), [(unruly.let_fail, ["40"]), (unruly.wrap, []), (unruly.let_child_fail, ["40"])]
)
def test_a_failed_run_names_the_limit_of_its_tool_and_no_other(orchestrator, workflow, said):
    """Processes of workflows have limits as well: those are not what the tool has met."""
    run = orchestrator.start(workflow, "opens", "files")
    with pytest.raises(RunFailed) as caught:
        run.result(60)
    assert re.findall(r"may have (\d+) descriptors", str(caught.value)) == said


def test_cpu_seconds_are_counted_for_each_attempt_and_its_worker_stays(orchestrator):
    pids = set()
    for _ in range(4):  # 2.8 s in all, under a limit of 1 s
        run = orchestrator.start(unruly.call, "busy", "fine")
        assert run.result(60) == "fine"
        pids.add(run.steps()[0].attempts[0].pid)
    assert len(pids) == 1


def test_a_program_of_a_tool_has_its_cpu_limit(orchestrator):
    assert orchestrator.start(unruly.call, "busy", "program").result(60) == "-24"  # SIGXCPU


def test_a_tool_without_network_reaches_nothing_not_even_this_machine(orchestrator):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), 5).close()  # it listens
        result = orchestrator.start(unruly.call, "offline", f"connect {port}").result(60)
        assert result.startswith("failed: ")
        assert "its process is kept from the network by `network=False`" in result
        assert orchestrator.start(unruly.call, "offline", f"program {port}").result(60) == "exit code 1"
    assert orchestrator.start(unruly.call, "offline", "fine").result(60) == "fine"


SANDBOXED = """
import os, sys
from greenroom.supervision.kernel import namespaces
namespaces.try_own_users()
with open("/proc/sys/user/max_net_namespaces", "w") as file:  # of this user namespace and those below it
    file.write("0")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_tool_without_network_does_not_start_where_the_kernel_allows_none(tmp_path):
    assert namespaces.network_refusal() == ""
    app = f"{unruly.__file__}:call"
    inputs = ["-i", "tool_name=offline", "-i", "how=fine"]
    run = [sys.executable, "-c", SANDBOXED, "-m", "greenroom", "--home", tmp_path / "home", "run", app, *inputs]
    done = subprocess.run(run, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 6, done.stderr
    refused = "`network=False` needs a network namespace, and none is allowed here (OSError: [Errno 28] No space left"
    assert refused in re.sub(r"\s+", " ", done.stderr)
    assert "fine" not in done.stdout


def test_a_tool_works_in_its_folder_and_not_at_all_without_it(orchestrator):
    folder = Path(unruly.__file__).parent
    assert orchestrator.start(unruly.call, "where", "here").result(60) == f"here in {folder}"
    run = orchestrator.start(unruly.call, "nowhere", "here")
    eventually(lambda: run.status == "parked", 60, what="parking")
    assert (
        f"there is no folder {folder}/no-such-folder for them to work in (`workdir=`)"
        in list(run.events())[-1].event.reason
    )


def test_processes_below_a_worker_are_gone_soon_after_its_limit(orchestrator):
    started = time.monotonic()
    orchestrator.start(unruly.call, "forks", "bomb").result(60)
    assert time.monotonic() - started < LATE + 2
    eventually(
        lambda: not [p for p in psutil.Process().children(recursive=True) if "time.sleep(600)" in str(p.cmdline())]
    )
