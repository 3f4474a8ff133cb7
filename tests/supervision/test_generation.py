"""The generation lock, with small processes in the place of workers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import eventually
from understudy.supervision import lineage
from understudy.supervision.generation import GenerationLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "generation.lock"


def sleeper(**options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "1000"], start_new_session=True, **options)  # type: ignore[call-overload]


def test_a_fresh_lock_is_taken_and_ends_nobody(path: Path) -> None:
    lock = GenerationLock(path)
    assert lock.acquire() == 0
    assert repr(lock) == f"<GenerationLock {path} held>"
    assert path.stat().st_mode & 0o777 == 0o600
    lock.release()
    lock.release()
    assert repr(lock) == f"<GenerationLock {path} free>"


def test_the_token_names_the_home_for_good(path: Path) -> None:
    first = GenerationLock(path)
    first.acquire()
    first.release()
    second = GenerationLock(path)
    second.acquire()
    assert first.token == second.token
    assert len(first.token) == 32
    second.release()


def test_a_lock_that_is_not_held_cannot_be_inherited(path: Path) -> None:
    with pytest.raises(RuntimeError, match="must be acquired"):
        GenerationLock(path).fileno()


def test_whoever_inherited_the_open_file_is_ended(path: Path) -> None:
    first = GenerationLock(path)
    first.acquire()
    holders = [sleeper(pass_fds=[first.fileno()]) for _ in range(2)]
    holders[1].send_signal(signal.SIGSTOP)
    first.release()
    second = GenerationLock(path)
    assert second.acquire() == 2
    assert [holder.wait() for holder in holders] == [-signal.SIGKILL] * 2
    second.release()


def test_whoever_carries_the_mark_in_its_environment_is_ended(path: Path) -> None:
    first = GenerationLock(path)
    first.acquire()
    marked = sleeper(env={**os.environ, lineage.VARIABLE: f"{first.token}:1"})
    stranger = sleeper(env={**os.environ, lineage.VARIABLE: "another"})
    eventually(lambda: lineage.find([lineage.carries(first.token)]) == [marked.pid])
    first.release()
    second = GenerationLock(path)
    assert second.acquire() == 1
    assert marked.wait() == -signal.SIGKILL
    assert stranger.poll() is None
    second.release()
    stranger.kill()
    stranger.wait()


def test_whoever_only_reads_the_file_is_left_alone(path: Path) -> None:
    first = GenerationLock(path)
    first.acquire()
    first.release()
    with path.open() as reading:
        reader = sleeper(pass_fds=[reading.fileno()])
    second = GenerationLock(path)
    assert second.acquire() == 0
    assert reader.poll() is None
    second.release()
    reader.kill()
    reader.wait()


def test_a_process_spares_itself_and_those_it_descends_from(path: Path) -> None:
    lock = GenerationLock(path)
    lock.acquire()
    lock.release()
    code = (
        "import sys; sys.path[:] = sys.argv[2].split(':')\n"
        "from understudy.supervision.generation import GenerationLock\n"
        "print(GenerationLock(sys.argv[1]).acquire())"
    )
    environ = {**os.environ, lineage.VARIABLE: f"{lock.token}:1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), ":".join(sys.path)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"
    assert psutil.pid_exists(os.getpid())
