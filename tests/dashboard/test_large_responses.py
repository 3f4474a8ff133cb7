"""What is made for callers is held within a budget, and given back by those who leave, end, or do not read."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from greenroom import Orchestrator
from greenroom.dashboard.responses import large_responses
from greenroom.dashboard.server import Server
from tests.dashboard.apps.offered import Word
from tests.dashboard.conftest import start
from tests.support import eventually

pytestmark = pytest.mark.slow

LENGTH = 7_000_000
"""More than all buffers between the server and who does not read."""
TEXT = "x" * LENGTH


@pytest.fixture
def large(orchestrator: Orchestrator, server: Server) -> Iterator[str]:
    """Give the path of a run that was sent a large message, and has it in its state and its result."""
    run = start(orchestrator, "words", "large")
    run.signal(Word(text=TEXT))
    assert run.result(60) == [TEXT]
    yield "/api/v1/runs/large"
    eventually(lambda: server.desk.outbox.held == 0, 20, what="holding nothing")


def ask(server: Server, path: str) -> socket.socket:
    """Ask, and read nothing."""
    address = server.url.removeprefix("http://")
    host, port = address.split(":")
    asking = socket.create_connection((host, int(port)), timeout=20)
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {server.token.value}\r\n\r\n"
    asking.sendall(request.encode())
    eventually(lambda: server.desk.outbox.held >= LENGTH, 20, what="holding what was asked for")
    return asking


def read_all(asking: socket.socket) -> bytes:
    """Read until the connection ends, however it does."""
    found = bytearray()
    try:
        while data := asking.recv(1 << 20):
            found += data
    except ConnectionResetError:
        pass
    return bytes(found)


@pytest.mark.parametrize("what", ["events", "stream", "result", "state"])
def test_who_does_not_read_loses_it_once_somebody_needs_the_room(
    what: str, server: Server, http: httpx.Client, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_responses, "MOST_BYTES", LENGTH)
    monkeypatch.setattr(large_responses, "STALLED", 0.2)
    with ask(server, f"{large}/{what}") as asking:
        assert http.get(f"{large}/result").json()["result"] == [TEXT]
        assert len(read_all(asking)) < LENGTH


def test_who_does_not_read_keeps_it_while_there_is_room(
    server: Server, http: httpx.Client, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_responses, "STALLED", 0.0)
    with ask(server, f"{large}/result") as asking:
        assert len(http.get(f"{large}/events").content) > LENGTH
        head, _, body = asking.recv(1 << 20).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        while len(body) < length:
            body += asking.recv(1 << 20)
        assert json.loads(body)["result"] == [TEXT]


def test_others_wait_for_room_until_who_has_it_reads(
    server: Server, http: httpx.Client, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_responses, "MOST_BYTES", LENGTH)
    monkeypatch.setattr(large_responses, "STALLED", 1000.0)
    with ask(server, f"{large}/stream") as asking:
        with pytest.raises(httpx.ReadTimeout):
            http.get(f"{large}/events", timeout=1.0)
        assert http.get(large).status_code == 200, "what is never large waits for nobody"
        found = bytearray()
        while not found.endswith(b"0\r\n\r\n"):
            found += asking.recv(1 << 20)
        assert len(found) > LENGTH
    assert len(http.get(f"{large}/events").content) > LENGTH


def test_who_leaves_gives_back_what_was_made_for_it(
    server: Server, http: httpx.Client, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_responses, "MOST_BYTES", LENGTH)
    monkeypatch.setattr(large_responses, "STALLED", 1000.0)
    ask(server, f"{large}/events").close()
    assert len(http.get(f"{large}/events").content) > LENGTH


def test_a_message_of_a_stream_is_one_line_however_its_value_is_written(http: httpx.Client, large: str) -> None:
    text = http.get(f"{large}/stream").text
    assert text.startswith("retry: 2000\n")
    *blocks, end = [block.splitlines() for block in text.removeprefix("retry: 2000\n").split("\n\n") if block]
    assert end[0] == "event: end"
    assert [[line.partition(": ")[0] for line in block] for block in blocks] == [["event", "data", "id"]] * len(blocks)
    assert [int(block[2].removeprefix("id: ")) for block in blocks] == list(range(1, len(blocks) + 1))
    events = [json.loads(block[1].removeprefix("data: ")) for block in blocks]
    assert [block[0].removeprefix("event: ") for block in blocks] == [event["type"] for event in events]
    assert [event["value"]["text"] for event in events if event["type"] == "message.received"] == [TEXT]
