"""Homes and journals that somebody else has made, or could change: refused, with nothing run and nothing overwritten."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom import HomeInUse, JournalError, Orchestrator, tool, workflow
from greenroom.dashboard.access.token import given_token, make_token
from greenroom.messages.commands import ListWorkers
from greenroom.messages.core.errors import CannotServe, NotAuthorized
from greenroom.workflows.api.client.client import Client
from greenroom.workflows.control.access.control_socket import ask
from greenroom.workflows.home.home import Home
from greenroom.workflows.home.private_files import real_path
from greenroom.workflows.queries.reader import JournalQueries
from tests.support import eventually

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
TEXT = "what the victim holds dear: 0123456789"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text(TEXT)
    path.chmod(0o600)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a home that has been used, and is nobody's at the moment."""
    with Orchestrator(home=tmp_path / "home"):
        pass
    make_token(Home(tmp_path / "home"))
    return tmp_path / "home"


def give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


# ---------------------------------------------------------------- the folder


@as_root
@pytest.mark.parametrize("used", [True, False])
def test_a_home_that_another_user_has_made_is_refused_by_all_who_would_believe_it(tmp_path: Path, used: bool) -> None:
    home = tmp_path / "home"
    if used:
        with Orchestrator(home=home):
            pass
    else:
        home.mkdir(mode=0o700)
    give_away(home)
    before = sorted(home.iterdir())
    for use in (
        lambda: Orchestrator(home=home),
        lambda: ask(Home(home), ListWorkers()),
        lambda: JournalQueries.open(Home(home)),
    ):
        with pytest.raises(JournalError, match="home belongs to the user with number 65534 and not to you"):
            use()
    with pytest.raises(JournalError, match="belongs to"):
        Client(home=home)
    with pytest.raises(JournalError, match="belongs to"):
        make_token(Home(home))
    assert sorted(home.iterdir()) == before


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o707, 0o702, 0o777, 0o1777])
def test_a_home_that_others_can_write_is_refused_with_the_command_that_mends_it(place: Path, mode: int) -> None:
    place.chmod(mode)
    with pytest.raises(JournalError, match=f"chmod go-w {place}"):
        Orchestrator(home=place)
    subprocess.run(["chmod", "go-w", place], check=True)
    with Orchestrator(home=place):
        pass


def test_a_folder_above_in_which_anybody_can_replace_names_is_refused_and_a_shared_one_with_a_sticky_bit_is_not(
    tmp_path: Path,
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for options in ({"home": shared / "below" / "home"}, {"home": tmp_path / "home", "journal": shared / "runs.db"}):
        with pytest.raises(JournalError, match=rf"replace what lies in {shared}: `chmod \+t {shared}`"):
            Orchestrator(**options)  # type: ignore[arg-type]
    shared.chmod(0o1777)
    with Orchestrator(shared / "runs.db", home=shared / "below" / "home"):
        pass
    assert (shared / "below").stat().st_mode & 0o777 == 0o700


@as_root
def test_the_default_home_in_a_shared_folder_is_refused_where_somebody_else_was_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / ".greenroom").mkdir()
    give_away(shared / ".greenroom")
    monkeypatch.chdir(shared)
    monkeypatch.delenv("GREENROOM_HOME", raising=False)
    for journal in (None, ":memory:", "runs.db"):
        with pytest.raises(JournalError, match="belongs to"):
            Orchestrator(journal)
    assert not list((shared / ".greenroom").iterdir())


@as_root
@pytest.mark.parametrize("at", ["home", "above", "journal"])
def test_a_link_that_another_user_has_made_is_not_followed(tmp_path: Path, at: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o755)
    (precious / "token").write_text(TEXT)
    link = tmp_path / "link"
    link.symlink_to(precious / "runs.db" if at == "journal" else precious)
    give_away(link)
    journal, home = {
        "home": (None, link),
        "above": (None, link / "home"),
        "journal": (link, tmp_path / "home"),
    }[at]
    with pytest.raises(JournalError, match="link is a symbolic link of the user with number 65534, not yours"):
        Orchestrator(journal, home=home)
    assert [each.name for each in precious.iterdir()] == ["token"]
    assert (precious / "token").read_text() == TEXT


def test_our_own_links_are_followed_to_the_one_real_path(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "one").symlink_to("two/../two")
    (tmp_path / "two").symlink_to(tmp_path / "disk")
    assert real_path(tmp_path / "one" / "x" / ".." / "home") == tmp_path / "disk" / "home"
    with Orchestrator(home=tmp_path / "one"):
        assert (tmp_path / "disk" / "journal.db").exists()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(JournalError, match="a symbolic link among too many"):
        Orchestrator(home=tmp_path / "circle")


# ---------------------------------------------------------------- the files


FILES = ["journal.db", "journal.db.lock", "journal.db.workers", "orchestrator.lock", "journal.db-wal", "journal.db-shm"]


def _device(path: Path, _victim: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path, _victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(path.parent)  # an address is short
        listener.bind(path.name)


def _writable(path: Path, _victim: Path) -> None:
    path.touch()
    path.chmod(0o660)


def _foreign(path: Path, _victim: Path) -> None:
    path.touch(0o600)
    give_away(path)


PLANTED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "link": (lambda path, victim: path.symlink_to(victim), "is a symbolic link"),
    "dangling": (lambda path, victim: path.symlink_to(victim.with_name("new")), "is a symbolic link"),
    "device": (_device, "is a symbolic link"),
    "second name": (lambda path, victim: path.hardlink_to(victim), r"has \d names \(hard links\)"),
    "pipe": (lambda path, _: os.mkfifo(path, 0o600), "is a pipe and not a file"),
    "socket": (_socket, "is a socket and not a file"),
    "folder": (lambda path, _: path.mkdir(), "is a folder and not a file"),
    "writable": (_writable, r"mode 0660\).*chmod go-w"),
    "foreign": (_foreign, "belongs to the user with number 65534"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", PLANTED)
def test_what_lies_in_a_files_place_is_not_followed_written_or_believed(
    place: Path, victim: Path, name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "foreign" and os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    monkeypatch.chdir(place)
    plant, words = PLANTED[how]
    path = place / name
    path.unlink(missing_ok=True)
    plant(path, victim)
    if name == "journal.db" and how in {"link", "dangling", "device"}:
        words = "names|database|cannot be|not a file|is a device"  # our own link is followed, to what is not a journal
        if how == "dangling":
            with Orchestrator(home=place):
                assert victim.with_name("new").exists()
            return
    with pytest.raises(JournalError, match=words):
        Orchestrator(home=place)
    assert victim.read_text() == TEXT
    assert how == "dangling" or not victim.with_name("new").exists()


@pytest.mark.parametrize("how", PLANTED)
def test_a_token_or_a_record_that_is_not_ours_alone_is_not_believed(
    place: Path, victim: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "foreign" and os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    monkeypatch.chdir(place)
    monkeypatch.delenv("GREENROOM_TOKEN", raising=False)
    home, (plant, words) = Home(place), PLANTED[how]
    for path in (home.token, home.record):
        path.unlink()
        plant(path, victim)
    with pytest.raises(CannotServe, match=words):
        given_token(home)
    with pytest.raises(NotAuthorized, match=words):
        Client("http://127.0.0.1:9", home=place)
    for use in (home.read_record, lambda: home.journal, lambda: Client(home=place), lambda: JournalQueries.open(home)):
        with pytest.raises(JournalError, match=words):
            use()


@pytest.mark.parametrize("how", ["link", "dangling", "second name"])
def test_writing_a_token_or_a_record_puts_a_new_file_in_the_place_of_a_link(
    place: Path, victim: Path, how: str
) -> None:
    home = Home(place)
    for path in (home.token, home.record):
        for each in (path, path.with_suffix(".tmp")):
            each.unlink(missing_ok=True)
            PLANTED[how][0](each, victim)
    token = make_token(home)
    home.write_record(journal="there")
    assert home.read_token() == token.value
    assert home.read_record()["journal"] == "there"
    assert victim.read_text() == TEXT
    assert not victim.with_name("new").exists()


def test_a_token_that_others_can_read_is_refused(place: Path) -> None:
    Home(place).token.chmod(0o640)
    with pytest.raises(CannotServe, match="may have been read by others"):
        given_token(Home(place))


# ---------------------------------------------------------------- one journal, several ways to it


@pytest.mark.parametrize("way", ["relative", "dots", "link", "linked folder"])
def test_a_journal_in_use_is_in_use_by_whatever_path(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "other.db").symlink_to(folder / "runs.db")
    (tmp_path / "door").symlink_to(folder)
    ways = {
        "relative": Path("runs.db"),
        "dots": folder / ".." / "folder" / "runs.db",
        "link": tmp_path / "other.db",
        "linked folder": tmp_path / "door" / "runs.db",
    }
    with (
        Orchestrator(folder / "runs.db", home=tmp_path / "home"),
        pytest.raises(HomeInUse, match=f"the journal .* in use by another orchestrator .pid {os.getpid()}"),
    ):
        Orchestrator(ways[way], home=tmp_path / "second")


def test_a_journal_with_a_second_name_is_refused_by_either(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home"):
        (tmp_path / "twin.db").hardlink_to(tmp_path / "runs.db")
        with pytest.raises((HomeInUse, JournalError)):
            Orchestrator(tmp_path / "twin.db", home=tmp_path / "second")
    for name in ("runs.db", "twin.db"):
        with pytest.raises(JournalError, match=f"{name} has 2 names"):
            Orchestrator(tmp_path / name, home=tmp_path / "home")
    (tmp_path / "twin.db").unlink()
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home"):
        pass


@as_root
def test_a_journal_that_a_mount_leads_to_is_in_use_there_too(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "two" / "runs.db").touch(0o600)
    script = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from greenroom import HomeInUse, Orchestrator\n"
        "place = Path(sys.argv[1])\n"
        "with Orchestrator(place / 'one' / 'runs.db', home=place / 'home') as first:\n"
        "    subprocess.run(['mount', '--bind', place / 'one' / 'runs.db', place / 'two' / 'runs.db'], check=True)\n"
        "    if sys.argv[2] == 'another':\n"
        "        subprocess.run([sys.executable, __file__, place, 'second'], check=True)\n"
        "    try:\n"
        "        Orchestrator(place / 'two' / 'runs.db', home=place / 'second')\n"
        "    except HomeInUse as error:\n"
        "        print(error)\n"
    )
    command = ["unshare", "--mount", sys.executable, "-c", script, str(tmp_path), "here"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": _path()}
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("nothing may be mounted here")
    assert "runs.db is in use by another orchestrator" in done.stdout, done.stderr


def _path() -> str:
    return os.pathsep.join(item or str(Path.cwd()) for item in sys.path)


# ---------------------------------------------------------------- as an ordinary user, and what was at stake


@tool
async def hang() -> None:
    await asyncio.sleep(3600)


@workflow
async def trap(path: str) -> None:
    Path(path).touch()  # noqa: ASYNC240  whenever the code runs, also when it is only replayed
    await hang()


AS_NOBODY = """
import os, sys, tomllib
from pathlib import Path
from greenroom import Orchestrator, JournalError
from greenroom.workflows.api.client.client import Client
from greenroom.workflows.home.home import Home
import greenroom.journal.sqlite.journal, greenroom.workflows.control.engine
from greenroom.journal.sqlite.schema import migrations
migrations()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for home in sys.argv[1:]:
    try:
        Orchestrator(home=home).close()
        print("open")
    except JournalError as error:
        print(error)
"""


@as_root
def test_an_ordinary_user_is_kept_from_the_homes_of_other_users_but_not_of_root(public: Path) -> None:
    homes = {name: public / name for name in ("mine", "theirs", "roots")}
    for name, owner in (("mine", NOBODY), ("theirs", 12345)):
        homes[name].mkdir(mode=0o755)
        os.chown(homes[name], owner, owner)
    homes["roots"].mkdir(mode=0o755)
    command = [sys.executable, "-c", AS_NOBODY, *map(str, homes.values())]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": _path()}
    )
    mine, theirs, roots = done.stdout.splitlines()
    assert mine == "open", done.stderr
    assert "theirs belongs to the user with number 12345 and not to you (number 65534)" in theirs
    assert "Permission denied" in roots  # it is believed, and cannot be written


@as_root
def test_no_code_runs_that_another_users_journal_names(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    home = tmp_path / "home"
    with Orchestrator(home=home) as orchestrator:
        orchestrator.start(trap, str(trace))
        eventually(trace.exists, 30, what="the run's code")
    trace.unlink()
    owned = [home, *home.iterdir()]
    for each in owned:
        give_away(each)
    with pytest.raises(JournalError, match="belongs to"):
        Orchestrator(home=home)
    os.chown(home, 0, 0)  # a folder of ours with a journal of theirs
    with pytest.raises(JournalError, match="belongs to"):
        Orchestrator(home=home)
    assert not trace.exists()
    for each in owned:
        os.chown(each, 0, 0)
    with Orchestrator(home=home):
        eventually(trace.exists, 30, what="the run's code")
