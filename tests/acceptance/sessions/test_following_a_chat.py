"""A chat with an agent, followed by the command line and over HTTP while it answers, cancelled, and killed."""

import asyncio
import json
import os
import pty
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom import Client
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.workflows.queries.reader import JournalQueries
from tests.acceptance.apps.sessions import chatting
from tests.acceptance.harness import reached
from tests.acceptance.served import ROOT, Served
from tests.actors.models.provider_server import ProviderServer, call, chunk
from tests.support import eventually

APP = ROOT / "tests" / "acceptance" / "apps" / "sessions" / "chatting.py"
TARGET = f"{APP}:chat"
WORDS = ("Otters ", "sleep ", "on their\n", "backs, ", "holding ", "hands.")
ANSWER = "".join(WORDS)
LONG = 40.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Talker:
    """A model that says a word whenever it is let. A question with ``brood`` makes it call the tool first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests = 0
        self.allowed = threading.Semaphore(0)
        self.free = threading.Event()
        """Set once nothing is held back any more."""

    def let(self, count: int = 1) -> None:
        self.allowed.release(count)

    async def __call__(self, writer: asyncio.StreamWriter, request: Any) -> None:
        self.requests += 1
        last = request.body["messages"][-1]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        if last["role"] == "user" and "brood" in last["content"]:
            await self._send(writer, chunk({"role": "assistant", "content": "I think."}))
            await self._send(writer, chunk(call("brood", json.dumps({"folder": str(self.folder)}))))
            await self._send(writer, chunk(finish="tool_calls"))
        else:
            for word in WORDS:
                await asyncio.to_thread(self._wait)
                await self._send(writer, chunk({"role": "assistant", "content": word}))
            await self._send(writer, chunk(finish="stop"))
        await self._send(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")

    def _wait(self) -> None:
        while not self.free.is_set() and not self.allowed.acquire(timeout=0.05):
            pass

    async def _send(self, writer: asyncio.StreamWriter, event: object) -> None:
        data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()


@pytest.fixture
def talker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Talker]:
    with ProviderServer() as server:
        talker = Talker(tmp_path)
        server.behaviours["talker"] = talker
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield talker
        talker.free.set()


@pytest.fixture
def served(mark: str, tmp_path: Path, home: Path, talker: Talker) -> Iterator[Served]:
    made = Served(tmp_path, APP)
    made.start()
    yield made
    talker.free.set()
    (tmp_path / "brood").touch()
    made.stop()


def say(text: str) -> str:
    return json.dumps({"text": text})


def item_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """Give the item of the channel that an event over HTTP is; None if it is none."""
    if event["type"] == "step.emitted" and event["channel"] == "answer":
        kind = "final" if event["final"] else "partial"
        return {"kind": kind, "value": event["value"], "step": event["key"], "attempt": event["attempt"]}
    if event["type"] == "values.discarded" and "answer" in event["offsets"]:
        return {"kind": "discarded", "value": None, "step": event["key"], "attempt": event["attempt"]}
    return None


class Follower:
    """Collects items of the channel, on a thread, and hands them out in order."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def next(self) -> dict[str, Any]:
        item = self._queue.get(timeout=LONG)
        assert item is not None, "the stream has ended"
        self.items.append(item)
        return item

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        while not condition(self.next()):
            pass

    def text(self) -> str:
        """Give the text of the newest step as somebody sees it who discards what was lost."""
        text = ""
        for item in self.items:
            if item["kind"] == "partial" and item["step"] == self.items[-1]["step"]:
                text += item["value"]
            elif item["kind"] == "discarded":
                text = ""
        return text

    def finish(self) -> None:
        """Wait for the end of the stream, and take what is left of it."""
        self._thread.join(LONG)
        assert not self._thread.is_alive()
        while (item := self._queue.get_nowait()) is not None:
            self.items.append(item)

    def _run(self) -> None:
        try:
            for item in self._followed():
                self._queue.put(item)
        finally:
            self._queue.put(None)

    def _followed(self) -> Iterator[dict[str, Any]]:
        raise NotImplementedError


class ByCommand(Follower):
    def __init__(self, served: Served) -> None:
        command = ("sessions", "stream", "chat", "ada", "--channel", "answer", "--follow", "-o", "json")
        self.process = served.command(*command)
        super().__init__()

    def _followed(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            item = json.loads(line)
            yield {name: item[name] for name in ("kind", "value", "step", "attempt")}


class OverHttp(Follower):
    """Comes back after a connection that broke, with the number of the last event that it has seen."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.last = 0
        super().__init__()

    def _followed(self) -> Iterator[dict[str, Any]]:
        deadline = time.monotonic() + 4 * LONG
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError, KeyError, FileNotFoundError):
                url = self.served.record()["url"] + "/api/v1/sessions/chat/ada/stream"
                headers = self.served.headers | {"Last-Event-ID": str(self.last)}
                with httpx.stream("GET", url, headers=headers, timeout=LONG) as answer:
                    event = ""
                    for line in answer.iter_lines():
                        if line.startswith("event: "):
                            event = line.removeprefix("event: ")
                            if event == "end":
                                return
                        elif line.startswith("data: "):
                            data = json.loads(line.removeprefix("data: "))
                        elif line.startswith("id: "):
                            self.last = int(line.removeprefix("id: "))
                            if (item := item_of({"type": event, **data})) is not None:
                                yield item
            time.sleep(0.02)


FOLLOWERS = {"command line": ByCommand, "http": OverHttp}


def check_items(items: list[dict[str, Any]], finals: dict[str, str]) -> None:
    """Assert that each final text is there once, and that all other text belongs to it or to a lost attempt."""
    assert {item["step"]: item["value"] for item in items if item["kind"] == "final"} == finals
    assert sum(item["kind"] == "final" for item in items) == len(finals)
    for step, final in finals.items():
        own = [item for item in items if item["step"] == step]
        accepted = own[-1]["attempt"]
        attempts = sorted({item["attempt"] for item in own})
        for attempt in attempts:
            kinds = [item["kind"] for item in own if item["attempt"] == attempt]
            text = "".join(item["value"] for item in own if item["attempt"] == attempt and item["kind"] == "partial")
            if attempt == accepted:
                assert kinds == ["partial"] * (len(kinds) - 1) + ["final"]
                assert text == final
            else:
                assert kinds == ["partial"] * (len(kinds) - 1) + ["discarded"]
                assert final.startswith(text)


# ---------------------------------------------------------------- word by word


@pytest.mark.parametrize("door", FOLLOWERS)
def test_each_word_is_seen_before_the_model_says_the_next_one(served: Served, talker: Talker, door: str) -> None:
    served.call("sessions", "tell", TARGET, "ada", say("do otters sleep?"))
    follower = FOLLOWERS[door](served)
    for count in range(1, len(WORDS) + 1):
        talker.let()
        while follower.text() != "".join(WORDS[:count]):
            assert follower.next()["kind"] == "partial"
    follower.until(lambda item: item["kind"] == "final")
    served.call("sessions", "close", "chat", "ada")
    follower.finish()
    check_items(follower.items, {"1/talker#1/model#1": ANSWER})
    assert talker.requests == 1


def read_until(descriptor: int, text: str, *, deadline: float = LONG) -> str:
    """Read what a process prints until a text is there; give all of it."""
    found = b""
    os.set_blocking(descriptor, False)
    end = time.monotonic() + deadline
    while text.encode() not in found:
        assert time.monotonic() < end, found
        with suppress(BlockingIOError):
            piece = os.read(descriptor, 65536)
            assert piece, f"the end came after {found!r}"
            found += piece
            continue
        time.sleep(0.005)
    return found.decode()


def test_a_person_sees_the_words_as_text_at_a_terminal_once_and_ends_it_with_ctrl_c(
    served: Served, talker: Talker
) -> None:
    served.call("sessions", "tell", TARGET, "ada", say("do otters sleep?"))
    ours, theirs = pty.openpty()
    command = ("sessions", "stream", "chat", "ada", "--channel", "answer", "--follow")
    process = served.command(*command, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        said = ""
        for word in WORDS:
            talker.let()
            said += read_until(ours, word.replace("\n", "\r\n"))
        assert said.rstrip() == ANSWER.replace("\n", "\r\n")
        eventually(lambda: answered(served) == 1, LONG)
        talker.free.set()
        served.call("sessions", "tell", TARGET, "ada", say("and seals?"))
        said += read_until(ours, WORDS[-1])
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG) == 130
        said += read_until(ours, "interrupted")
        lines = [line for line in said.splitlines() if line]  # click begins a new line after the terminal's ^C
        assert lines == [*ANSWER.splitlines(), *ANSWER.splitlines(), "greenroom: interrupted"], "no text is repeated"
    finally:
        process.kill()
        os.close(ours)


def answered(served: Served) -> int:
    with JournalQueries(SqliteJournal(served.home / "journal.db", read_only=True)) as reads:
        return sum(turn.status == "answered" for turn in reads.history("chat/ada"))


def test_text_in_a_pipe_is_flushed_and_values_are_json(served: Served, talker: Talker) -> None:
    served.call("sessions", "tell", TARGET, "ada", say("do otters sleep?"))
    text = served.command("sessions", "stream", "chat", "ada", "--channel", "answer", "-f", "--text")
    values = served.command("sessions", "stream", "chat", "ada", "--channel", "answer", "-f")
    assert text.stdout is not None
    assert values.stdout is not None
    seen = ""
    for word in WORDS:
        talker.let()
        seen += read_until(text.stdout.fileno(), word)
    assert seen.rstrip() == ANSWER
    assert json.loads(values.stdout.readline()) == WORDS[0]
    eventually(lambda: answered(served) == 1, LONG)
    served.call("sessions", "close", "chat", "ada")
    os.set_blocking(text.stdout.fileno(), True)
    rest, err = text.communicate(timeout=LONG)
    assert (seen + rest, err) == (f"{ANSWER}\n", "")
    rest = values.stdout.read()
    assert json.loads(rest.splitlines()[-1]) == ANSWER
    assert values.communicate(timeout=LONG) == ("", "")
    assert (text.returncode, values.returncode) == (0, 0)


# ---------------------------------------------------------------- cancelled in a tool


def by_command(served: Served) -> None:
    said = served.call("sessions", "cancel-turn", "chat", "ada", "--reason", "changed my mind")
    assert said == "session chat/ada cancels the turn of message 1\n"


def by_http(served: Served) -> None:
    url = served.record()["url"] + "/api/v1/sessions/chat/ada/cancel_turn"
    answer = httpx.post(url, json={"reason": "changed my mind"}, headers=served.headers, timeout=LONG)
    assert (answer.status_code, answer.json()["number"]) == (200, 1)


def by_python(served: Served) -> None:
    with Client(home=served.home) as client:
        assert client.session(chatting.chat, "ada").cancel_turn("changed my mind") is True


def asked_by_http(served: Served) -> tuple[bool, str]:
    url = served.record()["url"] + "/api/v1/sessions/chat/ada"
    answer = httpx.post(url, json={"message": {"text": "brood"}}, headers=served.headers, timeout=LONG)
    return answer.status_code == 409, answer.json()["detail"]


def asked_by_command(served: Served) -> tuple[bool, str]:
    return True, served.call("sessions", "ask", TARGET, "ada", say("brood"), code=1)


@pytest.mark.parametrize(
    ("ask", "cancel"),
    [(asked_by_http, by_command), (asked_by_command, by_http), (asked_by_command, by_python)],
    ids=["command line", "http", "python"],
)
@pytest.mark.parametrize("door", FOLLOWERS)
def test_a_turn_is_cancelled_in_the_middle_of_a_tool_and_the_next_message_is_answered(
    served: Served, talker: Talker, tmp_path: Path, ask: Any, cancel: Any, door: str
) -> None:
    talker.free.set()
    told: list[tuple[bool, str]] = []
    asking = threading.Thread(target=lambda: told.append(ask(served)))
    asking.start()
    tool = reached(tmp_path, "brood")
    follower = FOLLOWERS[door](served)
    follower.until(lambda item: item["kind"] == "final")
    cancel(served)
    asking.join(LONG)
    ((failed, sentence),) = told
    assert failed
    assert "the turn was cancelled: changed my mind" in sentence
    eventually(lambda: not Path(f"/proc/{tool}").exists(), what="the end of the tool's process")
    assert json.loads(served.call("sessions", "ask", TARGET, "ada", say("do otters sleep?"))) == ANSWER
    served.call("sessions", "close", "chat", "ada")
    follower.finish()
    check_items(follower.items, {"1/talker#1/model#1": "I think.", "2/talker#1/model#1": ANSWER})
    assert talker.requests == 2, "no call is repeated"


# ---------------------------------------------------------------- kills


def pid_of(served: Served, kind: str) -> int:
    """Give the process of a worker that has something to do."""

    def find() -> int | None:
        workers = json.loads(served.call("actors", "list", "-o", "json"))
        return next((one["pid"] for one in workers if one["kind"] == kind and one["run_id"]), None)

    return int(eventually(find, LONG, what=f"a busy {kind} worker"))


def kill(served: Served, victim: str) -> None:
    if victim == "orchestrator":
        served.kill()
        served.start()
    else:
        os.kill(pid_of(served, victim), signal.SIGKILL)


@pytest.mark.parametrize("victim", ["llm", "program", "orchestrator"])
def test_text_that_a_kill_cut_off_is_marked_and_the_final_text_is_there_once(
    served: Served, talker: Talker, victim: str
) -> None:
    served.call("sessions", "tell", TARGET, "ada", say("do otters sleep?"))
    followers = [ByCommand(served), OverHttp(served)]
    talker.let(3)
    for follower in followers:
        while follower.text() != "".join(WORDS[:3]):
            follower.next()
    kill(served, victim)
    talker.free.set()
    for follower in followers:
        follower.until(lambda item: item["kind"] == "final")
    served.call("sessions", "close", "chat", "ada")
    for follower in followers:
        follower.finish()
        check_items(follower.items, {"1/talker#1/model#1": ANSWER})
        lost = [item["attempt"] for item in follower.items if item["kind"] == "discarded"]
        assert lost == ([] if victim == "program" else [1])
    assert followers[0].items == followers[1].items
    assert talker.requests == (1 if victim == "program" else 2)
    assert answered(served) == 1
    _, notes = followers[0].process.communicate(timeout=LONG)  # type: ignore[attr-defined]
    assert followers[0].process.returncode == 0  # type: ignore[attr-defined]
    assert ("no orchestrator is running" in notes) <= (victim == "orchestrator")


@pytest.mark.parametrize("victim", ["tool", "program", "orchestrator"])
def test_a_kill_in_a_tool_leaves_what_was_said_before_and_the_answer_comes_once(
    served: Served, talker: Talker, tmp_path: Path, victim: str
) -> None:
    talker.free.set()
    served.call("sessions", "tell", TARGET, "ada", say("brood"))
    before = reached(tmp_path, "brood")
    followers = [ByCommand(served), OverHttp(served)]
    for follower in followers:
        follower.until(lambda item: item["kind"] == "final")
    kill(served, victim)
    if victim != "program":
        eventually(lambda: reached(tmp_path, "brood") != before, LONG, what="another attempt of the tool")
    (tmp_path / "brood").touch()
    for follower in followers:
        follower.until(lambda item: item["kind"] == "final")
    served.call("sessions", "close", "chat", "ada")
    for follower in followers:
        follower.finish()
        check_items(follower.items, {"1/talker#1/model#1": "I think.", "1/talker#1/model#2": ANSWER})
        assert all(item["attempt"] == 1 for item in follower.items)
    assert talker.requests == 2
    assert answered(served) == 1


def test_a_person_sees_that_text_was_lost_and_that_nobody_goes_on_with_it(served: Served, talker: Talker) -> None:
    served.call("sessions", "tell", TARGET, "ada", say("do otters sleep?"))
    process = served.command(
        "sessions", "stream", "chat", "ada", "--channel", "answer", "-f", "--text", stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    talker.let(2)
    said = read_until(descriptor, WORDS[1])
    served.kill()
    said += read_until(descriptor, "once there is one")
    served.start()
    talker.free.set()
    said += read_until(descriptor, WORDS[-1])
    served.call("sessions", "close", "chat", "ada")
    os.set_blocking(descriptor, True)
    said += process.communicate(timeout=LONG)[0]
    lines = said.splitlines()
    notes = [line for line in lines if "orchestrator" in line]
    assert notes[0] == "greenroom: no orchestrator is running: chat/ada goes on once there is one"
    assert [line for line in lines if line not in notes] == [
        "Otters sleep ",
        "[attempt 1 of 1/talker#1/model#1 was lost: its text above does not count]",
        *ANSWER.splitlines(),
    ]


# ---------------------------------------------------------------- what does not exist, and readers that leave


def test_what_does_not_exist_is_said(served: Served, talker: Talker) -> None:
    talker.free.set()
    said = served.call("sessions", "stream", "chat", "ada", "--follow", code=3)
    assert "there is no session 'chat/ada'" in said
    assert json.loads(served.call("sessions", "ask", TARGET, "ada", say("do otters sleep?"))) == ANSWER
    process = served.command("sessions", "stream", "chat", "ada", "--channel", "answr")
    assert process.communicate(timeout=LONG) == (
        "",
        "greenroom: chat/ada has emitted nothing on the channel 'answr' so far; did you mean 'answer'?\n",
    )
    process = served.command("sessions", "stream", "chat", "ada", "--follow")
    assert process.stderr is not None
    hint = "greenroom: chat/ada has emitted nothing on the channel 'default' so far; there is: 'answer'\n"
    assert process.stderr.readline() == hint
    served.call("sessions", "close", "chat", "ada")
    assert process.communicate(timeout=LONG) == ("", "")
    assert process.returncode == 0
    answer = httpx.get(f"{served.record()['url']}/api/v1/sessions/chat/bob/stream", headers=served.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_reader_that_leaves_ends_the_command_without_a_word(served: Served, talker: Talker) -> None:
    served.call("sessions", "tell", TARGET, "ada", say("do otters sleep?"))
    process = served.command("sessions", "stream", "chat", "ada", "--channel", "answer", "-f", "--text")
    assert process.stdout is not None
    talker.let()
    read_until(process.stdout.fileno(), WORDS[0])
    process.stdout.close()
    talker.free.set()
    assert process.wait(LONG) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
