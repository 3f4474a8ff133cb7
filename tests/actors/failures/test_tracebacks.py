"""How an exception is shown: as Python shows it, with the frames of the author's code alone."""

import asyncio
import json
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from greenroom.actors.failures import redaction
from greenroom.actors.failures.description import describe_exception
from greenroom.actors.failures.inspection import TEXT_LIMIT
from greenroom.actors.failures.reconstruction import reconstructed
from greenroom.actors.failures.tracebacks import place, report
from greenroom.messages.core.errors import StepFailed


def caught(fn: Callable[[], object]) -> Exception:
    try:
        fn()
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError


def plain() -> None:
    raise ValueError("x")


def linked() -> None:
    try:
        plain()
    except ValueError as error:
        error.add_note("a note")
        raise KeyError("y") from error


def met() -> None:
    try:
        plain()
    except ValueError:
        _ = {}["z"]


def hidden() -> None:
    try:
        plain()
    except ValueError:
        raise KeyError("y") from None


def recursive(depth: int = 100) -> None:
    if not depth:
        plain()
    recursive(depth - 1)


@pytest.mark.parametrize("fn", [plain, linked, met, hidden, recursive])
def test_it_is_what_python_prints(fn: Callable[[], object]) -> None:
    error = caught(fn)
    assert report(error) == "".join(traceback.format_exception(error))


def test_a_group_shows_its_members_and_theirs() -> None:
    def grouped() -> None:
        inner = ExceptionGroup("inner", [caught(linked)])
        raise ExceptionGroup("outer", [caught(plain), inner])

    error = caught(grouped)
    text = report(error)
    python = [line.lstrip(" |+-") for line in "".join(traceback.format_exception(error)).splitlines()]
    assert [line for line in python if line not in [each.lstrip(" |+-") for each in text.splitlines()]] == []
    assert text.count("+---------------- 1 ----------------") == 2
    assert place(error) == f"{__file__}:{plain.__code__.co_firstlineno + 1}"
    assert "ValueError: x; ExceptionGroup: inner" in describe_exception(error).message


def test_frames_between_those_of_the_author_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def threaded() -> None:
        await asyncio.wait_for(asyncio.to_thread(plain), 10)

    error = caught(lambda: asyncio.run(threaded()))
    assert "/asyncio/" not in report(error)
    assert "in threaded" in report(error)
    assert "in plain" in report(error)
    monkeypatch.setenv("GREENROOM_TRACEBACK", "full")
    assert "/asyncio/" in report(error)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(plain)
        monkeypatch.delenv("GREENROOM_TRACEBACK")
        assert "/concurrent/" not in report(caught(future.result))


def test_a_circle_of_causes_and_a_chain_of_thousands_come_to_an_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert report(first).count("ValueError") == 2
    error: BaseException = ValueError("0")
    for number in range(5000):
        other = ValueError(str(number))
        other.__cause__ = error
        error = other
    assert len(report(error)) <= 16 * 1024
    assert report(error).endswith("ValueError: 4999\n")


def test_groups_in_groups_come_to_an_end() -> None:
    error: Exception = ValueError("x")
    for _ in range(3000):
        error = ExceptionGroup("g", [error])
    failure = describe_exception(error)
    assert failure.type == "ExceptionGroup"
    assert failure.traceback
    many = ExceptionGroup("g", [ValueError(str(number)) for number in range(500)])
    assert "and 485 more" in report(many)
    assert "and 497 more" in describe_exception(many).message


def test_the_traceback_of_a_failed_step_is_a_part_of_the_workflows() -> None:
    failure = describe_exception(caught(linked))
    error = caught(lambda: (_ for _ in ()).throw(reconstructed(StepFailed("step a#1 failed", step="a#1"), failure)))
    text = report(error)
    assert text.startswith(failure.report())
    assert text.rstrip().endswith("greenroom.StepFailed: step a#1 failed")
    assert place(error) == failure.place
    assert failure.notes == ()
    assert "a note" in text


def test_the_line_that_cannot_be_read_is_the_place_of_a_syntax_error() -> None:
    error = caught(lambda: compile("x = 1\ny = (\n", "/app.py", "exec"))
    assert place(error) == "/app.py:2"
    assert 'File "/app.py", line 2' in report(error)
    assert "    y = (" in report(error)


def test_secrets_are_in_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_redactor", redaction._redactor)
    redaction.remember({"API_TOKEN": "sesame-open-12345"}, ["API_TOKEN"])
    error = ValueError("sesame-open-12345", {"sesame-open-12345": ["sesame-open-12345"]})
    error.add_note("said sesame-open-12345")
    error.where = "at sesame-open-12345"  # type: ignore[attr-defined]
    error.__cause__ = KeyError("sesame-open-12345")
    assert "sesame" not in describe_exception(ExceptionGroup("g", [error])).model_dump_json()
    assert "sesame" not in describe_exception(error).model_dump_json()


def test_notes_without_end_are_cut_like_every_other_text() -> None:
    error = ValueError("told too much")
    error.add_note("the first note")
    for _ in range(100_000):
        error.add_note("x" * 1000)
    failure = describe_exception(error)
    assert failure.notes[0] == "the first note"
    assert sum(map(len, failure.notes)) <= TEXT_LIMIT
    assert len(failure.model_dump_json()) < 4 * TEXT_LIMIT


def test_the_text_of_an_exception_is_told_where_nothing_else_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "dumps", None)  # as user code may leave it
    failure = describe_exception(caught(plain))
    assert failure.type == "ValueError"
    assert failure.message == "x (the rest is missing, because describing it raises TypeError)"
