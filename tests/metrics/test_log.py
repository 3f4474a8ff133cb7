"""The structured log."""

import io
import json
import re
import stat
import subprocess
import sys
import threading
import time
from typing import get_args

import pytest
from loguru import logger

from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.events import events as ev
from greenroom.messages.events import schedules as sc
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Plan
from greenroom.messages.options.policy import SampledEvaluator, Sampling, StepOptions
from greenroom.messages.records.attempts import Reservation
from greenroom.messages.records.evaluation import Evaluation
from greenroom.metrics.event_sentences import LONGEST
from greenroom.metrics.log import configure, describe, heard, record, record_worker, silence
from greenroom.metrics.printable import printable

KEY = "search#1"
KILLED = Failure(outcome="crash", exit=Exit(kind="signaled", signal="SIGKILL"))
CRASHED = ev.AttemptEnded(at=1.0, key=KEY, attempt=1, token="1:1", outcome="crash", failure=KILLED)
STARTED = ev.AttemptStarted(at=1.0, key=KEY, attempt=1, token="1:1", worker="tool-1", pid=7, incarnation=2)

SENTENCES = [
    (
        ev.CodeAdopted(at=1.0, fingerprint="0123456789abcdef"),
        "run r goes on with code 0123456789abcdef, which asks for what is recorded",
    ),
    (ev.RunStarted(at=1.0, run_id="r", app="a.py", workflow="w", arguments={}), "run r started: workflow w"),
    (
        ev.AnswerSampled(
            at=1.0,
            sample="search#1@1",
            key=KEY,
            attempt=1,
            result="x",
            arguments={},
            threshold=0.7,
            sampling=Sampling(evaluators=(SampledEvaluator(ref="a:kind", share=0.1),)),
        ),
        "run r step search#1 has the result rated in the background by kind",
    ),
    (
        ev.AnswerRated(
            at=1.0,
            sample="3:",
            turn=3,
            evaluations=(
                Evaluation(name="kind", score=0.25, passed=False, threshold=0.7, background=True),
                Evaluation(name="short", score=None, passed=False, threshold=0.7, background=True),
            ),
        ),
        "run r has scores from the background for the reply to message 3: kind 0.25, short failed",
    ),
    (
        ev.StepScheduled(
            at=1.0, key=KEY, name="search", kind="tool", step="a:s", arguments=None, options=StepOptions()
        ),
        "run r step search#1 is due: tool search",
    ),
    (
        ev.StepEmitted(at=1.0, key=KEY, attempt=2, channel="log", offset=7, value="secret"),
        "run r step search#1 attempt 2 emits value 7 of log",
    ),
    (
        ev.StepEmitted(at=1.0, key=KEY, attempt=2, channel="log", offset=8, value="secret", final=True),
        "run r step search#1 attempt 2 emits final value 8 of log",
    ),
    (
        ev.ValuesDiscarded(at=1.0, key=KEY, attempt=2, offsets={"log": 9, "text": 0}),
        "run r step search#1 attempt 2 was lost: what it emitted on log, text does not count",
    ),
    (STARTED, "run r step search#1 attempt 1 started on tool-1 (pid 7, life 2)"),
    (
        ev.AttemptProgressed(at=1.0, key=KEY, attempt=1, token="1:1", detail={"done": 1}),
        f'run r step {KEY} attempt 1 says how far it is: {{"done":1}}',
    ),
    (
        ev.AttemptMoved(at=1.0, key=KEY, attempt=1, token="1:1", worker="tool-2", pid=8, incarnation=3),
        (
            "run r step search#1 attempt 1 was given to tool-2 (pid 8, life 3), as its first worker died without "
            "having read it"
        ),
    ),
    (CRASHED, "run r step search#1 attempt 1 crashed: was killed by SIGKILL"),
    (
        CRASHED.model_copy(update={"charged": False}),
        "run r step search#1 attempt 1 crashed: was killed by SIGKILL (not counted against the step)",
    ),
    (
        ev.AttemptEnded(at=1.0, key=KEY, attempt=2, token="1:2", outcome="ok", result=[1]),
        "run r step search#1 attempt 2 succeeded",
    ),
    (
        ev.AttemptEnded(
            at=1.0,
            key=KEY,
            attempt=2,
            token="1:2",
            outcome="error",
            failure=Failure(outcome="error", type="ValueError", message="bad {0} <red>\nrun r completed"),
        ),
        r"run r step search#1 attempt 2 failed: ValueError: bad {0} <red>\nrun r completed",
    ),
    (
        ev.JudgeAsked(
            at=1.0,
            key=KEY,
            attempt=1,
            token="1:3",
            judge="concise",
            reserved=Reservation(tokens=9, usd=0.25, max_tokens=5),
        ),
        "run r step search#1 attempt 1 is shown to judge concise, for at most 0.25 USD",
    ),
    (
        ev.JudgeAnswered(at=1.0, key=KEY, attempt=1, token="1:3", usage={"usd": 0.125}),
        "run r step search#1 a judge of attempt 1 is done, which cost 0.125 USD",
    ),
    (
        ev.JudgeAnswered(at=1.0, key=KEY, attempt=1, token="1:3"),
        "run r step search#1 a judge of attempt 1 is done: nobody knows what it cost",
    ),
    (
        ev.StepEvaluated(
            at=1.0,
            key=KEY,
            attempt=1,
            verdict="retry",
            evaluations=(
                Evaluation(name="concise", score=0.25, passed=False, threshold=0.7),
                Evaluation(name="true", passed=False, threshold=0.7, error="broke"),
            ),
        ),
        "run r step search#1 attempt 1 was judged: retry (concise 0.25, true failed)",
    ),
    (
        ev.RetryScheduled(at=1.0, key=KEY, attempt=2, due=1.4, solo=True),
        "run r step search#1 attempt 2 follows in 0.4 s, alone in a fresh worker",
    ),
    (
        ev.StepCompleted(at=1.0, key=KEY, attempt=2, flagged=True),
        "run r step search#1 completed with attempt 2, flagged for review",
    ),
    (
        ev.StepFailed(at=1.0, key=KEY, reason="quarantined", failure=KILLED),
        "run r step search#1 failed (quarantined): was killed by SIGKILL",
    ),
    (ev.TimerSet(at=1.0, key="sleep#1", due=3.5), "run r waits for 2.5 s (sleep#1)"),
    (ev.TimerFired(at=1.0, key="sleep#1"), "run r has waited long enough (sleep#1)"),
    (ev.TimerCancelled(at=1.0, key="sleep#1"), "run r waits no longer (sleep#1)"),
    (
        ev.ChildScheduled(at=1.0, key="c", run_id="r2", app="a.py", workflow="v", arguments={}),
        "run r asks for run r2 of workflow v",
    ),
    (ev.ChildEnded(at=1.0, key="c", run_id="r2", failure=KILLED), "run r sees run r2 failed: was killed by SIGKILL"),
    (
        ev.ApprovalAsked(at=1.0, key="approve#1", action="release 7", args={"token": "secret"}),
        "run r waits for a person: release 7 (approve#1)",
    ),
    (
        ev.ApprovalAsked(at=1.0, key="a#1@2", action="use the result of a", args=1, step="a#1", reason="b gave 0.20"),
        "run r waits for a person: use the result of a, as b gave 0.20 (a#1@2)",
    ),
    (
        ev.ApprovalDecided(at=1.0, key="approve#1", decision="edit", args=None, comment="safer", by="ada"),
        "run r has approval of something else by ada (approve#1): safer",
    ),
    (ev.ApprovalDecided(at=1.0, key="k", decision="reject", args=None), "run r is rejected (k)"),
    (ev.ApprovalWithdrawn(at=1.0, key="approve#1"), "run r waits for a person no longer (approve#1)"),
    (
        ev.ValueEmitted(at=1.0, key="1/emit(log)", number=3, channel="log", offset=7, value="secret"),
        "run r emits value 7 of log (1/emit(log)#3)",
    ),
    (ev.StateChanged(at=1.0, state={}), "run r changed its state"),
    (ev.ProgramStarted(at=1.0, worker="program-1", pid=7, incarnation=2), "run r runs on program-1 (pid 7, life 2)"),
    (
        ev.ProgramEnded(at=1.0, exit=Exit(kind="hung"), charged=False),
        "run r lost its program: the process hung (not counted against the run)",
    ),
    (ev.CancelRequested(at=1.0), "run r is to be cancelled"),
    (ev.CancelHeard(at=1.0), "run r has been told that it is cancelled"),
    (ev.CleanupLimited(at=1.0, due=2.0), "run r has until 1970-01-01T00:00:02+00:00 to clean up"),
    (ev.RunCompleted(at=1.0), "run r completed"),
    (
        ev.RunFailed(at=1.0, failure=Failure(outcome="error", type="KeyError", message="'x'"), step=KEY),
        "run r failed at step search#1: KeyError: 'x'",
    ),
    (ev.RunCancelled(at=1.0, reason="enough"), "run r was cancelled: enough"),
    (ev.RunParked(at=1.0, reason="the code changed"), "run r is parked: the code changed"),
    (ev.MessageReceived(at=1.0, number=3, name="Go", value={"n": 1}), "run r is sent message 3, a Go"),
    (ev.ReceiveAsked(at=1.0, key="g#1", name="Go"), "run r waits for a message: Go (g#1)"),
    (ev.MessageTaken(at=1.0, key="g#1", number=3), "run r takes message 3 (g#1)"),
    (ev.MessageRefused(at=1.0, key="g#1", reason="n: no"), "run r cannot take its message (g#1): n: no"),
    (ev.ReceiveWithdrawn(at=1.0, key="g#1"), "run r waits for a message no longer (g#1)"),
    (
        ev.MessageSent(at=1.0, key="tell(chat/a)#1", to="chat/a", name="Go", value=1),
        "run r sends chat/a a Go (tell(chat/a)#1)",
    ),
    (
        ev.MessageDelivered(at=1.0, key="tell(chat/a)#1"),
        "run r hears that its message has arrived (tell(chat/a)#1)",
    ),
    (
        ev.MessageDelivered(at=1.0, key="tell(chat/a)#1", refused="it is closed"),
        "run r hears that its message was not taken (tell(chat/a)#1): it is closed",
    ),
    (ev.SessionOpened(at=1.0, run_id="r", app="a.py", session="chat", key="r"), "run r is opened: session chat"),
    (ev.TurnEnded(at=1.0, number=3), "run r has answered message 3"),
    (
        ev.TurnCancelRequested(at=1.0, number=3, reason="too slow"),
        "run r is told to cancel the turn of message 3: too slow",
    ),
    (
        ev.TurnFailed(
            at=1.0, number=3, name="Go", value=1, failure=Failure(outcome="cancelled", message="why"), cancelled=True
        ),
        "run r has cancelled the turn of message 3: why",
    ),
    (
        ev.TurnFailed(at=1.0, number=3, name="Go", value=1, failure=KILLED, step="3/x#1"),
        "run r sets message 3 aside, a dead letter, at step 3/x#1: was killed by SIGKILL",
    ),
    (ev.DeadLetterSettled(at=1.0, letter="3", how="dropped"), "run r has its dead letter 3 dropped"),
    (ev.CloseRequested(at=1.0), "run r takes no more messages"),
    (ev.SessionClosed(at=1.0), "run r is closed"),
    (ev.RunPaused(at=1.0, reason="for lunch"), "run r is paused: for lunch"),
    (ev.RunRetried(at=1.0, cut=7, reopened=(KEY,)), "run r is retried from event 7 on, beginning anew: search#1"),
    (ev.RunForked(at=1.0, origin="q", key=KEY), "run r parts from run q at search#1"),
    (
        ev.RunForked(at=1.0, origin="q", key=KEY, given=True),
        "run r parts from run q at search#1, whose result is given",
    ),
    (ev.RunResumed(at=1.0), "run r goes on"),
]

PLAN = Plan(app="a.py", workflow="w", arguments={}, cron="0 3 * * *")
OF_SCHEDULES = [
    (sc.ScheduleCreated(at=1.0, name="s", plan=PLAN, anchor=1.0, due=2.0), "is made: workflow w at 0 3 * * * (UTC)"),
    (
        sc.ScheduleChanged(at=1.0, plan=PLAN.model_copy(update={"cron": None, "every": 60.0}), anchor=1.0, due=2.0),
        "is changed: workflow w every 60 s",
    ),
    (sc.SchedulePaused(at=1.0, reason="for lunch"), "is paused: for lunch"),
    (sc.ScheduleResumed(at=1.0, due=2.0), "goes on"),
    (sc.ScheduleFired(at=1.0, run_id="s-1", due=1.0, next_due=2.0), "starts run s-1"),
    (sc.ScheduleQueued(at=1.0, run_id="s-2", due=1.0), "has run s-2 wait for an earlier one"),
    (
        sc.ScheduleSkipped(at=1.0, due=0.0, why="overlap", run_id="s-1"),
        "skips the run that was due at 1970-01-01T00:00:00+00:00: another one comes first (run s-1)",
    ),
    (
        sc.ScheduleSkipped(at=1.0, due=0.0, why="late", count=7),
        "skips 7 runs from 1970-01-01T00:00:00+00:00 on: it is too late for that",
    ),
    (sc.ScheduleRunStarted(at=1.0, run_id="s-1"), "has started run s-1"),
    (sc.ScheduleRunRefused(at=1.0, run_id="s-1", reason="no such file"), "cannot start run s-1: no such file"),
    (sc.ScheduleRunEnded(at=1.0, run_id="s-1", status="failed"), "sees run s-1 end: failed"),
    (sc.ScheduleDeleted(at=1.0), "is deleted"),
    (
        sc.ScheduleKept(
            at=1.0, state=sc.ScheduleState(name="s", plan=PLAN, anchor=1.0, created_at=1.0, updated_at=1.0, due=2.0)
        ),
        "is written down whole",
    ),
]


@pytest.fixture(autouse=True)
def quiet():
    """Leave the log silent for the next test."""
    yield
    silence()


@pytest.fixture
def stream():
    return io.StringIO()


def objects(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(("event", "sentence"), SENTENCES, ids=[type(event).__name__ for event, _ in SENTENCES])
def test_every_event_is_a_sentence(event, sentence):
    assert describe("r", "w", event) == sentence


@pytest.mark.parametrize(("event", "sentence"), OF_SCHEDULES)
def test_every_event_of_a_schedule_is_a_sentence(event, sentence):
    assert describe("@s", "w", event) == f"schedule s {sentence}"


def test_no_event_is_without_a_sentence():
    every = set(get_args(get_args(AnyEvent)[0]))
    assert {type(event) for event, _ in SENTENCES + OF_SCHEDULES} == every


def test_people_get_the_time_and_the_sentence(stream):
    configure(stream=stream)
    record("research-1", "w", CRASHED)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d run research-1 step search#1 attempt 1 crashed: was killed by SIGKILL\n", stream.getvalue()
    )


def test_machines_get_one_object_per_line(stream):
    configure(stream=stream, json=True, level="DEBUG")
    record("r", "w", STARTED)
    record("r", "w", CRASHED)
    first, second = objects(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", first.pop("time"))
    assert first == {
        "level": "DEBUG",
        "event": "attempt.started",
        "run": "r",
        "workflow": "w",
        "step": "search#1",
        "attempt": 1,
        "token": "1:1",
        "worker": "tool-1",
        "pid": 7,
        "incarnation": 2,
        "message": "run r step search#1 attempt 1 started on tool-1 (pid 7, life 2)",
        "logger": "greenroom.metrics.log",
    }
    assert (second["level"], second["outcome"]) == ("WARNING", "crash")


def test_a_workers_life_is_logged(stream):
    configure(stream=stream, json=True)
    record_worker(worker="tool-1", pid=7, incarnation=2, what="died", detail="was killed\n by SIGKILL", level="WARNING")
    (line,) = objects(stream)
    assert line["message"] == r"worker tool-1 (pid 7, life 2) died: was killed\n by SIGKILL"
    assert (line["event"], line["worker"], line["pid"], line["incarnation"]) == ("worker.died", "tool-1", 7, 2)


def test_less_important_events_are_left_out(stream):
    configure(stream=stream, level="WARNING")
    record("r", "w", STARTED)
    record_worker(worker="tool-1", pid=7, incarnation=2, what="started")
    assert stream.getvalue() == ""
    record("r", "w", CRASHED)
    assert stream.getvalue() != ""


EVIL = "{0.__class__} {unknown} <red>x</red> \x1b[2J\r\n12:00:00 run r completed \u202e\ud800 \x00"


@pytest.mark.parametrize("as_json", [False, True])
def test_hostile_text_stays_text_on_one_line(stream, as_json):
    configure(stream=stream, json=as_json)
    record("r", "w", ev.RunParked(at=1.0, reason=EVIL))
    record_worker(worker=EVIL, pid=None, incarnation=1, what="started", detail=EVIL)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable()
        assert "{0.__class__} {unknown} <red>x</red>" in line


def test_endless_text_is_cut():
    sentence = describe("r", "w", ev.RunParked(at=1.0, reason="x" * 10**6))
    assert len(sentence) < LONGEST + 50
    assert sentence.endswith("more characters)")


def test_printable_text_is_not_changed():
    assert printable("Grüße, 世界 \U0001f600") == "Grüße, 世界 \U0001f600"
    assert printable("a\tb\u2028c\x9b") == r"a\tb\u2028c\x9b"


def test_the_file_gets_json_and_is_for_its_owner_only(tmp_path, stream):
    path = tmp_path / "home" / "log.jsonl"
    configure(stream=stream, path=path)
    record("r", "w", CRASHED)
    silence()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["message"] in stream.getvalue()


def test_configuring_again_replaces_the_places(stream):
    configure(stream=stream)
    other = io.StringIO()
    configure(stream=other)
    record("r", "w", CRASHED)
    assert stream.getvalue() == ""
    assert len(other.getvalue().splitlines()) == 1


def test_secrets_are_masked_in_messages_fields_and_tracebacks(stream):
    configure(stream=stream, json=True, secrets=["sk-12345", "", "sk-123"])
    record("r", "w", ev.RunParked(at=1.0, reason="with sk-12345"))
    record("run-sk-12345", "w", ev.RunCompleted(at=1.0))
    engine_fault("sk-12345")
    assert "sk-123" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 4


def engine_fault(text):
    """Log an exception as a module of the package does."""
    local_key = "sk-local"
    try:
        float(text)
    except ValueError as error:
        ours = logger.patch(lambda line: line.update({"name": "greenroom.workflows.runs.actor"}))
        ours.opt(exception=error).error("run {} stopped", "r")
    assert local_key


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_shows_no_variables_and_cannot_forge_a_line(stream, as_json):
    configure(stream=stream, json=as_json)
    engine_fault("first\n12:00:00 run r completed\x1b[2J")
    text = stream.getvalue()
    assert "run r stopped" in text
    assert "ValueError" in text
    assert "sk-local" not in text
    assert "\x1b" not in text
    assert not any(line.startswith("12:00:00 run r completed") for line in text.splitlines())


def test_an_application_that_embeds_the_package_hears_nothing_until_it_asks():
    script = (
        "import sys\n"
        "from loguru import logger\n"
        "from greenroom.metrics.log import configure, record, silence\n"
        "from greenroom.messages.events.events import RunCompleted\n"
        "record('r', 'w', RunCompleted(at=1.0))\n"
        "logger.info('the application speaks')\n"
        "configure()\n"
        "record('r', 'w', RunCompleted(at=1.0))\n"
        "silence()\n"
        "record('r', 'w', RunCompleted(at=1.0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("the application speaks")
    assert lines[1].endswith("run r completed")


def test_the_applications_own_lines_do_not_enter_our_log(stream):
    configure(stream=stream)
    logger.info("the application speaks")
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("hasty_threads")
def test_the_log_may_be_changed_while_other_threads_record(stream):
    def change():
        for _ in range(200):
            configure(stream=stream, level="ERROR")
            with heard(lambda *_: None):
                pass
            silence()

    changing = threading.Thread(target=change)
    changing.start()
    while changing.is_alive():
        record("r", "w", STARTED)
        record_worker(worker="tool-1", pid=7, incarnation=2, what="started")
    changing.join()
    assert stream.getvalue() == ""


def test_recording_while_silent_costs_next_to_nothing():
    rounds = 10_000
    begin = time.process_time()
    for _ in range(rounds):
        record("r", "w", CRASHED)
    assert (time.process_time() - begin) / rounds < 2e-6
