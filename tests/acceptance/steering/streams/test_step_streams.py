"""What steps emit is seen while they run, and what a lost attempt has emitted is marked, whatever is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom import Orchestrator
from greenroom.testing import assert_state_is_fold
from tests.acceptance import harness
from tests.acceptance.apps.sessions import streaming
from tests.acceptance.harness import reached
from tests.support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def shown(items: Any) -> list[tuple[int, str, Any, int | None]]:
    return [(item.offset, item.kind, item.value, item.attempt) for item in items]


def check_text(items: list[Any], final: str) -> None:
    """Assert that a stream has the text of one step: partial text and marks of lost attempts, and the text once."""
    assert [item.offset for item in items] == list(range(len(items)))
    *pieces, last = items
    assert (last.kind, last.value) == ("final", final)
    attempts: dict[int, list[Any]] = {}
    for item in pieces:
        attempts.setdefault(item.attempt, []).append(item)
    assert list(attempts) == sorted(attempts)
    for attempt, own in attempts.items():
        kinds = [item.kind for item in own]
        if attempt == last.attempt:
            assert set(kinds) == {"partial"}
            assert "".join(item.value for item in own) == final
        else:
            assert kinds == [*["partial"] * (len(own) - 1), "discarded"], f"attempt {attempt} was lost"


def test_values_of_a_step_are_seen_while_it_runs_and_those_of_a_killed_attempt_are_marked(orchestrator, tmp_path):
    run = orchestrator.start(streaming.gated_telling, str(tmp_path), 2)
    following = run.stream(follow=True)
    seen = [next(following), next(following)]
    reached(tmp_path, "1")
    (attempt,) = run.steps()[0].attempts
    os.kill(attempt.pid, signal.SIGKILL)
    seen += [next(following) for _ in range(3)]
    (tmp_path / "2").touch()
    assert run.result(30) == 2
    seen += following
    assert shown(seen) == [
        (0, "partial", [1, 0], 1),
        (1, "partial", [1, 1], 1),
        (2, "discarded", None, 1),
        (3, "partial", [2, 0], 2),
        (4, "partial", [2, 1], 2),
    ]
    assert {item.step for item in seen} == {"telling#1"}
    assert shown(run.stream(after=2)) == shown(seen[3:])
    assert_state_is_fold(run)


def test_the_text_of_a_model_comes_in_pieces_before_its_step_ends_and_whole_at_the_end(orchestrator, tmp_path):
    run = orchestrator.start(streaming.writing, str(tmp_path))
    following = run.stream("text", follow=True)
    items = [next(following), next(following)]
    assert run.status == "running"
    assert [item.kind for item in items] == ["partial", "partial"]
    items += following
    text = run.result(30)
    assert len(text) > 50
    check_text(items, text)
    assert len(items) > 5, "word by word"
    types = [stored.type for stored in run.events()]
    assert types.index("step.completed") == types.index("attempt.ended") + 2, "the text is recorded in between"


def test_answers_that_are_cut_off_are_discarded_and_each_text_is_there_once(orchestrator):
    run = orchestrator.start(streaming.hurrying, 8)
    texts = run.result(60)
    items = list(run.stream("text"))
    assert [item.value for item in items if item.kind == "final"] != []
    lost = 0
    for n, text in enumerate(texts):
        own = [item for item in items if item.step == f"{n + 1}/hasty[{n}]#1"]
        numbered = [item.model_copy(update={"offset": place}) for place, item in enumerate(own)]
        check_text(numbered, text)
        lost += sum(item.kind == "discarded" for item in own)
    assert lost > 0
    assert [item.offset for item in items] == list(range(len(items)))


def test_an_evaluator_emits_what_it_thinks_about_a_result(orchestrator):
    run = orchestrator.start(streaming.judging)
    text = run.result(30)
    (item,) = run.stream("thoughts")
    assert (item.value, item.step, item.attempt) == (f"judging {len(text)} characters", "judged#1", 1)


@pytest.mark.parametrize("victim", ["worker", "orchestrator"])
def test_a_text_is_in_the_stream_once_though_it_was_cut_off_by_a_kill(
    home: Path, mark: str, tmp_path: Path, victim: str
):
    journal = tmp_path / "runs.db"
    script = tmp_path / "writer.py"
    script.write_text(
        "import sys\n"
        "from tests.acceptance.apps.sessions import streaming\n"
        "from greenroom import Orchestrator\n"
        "with Orchestrator(sys.argv[1]) as orchestrator:\n"
        "    run = orchestrator.start(streaming.writing, sys.argv[2], id='writing')\n"
        "    seen = [item.offset for item in run.stream('text')]\n"
        "    for item in run.stream('text', after=seen[-1] if seen else None, follow=True):\n"
        "        if item.kind == 'partial':\n"
        "            print(run.steps()[0].attempts[-1].pid, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(journal), str(tmp_path)]
    for _ in range(2):  # after a third crash of its worker the step would be quarantined
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            pids = (int(line) for line in process.stdout)
            first = next(pids)
            if victim == "worker":
                os.kill(first, signal.SIGKILL)
                assert next(pid for pid in pids if pid != first), "the next attempt streams in another process"
            process.send_signal(signal.SIGKILL)
    with Orchestrator(journal, pools=harness.pools()) as orchestrator:
        run = orchestrator.get("writing")
        text = run.result(60)
        items = list(run.stream("text"))
        check_text(items, text)
        lost = {item.attempt for item in items if item.kind == "discarded"}
        assert len(lost) == (4 if victim == "worker" else 2)
        assert_state_is_fold(run)


def test_a_step_that_emits_in_a_loop_goes_at_the_pace_of_the_commits(orchestrator):
    before = psutil.Process().memory_info().rss
    run = orchestrator.start(streaming.flooded, 100, 4_000_000)
    most = 0
    while run.status not in {"completed", "failed"}:
        most = max(most, psutil.Process().memory_info().rss - before)
    assert run.result(60) == 100
    assert most < 120 * 1024 * 1024, "400 MB were emitted"
    run = orchestrator.start(streaming.flooded, 5_000, 0)
    assert run.result(60) == 5_000
    assert [item.value for item in run.stream()] == list(range(5_000))
    (step,) = run.steps()
    assert [attempt.outcome for attempt in step.attempts] == ["ok"], "no worker was taken for hung"


def test_what_cannot_be_emitted_is_an_error_in_the_step(orchestrator):
    run = orchestrator.start(streaming.misfits)
    unwritable, long, unnamed, no_name = run.result(30)
    assert unwritable.startswith("NotSerializable: an emitted value cannot be written as JSON")
    assert long.startswith("NotSerializable: an emitted value may have 8388608 bytes")
    assert unnamed == "ValueError: a channel's name has 1 to 200 characters, not 0"
    assert no_name == "TypeError: a channel is a name such as 'default', not 7"
    assert list(run.stream()) == []


def test_an_attempt_emits_on_a_hundred_channels_at_most(orchestrator):
    said = orchestrator.start(streaming.scattered, 200).result(30)
    assert said.startswith("100: an attempt emits on at most 100 channels")
    assert orchestrator.start(streaming.scattered, 100).result(30) == "all"
