"""What a workflow's author is promised: control flow, retries, deadlines, failures, children, evaluation."""

import asyncio
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from greenroom import Orchestrator, Run, RunCancelled, RunFailed, run
from tests.acceptance import harness
from tests.acceptance.apps.contract import authoring
from tests.acceptance.apps.effects import effects
from tests.acceptance.apps.judges import judged
from tests.support import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "effects.log")


def only_step(run: Run):
    (step,) = run.steps()
    return step


def moment(time: datetime) -> float:
    return time.timestamp()


# ---------------------------------------------------------------- control flow


@pytest.mark.parametrize(
    ("workflow", "arguments", "result"),
    [
        (authoring.sequential, (3,), [3, 6, 12, 24]),
        (authoring.models, (authoring.Point(x=1),), authoring.Point(x=7)),
        (authoring.gathered, (20,), [2 * number for number in range(20)]),
        (authoring.grouped, (8,), [4 * number for number in range(8)]),
        (authoring.group_with_failure, (), "caught 1"),
        (authoring.timed_out, (0.3,), "gave up, then 42"),
        (authoring.within_time, (), "lingered"),
        (authoring.renamed, (), [2, 4]),
        (authoring.branching, (4,), "8"),
        (authoring.parent, (3,), [6, 12, 20, 40]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_plain_python_is_control_flow(orchestrator, workflow, arguments, result):
    run = orchestrator.start(workflow, *arguments)
    assert run.result(30) == result
    assert run.status == "completed"


def test_steps_are_listed_as_they_were_asked_for_with_everything_about_each_attempt(orchestrator):
    run = orchestrator.start(authoring.sequential, 3)
    run.result(30)
    steps = run.steps()
    assert [step.name for step in steps] == ["double"] * 3
    assert len({step.key for step in steps}) == 3
    assert [(step.kind, step.status, step.result) for step in steps] == [
        ("tool", "completed", 6),
        ("tool", "completed", 12),
        ("tool", "completed", 24),
    ]
    for step in steps:
        (attempt,) = step.attempts
        assert (attempt.number, attempt.outcome, attempt.error, attempt.exit) == (1, "ok", None, None)
        assert attempt.worker
        assert attempt.pid > 1
        assert moment(attempt.started_at) <= moment(attempt.ended_at)
        assert attempt.started_at.tzinfo is UTC
        assert f'"started_at":"{attempt.started_at.isoformat(timespec="milliseconds")}"' in attempt.model_dump_json()
        assert step.evaluations == ()


def test_values_of_any_type_arrive_as_they_were_sent(orchestrator):
    parcel = authoring.Parcel(
        at=datetime(2026, 2, 28, 12, 30, tzinfo=UTC),
        id=UUID(int=7),
        price=Decimal("12.30"),
        colours=frozenset(authoring.Colour),
        raw=b"bytes that are text",
        size=(3, 0.1),
        where=Path("/somewhere/else"),
        takes=timedelta(minutes=5, microseconds=1),
        inner={"a": [authoring.Point(x=1)], "b": []},
    )
    back, said = orchestrator.start(authoring.shipped, parcel).result(30)
    assert back == parcel
    assert said == ["Decimal workflow no", "Decimal none BLUE"]


def test_a_step_may_report_progress(orchestrator):
    run = orchestrator.start(authoring.reporting, 2000)
    assert run.result(30) == 2001
    assert [len(step.attempts) for step in run.steps()] == [1, 1]


def test_options_rename_a_step_and_label_its_call(orchestrator):
    run = orchestrator.start(authoring.renamed)
    run.result(30)
    assert [(step.name, step.key) for step in run.steps()] == [("quick", "quick[eu]#1"), ("double", "double#1")]


def test_a_timeout_in_the_workflow_withdraws_the_step_it_no_longer_awaits(orchestrator):
    run = orchestrator.start(authoring.timed_out, 1.0)
    run.result(30)
    withdrawn = run.steps()[1]
    assert withdrawn.status == "cancelled"
    assert [attempt.outcome for attempt in withdrawn.attempts] == ["cancelled"]


def test_sleep_waits_and_the_run_says_so(orchestrator):
    run = orchestrator.start(authoring.rested, 1.0)
    eventually(lambda: run.status == "waiting")
    assert run.result(30) == 2
    logged = {event.type: event.at for event in run.events()}
    assert 1.0 <= logged["timer.fired"] - logged["timer.set"] < 3.0


def test_sleep_survives_a_restart_and_ends_when_it_was_due(tmp_path, home, mark):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        run = first.start(authoring.rested, 2.0, id="rest")
        eventually(lambda: run.status == "waiting")
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        run = second.get("rest")
        assert run.result(30) == 2
        logged = {event.type: event.at for event in run.events()}
        assert 2.0 <= logged["timer.fired"] - logged["timer.set"] < 4.0


# ---------------------------------------------------------------- failing and trying again


def test_a_step_that_raises_is_retried_with_growing_delays(orchestrator, log):
    run = orchestrator.start(authoring.flaky_once, log, 3)
    assert run.result(30) == 4
    attempts = only_step(run).attempts
    assert [attempt.outcome for attempt in attempts] == ["error", "error", "error", "ok"]
    assert "ValueError: attempt 1 was not good enough" in attempts[0].error
    starts = [moment(attempt.started_at) for attempt in attempts]
    ends = [moment(attempt.ended_at) for attempt in attempts]
    pauses = [start - end for start, end in zip(starts[1:], ends, strict=False)]
    assert all(pause >= due - 0.002 for pause, due in zip(pauses, (0.2, 0.4, 0.8), strict=True)), pauses
    assert pauses[0] < 1.5


def test_a_step_without_attempts_left_fails_the_run_which_says_where_and_after_what(orchestrator, log):
    run = orchestrator.start(authoring.flaky_once, log, 9)
    with pytest.raises(RunFailed, match="attempt 4 was not good enough") as failed:
        run.result(30)
    assert failed.value.run_id == run.id
    assert failed.value.step == "flaky#1"
    assert [attempt.outcome for attempt in failed.value.attempts] == ["error"] * 4
    assert run.status == "failed"
    assert len(effects(log)) == 4


def test_backoff_and_its_count_survive_a_restart(tmp_path, home, mark, log):
    pools = harness.pools()
    with Orchestrator(tmp_path / "runs.db", pools=pools) as first:
        run = first.start(authoring.backing_off, log, id="slow")
        due = moment(eventually(lambda: [step.retry_at for step in run.steps() if step.retry_at])[0])
    assert len(effects(log)) == 1
    with Orchestrator(tmp_path / "runs.db", pools=pools) as second:
        with pytest.raises(RunFailed) as failed:
            second.get("slow").result(30)
        steps = second.get("slow").steps()
    assert [attempt.outcome for attempt in failed.value.attempts] == ["error"] * 3
    assert len(effects(log)) == 3
    assert moment(steps[0].attempts[1].started_at) >= due - 0.002
    assert moment(steps[0].attempts[1].started_at) < due + 3.0


@pytest.mark.parametrize("which", ["never", "on"])
def test_only_exceptions_that_the_policy_names_are_tried_again(orchestrator, log, which):
    run = orchestrator.start(authoring.never_again, log, which)
    with pytest.raises(RunFailed) as failed:
        run.result(30)
    assert len(failed.value.attempts) == 1
    assert len(effects(log)) == 1


def test_fatal_is_never_retried(orchestrator):
    run = orchestrator.start(authoring.hopeless)
    with pytest.raises(RunFailed, match="no such account") as failed:
        run.result(30)
    assert [attempt.outcome for attempt in failed.value.attempts] == ["error"]


def test_retry_after_is_obeyed(orchestrator):
    run = orchestrator.start(authoring.patient)
    assert run.result(30) == 2
    first, second = only_step(run).attempts
    assert moment(second.started_at) - moment(first.ended_at) >= 0.998


@pytest.mark.parametrize(
    ("fault", "answer", "outcome"),
    [("none", "receipt", "ok"), ("crash", "unknown after 1", "crash"), ("raise", "ValueError after 1", "error")],
)
def test_a_once_step_has_its_effect_at_most_once(orchestrator, log, fault, answer, outcome):
    run = orchestrator.start(authoring.careful, log, fault)
    assert run.result(30) == answer
    assert [line["what"] for line in effects(log)] == ["paid"]
    assert [attempt.outcome for attempt in only_step(run).attempts] == [outcome]


def test_a_once_step_cut_off_by_the_end_of_its_orchestrator_is_not_run_again(tmp_path, home, mark, log):
    gate = tmp_path / "gate"
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        first.start(authoring.careful_across_restart, log, str(gate), id="careful")
        eventually(lambda: effects(log))
    gate.touch()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        assert second.get("careful").result(30) in {"unknown", "receipt"}
    assert len(effects(log)) == 1


def test_a_failed_step_can_be_caught_in_the_workflow_and_says_what_happened(orchestrator):
    found = orchestrator.start(authoring.caught).result(30)
    assert found["step"] == "fail_for_good#1"
    assert (found["attempts"], found["outcome"], found["error"]) == (1, "error", "Fatal")
    assert "no such account" in found["text"]


def test_the_workflows_own_exception_fails_the_run_without_naming_a_step(orchestrator):
    with pytest.raises(RunFailed, match="LookupError: the workflow's own code raised") as failed:
        orchestrator.start(authoring.own_fault).result(30)
    assert failed.value.step is None
    assert failed.value.attempts == []


def test_a_step_that_keeps_killing_its_process_is_set_aside_with_its_evidence(orchestrator, log):
    run = orchestrator.start(authoring.poisoned, log)
    with pytest.raises(RunFailed) as failed:
        run.result(30)
    assert [attempt.outcome for attempt in failed.value.attempts] == ["crash"] * 3
    assert [attempt.exit.code for attempt in failed.value.attempts] == [7] * 3
    assert len({attempt.pid for attempt in failed.value.attempts}) == 3
    assert orchestrator.start(authoring.sequential, 1).result(30) == [1, 2, 4, 8], "its neighbours are untouched"


def test_every_attempt_sees_the_same_idempotency_key_and_no_other_call_sees_it(orchestrator, log):
    keys = orchestrator.start(authoring.keyed, log).result(30)
    seen = {line["key"] for line in effects(log)}
    assert len(effects(log)) == 3
    assert seen == {keys[0]}
    assert keys[1] != keys[0]


# ---------------------------------------------------------------- deadlines


@pytest.mark.parametrize("how", [*authoring.ENDLESS, "asleep"])
def test_a_deadline_ends_any_code(orchestrator, log, how):
    run = orchestrator.start(authoring.overrunning, how, log)
    assert run.result(30) == "timeout after 1, then 4"
    (attempt,) = run.steps()[0].attempts
    assert attempt.outcome == "timeout"
    assert attempt.exit.kind == "timeout"
    assert moment(attempt.ended_at) - moment(attempt.started_at) < 5.0
    assert not psutil.pid_exists(effects(log)[0]["pid"])


def test_a_deadline_ends_the_subprocesses_too(orchestrator, log, mark):
    run = orchestrator.start(authoring.overrunning, "wait_in_subprocess", log)
    run.result(30)
    assert [process for process in harness.census(mark) if "sleep" in process.cmdline()[0]] == []


# ---------------------------------------------------------------- children


def test_children_are_runs_of_their_own(orchestrator):
    run = orchestrator.start(authoring.parent, 3)
    run.result(30)
    children = orchestrator.runs(name="child")
    assert len(children) == 4
    assert {child.parent for child in children} == {run.id}
    assert {child.status for child in children} == {"completed"}


def test_a_childs_failure_can_be_caught_in_its_parent(orchestrator):
    run = orchestrator.start(authoring.parent_of_failure)
    answer = run.result(30)
    (child,) = orchestrator.runs(name="failing_child")
    assert answer == f"{child.id} at fail_for_good#1 ['error']: {child.reason}"
    assert child.status == "failed"


def test_cancelling_a_parent_cancels_its_child_which_may_clean_up(orchestrator, log):
    run = orchestrator.start(authoring.parent_that_waits, log)
    eventually(lambda: [child.status for child in orchestrator.runs(name="waiting_child")] == ["waiting"])
    run.cancel("enough")
    with pytest.raises(RunCancelled, match="enough"):
        run.result(30)
    (child,) = orchestrator.runs(name="waiting_child")
    with pytest.raises(RunCancelled):
        orchestrator.get(child.id).result(30)
    assert Path(log).read_text() == "child cleaned up\n"


# ---------------------------------------------------------------- limits


def test_a_tool_with_a_memory_limit_gets_a_memory_error_and_its_neighbours_do_not(orchestrator):
    assert orchestrator.start(authoring.hoarding, 16).result(30) == "16 MiB"
    run = orchestrator.start(authoring.hoarding, 4096)
    assert run.result(30) == "MemoryError"
    assert only_step(run).attempts[0].outcome == "error"
    assert "tool:hoard" in {worker.pool for worker in orchestrator.workers()} | {
        worker.pool.rpartition("/")[2] for worker in orchestrator.workers()
    }


def test_a_tool_may_print_without_end(orchestrator):
    assert orchestrator.start(authoring.chatting, 50_000).result(30) == 50_000


# ---------------------------------------------------------------- called elsewhere


def test_outside_of_a_workflow_steps_and_workflows_run_in_place(mark):
    assert asyncio.run(authoring.double(4)) == 8
    assert asyncio.run(authoring.sequential(1)) == [1, 2, 4, 8]
    assert authoring.double.fn(5) == 10
    with pytest.raises(RuntimeError):
        authoring.current()


def test_run_outside_of_a_workflow_sees_it_to_its_end(home, mark):
    assert run(authoring.parent, 3) == [6, 12, 20, 40]
    with pytest.raises(RunFailed, match="no such account"):
        run(authoring.hopeless)


def test_run_on_an_event_loop_warns_once_and_names_the_line_that_does_not_block(home, mark):
    async def block() -> list[int]:
        return run(authoring.parent, 3)

    async def do_not_block() -> list[int]:
        return await asyncio.to_thread(run, authoring.parent, 3)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert asyncio.run(block()) == asyncio.run(do_not_block()) == [6, 12, 20, 40]
    assert [(str(each.message), each.filename) for each in seen] == [
        (
            "run() holds the event loop of this thread until it is done: write `await asyncio.to_thread(run, ...)`",
            __file__,
        )
    ]


# ---------------------------------------------------------------- models and evaluators


def test_malformed_output_is_retried_and_named_invalid(orchestrator):
    run = orchestrator.start(judged.write, "malformed", "Write about otters.")
    assert run.result(30) == judged.SHORT
    step = only_step(run)
    assert step.kind == "llm"
    assert [attempt.outcome for attempt in step.attempts] == ["invalid", "invalid", "invalid", "ok"]
    assert "JSON" in step.attempts[0].error
    assert "title" in step.attempts[1].error
    assert all(attempt.usage["output_tokens"] > 0 for attempt in step.attempts)
    assert run.usage["output_tokens"] == sum(attempt.usage["output_tokens"] for attempt in step.attempts)


def test_an_answer_below_the_threshold_is_rejected_and_written_again(orchestrator):
    run = orchestrator.start(judged.write, "improving", "Write about otters.")
    assert run.result(30) == judged.SHORT
    step = only_step(run)
    assert [attempt.outcome for attempt in step.attempts] == ["rejected", "ok"]
    scores = [(item.name, item.score, item.passed, item.threshold, item.reason) for item in step.evaluations]
    assert scores == [
        ("concise", 0.4, False, 0.8, "at most five bullets"),
        ("about_otters", 1.0, True, 0.8, ""),
        ("concise", 1.0, True, 0.8, ""),
        ("about_otters", 1.0, True, 0.8, ""),
    ]


def test_what_the_evaluators_said_reaches_the_model(orchestrator):
    prompt = (
        "Write a brief about otters:\nOtters eat fish in rivers. Otters hold hands while they sleep. "
        "Otters use stones as tools. Otters live in family groups. Otters swim very well."
    )
    run = orchestrator.start(judged.write, "heeding", prompt)
    assert len(run.result(30).bullets) == 2
    assert [attempt.outcome for attempt in only_step(run).attempts] == ["rejected", "ok"]


def test_a_step_whose_results_are_all_rejected_fails(orchestrator):
    with pytest.raises(RunFailed, match="concise") as failed:
        orchestrator.start(judged.write, "stubborn", "Write.").result(30)
    assert [attempt.outcome for attempt in failed.value.attempts] == ["rejected"] * 4


def test_on_reject_flag_lets_the_run_go_on_marked(orchestrator):
    run = orchestrator.start(judged.write, "flagging", "Write.")
    assert run.result(30) == judged.LONG
    step = only_step(run)
    assert step.flagged
    assert [attempt.outcome for attempt in step.attempts] == ["ok"]
    assert [item.passed for item in step.evaluations] == [False]


def test_on_reject_fail_fails_at_the_first_rejection(orchestrator):
    with pytest.raises(RunFailed) as failed:
        orchestrator.start(judged.write, "failing", "Write.").result(30)
    assert [attempt.outcome for attempt in failed.value.attempts] == ["rejected"]


def test_a_broken_evaluator_is_neither_a_pass_nor_a_fail(orchestrator):
    run = orchestrator.start(judged.write, "unjudged", "Write.")
    assert run.result(30) == judged.SHORT
    step = only_step(run)
    assert step.flagged
    (evaluation,) = step.evaluations
    assert evaluation.score is None
    assert "ZeroDivisionError" in evaluation.error


def test_an_error_of_the_provider_is_retried(orchestrator):
    run = orchestrator.start(judged.ask, "Anything?")
    assert run.result(30) == "at last"
    assert [attempt.outcome for attempt in only_step(run).attempts] == ["error", "ok"]


def test_tools_are_judged_like_models_and_evaluators_can_be_awaited(orchestrator):
    run = orchestrator.start(judged.counted, 4)
    assert run.result(30) == 6
    assert [attempt.outcome for attempt in only_step(run).attempts] == ["rejected", "ok"]
    assert orchestrator.start(judged.judge_directly, 3).result(30) == 0.0


def test_time_in_the_journal_is_the_time_of_the_world(orchestrator, figure: Callable[..., None]):
    before = time.time()
    run = orchestrator.start(authoring.sequential, 1)
    run.result(30)
    after = time.time()
    events = list(run.events())
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert before <= events[0].at <= events[-1].at <= after
    figure("first run of an orchestrator, from start to result", after - before, "s")
