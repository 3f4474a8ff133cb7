"""The home: where an orchestrator is found, and that there is only one."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from greenroom import HomeInUse, JournalError, Orchestrator
from greenroom.messages.commands import ListWorkers, Workers
from greenroom.messages.core.errors import OrchestratorUnreachable
from greenroom.workflows.control.access.contact import is_open
from greenroom.workflows.control.access.control_socket import ask
from greenroom.workflows.control.setup.claims import place_of
from greenroom.workflows.home.home import Home, OwnerLock


def test_the_home_is_the_given_one_else_that_of_the_environment_else_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GREENROOM_HOME", raising=False)
    assert Home().path == tmp_path / ".greenroom"
    monkeypatch.setenv("GREENROOM_HOME", str(tmp_path / "env"))
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
        "import sys, time; from pathlib import Path; from greenroom.workflows.home.home import OwnerLock\n"
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
        "import os, subprocess, sys; from pathlib import Path; from greenroom.workflows.home.home import OwnerLock\n"
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


# ---------------------------------------------------------------- home and journal belong together


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ("GREENROOM_HOME", "GREENROOM_JOURNAL"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_a_journal_leads_to_the_home_of_its_last_orchestrator_alive_or_not(folder: Path) -> None:
    with Orchestrator("runs.db", home="somewhere"):
        found = Home.find(journal="runs.db")
        assert found.path == folder / "somewhere"
        assert found.journal == folder / "runs.db"
        assert ask(found, ListWorkers()) == Workers(workers=())
    assert Home.find(journal=str(folder / "runs.db")).path == folder / "somewhere"
    with pytest.raises(OrchestratorUnreachable, match=r"the journal .*runs\.db; .*--journal runs\.db"):
        ask(found, ListWorkers())
    assert Home.find(journal="new.db").path == folder / ".greenroom"


def test_an_orchestrator_of_another_journal_is_not_taken_for_the_one_that_is_meant(folder: Path) -> None:
    with Orchestrator("first.db"):
        pass
    with Orchestrator("second.db"):
        assert ask(Home.find(), ListWorkers()) == Workers(workers=())
        assert ask(Home.find(journal="second.db"), ListWorkers()) == Workers(workers=())
        assert Home.find(journal="first.db").path == folder / ".greenroom"
        assert not is_open(Home.find(journal="first.db"))
        with pytest.raises(OrchestratorUnreachable, match=r"first\.db"):
            ask(Home.find(journal="first.db"), ListWorkers())


def test_two_orchestrators_of_one_folder_are_both_reached_by_their_journals(folder: Path) -> None:
    with Orchestrator("first.db") as first, Orchestrator("second.db") as second:
        assert (first.home.path, second.home.path) == (folder / ".greenroom", folder / "second.db.home")
        for journal in ("first.db", "second.db"):
            assert ask(Home.find(journal=journal), ListWorkers()) == Workers(workers=())
    assert not is_open(Home.find(journal="second.db"))


def test_the_environment_names_a_journal_where_nothing_else_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENROOM_JOURNAL", "named.db")
    with Orchestrator() as orchestrator:
        assert orchestrator.home.journal == Home.find().journal == folder / "named.db"
    with Orchestrator("typed.db", home="h"):
        pass
    assert Home.find(journal="typed.db").journal == folder / "typed.db"
    assert Home.find("other").journal == folder / "other" / "journal.db"
    assert Home.find("other").options() == ("--home", "other")


@pytest.mark.parametrize(
    ("home", "journal", "options", "anywhere"),
    [
        (None, None, (), ("--home", "{}/.greenroom")),
        ("h", None, ("--home", "h"), ("--home", "{}/h")),
        (None, "runs.db", ("--journal", "runs.db"), ("--journal", "{}/runs.db")),
        ("h", "my runs.db", ("--journal", "my runs.db"), ("--journal", "{}/my runs.db")),
    ],
)
def test_options_lead_to_where_an_orchestrator_was(
    folder: Path, home: str | None, journal: str | None, options: tuple[str, ...], anywhere: tuple[str, ...]
) -> None:
    with Orchestrator(journal, home=home) as orchestrator:
        assert orchestrator.home.options() == options
        assert orchestrator.home.options(anywhere=True) == tuple(word.format(folder) for word in anywhere)
        words = dict(zip(options[::2], options[1::2], strict=True))
        found = Home.find(words.get("--home"), words.get("--journal"))
        assert (found.path, found.journal) == (orchestrator.home.path, orchestrator.home.journal)


def test_a_home_that_was_moved_with_its_journal_is_found_by_the_default(folder: Path) -> None:
    (folder / "old").mkdir()
    with Orchestrator("old/runs.db", home="old/home"):
        pass
    (folder / "old").rename(folder / "new")
    assert Home.find(journal="new/runs.db").path == folder / ".greenroom"
    with Orchestrator("new/runs.db"):
        assert ask(Home.find(journal="new/runs.db"), ListWorkers()) == Workers(workers=())


def test_a_tilde_is_the_home_directory_as_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GREENROOM_HOME", "~/here")
    assert Home().path == tmp_path / "here"
    assert Home("~/there").path == tmp_path / "there"
    assert Home(journal="~/runs.db").journal == tmp_path / "runs.db"
    assert place_of("~/runs.db", Home()) == str(tmp_path / "runs.db")
    assert Home("~nobody-here/there").path == Path.cwd() / "~nobody-here" / "there"


def test_the_root_is_no_journal() -> None:
    with pytest.raises(JournalError, match="the journal / is a folder and not a file: name a file in it"):
        place_of("/", Home())
