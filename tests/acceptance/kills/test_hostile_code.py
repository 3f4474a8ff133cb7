"""Whatever the code of users does to its process, the others go on, and the run says what happened."""

import inspect
import time
from collections import Counter
from pathlib import Path

import pytest

from greenroom import Orchestrator, RunFailed
from tests.acceptance import harness
from tests.acceptance.apps.kills import hostile
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(100)]


# ---------------------------------------------------------------- in a tool


@pytest.mark.parametrize("fault", hostile.TOOL_FAULTS)
def test_a_tool_may_do_anything_to_its_process(orchestrator, tmp_path, fault):
    neighbours = [orchestrator.start(hostile.good_program, number) for number in range(5)]
    run = orchestrator.start(hostile.with_tool_fault, fault, str(tmp_path))
    assert run.result(30) in {"recovered", "survived"}
    first, *others = run.steps()[0].attempts
    assert first.outcome in {"crash", "error"} or fault in {"talk_on_every_descriptor", "close_everything"}, first
    assert [attempt.outcome for attempt in others] in (["ok"], [])
    if fault == "raise_exit":
        assert first.exit.code == 4
        place = f"{hostile.__file__}:{inspect.getsourcelines(hostile.raise_exit)[1] + 1}"
        assert (first.exit.detail, first.place) == ("SystemExit: 4", place)
    if fault in {"overflow_the_stack", "abort"} and first.outcome == "crash":
        assert first.exit.signal in {"SIGSEGV", "SIGABRT", "SIGBUS"}
    if fault == "kill_the_parent":
        assert not first.charged
    for number, neighbour in enumerate(neighbours):
        assert neighbour.result(30) == sum(2 * (number + item) for item in range(5))


def test_a_tool_that_forks_and_returns_twice_answers_once(orchestrator):
    for number in range(1, 6):
        run = orchestrator.start(hostile.forking, number)
        assert run.result(30) == [number, 2 * number, number]
        assert [len(step.attempts) for step in run.steps()] == [1, 1, 1]


def test_a_workflow_that_forks_goes_on_once(orchestrator):
    for number in range(1, 4):
        run = orchestrator.start(hostile.forking_program, number)
        assert run.result(30) == 4 * number
        assert [len(step.attempts) for step in run.steps()] == [1, 1]
        assert not [event for event in run.events() if event.type == "program.ended"]


def test_a_tool_may_leave_threads_behind(orchestrator):
    assert orchestrator.start(hostile.threading_tool).result(30) == 8


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("surrogate", "failed: error NotSerializable"),
        ("nul", "a\0b"),
        ("big integer", 2**70),
        ("huge integer", "failed: error NotSerializable"),
        ("nan", "failed: error NotSerializable"),
        ("infinity", "failed: error NotSerializable"),
        ("deep", "failed: error NotSerializable"),
        ("megabytes", 3 * 1024 * 1024),
        ("too much", "failed: error NotSerializable"),
        ("emoji", "🦦"),
        ("numbers", {"1": [1, 2.5, True, None]}),
    ],
)
def test_any_value_is_kept_as_it_is_or_refused_in_words(orchestrator, what, answer):
    run = orchestrator.start(hostile.given, what)
    assert run.result(30) == answer
    assert run.status == "completed"
    assert [len(step.attempts) for step in run.steps()] == [1]


def test_arguments_too_large_for_the_wire_end_in_a_sentence(orchestrator):
    with pytest.raises(Exception, match=r"(?i)large|long|bytes|limit") as refused:
        orchestrator.start(hostile.given, "x" * (80 * 1024 * 1024)).result(30)
    assert not isinstance(refused.value, TimeoutError)
    assert orchestrator.start(hostile.given, "emoji").result(30) == "🦦"


# ---------------------------------------------------------------- in a workflow


@pytest.mark.parametrize("fault", hostile.WORKFLOW_FAULTS)
def test_a_workflow_that_breaks_its_process_goes_on_and_so_do_those_beside_it(orchestrator, tmp_path, fault):
    good = [orchestrator.start(hostile.good_program, number) for number in range(10)]
    bad = orchestrator.start(hostile.bad_program, fault, str(tmp_path))
    assert bad.result(60) == [2, 4]
    lost = [event for event in bad.events() if event.type == "program.ended"]
    assert [event.event.charged for event in lost] == [True]
    assert (lost[0].event.exit.kind == "garbage") == (fault == "talk")
    assert [run.result(60) for run in good] == [sum(2 * (n + i) for i in range(5)) for n in range(10)]
    for run in (*good, bad):
        assert [len(step.attempts) for step in run.steps()] == [1] * len(run.steps()), "no step was repeated"


def test_a_workflow_that_always_breaks_its_process_fails_after_three_times(orchestrator, tmp_path):
    run = orchestrator.start(hostile.bad_program, "exit", str(tmp_path), always=True)
    with pytest.raises(RunFailed, match="exited with code 5"):
        run.result(60)
    assert len((tmp_path / "deaths").read_text().splitlines()) == 3
    said = orchestrator.start(hostile.bad_program, "sys_exit", str(tmp_path), always=True)
    with pytest.raises(RunFailed, match=r"exited with code 4 \(SystemExit: 4\)"):
        said.result(60)
    assert orchestrator.start(hostile.good_program, 1).result(30) == sum(2 * (1 + item) for item in range(5))


# ---------------------------------------------------------------- in evaluators and models


def test_an_evaluator_that_kills_its_process_is_a_broken_one(orchestrator):
    run = orchestrator.start(hostile.with_deadly_evaluator)
    assert run.result(60) == 1
    (step,) = run.steps()
    assert step.flagged
    assert "exited with code 6" in step.evaluations[0].error


@pytest.mark.parametrize("score", [7.0, -1.0])
def test_an_evaluator_that_forges_an_impossible_score_is_a_broken_one(orchestrator, score):
    run = orchestrator.start(hostile.with_forging_evaluator, {"score": score})
    assert run.result(30) == {"score": score}
    (step,) = run.steps()
    assert step.flagged
    assert "sent bytes that are not a message" in step.evaluations[0].error


@pytest.mark.parametrize(
    "fields",
    [
        *({"failure": {"outcome": outcome}} for outcome in ("ok", "cancelled", "rejected", "crash")),
        {"failure": {"outcome": "error", "exit": {"kind": "orchestrator_lost", "injected": True}}},
        {"failure": {"outcome": "error"}, "usage": {"usd": -1000.0}},
    ],
    ids=str,
)
def test_a_tool_that_forges_an_end_of_its_attempt_loses_its_process_and_is_tried_again(orchestrator, fields):
    run = orchestrator.start(hostile.with_forging_tool, fields)
    assert run.result(30) == "recovered"
    first, second = run.steps()[0].attempts
    assert (first.outcome, first.exit.kind, second.outcome) == ("crash", "garbage", "ok")
    assert "usd" not in run.usage


def test_a_model_call_that_kills_its_process_does_not_fail_the_calls_beside_it(orchestrator):
    fatal = orchestrator.start(hostile.with_deadly_model, "die")
    others = [orchestrator.start(hostile.with_deadly_model, f"live {number}") for number in range(10)]
    assert {run.result(60) for run in others} == {"an answer"}
    assert fatal.result(60) == "an answer"
    assert [attempt.outcome for attempt in fatal.steps()[0].attempts][-1] == "ok"
    for run in others:
        assert all(attempt.outcome == "ok" or not attempt.charged for attempt in run.steps()[0].attempts)


def test_an_evaluator_that_hangs_is_ended_at_its_own_deadline(orchestrator):
    began = time.monotonic()
    run = orchestrator.start(hostile.with_endless_evaluator)
    assert run.result(30) == 1
    assert time.monotonic() - began < 10.0
    (step,) = run.steps()
    assert step.flagged
    assert step.evaluations[0].score is None


@pytest.mark.parametrize("how", ["wait", "block"])
def test_a_model_call_that_overruns_ends_without_the_calls_beside_it(orchestrator, how):
    late = orchestrator.start(hostile.with_hanging_model, f"{how} for ever")
    others = [orchestrator.start(hostile.with_hanging_model, f"live {number}") for number in range(10)]
    assert {run.result(60) for run in others} == {"an answer"}
    assert late.result(60) == "an answer"
    first, second = late.steps()[0].attempts
    assert (first.outcome, second.outcome) == ("timeout", "ok")
    for run in others:
        attempts = run.steps()[0].attempts
        assert attempts[-1].outcome == "ok"
        if how == "wait":
            assert len(attempts) == 1
        assert all(attempt.outcome in {"ok", "timeout"} or not attempt.charged for attempt in attempts), attempts


# ---------------------------------------------------------------- replay


def test_everything_that_asyncio_offers_can_be_replayed(orchestrator):
    quiet = orchestrator.start(hostile.asyncio_zoo)
    assert quiet.result(60) == hostile.ZOO
    runs = [orchestrator.start(hostile.asyncio_zoo) for _ in range(4)]
    kills = 0
    while any(run.status != "completed" for run in runs):
        for worker in orchestrator.workers():
            if worker.kind == "program" and worker.status == "busy":
                orchestrator.kill(worker.id)
                kills += 1
        time.sleep(0.15)  # the pace of the kills, not an event
        assert {run.status for run in runs} <= {"running", "waiting", "completed"}
    assert [run.result(1) for run in runs] == [hostile.ZOO] * 4
    assert kills > 2
    shape = Counter(step.key for step in quiet.steps())
    for run in runs:
        assert Counter(step.key for step in run.steps()) == shape


def test_a_history_longer_than_a_frame_is_told_in_pieces(orchestrator):
    run = orchestrator.start(hostile.long_history, 24, 512)
    eventually(lambda: run.status == "waiting", 60)
    (program,) = [worker for worker in orchestrator.workers() if worker.kind == "program"]
    orchestrator.kill(program.id)
    assert run.result(60) == 24 * (512 * 1024 // 9 * 9) + 2
    assert [len(step.attempts) for step in run.steps()] == [1] * 25


def test_opening_and_closing_leaves_nothing_behind_in_this_process(tmp_path, home, mark):
    def cycle(number: int) -> None:
        with Orchestrator(tmp_path / f"{number}.db", pools=harness.pools()) as opened:
            assert opened.start(hostile.good_program, number).result(30) > 0

    import threading  # noqa: PLC0415

    cycle(1)
    descriptors, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for number in range(2, 7):
        cycle(number)
    eventually(lambda: threading.active_count() <= threads)
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
