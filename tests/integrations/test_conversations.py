"""Conversations of Pydantic AI's agents: what a run stores of them, and what readers, forks and sessions see."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="pip install 'greenroom[pydantic-ai]'")

from greenroom import Orchestrator, StepFailed
from greenroom.integrations.pydantic_ai.conversations import stored_with_outcome, take_messages
from greenroom.messages.core.json_text import plain
from greenroom.messages.frames.replay_differences import FORM
from greenroom.messages.transcript import TranscriptUse
from greenroom.testing import wait_for
from greenroom.workflows.runs.starts import start
from tests.integrations.apps import agents


def asked(run: Any) -> list[Any]:
    """Give the events with which model calls were asked for."""
    scheduled = [stored.event for stored in run.events() if stored.type == "step.scheduled"]
    return [event for event in scheduled if event.kind == "llm"]


def test_a_request_brings_only_the_messages_that_the_run_does_not_store(orchestrator) -> None:
    run = orchestrator.start(agents.office, "where are the otters?")
    run.result(timeout=30)
    assert [len(event.transcript.new) for event in asked(run)] == [1, 2, 2]
    assert all(event.transcript.library == "pydantic_ai" for event in asked(run))
    for event in asked(run):
        arguments: Any = plain(event.arguments)
        (request,) = arguments["args"]
        assert request["messages"] == event.transcript.tip


def test_runs_of_agents_share_what_they_have_in_common(orchestrator) -> None:
    run = orchestrator.start(agents.twice, "where?")
    run.result(timeout=30)
    *_, third = asked(run)
    assert third.key == "clerk#1/model#1"
    assert len(third.transcript.new) == 2  # the first run's last answer, and the new question


class Port:
    """What a conversation asks of its program."""

    def __init__(self, form: int = FORM) -> None:
        self.form = form


def taken(port: Any, *texts: str) -> TranscriptUse:
    wire: dict[str, Any] = {"messages": [{"kind": "request", "parts": [{"content": text}]} for text in texts]}
    use = take_messages(port, wire)
    assert use is not None
    assert wire == {"messages": use.tip}
    return use


def test_messages_of_a_request_that_was_withdrawn_are_brought_again() -> None:
    port: Any = Port()
    with pytest.raises(asyncio.CancelledError), stored_with_outcome(port, taken(port, "a", "b")):
        raise asyncio.CancelledError
    assert len(taken(port, "a", "b").new) == 2
    with pytest.raises(StepFailed), stored_with_outcome(port, taken(port, "a", "b")):
        raise StepFailed("no answer", step="model", attempts=1, outcome="error")
    assert [len(taken(port, *texts).new) for texts in ("ab", "abc", "xb")] == [0, 1, 2]


def test_a_transcript_shows_who_said_what(orchestrator) -> None:
    run = orchestrator.start(agents.office, "where are the otters?")
    last = run.result(timeout=30)
    said = run.transcript()
    assert [message.role for message in said] == ["user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert (said[0].text, said[-1].text) == ("where are the otters?", last)
    assert [(call.name, call.arguments) for call in said[1].calls] == [
        ("search", '{"query":"otters"}'),
        ("count", '{"words":["a","b"]}'),
    ]
    assert [(said[2].call, said[2].name, said[2].text), said[3].text] == [("c1", "search", "found otters"), "2"]
    assert run.transcript("clerk#1") == said
    assert run.transcript("clerk#1/model#1") == said[:2]


def test_a_transcript_shows_which_tools_have_failed(orchestrator) -> None:
    run = orchestrator.start(agents.trouble)
    run.result(timeout=40)
    told = [message for message in run.transcript() if message.role == "tool"]
    assert told
    assert all(message.failed for message in told)
    assert "LookupError: no such index" in told[0].text


def test_a_session_shows_its_newest_turn_with_all_that_was_said_before(orchestrator) -> None:
    chat = orchestrator.session(agents.talk, "grace")
    for text in ("hello", "and now?"):
        chat.ask(agents.Said(text=text), timeout=30)
    assert [message.text for message in chat.transcript() if message.role == "user"] == ["hello", "and now?"]


def test_a_fork_goes_on_from_a_model_call_and_repeats_nothing_before_it(orchestrator, lines) -> None:
    run = orchestrator.start(agents.office, "where are the otters?")
    run.result(timeout=30)
    fork = run.fork(at="clerk#1/model#2")
    assert fork.result(timeout=30) == "found otters | 2 | found seals"
    assert Counter(line["step"] for line in lines(fork)) == Counter(
        ["clerk#1/model#2", "clerk#1/search[c3]#1", "clerk#1/model#3"]
    )
    assert fork.transcript() == run.transcript()


def test_a_journal_whose_requests_hold_whole_conversations_is_replayed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AGENTS_LOG", str(tmp_path / "effects.log"))
    monkeypatch.setattr(start, "FORM", FORM - 1)
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", durability="process") as orchestrator:
        wait_for(orchestrator.start(agents.resumed, "where?", id="older"), status="waiting", timeout=60)
    monkeypatch.undo()
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", durability="process") as orchestrator:
        older = orchestrator.get("older")
        older.signal(agents.Said(text="go on"))
        assert older.result(timeout=30) == ["found otters | 2 | found seals"] * 2
        first, *_ = asked(older)
        assert first.transcript is None
        arguments: Any = plain(first.arguments)
        assert [message["kind"] for message in arguments["args"][0]["messages"]] == ["request"]
        assert {event.transcript for event in asked(older)} == {None}
