"""Tools for files below a folder: nothing outside it is read, written or listed, also not in a race."""

import ctypes
import os
import socket
import stat
import threading
from contextlib import suppress

import pytest

from greenroom.messages.core.errors import Fatal
from greenroom.tools import FileEntry, file_lister, file_reader, file_writer

SECRET = "outside"
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "note.txt").write_text("héllo")
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "note.txt").write_text(SECRET)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "linked").symlink_to(tmp_path / "outer")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    if os.geteuid() == 0:
        with suppress(PermissionError):
            os.mknod(folder / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    return folder


OUTSIDE = ["../secret.txt", "inner/../../secret.txt", "/etc/passwd", "link.txt", "linked/note.txt", "inner/../..", "\0"]


@pytest.mark.parametrize(
    "path", [*OUTSIDE, "pipe", "socket", "zero", "no-such", "x" * 300, "x/" * 3000, "inner", "inner/note.txt/more", ""]
)
def test_nothing_but_a_regular_file_below_the_folder_is_read(root, path):
    with pytest.raises(Fatal):
        file_reader(root=root).fn(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "'.' is not a regular file"),
        ("no-such", "'no-such' does not exist"),
        ("link.txt", "'link.txt' is a link, and links are not followed"),
        ("a\0b", r"'a\x00b' contains a zero byte"),
        ("../x", "'../x' leads out of the folder"),
    ],
)
def test_a_refusal_quotes_the_path_and_says_why(root, path, said):
    with pytest.raises(Fatal) as refused:
        file_reader(root=root).fn(path)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    "path", ["../new.txt", "/tmp/new.txt", "linked/new.txt", "linked/deep/new.txt", "inner", "inner/", "", "x" * 300]
)
def test_nothing_outside_is_written(root, path):
    before = sorted(os.walk(root.parent))
    with pytest.raises(Fatal):
        file_writer(root=root).fn(path, "x")
    assert sorted(os.walk(root.parent)) == before


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_stays(root):
    file_writer(root=root).fn("link.txt", "mine")
    assert (root / "link.txt").read_text() == "mine"
    assert not (root / "link.txt").is_symlink()
    assert (root.parent / "secret.txt").read_text() == SECRET


@pytest.mark.parametrize("name", ["pipe", "socket", "zero", "twin"])
def test_what_stands_in_the_place_of_a_file_is_replaced_and_not_written_to(root, name):
    """Neither the reader of a pipe, nor a device, nor the other name of a hard link gets the text."""
    if name == "twin":
        os.link(root.parent / "secret.txt", root / "twin")
    file_writer(root=root).fn(name, "mine")
    assert (root / name).is_file()
    assert (root / name).read_text() == "mine"
    assert (root.parent / "secret.txt").read_text() == SECRET


def test_files_are_written_read_in_parts_and_listed(root):
    assert file_writer(root=root).fn("a/b/c.txt", "0123456789") == 10
    read = file_reader(root=root, most_bytes=4).fn
    first = read("./a//b/c.txt")
    assert (first.path, first.text, first.next_offset) == ("a/b/c.txt", "0123", 4)
    assert (read("a/b/c.txt", 8).text, read("a/b/c.txt", 8).next_offset) == ("89", None)
    assert file_reader(root=root).fn("inner/note.txt").text == "héllo"
    entries = file_lister(root=root).fn()
    assert entries == [
        FileEntry(name="a", kind="folder"),
        FileEntry(name="inner", kind="folder"),
        FileEntry(name="link.txt", kind="other"),
        FileEntry(name="linked", kind="other"),
        FileEntry(name="pipe", kind="other"),
        FileEntry(name="socket", kind="other"),
        *([FileEntry(name="zero", kind="other")] if (root / "zero").exists() else []),
    ]
    with pytest.raises(Fatal):
        file_lister(root=root).fn("linked")
    with pytest.raises(Fatal, match="has 11 bytes"):
        file_writer(root=root, most_bytes=10).fn("big", "x" * 11)


def test_a_folder_that_is_exchanged_for_a_link_at_the_same_time_leads_nowhere(root):
    """A thread exchanges a folder and a link to one outside thousands of times, while files are read and written."""
    swapped, aside = root / "swapped", root / "aside"
    swapped.mkdir()
    (swapped / "note.txt").write_text("inside")
    aside.symlink_to(root.parent / "outer")
    stop = threading.Event()
    swaps = 0

    libc = ctypes.CDLL(None, use_errno=True)

    def swap():
        nonlocal swaps
        while not stop.is_set():
            swaps += libc.renameat2(AT_FDCWD, bytes(swapped), AT_FDCWD, bytes(aside), RENAME_EXCHANGE) == 0

    thread = threading.Thread(target=swap)
    thread.start()
    read, write, entries = file_reader(root=root).fn, file_writer(root=root).fn, file_lister(root=root).fn
    seen: set[str] = set()
    refused = 0
    try:
        for turn in range(3000):
            try:
                seen.add(read("swapped/note.txt").text)
                write("swapped/new.txt", str(turn))
                seen.update(entry.name for entry in entries("swapped"))
            except Fatal:
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert swaps > 100
    assert refused > 0
    assert SECRET not in seen
    assert [each.name for each in (root.parent / "outer").iterdir()] == ["note.txt"]
