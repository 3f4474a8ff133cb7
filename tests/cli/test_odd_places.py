"""What lies in the place of a home's file, and names that are not text: one sentence, the right exit code, no hang."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom.journal.sqlite.file import make_file
from tests.cli.conftest import CommandLine
from tests.support import ROOT

RUN = ("run", "app.py:total", "-i", "a=1")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/cwd/{os.path.relpath(path)}")


PLANTED: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "pipe": lambda path: os.mkfifo(path, 0o600),
    "symbolic link": lambda path: path.symlink_to("/dev/full"),
    "socket": _socket,
}


@pytest.mark.parametrize("how", PLANTED)
@pytest.mark.parametrize(
    ("name", "arguments"), [("log.jsonl", RUN), ("orchestrator.log", (*RUN, "--detach")), ("journal.db.reach", RUN)]
)
def test_what_lies_in_the_place_of_a_file_is_named_with_the_remedy(
    greenroom: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str, arguments: tuple[str, ...], how: str
) -> None:
    greenroom.home.mkdir(0o700)
    monkeypatch.chdir(greenroom.home)
    PLANTED[how](greenroom.home / name)
    assert f"{name} is a {how} and not a file: remove it" in greenroom(*arguments, code=1).err


@pytest.mark.parametrize("name", ["control.sock", "orchestrator.tmp"])
def test_a_folder_in_the_place_of_what_is_replaced_is_named_with_the_remedy(greenroom: CommandLine, name: str) -> None:
    (greenroom.home / name).mkdir(parents=True)
    greenroom.home.chmod(0o700)
    said = greenroom(*RUN, code=1).err
    assert f"{name} cannot be written (Is a directory): remove the folder, or choose another home" in said


def test_a_pipe_in_the_place_of_the_note_does_not_keep_readers_waiting(greenroom: CommandLine) -> None:
    greenroom(*RUN, "--id", "one")
    os.mkfifo(greenroom.home / "journal.db.reach")
    assert greenroom("runs", "result", "one").out == "2\n"
    greenroom("db", "verify")


def test_an_empty_file_that_was_never_a_journal_is_not_said_to_be_missing(
    greenroom: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "new.db"
    file.touch()
    done = greenroom("--journal", str(file), "runs", "list")
    assert f"there are no runs: {file} is an empty file, which no orchestrator has used yet" in done.err


def test_an_emptied_journal_is_not_taken_for_a_new_one(greenroom: CommandLine) -> None:
    greenroom(*RUN, "--id", "one")
    journal = greenroom.home / "journal.db"
    os.truncate(journal, 0)
    for arguments in (RUN, ("runs", "list")):
        assert "is an empty file, which no orchestrator leaves behind" in greenroom(*arguments, code=1).err
    assert "is an empty file" in greenroom("db", "verify", code=1).out
    journal.unlink()
    greenroom(*RUN, "--id", "one")


def test_an_empty_file_that_was_made_for_a_journal_becomes_one(greenroom: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "made").touch()
    assert greenroom(*RUN, "--id", "one", "--journal", str(tmp_path / "made")).out == "2\n"
    assert greenroom("runs", "result", "one", "--journal", str(tmp_path / "made")).out == "2\n"


def test_a_journal_whose_first_orchestrator_died_while_it_made_it_is_begun_again(greenroom: CommandLine) -> None:
    greenroom.home.mkdir(0o700)
    make_file(greenroom.home / "journal.db")
    assert "there are no runs" in greenroom("runs", "show", "one", code=3).err
    assert greenroom(*RUN, "--id", "one").out == "2\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (*RUN, "--home", "h\udcff"),
        (*RUN, "--journal", "j\udcff.db"),
        (*RUN, "--id", "i\udcff"),
        ("run", "f\udcff/app.py:total", "-i", "a=1"),
        ("run", "app.py:greet", "-i", "name=\udcff"),
        ("runs", "show", "\udcff"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_refused(greenroom: CommandLine, arguments: tuple[str, ...]) -> None:
    assert "udcff" in (said := greenroom(*arguments, code=2).err)
    assert "holds bytes that are not UTF-8" in said


def test_a_folder_that_is_not_utf_8_is_refused_for_apps_and_homes(greenroom: CommandLine, tmp_path: Path) -> None:
    odd = tmp_path / "f\udcff"
    odd.mkdir()
    (odd / "app.py").write_bytes((tmp_path / "app.py").read_bytes())
    greenroom.folder = odd
    assert "holds bytes that are not UTF-8: rename it" in greenroom(*RUN, code=2).err
    greenroom.home = odd / "home"
    assert "holds bytes that are not UTF-8: choose another place" in greenroom("runs", "list", code=1).err


def test_a_working_folder_that_was_deleted_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", f'rmdir "{gone}" && exec "$@"', "sh", sys.executable, str(ROOT / "main.py"), "runs", "list"],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "greenroom: the working folder does not exist any more: change to another one\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("@none.json", "'none.json' cannot be read: No such file or directory"),
        ("@latin", "'latin' cannot be read: it is not UTF-8 text, see byte 2"),
        ("@.", "'.' cannot be read: Is a directory"),
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is nested too deep"),
        ("[" * 195 + "]" * 195, "it holds what JSON does not: "),
        ('{"n": 1e400}', "it holds what JSON does not: "),
        ('{"n": NaN}', "it holds what JSON does not: "),
        ('{"n": "\\ud800"}', "it holds what JSON does not: "),
        ("@/dev/zero", "'/dev/zero' cannot be read: it holds more than 256 MiB"),
    ],
)
def test_json_that_cannot_be_read_is_said_without_codes(
    greenroom: CommandLine, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "latin").write_bytes(b'"\xff"')
    for arguments in (("run", "app.py:total", "--input", text), ("sessions", "tell", "app.py:total", "k", text)):
        assert sentence in greenroom(*arguments, code=2).err[:2000]


def test_a_copy_of_a_home_is_a_home_of_its_own(greenroom: CommandLine, tmp_path: Path) -> None:
    def ran(*place: str) -> list[str]:
        return sorted(run["id"] for run in greenroom.result_of(*place, "runs", "list", "-o", "json"))

    greenroom("run", "app.py:total", "-i", "a=1", "--id", "first")
    copy = tmp_path / "copy"
    shutil.copytree(greenroom.home, copy)
    assert ran("--home", str(copy)) == ran("--journal", str(copy / "journal.db")) == ["first"]
    greenroom("--home", str(copy), "run", "app.py:total", "-i", "a=2", "--id", "second")
    greenroom("--journal", str(copy / "journal.db"), "run", "app.py:total", "-i", "a=3", "--id", "third")
    assert ran() == ["first"], "the original is left alone"
    moved = copy.rename(tmp_path / "moved")
    assert ran("--home", str(moved)) == ran("--journal", str(moved / "journal.db")) == ["first", "second", "third"]
