"""What code in workers writes: under whose name it arrives, what is kept of it, and what it costs nobody."""

import io
import json
import logging
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from greenroom import LogLine, Orchestrator, Pool, RunFailed, RunNotFound
from greenroom.workflows.output import log_files as files
from tests.support import eventually
from tests.workflows.apps.printing import choir, judging, oddly, replayed, speaking, stumbling

TOOL_WAYS = ["print", "part", "bytes", "descriptor", "child", "fork", "error", "handled", "last resort"]


class Seen:
    """A viewer that remembers."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    def __call__(self, line: LogLine) -> None:
        self.lines.append(line)

    def of(self, **facts: Any) -> list[str]:
        return texts([line for line in self.lines if all(getattr(line, name) == is_ for name, is_ in facts.items())])


def texts(lines: Any) -> list[str]:
    return [line.text for line in lines]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def orchestrator(tmp_path: Path, seen: Seen) -> Iterator[Orchestrator]:
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=seen) as opened:
        yield opened


def test_output_is_kept_where_the_system_refuses_a_thread_for_it(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused = []

    def refuse(self: threading.Thread) -> None:
        if self.name in {"greenroom-output", "greenroom-live"}:
            refused.append(self.name)
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=seen) as opened:
        run = opened.start(speaking, "ada")
        run.result(60)
    assert set(refused) == {"greenroom-output", "greenroom-live"}
    monkeypatch.undo()
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=seen) as opened:
        assert "ada flow print" in texts(opened.get(run.id).logs())
        later = opened.start(speaking, "bob")
        later.result(60)
        assert "bob flow print" in texts(later.logs())


def oddly_run(orchestrator: Orchestrator, kind: str) -> Any:
    run = orchestrator.start(oddly, kind)
    with suppress(RunFailed):
        run.result(60)
    return run


def test_every_way_to_write_arrives_under_the_name_of_its_step_and_workflow(
    orchestrator: Orchestrator, seen: Seen
) -> None:
    run = orchestrator.start(speaking, "ada")
    assert run.result(30) == "ada"
    lines = list(run.logs())
    step = [line for line in lines if line.step == "speak#1"]
    assert {(line.run_id, line.attempt, line.worker) for line in step} == {(run.id, 1, "tool-1")}
    for way in TOOL_WAYS:
        found = [line for line in step if line.text == f"ada {way}"]
        assert [line.stream for line in found] == ["stderr" if way in {"error", "handled", "last resort"} else "stdout"]
    assert any("UserWarning: ada warning" in line.text and line.stream == "stderr" for line in step)
    assert any(line.text.endswith("ada loguru") and line.stream == "stderr" for line in step)
    flow = [line for line in lines if line.step is None]
    assert {(line.run_id, line.attempt, line.worker) for line in flow} == {(run.id, None, "program-1")}
    assert {"ada flow print", "ada flow error", "ada flow handled", "ada flow last resort"} <= set(texts(flow))
    assert any(text.endswith("ada flow loguru") for text in texts(flow))
    assert texts(flow)[-1] == "ada flow partends", "what has no line feed is the beginning of the next line"
    assert len(flow) + len(step) == len(lines)
    eventually(lambda: seen.of(run_id=run.id) == texts(lines))


def test_lines_of_64_workflows_and_models_in_one_process_are_told_apart(tmp_path: Path, seen: Seen) -> None:
    pools = {"program": Pool(size=1), "llm": Pool(size=1)}
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=seen, pools=pools) as orchestrator:
        runs = {f"n{number}": orchestrator.start(choir, f"n{number}") for number in range(64)}
        for name, run in runs.items():
            assert run.result(60) == name
            lines = list(run.logs())
            said = [f"{name} {word} {number}" for number in range(3) for word in ("before", "after")]
            assert texts(line for line in lines if line.step is None) == said
            spoken = [*(f"{name} says {number}" for number in range(3)), f"{name} in a thread"]
            assert texts(run.logs("ask")) == spoken
            assert {(line.step, line.attempt, line.worker) for line in run.logs("ask")} == {("ask#1", 1, "llm-1")}
    assert {line.worker for line in seen.lines} == {"program-1", "llm-1"}


def test_what_a_judge_prints_stands_under_the_step_that_it_judges(orchestrator: Orchestrator) -> None:
    run = orchestrator.start(judging, "ada")
    run.result(30)
    assert ("judged#1", "evaluator-1", "ada judged") in [(line.step, line.worker, line.text) for line in run.logs()]


def test_attempts_are_told_apart(orchestrator: Orchestrator) -> None:
    run = orchestrator.start(stumbling)
    assert run.result(30) == 3
    assert [(line.attempt, line.text) for line in run.logs()] == [(1, "try 1"), (2, "try 2"), (3, "try 3")]


@pytest.mark.parametrize("kind", ["exit", "kill", "segfault"])
def test_what_a_tool_writes_before_it_dies_is_kept_and_still_explains_the_death(
    orchestrator: Orchestrator, kind: str
) -> None:
    run = oddly_run(orchestrator, kind)
    assert texts(run.logs())[:2] == ["last words", "on a line"]
    (step,) = run.steps()
    assert step.attempts[0].outcome == "crash"
    end = step.attempts[0].exit
    assert end is not None
    if kind == "segfault":
        assert "Fatal Python error: Segmentation fault" in end.stderr
        assert "Fatal Python error: Segmentation fault" in texts(run.logs())


def test_bytes_that_are_no_text_are_shown_as_such(orchestrator: Orchestrator) -> None:
    assert texts(oddly_run(orchestrator, "no text").logs()) == ["\ufffd\ufffd is ü"]


def test_a_progress_bar_is_its_last_state(orchestrator: Orchestrator) -> None:
    lines = list(oddly_run(orchestrator, "bar").logs())
    bars = texts(line for line in lines if line.stream == "stderr")
    assert bars[-1] == "100% of it"
    assert len(bars) < 20
    assert texts(line for line in lines if line.stream == "stdout") == ["windows", "lines"]


def test_a_partial_line_that_is_flushed_appears_before_its_end(orchestrator: Orchestrator, seen: Seen) -> None:
    run = oddly_run(orchestrator, "partly")
    assert texts(run.logs()) == ["begun", " and ended"]
    first, last = list(run.logs())
    assert first.at < last.at
    assert (first.continues, last.continues) == (False, True)
    eventually(lambda: [line.continues for line in seen.lines] == [False, True])


def test_a_process_that_outlives_its_attempt_says_nothing_after_it(orchestrator: Orchestrator) -> None:
    assert texts(oddly_run(orchestrator, "outlive").logs()) == ["begun"]


def test_a_thread_that_is_left_behind_writes_as_its_worker(orchestrator: Orchestrator, seen: Seen) -> None:
    run = oddly_run(orchestrator, "thread")
    spoilt = list(run.logs())
    orchestrator.start(stumbling).result(30)  # in another process by now
    assert list(run.logs()) == spoilt
    of_attempt = texts(spoilt)
    assert of_attempt == [f"tick {number}" for number in range(len(of_attempt))]
    orchestrator.close()
    ticks = [line for line in seen.lines if line.text.startswith("tick")]
    assert texts(ticks) == [f"tick {number}" for number in range(len(ticks))], "each is somebody's"
    assert {line.run_id for line in ticks[len(of_attempt) :]} <= {""}


@pytest.mark.parametrize("kind", ["closed", "replaced"])
def test_the_next_attempt_is_heard_though_one_has_spoilt_the_streams(orchestrator: Orchestrator, kind: str) -> None:
    assert texts(oddly_run(orchestrator, kind).logs()) == ["before"]
    assert texts(oddly_run(orchestrator, "no text").logs()) == ["\ufffd\ufffd is ü"]


def test_marks_in_what_a_tool_writes_mean_nothing(orchestrator: Orchestrator) -> None:
    run = oddly_run(orchestrator, "forged")
    assert [(line.run_id, line.step) for line in run.logs()] == [(run.id, "odd#1")]


def test_secrets_are_taken_out_however_they_are_cut(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRINTED_SECRET", "kX7-of-the-otters-Q9")
    pools = {"tool": Pool(env=("PRINTED_SECRET",))}
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=seen, pools=pools) as orchestrator:
        run = oddly_run(orchestrator, "hush")
        said = texts(run.logs())
    assert said[:2] == ["whole ***", "***"]
    assert "".join(said[2:]) == "x" * (8 * 1024 - 3) + "***"
    kept = b"".join(file.read_bytes() for file in (tmp_path / "runs.db.output").iterdir())
    for part in (b"of-the-otters", b"kX7-o", b"f-the"):
        assert part not in kept
    assert "otters" not in str(seen.lines)


@pytest.mark.slow
def test_a_flood_is_kept_at_both_ends_and_says_what_is_left_out(
    orchestrator: Orchestrator, seen: Seen, tmp_path: Path
) -> None:
    lines = list(oddly_run(orchestrator, "flood").logs())
    (note,) = [line for line in lines if line.omitted]
    assert note.text.startswith(f"[{note.omitted:,} lines of this attempt (")
    kept = [line for line in lines if not line.omitted]
    assert kept[0].text == "line 0"
    assert "".join(texts(kept[-3:])).endswith("line 99999")
    assert sum(not line.continues for line in kept) + note.omitted == 100_000
    size = sum(file.stat().st_size for file in (tmp_path / "runs.db.output").iterdir())
    assert size < 1.5 * 2**20

    def shown() -> int:
        return sum(line.omitted or not line.continues for line in seen.lines)

    eventually(lambda: shown() >= 100_000, 20, what="all lines shown or counted")
    assert shown() == 100_000


@pytest.mark.slow
def test_a_line_of_100_mb_is_given_in_pieces_within_the_bounds(orchestrator: Orchestrator) -> None:
    lines = list(oddly_run(orchestrator, "long line").logs())
    assert "".join(texts(lines)).endswith("x its end")
    assert max(len(line.text) for line in lines) <= 8 * 1024
    assert sum(len(line.text) for line in lines) < 2 * 2**20
    assert any(line.omitted for line in lines)


# ---------------------------------------------------------------- replay


def test_a_replay_does_not_say_again_what_was_said(tmp_path: Path, seen: Seen) -> None:
    path = tmp_path / "open"
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=seen) as orchestrator:
        run = orchestrator.start(replayed, str(path), id="again")
        eventually(lambda: "at the gate" in texts(run.logs()))
        for _ in range(2):  # with its worker dead, the program begins anew elsewhere
            peek = orchestrator.peek("again")
            assert peek is not None
            assert peek.worker is not None
            before = {worker.id: worker.pid for worker in orchestrator.workers()}[peek.worker]
            orchestrator.kill(peek.worker)
            eventually(lambda before=before: _program_pid(orchestrator, "again") not in {None, before})
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=seen) as orchestrator:
        path.touch()
        run = orchestrator.get("again")
        assert run.result(30) == "through"
        said = Counter(texts(line for line in run.logs() if line.step is None))
    assert said == {"one": 1, "two": 1, "three": 1, "four": 1}


def _program_pid(orchestrator: Orchestrator, run_id: str) -> int | None:
    peek = orchestrator.peek(run_id)
    name = peek.worker if peek is not None else None
    return next((worker.pid for worker in orchestrator.workers() if worker.id == name and worker.run_id), None)


# ---------------------------------------------------------------- reading


def test_lines_are_read_by_step_and_from_where_one_was(orchestrator: Orchestrator) -> None:
    run = orchestrator.start(speaking, "ada")
    run.result(30)
    lines = list(run.logs())
    assert [line.offset for line in lines] == sorted({line.offset for line in lines})
    for place in (0, 3, len(lines) - 1):
        assert list(run.logs(after=lines[place].offset)) == lines[place + 1 :]
    of_step = [line for line in lines if line.step is not None]
    assert list(run.logs("speak")) == list(run.logs("speak#1")) == of_step
    assert list(run.logs("peak")) == []
    assert orchestrator.reads.logs(run.id, limit=2) == lines[:2]
    with pytest.raises(RunNotFound):
        orchestrator.reads.logs("nobody")


def test_lines_are_followed_to_the_end_of_the_run(orchestrator: Orchestrator, tmp_path: Path) -> None:
    path = tmp_path / "open"
    run = orchestrator.start(replayed, str(path))
    said = []
    for line in run.logs(follow=True):
        said.append(line.text)
        if line.text == "at the gate":
            path.touch()
    assert said[0] == "one"
    assert said[-1] == "four"
    assert said == texts(run.logs())


@pytest.mark.parametrize(
    ("step", "meant"),
    [
        ("search#1", True),
        ("search", True),
        ("search#2", False),
        ("sear", False),
        ("", False),
    ],
)
def test_a_step_is_meant_by_its_key_or_its_name(step: str, meant: bool) -> None:
    assert files.is_of("search#1", step) == meant
    assert not files.is_of(None, step)


def test_a_step_of_a_task_with_a_label_is_meant_by_each_part_of_its_key() -> None:
    key = "2.1/search[a/b#c]#3"
    for step in (key, "search[a/b#c]#3", "search[a/b#c]", "search"):
        assert files.is_of(key, step), step


def test_a_run_that_writes_nothing_leaves_nothing(orchestrator: Orchestrator, tmp_path: Path) -> None:
    run = oddly_run(orchestrator, "nothing")
    assert list(run.logs()) == []
    assert not (tmp_path / "runs.db.output").exists()
    assert not {"greenroom-output", "greenroom-live"} & {thread.name for thread in threading.enumerate()}


def test_what_is_kept_is_its_owners_alone_and_outlives_the_orchestrator(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=False) as orchestrator:
        run = oddly_run(orchestrator, "no text")
    folder = tmp_path / "runs.db.output"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert texts(files.read_lines(folder, run.id)) == ["\ufffd\ufffd is ü"]


def test_a_journal_in_memory_has_output_too(home: Path) -> None:
    with Orchestrator(":memory:", output=False) as orchestrator:
        assert texts(oddly_run(orchestrator, "no text").logs()) == ["\ufffd\ufffd is ü"]


# ---------------------------------------------------------------- who sees it


def _printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *kinds: str, output: Any = True) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=output) as orchestrator:
        for kind in kinds:
            oddly_run(orchestrator, kind)
    return stream.getvalue()


def test_lines_go_to_stderr_after_their_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _printed(tmp_path, monkeypatch, "no text") == "odd#1 │ \ufffd\ufffd is ü\n"


def test_from_the_second_run_on_they_name_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = _printed(tmp_path, monkeypatch, "no text", "no text").splitlines()
    assert first.startswith("odd#1 │")
    assert second.startswith("oddly-")
    assert " odd#1 │ " in second


def test_nothing_of_them_is_obeyed_by_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _printed(tmp_path, monkeypatch, "colours") == "odd#1 │ \\x1b[31mred\n"


def test_they_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _printed(tmp_path, monkeypatch, "no text", output=False) == ""


def test_they_can_go_to_a_logger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workers")
    with Orchestrator(
        tmp_path / "runs.db", home=tmp_path / "home", output=logging.getLogger("workers")
    ) as orchestrator:
        run = orchestrator.start(speaking, "ada")
        run.result(30)
    found = {(record.levelname, record.getMessage()) for record in caplog.records if record.name == "workers"}
    assert ("INFO", f"{run.id} speak#1 │ ada print") in found
    assert ("WARNING", f"{run.id} speak#1 │ ada error") in found
    assert {vars(record)["step"] for record in caplog.records if record.name == "workers"} == {None, "speak#1"}


def test_lines_can_be_waited_for(orchestrator: Orchestrator, seen: Seen) -> None:
    for _ in range(20):
        run = oddly_run(orchestrator, "no text")
        orchestrator.flush_output()
        assert seen.of(run_id=run.id) == ["\ufffd\ufffd is ü"]


def test_what_can_take_no_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="output is True, False, a logger"):
        Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output="stderr")  # type: ignore[arg-type]


def test_a_viewer_that_never_takes_a_line_holds_up_nobody(tmp_path: Path) -> None:
    ends = threading.Event()
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=lambda _line: ends.wait(60)) as orchestrator:
        begin = time.monotonic()
        run = oddly_run(orchestrator, "flood")
        assert run.status == "completed"
        assert len(list(run.logs())) > 1000
        assert time.monotonic() - begin < 30
        ends.set()


def test_a_viewer_that_raises_is_complained_of_once_and_the_run_goes_on(tmp_path: Path) -> None:
    def view(line: LogLine) -> None:
        raise ValueError(line)

    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", output=view) as orchestrator:
        run = orchestrator.start(stumbling)
        assert run.result(30) == 3
        assert len(list(run.logs())) == 3


# ---------------------------------------------------------------- who asks a person


@pytest.mark.parametrize(("kind", "what"), [("breakpoint", "breakpoint()"), ("pdb", "pdb"), ("input", "input()")])
def test_code_that_asks_at_a_terminal_fails_at_once_with_what_to_do_instead(
    orchestrator: Orchestrator, kind: str, what: str
) -> None:
    run = orchestrator.start(oddly, kind)
    with pytest.raises(RunFailed) as caught:
        run.result(10)
    (step,) = run.steps()
    assert len(step.attempts) == 1
    error = step.attempts[0].error or ""
    assert f"{what} at " in error
    line = int(error.partition("printing.py:")[2].split()[0])
    source = Path(sys.modules[oddly.definition.fn.__module__].__file__ or "").read_text().splitlines()
    assert kind in source[line - 1]
    assert "no terminal" in error
    assert "`odd.fn(...)`" in error
    assert "printing.py" in str(caught.value)


def test_a_workflow_that_asks_at_a_terminal_fails_with_its_line(orchestrator: Orchestrator) -> None:
    from tests.workflows.apps.printing import asking  # noqa: PLC0415  beside what it is compared with

    run = orchestrator.start(asking)
    with pytest.raises(RunFailed, match=r"breakpoint\(\) at .*printing\.py:\d+ .* no terminal; put .* into a tool"):
        run.result(10)


def test_records_are_written_as_json(orchestrator: Orchestrator, tmp_path: Path) -> None:
    run = oddly_run(orchestrator, "no text")
    head, line = (tmp_path / "runs.db.output" / f"{run.id}.jsonl").read_text().splitlines()
    assert json.loads(head) == {"run": run.id, "base": 0}
    found = json.loads(line)
    assert found.pop("at") == pytest.approx(time.time(), abs=60)
    assert found == {
        "step": "odd#1",
        "attempt": 1,
        "worker": "tool-1",
        "stream": "stdout",
        "text": "\ufffd\ufffd is ü",
    }
