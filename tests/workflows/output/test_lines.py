"""Output cut into lines, marked and kept: the pure parts, and the files."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.core.errors import JournalError
from greenroom.messages.frames.output_marks import ATOMIC_BYTES, Splitter, marked, unmarked
from greenroom.messages.secrets.redaction import NOTHING, Redactor
from greenroom.workflows.output import log_files
from greenroom.workflows.output.line_splitter import (
    LINE_BYTES,
    PARTIAL_SECONDS,
    REDRAWN_SECONDS,
    Continuation,
    LineSplitter,
    count_lines,
)
from greenroom.workflows.output.log_files import LogFiles, read_lines
from greenroom.workflows.output.retention import HEAD_BYTES, LINE_COST, TAIL_BYTES, Batch, Portion

PIECES = st.lists(st.tuples(st.sampled_from([None, b"a", b"bc"]), st.binary(min_size=1, max_size=6000)), max_size=6)


# ---------------------------------------------------------------- marks


@given(PIECES, st.randoms(use_true_random=False))
def test_marked_pieces_are_told_apart_however_reads_cut_them(
    pieces: list[tuple[bytes | None, bytes]], chance: random.Random
) -> None:
    stream = b""
    for label, data in pieces:
        written = [data] if label is None else list(marked(label, data))
        assert all(len(piece) <= ATOMIC_BYTES for piece in written if label is not None)
        stream += b"".join(written)
    splitter, found = Splitter(), []
    while stream:
        cut = chance.randint(1, 5000)
        found += splitter.feed(stream[:cut])
        stream = stream[cut:]
    found.append((None, splitter.end()))
    for name in (None, b"a", b"bc"):
        said = b"".join(data for label, data in pieces if label == name)
        assert b"".join(data for label, data in found if label == name) == said


def test_what_only_begins_like_a_mark_is_given_as_it_is() -> None:
    for text in (
        b"\0\x1e\0us\x1e",
        b"\0\x1e\0us\x1ezzzzzzzz and more",
        b"\0\x1e\0us\x1effffffff and more",
        b"a\0\x1e\0u",
    ):
        splitter = Splitter()
        assert b"".join(data for _, data in splitter.feed(text)) + splitter.end() == text


def test_an_end_is_a_piece_of_no_bytes() -> None:
    assert Splitter().feed(b"".join(marked(b"a", b""))) == [(b"a", b"")]


def test_marks_are_taken_out_of_a_tail_that_begins_in_the_middle_of_one() -> None:
    stream = b"".join(marked(b'["run",null,null]', b"first\n")) + b"".join(marked(b"b", b"second\n")) + b"raw\n"
    assert unmarked(stream) == b"first\nsecond\nraw\n"
    assert unmarked(stream[10:], cut=True) == b"second\nraw\n"
    assert unmarked(b"nothing of the kind", cut=True) == b"nothing of the kind"


# ---------------------------------------------------------------- lines


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=50)),
    st.randoms(use_true_random=False),
)
def test_lines_are_the_same_however_they_are_cut(texts: list[str], chance: random.Random) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    lines, found = LineSplitter(NOTHING), []
    while data:
        cut = chance.randint(1, 40)
        found += lines.feed(data[:cut], 0.0)
        data = data[cut:]
    assert [line.decode() for line in found] == texts
    assert lines.take_open(0.0, last=True) == []


@given(st.integers(0, 40), st.randoms(use_true_random=False))
def test_a_secret_is_found_wherever_writes_cut_it(before: int, chance: random.Random) -> None:
    data = b"x" * before + b"sesame-open-now" + b"y" * 10 + b"\n"
    lines, found = LineSplitter(Redactor(["sesame-open-now"])), b""
    while data:
        cut = chance.randint(1, 8)
        found += b"".join(lines.feed(data[:cut], 0.0))
        found += b"".join(lines.take_open(0.0, last=False))  # as if each part had waited for its end
        data = data[cut:]
    assert found == b"x" * before + b"***" + b"y" * 10


@pytest.mark.parametrize("place", [LINE_BYTES - 20, LINE_BYTES - 8, LINE_BYTES - 1, LINE_BYTES, 2 * LINE_BYTES - 5])
def test_a_secret_is_found_where_a_long_line_is_cut(place: int) -> None:
    data = b"x" * place + b"sesame-open-now" + b"y" * LINE_BYTES * 3
    lines, found = LineSplitter(Redactor(["sesame-open-now"])), []
    for start in range(0, len(data), 1000):
        found += lines.feed(data[start : start + 1000], 0.0)
    found += lines.take_open(0.0, last=True)
    assert b"".join(found) == b"x" * place + b"***" + b"y" * LINE_BYTES * 3
    assert max(map(len, found)) <= LINE_BYTES


def test_a_line_that_is_redrawn_holds_no_more_than_its_last_state() -> None:
    lines = LineSplitter(NOTHING)
    for percent in range(100_000):
        assert lines.feed(b"\r%d%%" % percent, 0.0) == []
    assert lines.take_open(1.0, last=False) == [b"99999%"]
    assert lines.feed(b"\rdone\n", 2.0) == [b"done"]
    assert lines.feed(b"dos\r", 2.0) == []
    assert lines.feed(b"\nunix\n", 2.0) == [b"dos", b"unix"]


def test_a_partial_line_is_due_soon_and_one_that_is_redrawn_later() -> None:
    lines = LineSplitter(NOTHING)
    assert lines.due is None
    lines.feed(b"begun", 10.0)
    lines.feed(b" and on", 10.1)
    assert lines.due == 10.0 + PARTIAL_SECONDS
    lines.feed(b"\r5%", 10.1)
    assert lines.due == 10.0 + REDRAWN_SECONDS
    lines.feed(b"\n", 10.1)
    assert lines.due is None


# ---------------------------------------------------------------- what is kept of an attempt


@given(st.lists(st.integers(1, 4000), max_size=30))
def test_of_an_attempt_the_first_and_the_last_lines_are_kept_and_all_are_counted(sizes: list[int]) -> None:
    portion, number, kept = Portion(), 0, []
    for size in sizes:
        batch = Batch("stdout", 0.0, [b"%d" % (number + each) for each in range(size)])
        number += size
        if (found := portion.take(batch)) is not None:
            kept.append(found)
    kept += portion.end()
    numbers = [int(line) for batch in kept if not batch.omitted for line in batch.lines]
    omitted = sum(batch.omitted for batch in kept)
    assert len(numbers) + omitted == number
    assert numbers[: len(numbers) // 2] == list(range(len(numbers) // 2))
    assert numbers == sorted(numbers)
    if number:
        assert numbers[-1] == number - 1
    assert sum(batch.cost for batch in kept) <= HEAD_BYTES + TAIL_BYTES + 4001 * (LINE_COST + 6)


def test_what_could_not_be_looked_at_is_counted() -> None:
    portion = Portion()
    portion.take(Batch("stdout", 0.0, [b"first"]))
    portion.miss(5 * 2**20, 1234)
    assert portion.take(Batch("stdout", 0.0, [b"last"])) is None
    note, last = portion.end()
    assert (note.lines, note.omitted) == ([b"[1,234 lines of this attempt (5.0 MiB) were left out here]"], 1234)
    assert last.lines == [b"last"]


# ---------------------------------------------------------------- files


def write(files: LogFiles, run_id: str, *texts: str) -> None:
    files.write(run_id, "s#1", 1, "tool-1", Batch("stdout", 1.0, [text.encode() for text in texts]))


def texts(folder: Path, run_id: str, after: int = 0) -> list[str]:
    return [line.text for line in read_lines(folder, run_id, after)]


@pytest.mark.parametrize("run_id", ["a", "..", "a~1~2", "talk/anna b\n/../c", "x" * 200, "ü", "x/" + "y" * 400])
def test_whatever_a_run_is_called_its_lines_are_its_own(tmp_path: Path, run_id: str) -> None:
    files = LogFiles(tmp_path / "output")
    write(files, run_id, "mine")
    write(files, "other", "theirs")
    files.close()
    assert texts(tmp_path / "output", run_id) == ["mine"]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "output"]


def test_a_run_keeps_its_newest_lines_and_says_that_others_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "RUN_BYTES", 20_000)
    files, offsets = LogFiles(tmp_path), []
    for number in range(1000):
        write(files, "r", str(number))
        if number % 100 == 0:
            offsets.append(list(read_lines(tmp_path, "r"))[-1].offset)
    files.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 20_000
    first, *rest = list(read_lines(tmp_path, "r"))
    assert first.omitted
    numbers = [int(line.text) for line in rest]
    assert numbers == list(range(numbers[0], 1000))
    assert numbers[0] > 500
    assert [line.offset for line in rest] == sorted(line.offset for line in rest)
    assert texts(tmp_path, "r", offsets[9]) == [str(number) for number in range(901, 1000)]
    assert texts(tmp_path, "r", rest[-1].offset) == []
    assert texts(tmp_path, "r", rest[-2].offset) == ["999"]


def test_the_runs_that_were_quiet_for_the_longest_time_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "ALL_BYTES", 50_000)
    files = LogFiles(tmp_path)
    for number in range(100):
        write(files, f"r{number}", "x" * 1000)
        path = tmp_path / f"r{number}.jsonl"
        os.utime(path, (number, number))
    files.close()
    left = sorted(int(file.stem[1:]) for file in tmp_path.iterdir())
    assert left == list(range(left[0], 100))
    assert 30 < len(left) < 50
    assert texts(tmp_path, "r0") == []


def test_a_line_that_was_cut_off_by_a_kill_hides_no_other(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    write(files, "r", "one", "two")
    files.close()
    path = tmp_path / "r.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert texts(tmp_path, "r") == ["one"]
    files = LogFiles(tmp_path)
    write(files, "r", "three")
    files.close()
    assert texts(tmp_path, "r") == ["one", "three"]


def test_files_that_are_deleted_under_their_writer_are_made_anew(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "output")
    write(files, "r", "one")
    for file in (tmp_path / "output").iterdir():
        file.unlink()
    (tmp_path / "output").rmdir()
    write(files, "r", "two")
    files.close()
    assert texts(tmp_path / "output", "r") == ["two"]


def test_links_and_files_of_others_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "r.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError):
        write(LogFiles(tmp_path), "r", "one")
    with pytest.raises(JournalError):
        texts(tmp_path, "r")
    assert (tmp_path / "elsewhere").read_text() == ""


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_end_of_a_line_that_was_given_before_it_came_is_no_line_of_its_own(end: bytes) -> None:
    lines = LineSplitter(Redactor(()))
    assert lines.feed(b"first\nbegun", 0.0) == [b"first"]
    assert lines.take_open(1.0, last=False) == [b"begun"]
    assert lines.feed(end[:1], 2.0) == []
    assert lines.feed(end[1:] + b"next\n", 2.0) == [b"next"]
    assert lines.feed(b"\n", 3.0) == [b""]
    assert lines.feed(b"begun", 4.0) == []
    assert lines.take_open(5.0, last=False) == [b"begun"]
    assert lines.feed(b" and ended\n", 6.0) == [b" and ended"]
    long = b"x" * (LINE_BYTES + 1)
    assert b"".join(lines.feed(long, 7.0)) == long
    assert lines.feed(end + b"next\n", 8.0) == [b"next"]


@given(
    st.lists(st.integers(0, 3 * LINE_BYTES), min_size=1, max_size=8),
    st.sampled_from([b"\n", b"\r\n"]),
    st.randoms(use_true_random=False),
)
def test_a_line_counts_once_in_however_many_parts_it_is_given(
    sizes: list[int], end: bytes, chance: random.Random
) -> None:
    data = b"".join(b"%d" % number + b"x" * size + end for number, size in enumerate(sizes))
    lines, found = LineSplitter(Redactor(["sesame-open-now"])), list[bytes]()
    while data:
        cut = chance.randint(1, LINE_BYTES)
        found += lines.feed(data[:cut], 0.0)
        if chance.random() < 0.5:
            found += lines.take_open(0.0, last=False)
        data = data[cut:]
    found += lines.take_open(0.0, last=True)
    assert count_lines(found) == len(sizes)
    begun = [line[:1] for line in found if type(line) is not Continuation]
    assert begun == [b"%d" % number for number in range(len(sizes))]


def test_parts_of_a_line_that_are_left_out_are_counted_as_one_line() -> None:
    lines, portion = LineSplitter(NOTHING), Portion()
    portion.take(Batch("stdout", 0.0, lines.feed(b"y" * (HEAD_BYTES + LINE_BYTES) + b"\n", 0.0)))
    for _ in range(3):
        portion.take(Batch("stdout", 0.0, lines.feed(b"x" * TAIL_BYTES + b"\n", 0.0)))
    note, *_ = portion.end()
    assert note.lines[0].startswith(b"[2 lines of this attempt (")
    assert note.omitted == 2
    portion = Portion()
    portion.take(Batch("stdout", 0.0, lines.feed(b"y" * 2 * HEAD_BYTES + b"\n", 0.0)))
    note, *_ = portion.end()
    assert note.lines[0].startswith(b"[a part of a line of this attempt (")
    assert note.omitted == 1
