"""The home: where an orchestrator is found, and that there is only one."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from understudy import HomeInUse, JournalError, Orchestrator
from understudy.messages.commands import ListWorkers, Workers
from understudy.messages.errors import OrchestratorUnreachable
from understudy.workflows.door import ask
from understudy.workflows.home import Home, OwnerLock


def test_the_home_is_the_given_one_else_that_of_the_environment_else_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNDERSTUDY_HOME", raising=False)
    assert Home().path == tmp_path / ".understudy"
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "env"))
    assert Home().path == tmp_path / "env"
    assert Home(tmp_path / "given").path == tmp_path / "given"


def test_a_lock_is_held_by_one_owner_and_the_other_is_told_which(tmp_path: Path) -> None:
    first, second = OwnerLock(tmp_path / "lock"), OwnerLock(tmp_path / "lock")
    first.acquire("the home")
    with pytest.raises(HomeInUse, match=f"pid {os.getpid()}"):
        second.acquire("the home")
    first.release()
    second.acquire("the home")
    second.release()


def test_a_killed_owner_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from understudy.workflows.home import OwnerLock\n"
        "OwnerLock(Path(sys.argv[1])).acquire('it'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(HomeInUse, match=f"pid {owner.pid}"):
            OwnerLock(tmp_path / "lock").acquire("it")
        owner.kill()
        owner.wait()
    lock = OwnerLock(tmp_path / "lock")
    lock.acquire("it")
    lock.release()


@pytest.mark.parametrize("signed", [True, False])
def test_what_a_killed_owner_has_open_for_a_moment_longer_is_waited_for(tmp_path: Path, *, signed: bool) -> None:
    """A process that is dying closes its files one by one; here another one that has them too stands for the delay."""
    (tmp_path / "lock").touch(0o600)
    code = (
        "import os, subprocess, sys; from pathlib import Path; from understudy.workflows.home import OwnerLock\n"
        "lock = OwnerLock(Path(sys.argv[1]), signed=sys.argv[2] == 'True'); lock.acquire('it')\n"
        "keeps = subprocess.Popen([sys.executable, '-c', 'print(1, flush=True); input()'], pass_fds=[lock._fd])\n"
        "input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock"), str(signed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"1\n"
        owner.kill()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has reaped it
        lock = OwnerLock(tmp_path / "lock", signed=signed)
        closing = threading.Timer(0.5, owner.stdin.close)
        closing.start()
        lock.acquire("it")
        lock.release()
        closing.join()


def test_commands_reach_an_orchestrator_through_its_home_and_nobody_else_can_open_the_door(tmp_path: Path) -> None:
    home = Home(tmp_path / ("a-long-name-" * 12))  # longer than a socket's address may be
    with Orchestrator(home=home.path):
        assert ask(home, ListWorkers()) == Workers(workers=())
        assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.record.stat().st_mode) == 0o600
        assert home.read_record()["pid"] == os.getpid()
    with pytest.raises(OrchestratorUnreachable, match="no orchestrator is running"):
        ask(home, ListWorkers())


def test_readers_follow_the_journal_that_the_last_orchestrator_used(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "elsewhere.db", home=tmp_path / "home"):
        pass
    assert Home(tmp_path / "home").journal == tmp_path / "elsewhere.db"
    assert Home(tmp_path / "fresh").journal == tmp_path / "fresh" / "journal.db"


def test_a_second_orchestrator_on_a_home_or_a_journal_in_use_is_refused(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home"):
        with pytest.raises(HomeInUse, match="the home"):
            Orchestrator(tmp_path / "other.db", home=tmp_path / "home")
        with pytest.raises(HomeInUse, match="the journal"):
            Orchestrator(tmp_path / "runs.db", home=tmp_path / "other")
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home"):
        pass


def test_a_home_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match="cannot be created"):
        Orchestrator(home=tmp_path / "file" / "home")
