"""``examples/chat.py`` from the command line, over HTTP and from Python, while its orchestrator is killed again and again."""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from greenroom import Client, OrchestratorUnreachable
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.json_text import plain
from greenroom.workflows.queries.reader import JournalQueries
from tests.acceptance.served import ROOT, Served
from tests.support import eventually

CHAT = ROOT / "examples" / "chat.py"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def by_command_line(served: Served, text: str, key: str) -> str:
    command = [
        sys.executable,
        str(ROOT / "main.py"),
        "sessions",
        "ask",
        f"{CHAT}:chat",
        "ada",
        json.dumps({"text": text}),
    ]
    command += ["--key", key, "--home", str(served.home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == 4:
        raise OrchestratorUnreachable(done.stderr)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["text"])


def over_http(served: Served, text: str, key: str) -> str:
    url = served.record().get("url")
    if url is None:  # the last orchestrator here was the command line's own, for as long as its answer took
        raise OrchestratorUnreachable(served.home)
    answer = httpx.post(
        f"{url}/api/v1/sessions/chat/ada",
        json={"message": {"text": text}},
        headers={"Authorization": f"Bearer {served.token}", "Idempotency-Key": key},
        timeout=100,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["reply"]["text"])


def from_python(served: Served, text: str, key: str) -> str:
    chat = importlib.import_module("chat")  # the example, found beside the others
    with Client(home=served.home) as client:
        return str(client.session(chat.chat, "ada").ask(chat.UserMessage(text=text), timeout=100, key=key).text)


@pytest.fixture
def served(mark, tmp_path, home):
    made = Served(tmp_path, CHAT)
    yield made
    made.stop()


DOORS: list[Callable[[Served, str, str], str]] = [by_command_line, over_http, from_python]
GONE = (OrchestratorUnreachable, httpx.TransportError)


def persist(door: Callable[[Served, str, str], str], served: Served, text: str, key: str) -> str:
    """Ask as somebody who tries again with the same key whenever the orchestrator has gone."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return door(served, text, key)
        except GONE:
            assert time.monotonic() < deadline
            served.start()


def test_every_message_is_answered_once_and_in_order_through_all_doors_and_kills(
    mark, tmp_path, home, monkeypatch, served
):
    monkeypatch.syspath_prepend(str(CHAT.parent))
    served.start()
    replies: list[str] = []
    for n in range(12):
        if n % 4 == 1:  # between turns: whoever asks next finds nobody
            served.kill()
        if n % 4 == 3:  # in the middle of one: the message was taken, its steps have begun, nobody hears the answer
            tell_and_kill(served, f"message number {n}", f"key-{n}")
        replies.append(persist(DOORS[n % 3], served, f"message number {n}", f"key-{n}"))
    assert served.kills == 6
    again = [persist(DOORS[(n + 1) % 3], served, f"message number {n}", f"key-{n}") for n in (0, 5, 11)]
    served.kill()
    assert again == [replies[0], replies[5], replies[11]]
    with JournalQueries(SqliteJournal(served.home / "journal.db", read_only=True)) as reads:
        turns = reads.history("chat/ada")
        state: Any = plain(reads.session_state("chat/ada"))
    assert [turn.message for turn in turns] == [{"text": f"message number {n}"} for n in range(12)]
    assert [turn.status for turn in turns] == ["answered"] * 12
    answers: list[Any] = [plain(turn.reply) for turn in turns]
    assert [answer["text"] for answer in answers] == replies
    assert [answer["turn"] for answer in answers] == list(range(1, 13))
    assert [line["text"] for line in state["lines"] if line["who"] == "person"] == [
        f"message number {n}" for n in range(12)
    ]
    assert state["topics"] == {"message": 12, "number": 12}


def tell_and_kill(served: Served, text: str, key: str) -> None:
    """Put a message into the session and kill the orchestrator once its turn has begun."""
    chat = importlib.import_module("chat")

    def tell() -> None:
        with Client(home=served.home) as client:
            talk = client.session(chat.chat, "ada")
            before = talk.record.events
            talk.tell(chat.UserMessage(text=text), key=key)
            begun = ("step.scheduled", "attempt.started")
            eventually(lambda: any(each.type in begun for each in client.reads.events(talk.id, before)), 60)

    try:
        tell()
    except GONE:
        served.start()
        tell()
    served.kill()
