"""The generation lock, with small processes in the place of workers."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from greenroom.messages.core.errors import JournalError
from greenroom.supervision.kernel import orphans
from greenroom.supervision.kernel.generation_lock import GenerationLock
from tests.support import eventually

LIFE = "0123456789abcdef"
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")


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
    marked = sleeper(env={**os.environ, orphans.VARIABLE: f"{first.token}:{LIFE}"})
    stranger = sleeper(env={**os.environ, orphans.VARIABLE: "another"})
    eventually(lambda: orphans.find([orphans.carries(first.token)]) == [marked.pid])
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
        "from greenroom.supervision.kernel.generation_lock import GenerationLock\n"
        "print(GenerationLock(sys.argv[1]).acquire())"
    )
    environ = {**os.environ, orphans.VARIABLE: f"{lock.token}:{LIFE}"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), ":".join(sys.path)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"
    assert psutil.pid_exists(os.getpid())


# ---------------------------------------------------------------- strangers


@pytest.fixture
def bystander() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give a maker of processes that no lock may end; they are ended after the test."""
    made: list[subprocess.Popen[bytes]] = []

    def make(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-c", "import time; print(flush=True); time.sleep(1000)", *arguments]
        process = subprocess.Popen(line, start_new_session=True, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
        assert process.stdout.readline() == b"\n"
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def taken(path: Path) -> str:
    """Take and release a lock; give its token."""
    lock = GenerationLock(path)
    lock.acquire()
    lock.release()
    return lock.token


def test_a_copy_of_the_file_finds_none_of_the_originals_processes(path: Path, bystander: Any) -> None:
    lock = GenerationLock(path)
    lock.acquire()
    worker = bystander(env={**os.environ, orphans.VARIABLE: f"{lock.token}:{LIFE}"}, pass_fds=[lock.fileno()])
    copy = path.with_name("copy.lock")
    shutil.copy2(path, copy)
    second = GenerationLock(copy)
    assert second.acquire() == 0
    assert second.token != lock.token
    assert worker.poll() is None
    second.release()
    lock.release()


ODD = [b"\n", b" ", b"a", b"\xff\xfe", b"*" * 32, b"PATH=", b"0" * 31, b"0" * 33, b"0" * 32 + b"\n", b"A" * 32, b"\0"]


def test_a_file_that_holds_something_else_is_refused_and_ends_nobody(tmp_path: Path, bystander: Any) -> None:
    stranger = bystander("a PATH= \ufffd\ufffd", env={**os.environ, "A": "a \ufffd"})
    files = iter(range(10_000))

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(min_size=1, max_size=80).filter(lambda text: not lineage_text(text)))
    def refused(text: bytes) -> None:
        path = tmp_path / f"{next(files)}.lock"
        path.write_bytes(text)
        with pytest.raises(JournalError, match="does not hold the 32 digits.*remove the file"):
            GenerationLock(path).acquire()
        assert path.read_bytes() == text
        assert stranger.poll() is None

    for text in ODD:
        refused = example(text)(refused)
    refused()


def lineage_text(text: bytes) -> bool:
    return len(text) == 32 and set(text) <= set(b"0123456789abcdef")


def test_an_empty_file_is_one_that_was_never_written(path: Path, bystander: Any) -> None:
    stranger = bystander()
    path.touch(mode=0o600)
    assert GenerationLock(path).acquire() == 0
    assert stranger.poll() is None
    assert lineage_text(path.read_bytes())


def test_only_a_whole_argument_in_its_place_and_a_whole_variable_are_marks(path: Path, bystander: Any) -> None:
    token = taken(path)
    mark, name = f"{token}:{LIFE}", orphans.VARIABLE
    strangers = [
        bystander(mark),  # whoever looks for the mark has it on his command line
        bystander(token),
        bystander("-c", mark),
        bystander(f"{name}={mark}"),
        *(
            bystander(env={**os.environ, **variables})
            for variables in (
                {name: token},
                {name: f"{token}:1"},
                {name: f"{mark}0"},
                {name: f"x{mark}"},
                {f"X{name}": mark},
                {"NOTE": f"{name}={mark}"},
                {"NOTE": f"\n{name}={mark}\n"},
            )
        ),
    ]
    assert GenerationLock(path).acquire() == 0
    assert [stranger.poll() for stranger in strangers] == [None] * len(strangers)


@as_root
def test_another_users_process_that_carries_the_mark_is_left_alone_and_stops_nobody(path: Path) -> None:
    environ = {**os.environ, orphans.VARIABLE: f"{taken(path)}:{LIFE}"}
    stranger = sleeper(env=environ, user=NOBODY, group=NOBODY, extra_groups=[])
    assert GenerationLock(path).acquire() == 0
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@as_root
def test_a_lock_that_another_users_process_holds_is_a_sentence_and_not_a_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.supervision.kernel.generation_lock._TIMEOUT", 0.3)
    first = GenerationLock(path)
    first.acquire()
    holder = sleeper(pass_fds=[first.fileno()], user=NOBODY, group=NOBODY, extra_groups=[])
    first.release()
    with pytest.raises(TimeoutError, match=r"another user's.*cannot be killed; it holds .*generation.lock"):
        GenerationLock(path).acquire()
    assert holder.poll() is None
    holder.kill()
    holder.wait()


def test_what_workers_inherit_cannot_be_written_through(path: Path) -> None:
    lock = GenerationLock(path)
    lock.acquire()
    assert fcntl.fcntl(lock.fileno(), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(lock.fileno(), b"0" * 32, 0)
    lock.release()


@pytest.mark.parametrize("kind", ["a symbolic link", "hard links", "a pipe", "a folder", "changed by other users"])
def test_something_else_in_the_files_place_is_refused_and_left_as_it_is(path: Path, kind: str) -> None:
    victim = path.with_name("victim")
    victim.write_text("dear")
    match kind:
        case "a symbolic link":
            path.symlink_to(victim)
        case "hard links":
            path.hardlink_to(victim)
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
        case _:
            path.write_text("0" * 32)
            path.chmod(0o666)
    with pytest.raises(JournalError, match=kind):
        GenerationLock(path).acquire()
    assert victim.read_text() == "dear"


@as_root
def test_a_file_that_another_user_has_made_is_refused(path: Path) -> None:
    path.write_text("0" * 32)
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(JournalError, match="belongs to the user with number 65534 and not to you"):
        GenerationLock(path).acquire()
