"""Transcripts: what a model has read and answered, in a run and over the turns of a session, through each door."""

import pytest

from greenroom import InvalidInput, RunNotFound
from tests.dashboard.apps.talking import Say, answer, chat, silent

pytestmark = pytest.mark.slow


def roles(messages):
    return [message.role for message in messages]


def test_a_run_tells_what_its_agent_has_read_and_answered(orchestrator, client, api):
    run = orchestrator.start(answer, "Where is my order A-17?", id="asked")
    reply = run.result(60)
    question, call, found, last = run.transcript()
    assert roles(run.transcript()) == ["user", "assistant", "tool", "assistant"]
    assert question.text == "Where is my order A-17?"
    assert [each.name for each in call.calls] == ["find_order"]
    assert (found.call, found.text, found.failed) == (call.calls[0].id, "A-17 is on its way", False)
    assert last.text == reply
    assert run.transcript("desk#1") == run.transcript() == client.get("asked").transcript()
    assert run.transcript("desk#1/model#1") == [question, call]
    listed = api.get("/runs/asked/transcript", params={"step": "desk#1/model#1"}).json()
    assert listed == [question.model_dump(mode="json"), call.model_dump(mode="json")]
    fork = run.fork(at="desk#1/model#2", result="Soon.")
    assert fork.result(60) == "Soon."
    assert [message.text for message in fork.transcript()] == [question.text, call.text, found.text, "Soon."]


def test_a_session_tells_what_was_said_over_all_turns(orchestrator, client, api):
    ada = orchestrator.session(chat, "ada")
    for text in ("Hello.", "Where is B-4?"):
        ada.ask(Say(text=text), timeout=60)
    assert [message.text for message in ada.transcript() if message.role == "user"] == ["Hello.", "Where is B-4?"]
    assert client.session(chat, "ada").transcript() == ada.transcript()
    assert len(api.get("/sessions/chat/ada/transcript").json()) == len(ada.transcript())
    assert api.get("/sessions/chat/ada/transcript", params={"limit": 1}).json()[0]["text"] == "Hello."


def test_what_has_no_conversation(orchestrator, client, api):
    run = orchestrator.start(silent, id="mute")
    run.result(60)
    assert run.transcript() == client.get("mute").transcript() == []
    with pytest.raises(InvalidInput, match="no model call 'desk#1' in a conversation, nor any other"):
        run.transcript("desk#1")
    refused = api.get("/runs/mute/transcript", params={"step": "desk#1"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    for reads in (orchestrator, client):
        with pytest.raises(RunNotFound):
            reads.session(chat, "nobody").transcript()
