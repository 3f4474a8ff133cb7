"""What tests of workflows are helped with: kills, waits, scripted models, and the check of state against the journal."""

import os
import re
from pathlib import Path

import apsw
import pytest

from greenroom import Fatal, Orchestrator, Pairwise, RetryAfter, Rule, RunFailed
from greenroom.testing import VirtualClock, WaitFailed, assert_state_is_fold, kill, wait_for, where_it_stands
from tests.testing.apps import asking, idle
from tests.testing.apps.idle import DAY, Word

pytestmark = pytest.mark.slow


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Give a gate that steps wait before until something is written to it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


# ---------------------------------------------------------------- what is waited for


def test_a_session_is_waited_for_killed_and_checked_like_a_run(orchestrator, gate: Path) -> None:
    session = orchestrator.session(idle.holds, "door")
    session.tell(Word(text=str(gate)))
    attempt = kill(session, "hold")
    assert (attempt.number, attempt.outcome) == (1, "crash")
    assert wait_for(session, step="hold", status="running").key == "1/hold#1"
    assert kill(session)
    gate.write_text("open")
    wait_for(session, lambda door: door.history()[0].status == "answered")
    assert session.history()[0].reply == 1
    assert not kill(session), "no message is there to handle, and no process has the session"
    assert wait_for(session, status="waiting").id == "holds/door"
    assert "holds/door of workflow holds is waiting" in where_it_stands(session)
    assert_state_is_fold(session)


@pytest.mark.parametrize(
    "look", [kill, where_it_stands, assert_state_is_fold, lambda given: wait_for(given, event="x")]
)
def test_what_is_neither_a_run_nor_a_session_is_refused_in_a_sentence(orchestrator, look) -> None:
    run = orchestrator.start(idle.sleeps, DAY, id="r1")
    nightly = orchestrator.schedule("nightly", idle.sleeps, DAY, every=DAY)
    for given in ("r1", None, run.record, nightly, idle.sleeps):
        with pytest.raises(TypeError, match=f"handle of a run or a session here.* not {re.escape(repr(given)[:40])}"):
            look(given)
    for given in (run.aio, orchestrator.session(idle.holds, "door").aio):
        with pytest.raises(TypeError, match="is for asynchronous code: give its attribute `plain` here"):
            look(given)


# ---------------------------------------------------------------- kill


def test_the_worker_of_a_step_is_killed_while_it_runs_and_the_run_goes_on(orchestrator, gate: Path) -> None:
    run = orchestrator.start(idle.held, str(gate))
    attempt = kill(run, "hold")
    assert (attempt.number, attempt.outcome, attempt.charged) == (1, "crash", False)
    assert attempt.exit is not None
    assert attempt.exit.signal == "SIGKILL"
    assert not Path("/proc", str(attempt.pid)).exists()
    wait_for(run, step="hold", status="running")
    gate.write_text("open")
    assert run.result(timeout=30) != attempt.pid
    assert [attempt.outcome for attempt in run.steps()[0].attempts] == ["crash", "ok"]


def test_a_step_is_killed_once_it_comes_however_long_the_run_sleeps_before(orchestrator, virtual_clock, gate) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.held_after, str(gate), 30 * DAY)
    kill(run, "hold")
    assert (virtual_clock.now() - before).days == 30
    wait_for(run, step="hold", status="running")
    gate.write_text("open")
    assert run.result(timeout=30)


def test_a_kill_that_comes_too_late_says_so(orchestrator) -> None:
    run = orchestrator.start(idle.beside, 0.0, 1.0)
    run.result(timeout=30)
    with pytest.raises(WaitFailed, match="waited for a running attempt of step works, and now nothing follows"):
        kill(run, "works")


def test_the_program_is_killed_at_its_beginning_and_begins_again(orchestrator, virtual_clock) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.waits_for_words, 2)
    assert kill(run)
    assert [stored.type for stored in run.events()].count("program.ended") == 1
    run.signal(Word(text="one"))
    wait_for(run, event="message.taken")
    killed = kill(run)  # a run that waits is dropped from memory after a moment: then there is no process to kill
    assert [stored.type for stored in run.events()].count("program.ended") == 1 + killed
    run.signal(Word(text="two"))
    assert run.result(timeout=30) == ["one", "two"]
    assert virtual_clock.now() == before


def test_a_run_that_waits_for_long_is_in_no_process_and_is_not_woken_to_be_killed(orchestrator, virtual_clock) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.sleeps, 30 * DAY)
    virtual_clock.advance(0)
    assert not kill(run)
    assert virtual_clock.now() == before
    assert run.result(timeout=30) == 30 * DAY
    with pytest.raises(WaitFailed, match="waited for a worker that has its program, and now nothing follows"):
        kill(run)


# ---------------------------------------------------------------- wait_for


def test_a_wait_stops_the_clock_where_its_condition_holds(orchestrator, virtual_clock) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.naps, 10, DAY)

    def fourth(run):
        return [stored for stored in run.events() if stored.type == "timer.fired"][3:]

    (fired,) = wait_for(run, fourth)
    assert fired.at == virtual_clock.time()
    assert (virtual_clock.now() - before).days == 4
    assert wait_for(run, status="waiting").status == "waiting"
    later = wait_for(run, event="timer.fired", after=fired.seq)
    assert (virtual_clock.now() - before).days == 5
    assert later.seq > fired.seq
    assert wait_for(run, status="completed").events == len(list(run.events()))


def test_a_wait_for_a_step_gives_its_record(orchestrator, gate: Path) -> None:
    run = orchestrator.start(idle.held, str(gate))
    assert wait_for(run, step="hold").attempts[0].number == 1
    gate.write_text("open")
    assert wait_for(run, step="hold#1", status="completed").result == run.result(timeout=30)


def test_a_wait_in_vain_says_where_the_run_stands(orchestrator, tmp_path: Path) -> None:
    run = orchestrator.start(idle.waits_for_words, 1)
    wait_for(run, status="waiting")
    with pytest.raises(WaitFailed) as caught:
        wait_for(run, status="completed", timeout=1.0)
    said = str(caught.value)
    assert said.startswith(f"waited 1 s for status completed\nrun {run.id} of workflow waits_for_words is waiting\n")
    assert "  waits for a message: Word (receive(Word)#1)\n" in said
    assert re.search(r"\n +\d+ [-\d]+ [:\d]+ receive\.asked: waits for a message: Word", said)


def test_a_wait_for_what_cannot_come_any_more_fails_at_once(orchestrator, tmp_path: Path) -> None:
    run = orchestrator.start(idle.retries, str(tmp_path / "log"))
    with pytest.raises(
        WaitFailed, match="waited for status paused, and now nothing follows any more\nrun .* completed"
    ):
        wait_for(run, status="paused", timeout=60)
    assert "step flaky#1 is completed, attempt 4: ok" in where_it_stands(run)


@pytest.mark.parametrize("wanted", [{}, {"status": "waiting", "event": "timer.set"}])
def test_a_wait_for_nothing_or_for_several_things_is_refused(orchestrator, wanted) -> None:
    run = orchestrator.start(idle.sleeps, DAY)
    with pytest.raises(ValueError, match="give one thing to wait for"):
        wait_for(run, **wanted)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"status": "wating"}, "the status of a run is one of pending, .*, not 'wating'"),
        ({"status": "retrying"}, "the status of a run is one of pending, .*, not 'retrying'"),
        ({"step": "hold", "status": "ok"}, "the status of a step is one of scheduled, .*, not 'ok'"),
    ],
)
def test_a_wait_for_a_status_that_there_is_not_is_refused_at_once(orchestrator, wanted, told) -> None:
    run = orchestrator.start(idle.sleeps, DAY)
    with pytest.raises(ValueError, match=told):
        wait_for(run, **wanted)


# ---------------------------------------------------------------- scripted models


def test_models_answer_what_the_test_has_written_down(orchestrator, model_scripts, virtual_clock) -> None:
    before = virtual_clock.now()
    wanted = asking.Brief(title="Otters", bullets=["They swim."])
    model_scripts.reply(asking.writer, '{"title": "Otters", "bull', {"title": 5}, TimeoutError("too slow"))
    model_scripts.reply("writer", RetryAfter(3600, "come back later"), wanted)
    run = orchestrator.start(asking.brief, "otters")
    assert run.result(timeout=30) == wanted
    (step,) = run.steps()
    assert [attempt.outcome for attempt in step.attempts] == ["invalid", "invalid", "error", "error", "ok"]
    asked = model_scripts.requests(asking.writer)
    assert [request.attempt for request in asked] == [1, 2, 3, 4, 5]
    assert {request.prompt for request in asked} == {"Write a brief on otters."}
    assert "is not JSON" in asked[1].feedback[0]
    assert (virtual_clock.now() - before).total_seconds() > 3600


def test_concurrent_calls_get_the_replies_for_their_prompts(orchestrator, model_scripts) -> None:
    model_scripts.reply("namer", "Olga", when="otters")
    model_scripts.reply("namer", "Bruno", when="bears")
    assert orchestrator.start(asking.names, ["bears", "otters"]).result(timeout=30) == ["Bruno", "Olga"]


def test_a_script_that_is_over_fails_the_step_for_good_and_says_so(orchestrator, model_scripts) -> None:
    model_scripts.reply("namer", "Olga")
    run = orchestrator.start(asking.names, ["otters", "bears"])
    with pytest.raises(RunFailed, match="the script of LLM `namer` has no reply left for attempt 1 .* it has 1"):
        run.result(timeout=30)


def test_an_exception_may_be_scripted_by_its_class(orchestrator, model_scripts) -> None:
    model_scripts.reply("namer", TimeoutError, "Olga")
    run = orchestrator.start(asking.names, ["otters"])
    assert run.result(timeout=30) == ["Olga"]
    assert "TimeoutError" in run.steps()[0].attempts[0].error


@pytest.mark.parametrize(
    "given",
    [idle.hold, idle.sleeps, idle.holds, Rule.length(most=3), Pairwise("better", rubric="It is better."), None, 3],
)
def test_replies_of_what_asks_no_model_are_refused(model_scripts, given) -> None:
    with pytest.raises(TypeError, match="for an LLM or a Judge, or for the name of one, not for"):
        model_scripts.reply(given, "yes")
    with pytest.raises(TypeError, match="for an LLM or a Judge, or for the name of one, not for"):
        model_scripts.requests(given)


def test_an_exception_that_no_worker_knows_is_refused(model_scripts) -> None:
    class TheirError(Exception):
        pass

    with pytest.raises(TypeError, match="a worker cannot raise TheirError"):
        model_scripts.reply("namer", TheirError())
    assert model_scripts.requests("namer") == []


# ---------------------------------------------------------------- state is the fold of the journal


def test_state_is_the_fold_of_the_journal_at_any_moment(orchestrator, virtual_clock, gate, tmp_path: Path) -> None:
    runs = [
        orchestrator.start(idle.held, str(gate)),
        orchestrator.start(idle.retries, str(tmp_path / "log")),
        orchestrator.start(idle.parent, 3, DAY),
        orchestrator.start(idle.waits_for_words, 2),
    ]
    assert_state_is_fold(orchestrator)
    runs[3].signal(Word(text="one"), key="first")
    kill(runs[0], "hold")
    for run in runs:
        assert_state_is_fold(run)
    gate.write_text("open")
    for run in runs[:3]:
        run.result(timeout=30)
    assert_state_is_fold(orchestrator)


def test_a_retried_run_passes_the_check_and_its_backoff_takes_no_time(orchestrator, model_scripts) -> None:
    model_scripts.reply("namer", Fatal("no"))
    run = orchestrator.start(asking.names, ["otters"])
    with pytest.raises(RunFailed, match="no"):
        run.result(timeout=30)
    assert_state_is_fold(run)
    model_scripts.reply("namer", "Olga")
    run.retry()
    assert run.result(timeout=30) == ["Olga"]
    assert_state_is_fold(run)


def test_schedules_are_a_part_of_the_checked_journal(orchestrator, virtual_clock) -> None:
    nightly = orchestrator.schedule("nightly", idle.sleeps, 60.0, every=DAY)
    orchestrator.schedule("weekly", idle.sleeps, 60.0, every=7 * DAY).pause()
    for look in (lambda: virtual_clock.advance(50 * DAY), nightly.pause, nightly.delete):
        look()
        assert_state_is_fold(orchestrator)


def test_the_damaged_line_of_a_schedule_is_named(orchestrator) -> None:
    orchestrator.schedule("nightly", idle.sleeps, 60.0, every=DAY)
    database = apsw.Connection(str(orchestrator.home.path / "journal.db"))
    database.execute("UPDATE runs SET status = 'failed' WHERE id = '@nightly'")
    with pytest.raises(AssertionError, match="run @nightly: the line of run @nightly in the index .* is damaged"):
        assert_state_is_fold(orchestrator)
    database.close()


@pytest.mark.orchestrator(journal=":memory:")
def test_the_check_works_on_a_journal_in_memory(orchestrator) -> None:
    assert orchestrator.start(idle.sleeps, DAY).result(timeout=30) == DAY
    assert_state_is_fold(orchestrator)


def test_a_state_that_strays_from_its_journal_is_named(orchestrator) -> None:
    run = orchestrator.start(idle.waits_for_words, 1)
    wait_for(run, status="waiting")
    supervised = orchestrator._engine.runs._states[run.id]
    supervised.received = 7
    with pytest.raises(AssertionError, match=r"in memory, after event \d+, received is 7, and the fold .* has 0"):
        assert_state_is_fold(orchestrator)
    supervised.received = 0


def test_a_journal_that_was_tampered_with_is_named(tmp_path: Path) -> None:
    clock = VirtualClock()
    with Orchestrator(home=tmp_path, clock=clock) as orchestrator:
        run = orchestrator.start(idle.sleeps, DAY)
        run.result(timeout=30)
        assert_state_is_fold(run)
    with apsw.Connection(str(tmp_path / "journal.db")) as database:
        database.execute("UPDATE runs SET status = 'failed'")
    database.close()
    said = "the line of run .* in the index .* is damaged"
    with Orchestrator(home=tmp_path, clock=clock) as orchestrator, pytest.raises(AssertionError, match=said):
        assert_state_is_fold(orchestrator)
