"""Sessions over HTTP and by the client: opened by their first message, each message answered once."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest

from greenroom import Client, InvalidInput, Orchestrator, RunNotFound, SessionClosed, TurnFailed
from tests.dashboard.apps import offered
from tests.support import eventually


def test_a_message_opens_a_session_and_its_reply_comes_back(api):
    def ask(text: str, key: str = "", **more: object) -> httpx.Response:
        return api.post(
            "/sessions/chat/ada l", json={"message": {"text": text}} | more, headers={"Idempotency-Key": key}
        )

    assert api.get("/sessions/chat/ada l").json()["code"] == "not_found"
    assert ask("one", "1").json()["reply"] == ["one"]
    assert ask("one", "1").json()["reply"] == ["one"], "the same message has the same reply"
    told = ask("two", reply=False)
    assert (told.status_code, told.json()["type"]) == (202, "accepted")
    assert ask("three", type="Word").json()["reply"] == ["one", "two", "three"]
    assert api.get("/sessions/chat/ada%20l/state").json() == {"state": {"words": ["one", "two", "three"]}}
    turns = api.get("/sessions/chat/ada l/history").json()
    assert [(turn["status"], turn["message"]["text"]) for turn in turns] == [
        ("answered", "one"),
        ("answered", "two"),
        ("answered", "three"),
    ]
    assert [(one["name"], one["key"]) for one in api.get("/sessions").json()] == [("chat", "ada l")]
    assert api.get("/runs").json() == []
    assert api.post("/sessions/chat/ada l/close").status_code == 200
    eventually(lambda: api.get("/sessions/chat/ada l").json()["status"] == "completed")
    assert (ask("four").status_code, ask("four").json()["code"]) == (409, "session_closed")


def test_what_does_not_fit_is_refused_and_what_fails_is_a_dead_letter(api):
    for body, code in (({"message": {"word": 1}}, "invalid"), ({"message": 1}, "invalid"), ({}, "invalid_request")):
        answer = api.post("/sessions/chat/ada", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    for path in ("/sessions/nobody/ada", "/sessions/chat/a%2Fb"):
        assert api.post(path, json={"message": {"text": "so"}}).status_code in {404, 422}, path
    failed = api.post("/sessions/chat/ada", json={"message": {"text": "bad"}})
    assert (failed.status_code, failed.json()["code"]) == (409, "turn_failed")
    assert "no such word" in failed.json()["detail"]
    (letter,) = api.get("/dead-letters").json()
    place = f"/dead-letters/chat%2Fada/{letter['letter']}"
    assert api.post(f"{place}/redrive").status_code == 200
    eventually(lambda: [one["letter"] for one in api.get("/dead-letters").json()] not in ([], [letter["letter"]]))
    (again,) = api.get("/dead-letters").json()
    assert api.post(f"/dead-letters/chat%2Fada/{again['letter']}/drop").status_code == 200
    assert api.get("/dead-letters").json() == []
    assert api.post(f"{place}/drop").json()["code"] in {"not_found", "conflict"}


def test_the_client_talks_to_a_session_like_the_orchestrator(client: Client, orchestrator: Orchestrator):
    there = client.session(offered.chat, "ada")
    with pytest.raises(RunNotFound):
        _ = there.record
    assert there.ask(offered.Word(text="one"), key="1") == ["one"]
    assert there.ask(offered.Word(text="one"), key="1") == ["one"]
    there.tell(offered.Word(text="two"))
    assert there.ask(offered.Word(text="three"), timeout=30) == ["one", "two", "three"]
    assert there.state == offered.Tally(words=["one", "two", "three"])
    assert [(turn.message.text, turn.status) for turn in there.history()] == [
        ("one", "answered"),
        ("two", "answered"),
        ("three", "answered"),
    ]
    assert client.reads.history("chat/ada") == orchestrator.reads.history("chat/ada")
    assert client.sessions() == orchestrator.sessions()
    with pytest.raises(TurnFailed, match="no such word"):
        there.ask(offered.Word(text="bad"))
    assert client.dead_letters() == orchestrator.dead_letters() != []
    with pytest.raises(InvalidInput):
        there.ask(offered.Tally())  # type: ignore[arg-type]
    there.close()
    with pytest.raises(SessionClosed):
        there.tell(offered.Word(text="four"))


def test_a_session_is_followed_over_http_while_it_answers_and_taken_up_where_it_broke_off(api, orchestrator):
    assert api.get("/sessions/chat/ada/stream").json()["code"] == "not_found"
    orchestrator.session(offered.chat, "ada").tell(offered.Word(text="endless"))
    with api.stream("GET", "/sessions/chat/ada/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        found = [
            line for line in lines_until(lines, "timer.set") if line.startswith("data:") and '"step.emitted"' in line
        ]
        emitted = [json.loads(line[5:]) for line in found]
        assert [(one["value"], one["attempt"], one["channel"]) for one in emitted] == [
            (letter, 1, "letters") for letter in "endless"
        ]
        assert api.post("/sessions/chat/ada/cancel_turn", json={"reason": "enough"}).json()["number"] == 1
        assert any('"the turn was cancelled: enough"' in line for line in lines_until(lines, "turn.failed"))
        assert api.post("/sessions/chat/ada/close").status_code == 200
        assert any(line == "event: end" for line in lines)
    after = {"Last-Event-ID": str(emitted[-1]["seq"])}
    again = api.get("/sessions/chat/ada/stream", headers=after).text
    assert "step.emitted" not in again
    assert "turn.failed" in again
    last = orchestrator.reads.session("chat/ada").events
    assert api.get("/sessions/chat/ada/stream", headers={"Last-Event-ID": str(last)}).status_code == 204


def lines_until(lines: Iterator[str], event: str) -> list[str]:
    """Give the lines of a stream up to the data of an event."""
    found: list[str] = []
    for line in lines:
        found.append(line)
        if line.startswith("data:") and f'"type":"{event}"' in line:
            return found
    msg = f"the stream has no {event}"
    raise AssertionError(msg)


def test_the_client_watches_a_turn_and_cancels_it(client: Client, orchestrator: Orchestrator):
    there = client.session(offered.chat, "ada")
    with pytest.raises(RunNotFound):
        there.cancel_turn()
    there.tell(offered.Word(text="endless"))
    following = there.stream("letters", follow=True)
    assert "".join(next(following).value for _ in "endless") == "endless"
    assert there.cancel_turn("enough")
    eventually(lambda: there.history()[0].error == "the turn was cancelled: enough")
    assert there.ask(offered.Word(text="spell")) == ["spell"]
    assert "".join(next(following).value for _ in "spell") == "spell"
    items = list(there.stream("letters", after=6))
    assert [(item.kind, item.step, item.attempt, item.offset) for item in items] == [
        ("partial", "2/spell#1", 1, 7 + n) for n in range(5)
    ]
    assert not there.cancel_turn()
    there.close()
    assert list(following) == []


async def watched(client: Client) -> tuple[str, bool]:
    there = client.aio.session(offered.chat, "bob")
    await there.tell(offered.Word(text="endless"))
    letters: list[str] = []
    async for item in there.stream("letters", follow=True):
        letters.append(item.value)
        if len(letters) == len("endless"):
            break
    return "".join(letters), await there.cancel_turn()


def test_the_asynchronous_client_watches_a_turn_and_cancels_it(client: Client):
    assert asyncio.run(watched(client)) == ("endless", True)
