"""When the kernel kills a tool for want of memory, and when somebody else does: real kills, in a group of its own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT, eventually

pytestmark = pytest.mark.slow

LIMIT_MB = 700
GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def group() -> Iterator[Path]:
    """Give a memory control group with a limit; skip where none can be made."""
    made = None
    try:
        made = _make_group(f"greenroom-{os.getpid()}")
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    yield made
    eventually(lambda: not (made / "cgroup.procs").read_text(), 10, what="the end of all processes of the group")
    made.rmdir()


def _make_group(name: str) -> Path:
    """Make one below this process's own where memory has a hierarchy of its own, else beside it."""
    own = {line.split(":")[1]: line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    old = "memory" in own
    parent = GROUPS / "memory" / own["memory"].lstrip("/") if old else (GROUPS / own[""].lstrip("/")).parent
    made = parent / name
    made.mkdir()
    limits = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if old else ("memory.max", "memory.swap.max")
    try:
        (made / limits[0]).write_text(str(LIMIT_MB << 20))
        with contextlib.suppress(OSError):  # a kernel that does not count what is swapped out
            (made / limits[1]).write_text(str(LIMIT_MB << 20) if old else "0")
    except OSError:
        made.rmdir()
        raise
    return made


@pytest.mark.timeout(150)
def test_a_kernels_kill_for_want_of_memory_and_a_kill_by_somebody_else_are_told_apart(
    group: Path, home: Path, mark: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.acceptance.hungry_script", str(group), str(home), str(tmp_path), "4000"]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["kills"] == 1, "the orchestrator and the other worker were spared"
    first, second = facts["greedy"]
    assert (first["outcome"], first["charged"], second["outcome"]) == ("crash", True, "ok")
    assert (first["exit"]["kind"], first["exit"]["signal"]) == ("out_of_memory", "SIGKILL")
    assert first["exit"]["detail"] == "the kernel killed it because memory ran out"
    assert first["exit"]["peak_memory_mb"] > 100
    first, second = facts["patient"]
    assert (first["outcome"], first["charged"], second["outcome"]) == ("crash", True, "ok")
    assert (first["exit"]["kind"], first["exit"]["signal"]) == ("signaled", "SIGKILL"), first
    assert not first["exit"]["injected"]
