"""Questions to sessions whose answers take longer than one request may last."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from greenroom import Client, Orchestrator
from greenroom.dashboard.server import Server
from greenroom.workflows.api.client import rounds
from tests.dashboard.apps import asked
from tests.dashboard.apps.asked import Note, desk
from tests.support import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def server(orchestrator: Orchestrator) -> Iterator[Server]:
    with Server(orchestrator, [asked.__file__], port=0) as opened:
        yield opened


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, client: Client) -> list[str]:
    """Make every request a short one, and give a list of those that are sent."""
    monkeypatch.setattr(rounds, "ROUND", 0.2)
    sent: list[str] = []
    client._wire.http.event_hooks["request"].append(lambda request: sent.append(request.url.path))
    return sent


def test_an_answer_may_take_many_requests_and_its_message_is_one(
    orchestrator: Orchestrator, client: Client, requests: list[str]
) -> None:
    answers: list[str] = []
    asker = threading.Thread(target=lambda: answers.append(client.session(desk, "ann").ask(Note(text="go"))))
    asker.start()
    eventually(lambda: len(requests) > 3, 30, what="several requests")
    (question,) = eventually(orchestrator.approvals, 30)
    orchestrator.decide(question.id, "approve")
    asker.join(30)
    assert answers == ["approve"]
    assert [turn.status for turn in orchestrator.session(desk, "ann").history()] == ["answered"]


def test_a_limit_that_is_longer_than_a_request_is_kept_to(
    orchestrator: Orchestrator, client: Client, requests: list[str]
) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="session desk/bob has not answered within 2 s; the message stays"):
        client.session(desk, "bob").ask(Note(text="go"), 2, key="k")
    assert time.monotonic() - begun >= 2
    assert len(requests) > 1
    (question,) = eventually(orchestrator.approvals, 30)
    orchestrator.decide(question.id, "reject")
    assert client.session(desk, "bob").ask(Note(text="go"), 30, key="k") == "reject"
    assert len(orchestrator.session(desk, "bob").history()) == 1


def test_a_short_limit_takes_one_request_without_a_key(orchestrator: Orchestrator, client: Client) -> None:
    with pytest.raises(TimeoutError, match=r"has not answered within 0\.3 s"):
        client.session(desk, "cleo").ask(Note(text="go"), 0.3)
    assert [turn.key for turn in orchestrator.session(desk, "cleo").history()] == [None]


def test_an_event_loop_may_wait_as_long(
    orchestrator: Orchestrator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "ROUND", 0.2)

    async def body() -> str:
        asking = asyncio.create_task(client.session(desk, "dora").aio.ask(Note(text="go")))
        await asyncio.wait([asking], timeout=1)
        assert not asking.done()
        (question,) = await asyncio.to_thread(eventually, orchestrator.approvals, 30)
        await asyncio.to_thread(orchestrator.decide, question.id, "approve")
        return await asking

    assert asyncio.run(body()) == "approve"
    assert len(orchestrator.session(desk, "dora").history()) == 1
