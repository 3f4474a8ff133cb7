"""Agents: what their model is told of failures, and that no call is made twice, whatever is killed."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from greenroom import AgentFailed, Orchestrator, RunFailed, TurnFailed
from greenroom.messages.core.json_text import plain
from greenroom.messages.events.events import RunCompleted
from greenroom.testing import assert_state_is_fold
from tests.acceptance.apps.agents import agents
from tests.acceptance.harness import pools, reached
from tests.acceptance.journal_prefixes import boundaries, history, write_prefix
from tests.support import eventually


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that the tools of the app write to, in every process that loads the app."""
    path = tmp_path / "log.txt"
    monkeypatch.setenv("AGENT_LOG", str(path))
    return path


def open_orchestrator(path: Path) -> Orchestrator:
    return Orchestrator(path, pools=pools(), env=("AGENT_LOG",))


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def told(run) -> list[tuple[str, bool]]:
    """Give what the model of a run was told by its tools, and whether it was a failure."""
    found = []
    for stored in run.events():
        use = getattr(stored.event, "transcript", None)
        for entry in use.new if use is not None else ():
            message: Any = plain(entry.message)
            if message["role"] == "tool":
                found.append((message["text"], message["failed"]))
    return found


def test_an_agent_uses_its_tools_and_answers(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.report, str(log))
        assert run.result(timeout=30) == agents.Report(title="otters", found=3)
        assert sorted(lines(log)) == ["one", "three", "two"]
        assert [step.key for step in run.steps()] == [
            "reporter#1/model#1",
            "reporter#1/note[c0]#1",
            "reporter#1/note[c1]#1",
            "reporter#1/model#2",
            "reporter#1/note[c0]#2",
            "reporter#1/model#3",
        ]


def test_failures_of_tools_are_told_to_the_model(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.tumble)
        assert run.result(timeout=30) == "I give up"
        texts = told(run)
    assert [failed for _, failed in texts] == [True, True, True]
    assert "exit code 7" in texts[0][0] or "exited with 7" in texts[0][0] or "7" in texts[0][0]
    assert "outcome is unknown" in texts[1][0]
    assert "overran its time of 1 s and was killed" in texts[2][0]


def test_a_person_approves_refuses_and_edits(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        for decision, paid in (("approve", ["paid 5"]), ("reject", []), ("edit", ["paid 2"])):
            log.unlink(missing_ok=True)
            run = orchestrator.start(agents.buy)
            (question,) = eventually(orchestrator.approvals, what="a question")
            assert question.action == "agent `cashier` calls pay"
            changed = {"args": {"amount": 2, "log": str(log)}} if decision == "edit" else {}
            orchestrator.decide(question.id, decision, comment="so it be", **changed)
            assert run.result(timeout=30) == "well"
            assert lines(log) == paid
            if decision == "reject":
                assert told(run) == [("a person has refused this call: so it be", True)]
            elif decision == "edit":
                ((text, failed),) = told(run)
                assert text.startswith('a person has changed the arguments of this call to {"amount":2,')
                assert text.endswith("}: so it be\n\npaid 2")
                assert not failed
            else:
                assert told(run) == [("paid 5", False)]


def test_evaluators_judge_the_answer_and_not_the_calls_of_tools(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.sign, escalate=False)
        assert run.result(timeout=30) == "hello? hello! Yours, the desk"
        asked, _, answered = run.steps()
        assert asked.evaluations == ()
        assert [evaluation.passed for evaluation in answered.evaluations] == [False, True]
        assert [attempt.outcome for attempt in answered.attempts] == ["rejected", "ok"]


def test_a_person_replaces_the_answer_of_an_agent(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.sign, escalate=True)
        (question,) = eventually(orchestrator.approvals, what="a question")
        assert question.args == "no"
        orchestrator.decide(question.id, "edit", args="the person's own")
        assert run.result(timeout=30) == "the person's own"
        assert_state_is_fold(run)


def test_an_agent_is_a_tool_of_another(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.lead)
        assert run.result(timeout=30) == "all done"
        assert told(run)[-1] == ("I have helped", False)
        assert "boss#1/helper[c0]#1/note[c0]#1" in [step.key for step in run.steps()]


def test_a_fallback_answers_when_the_first_model_is_down(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.ask_unsure)
        assert run.result(timeout=30) == "from the second"
        assert [(step.key, step.status, len(step.attempts)) for step in run.steps()] == [
            ("unsure#1/model#1", "failed", 2),
            ("unsure#1/model#2", "completed", 1),
        ]


def test_a_session_holds_an_agentshistory(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        talk = orchestrator.session(agents.chat, "ann")
        assert talk.ask(agents.Say(text="a"), timeout=30) == "one"
        assert talk.ask(agents.Say(text="b"), timeout=30) == "two"
        size = len(talk.state.model_dump_json())
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        talk = orchestrator.session(agents.chat, "ann")
        assert talk.ask(agents.Say(text="c"), timeout=30) == "three"
        assert len(talk.state.model_dump_json()) <= size + 4
        assert_state_is_fold(orchestrator)
    assert lines(log) == ["said"]


@pytest.mark.slow
def test_an_agent_goes_on_after_tools_that_break_every_limit(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.endure)
        assert run.result(timeout=50) == "I have seen it all"
        texts = told(run)
        assert [failed for _, failed in texts] == [True] * len(agents.HOWS) + [False]
        assert all("the call failed: step patient#1/" in text for text, failed in texts if failed)
        steps = list(run.steps())
        for before, after in zip(steps[1:-2:2], steps[2::2], strict=False):  # a tool, and the model call that follows
            assert before.kind == "tool"
            limit = 1.0 if before.name == "slow" else 20.0  # a leak ends at its limit of memory, not of time
            waited = (after.scheduled_at - before.scheduled_at).total_seconds()
            assert waited < limit + 3.0, f"{before.key} {before.arguments}: {waited:.2f} s"


@pytest.mark.slow
def test_a_chat_is_watched_cancelled_in_a_tool_and_goes_on(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator, ThreadPoolExecutor(1) as threads:
        chat = orchestrator.session(agents.talk, "ann")
        asking = threads.submit(chat.ask, agents.Say(text="one"), 30)
        eventually(chat.history)
        items = []
        for item in chat.stream("answer", follow=True):
            items.append(item)
            if item.kind == "final":
                break
        assert "".join(str(item.value) for item in items if item.kind == "partial") == items[-1].value
        assert items[-1].value == asking.result(30)
        assert len(items) > 3
        asking = threads.submit(chat.ask, agents.Say(text="two"), 30)
        reached(tmp_path, "brood")
        assert chat.cancel_turn("changed my mind") is True
        with pytest.raises(TurnFailed, match="changed my mind"):
            asking.result(30)
        (tmp_path / "brood").touch()
        last = chat.ask(agents.Say(text="three"), 30)
        assert last == "These are the words of the last answer."
        finals = [item.value for item in chat.stream("answer") if item.kind == "final"]
        assert finals == [items[-1].value, "I think about it.", "I think about it.", last]
        assert_state_is_fold(orchestrator)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_after_any_event_an_agent_gives_the_same_answer_and_makes_no_call_twice(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "whole.db") as orchestrator:
        run = orchestrator.start(agents.report, str(log), id="r")
        right = run.result(timeout=30)
    events = history(tmp_path / "whole.db", "r")
    assert isinstance(events[-1], RunCompleted)
    assert len(events) > 20
    for length in boundaries(events):
        done = {event.key for event in events[:length] if event.type == "attempt.ended"}
        begun = {event.key for event in events[:length] if event.type == "attempt.started"}
        log.unlink(missing_ok=True)
        path = tmp_path / f"cut{length}.db"
        write_prefix(path, "r", events[:length])
        with open_orchestrator(path) as orchestrator:
            run = orchestrator.get("r")
            assert run.result(timeout=30) == right, f"after {length} events"
            steps = {step.key: step for step in run.steps()}
        assert [key.rpartition("/")[2] for key in steps] == [
            "model#1",
            "note[c0]#1",
            "note[c1]#1",
            "model#2",
            "note[c0]#2",
            "model#3",
        ]
        notes = {key for key in steps if "/note[" in key}
        assert len(lines(log)) == len(notes - done), f"after {length} events"
        assert all(len(steps[key].attempts) == 1 for key in steps if key in done or key not in begun)
        path.unlink()


@pytest.mark.slow
def test_killed_workers_do_not_change_an_agents_answer(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        for _ in range(3):
            log.unlink(missing_ok=True)
            run = orchestrator.start(agents.report, str(log))
            for worker in orchestrator.workers():
                if worker.pid is not None:
                    os.kill(worker.pid, signal.SIGKILL)
            assert run.result(timeout=30) == agents.Report(title="otters", found=3)
            assert set(lines(log)) == {"one", "two", "three"}


def test_a_model_of_ones_own_is_given_its_tools_and_what_it_has_answered_as_plain_values(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        asked, form = orchestrator.start(agents.speak_frankly).result(timeout=30)
        assert asked == ["text", "log"]
        assert form["properties"]["text"]["type"] == "string"


def test_an_agent_that_runs_in_circles_fails_the_run(tmp_path, home, mark, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(agents.circle)
        with pytest.raises(RunFailed, match="goes round in circles") as caught:
            run.result(timeout=30)
        assert isinstance(caught.value.cause, AgentFailed)
        assert caught.value.fields == {"agent": "circler", "reason": "loop"}
