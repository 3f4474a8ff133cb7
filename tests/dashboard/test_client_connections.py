"""What the client says and does where what is between it and its server fails, or where something else answers."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi.sse import KEEPALIVE_COMMENT

from greenroom import Client, InvalidInput, NotAuthorized, Orchestrator, OrchestratorUnreachable
from greenroom.dashboard.server import Server
from greenroom.messages.commands import ShowTree
from greenroom.messages.core.errors import OrchestratorClosed
from greenroom.workflows.api.client import client as client_module
from greenroom.workflows.api.client import http, rounds
from tests.dashboard.apps import asked
from tests.dashboard.apps.asked import Note, desk
from tests.dashboard.apps.offered import Word, chat
from tests.dashboard.conftest import APP, start
from tests.support import eventually
from tests.workflows.api.test_scripts import run_script

pytestmark = pytest.mark.slow

TOKEN = "x" * 20


def reads(client: Client) -> dict[str, Callable[[], object]]:
    """Give one call of every kind that asks a server."""
    looks = client.reads
    return {
        "start": lambda: start(client, "total", "total", a=1),
        "ask": lambda: client.session(chat, "ada").ask(Word(text="hi"), timeout=5, key="1"),
        "workers": client.workers,
        "tree": client.tree,
        "run": lambda: client.get("total"),
        "state": lambda: looks.state("total"),
        "session": lambda: looks.session("chat/ada"),
        "session_state": lambda: looks.session_state("chat/ada"),
        "result": lambda: looks.result("total"),
        "wait_result": lambda: client.wait_result("total", 5),
        "until_result": lambda: asyncio.run(asyncio.wait_for(client.until_result("total", None), 5)),
        "follow": lambda: list(client.follow("total", 0)),
        "metrics": client.metrics,
        "send": lambda: client.kill("nobody"),
    }


def lists(client: Client) -> dict[str, Callable[[], object]]:
    """Give the calls for lists, which an empty one answers."""
    return {
        "runs": client.runs,
        "steps": lambda: client.reads.steps("total"),
        "events": lambda: client.reads.events("total"),
        "approvals": client.approvals,
        "dead_letters": client.dead_letters,
    }


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the URL of a server that hands each connection to a function, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    connection, _ = listener.accept()
                    serving.append(threading.Thread(target=serve, args=(connection,)))
                    serving[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *serving):
                thread.join(10)


def saying(status: str, kind: str, body: str) -> Callable[[socket.socket], None]:
    """Give a function that answers every request with the same."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(65536):
                connection.sendall((head + body).encode())

    return answer


FOREIGN = {
    "a proxy without its server": ("502 Bad Gateway", "text/html", "<html>Bad Gateway</html>"),
    "a proxy that has waited": ("504 Gateway Timeout", "text/plain", ""),
    "a proxy with a token of its own": ("401 Unauthorized", "text/html", "<html>Log in</html>"),
    "a proxy with limits of its own": ("413 Content Too Large", "text/html", ""),
    "a page to log in": ("200 OK", "text/html", "<html>Log in</html>"),
    "a way to a page to log in": ("302 Found", "text/html", ""),
    "another program": ("404 Not Found", "application/json", '{"detail": "Not Found"}'),
    "another program with an object for everything": ("200 OK", "application/json", '{"hello": 1}'),
    "another program with a list for everything": ("200 OK", "application/json", "[]"),
    "JSON that is cut off": ("200 OK", "application/json", '{"id": "tot'),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_an_answer_of_something_else_is_named_as_such_whatever_was_asked(name):
    status, kind, body = FOREIGN[name]
    with answering(saying(status, kind, body)) as url, Client(url, TOKEN) as client:
        calls = reads(client) if body == "[]" else {**reads(client), **lists(client)}
        for call, act in calls.items():
            with pytest.raises(OrchestratorUnreachable) as caught:
                act()
            assert f"not a greenroom server of this version: status {status}, {kind};" in str(caught.value), call
            assert url in str(caught.value), call


WAITS: dict[str, Callable[[Client], Any]] = {
    "a thread": lambda client: client.wait_result("total", 0.1),
    "a loop": lambda client: asyncio.run(client.until_result("total", 0.1)),
    "a loop without a limit": lambda client: asyncio.run(client.until_result("total", None)),
    "a question": lambda client: client.session(chat, "ada").ask(Word(text="so"), timeout=0.1),
    "a question with a key": lambda client: client.session(chat, "ada").ask(Word(text="so"), timeout=0.1, key="k"),
    "a loop's question": lambda client: asyncio.run(client.session(chat, "ada").aio.ask(Word(text="so"), timeout=0.1)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_ends_soon_after_its_time_where_the_server_is_stopped(wait, monkeypatch):
    monkeypatch.setattr(rounds, "ROUND", 0.1)
    for module in (client_module, http, rounds):
        monkeypatch.setattr(module, "LATE", 0.3)

    def say_nothing(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                pass

    with answering(say_nothing) as url, Client(url, TOKEN) as client:
        began = time.monotonic()
        with pytest.raises(OrchestratorUnreachable, match="has not answered in time"):
            wait(client)
        assert time.monotonic() - began < http.ANSWER_TIMEOUT / 2


def test_a_connection_that_breaks_off_is_not_a_server_that_is_not_there():
    def hang_up(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)

    with answering(hang_up) as url, Client(url, TOKEN) as client:
        for call, act in {**reads(client), **lists(client)}.items():
            with pytest.raises(OrchestratorUnreachable) as caught:
                act()
            assert "broke off before it had answered; what it was asked may have been taken" in str(caught.value), call


def test_a_reading_whose_connection_is_ended_as_it_is_used_again_is_sent_with_another_one(server: Server):
    behind = Cutter(server.url)
    ended: list[bytes] = []

    def end_the_first(connection: socket.socket) -> None:
        if not ended:
            with connection:
                ended.append(connection.recv(65536))  # and no answer
        else:
            behind(connection)

    with answering(end_the_first) as url, Client(url, server.token.value) as client:
        assert client.runs() == []
        assert len(ended) == 1


FORKS = """
import asyncio, os, signal, sys

from greenroom import Client

async def runs():
    return await client.aio.runs()

with Client(*sys.argv[1:]) as client:
    print(client.runs(), asyncio.run(runs()), flush=True)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        print(client.runs(), asyncio.run(runs()), flush=True)
        client.close()
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.runs())
"""


def test_a_fork_of_its_process_has_connections_and_threads_of_its_own(tmp_path: Path):
    """Over a connection that both have, each would take responses for its own that are for the other."""
    answer, connections = saying("200 OK", "application/json", "[]"), list[socket.socket]()

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        answer(connection)

    script = tmp_path / "forks.py"
    script.write_text(FORKS)
    with answering(serve) as url:
        assert run_script(script, url, TOKEN).splitlines() == ["[] []", "[] []", "7 []"]
    assert len(connections) == 2


@pytest.mark.parametrize(
    "url", ["127.0.0.1:7878", "localhost", "ftp://a", "http://", "http://[::1", "http://a:b", "//a"]
)
def test_what_is_no_url_is_refused_before_anything_is_sent(url):
    with pytest.raises(InvalidInput, match="is not an address of a server, such as http://127.0.0.1:7878"):
        Client(url, TOKEN)


@pytest.mark.parametrize("url", ["http://ada:word@127.0.0.1:1", "https://word@a", "ftp://ada:word@a"])
def test_a_url_with_a_password_is_refused_and_not_shown(url):
    """It would be sent in the place of the token, and shown in sentences about the server."""
    with pytest.raises(InvalidInput, match="holds a name or a password") as caught:
        Client(url, TOKEN)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize("token", [f"{TOKEN}\n{TOKEN}", f"{TOKEN}\0", "sécret" * 5, " "])
def test_what_is_no_token_is_refused_before_anything_is_sent_and_not_shown(token):
    with pytest.raises(NotAuthorized, match="visible ASCII") as caught:
        Client("http://127.0.0.1:1", token)
    assert token.isspace() or token not in str(caught.value)


def test_a_token_that_is_another_servers_is_refused_with_what_to_do(server: Server):
    with Client(server.url, TOKEN) as client:
        for read in (client.runs, client.workers):
            with pytest.raises(NotAuthorized, match="or not this server's: give the one that .* set GREENROOM_TOKEN"):
                read()


def test_a_token_may_end_as_its_file_and_a_url_as_the_api_does(server: Server):
    for url in (f"{server.url}/", f"{server.url}/api/v1", f"{server.url}/api/v1/"):
        with Client(url, f" {server.token.value}\n") as client:
            assert client.runs() == []


def test_a_client_that_was_closed_says_so_whatever_is_asked(server: Server):
    client = Client(server.url, server.token.value)
    start(client, "total", "total", a=1).result(30)
    calls = {**reads(client), **lists(client)}
    client.close()
    client.close()
    for call, act in calls.items():
        with pytest.raises(OrchestratorClosed) as caught:
            act()
        assert f"this client of {server.url} was closed" in str(caught.value), call


def test_a_server_that_has_another_port_after_a_restart_is_found_by_its_home(orchestrator: Orchestrator):
    with Server(orchestrator, [str(APP)], port=0) as first:
        client, fixed = Client(), Client(first.url)
        assert client.runs() == []
    with client, fixed, Server(orchestrator, [str(APP)], port=0) as second:
        assert first.url != second.url
        with pytest.raises(OrchestratorUnreachable, match=f"it is served at {second.url} now: ask again"):
            client.runs()
        assert client.runs() == []
        assert asyncio.run(client.until_sent(ShowTree())).type == "tree"
        for _ in range(2):
            with pytest.raises(OrchestratorUnreachable, match="start it with"):
                fixed.runs()


def test_a_server_is_found_again_where_another_one_has_got_its_port(orchestrator: Orchestrator, tmp_path: Path):
    with Server(orchestrator, [str(APP)], port=0) as first:
        client = Client()
    port = int(first.url.rpartition(":")[2])
    with (
        client,
        Orchestrator(home=tmp_path / "other") as stranger,
        Server(stranger, [str(APP)], port=port),
        Server(orchestrator, [str(APP)], port=0) as second,
    ):
        with pytest.raises(OrchestratorUnreachable, match=f"it is served at {second.url} now: ask again"):
            client.runs()
        assert client.runs() == []


def is_wait(data: bytes) -> bool:
    """Return whether a request asks for what may take long."""
    return any(sign in data for sign in (b"/stream HTTP", b"?wait=", b'"session.ask"'))


class Cutter:
    """A proxy that breaks its connections when it is told to, or as soon as anyone waits through it."""

    def __init__(self, url: str, *, at_once: bool = False) -> None:
        self._behind = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._open: list[socket.socket] = []
        self._at_once = at_once
        self.awaited = threading.Event()
        """Set once somebody waits for something."""
        self.silent = threading.Event()
        """Set once the server has kept a stream open in which nothing happens."""

    def __call__(self, connection: socket.socket) -> None:
        with connection, socket.create_connection(self._behind) as behind:
            self._open += [connection, behind]
            back = threading.Thread(target=self._pass_on, args=(behind, connection))
            back.start()
            self._pass_on(connection, behind)
            back.join()

    def cut(self) -> None:
        self.awaited.clear()
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
                if KEEPALIVE_COMMENT in data:
                    self.silent.set()
                if is_wait(data):
                    self.awaited.set()
                    if self._at_once:
                        self.cut()
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Impatient(Cutter):
    """A proxy that answers the first wait in the place of its server."""

    def __init__(self, url: str, status: str) -> None:
        super().__init__(url)
        self._answer = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n".encode()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while (data := here.recv(65536)) and (self.awaited.is_set() or not is_wait(data)):
                there.sendall(data)
            if data:
                here.sendall(self._answer)
                self.awaited.set()
        super()._pass_on(here, there)


@contextmanager
def through(proxy: Cutter, server: Server) -> Iterator[tuple[Client, ThreadPoolExecutor]]:
    """Give a client whose connections go through a proxy, and a thread that may wait with it."""
    with answering(proxy) as url, Client(url, server.token.value) as client, ThreadPoolExecutor(1) as threads:
        yield client, threads


def wait(client: Client, how: str) -> object:
    """Wait for the end of a run in one of four ways."""
    run = client.get("words")
    if how == "result":
        return run.result(60)
    if how == "until_result":
        return asyncio.run(client.until_result("words", None))
    if how == "follow":
        return [event.seq for event in run.events(follow=True)]

    async def events() -> list[int]:
        return [event.seq async for event in run.aio.events(follow=True)]

    return asyncio.run(events())


WAYS = ("result", "until_result", "follow", "until_followed")


@pytest.mark.parametrize("how", WAYS)
def test_a_wait_goes_on_where_a_proxy_cuts_its_connections(how: str, orchestrator: Orchestrator, monkeypatch):
    monkeypatch.setattr(http, "BRIEF", 0.0)
    here = start(orchestrator, "words", "words", count=2)
    with Server(orchestrator, [str(APP)], port=0) as server:
        cutter = Cutter(server.url)
        with through(cutter, server) as (client, threads):
            waiting = threads.submit(wait, client, how)
            for count in range(2):
                assert cutter.awaited.wait(20)
                cutter.cut()
                assert cutter.awaited.wait(20)
                here.signal(Word(text=str(count)))
            got = waiting.result(30)
    assert got == (["0", "1"] if how in {"result", "until_result"} else [event.seq for event in here.events()])


@pytest.mark.parametrize("how", ["follow", "until_followed"])
def test_whoever_follows_goes_on_after_a_long_silence(how: str, orchestrator: Orchestrator, monkeypatch):
    monkeypatch.setattr("greenroom.dashboard.routes.results.PING", 0.05)
    here = start(orchestrator, "words", "words", count=2)
    with Server(orchestrator, [str(APP)], port=0) as server:
        proxy = Cutter(server.url)
        with through(proxy, server) as (client, threads):
            waiting = threads.submit(wait, client, how)
            for count in range(2):
                proxy.silent.clear()
                assert proxy.silent.wait(20)
                here.signal(Word(text=str(count)))
            got = waiting.result(30)
    assert got == [event.seq for event in here.events()]


def ask(client: Client, how: str) -> str:
    """Ask a session that waits for a person."""
    session = client.session(desk, "ann")
    if how == "ask":
        return session.ask(Note(text="go"))
    if how == "ask in time":
        return session.ask(Note(text="go"), timeout=20, key="mine")
    return asyncio.run(session.aio.ask(Note(text="go"), key="mine"))


@pytest.mark.parametrize("how", ["ask", "ask in time", "aio.ask"])
def test_a_question_goes_on_where_a_proxy_cuts_its_connections(how: str, orchestrator: Orchestrator, monkeypatch):
    monkeypatch.setattr(http, "BRIEF", 0.0)
    with Server(orchestrator, [asked.__file__], port=0) as server:
        cutter = Cutter(server.url)
        with through(cutter, server) as (client, threads):
            reply = threads.submit(ask, client, how)
            for _ in range(2):
                assert cutter.awaited.wait(20)
                (question,) = eventually(orchestrator.approvals, 30)
                cutter.cut()
            assert cutter.awaited.wait(20)
            orchestrator.decide(question.id, "approve")
            assert reply.result(30) == "approve"
    assert [turn.status for turn in orchestrator.session(desk, "ann").history()] == ["answered"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("status", ["503 Service Unavailable", "504 Gateway Timeout"])
def test_a_wait_goes_on_where_a_proxy_has_waited_long_enough(
    how: str, status: str, orchestrator: Orchestrator, monkeypatch
):
    monkeypatch.setattr(http, "BRIEF", 0.0)
    here = start(orchestrator, "words", "words")
    with Server(orchestrator, [str(APP)], port=0) as server:
        proxy = Impatient(server.url, status)
        with through(proxy, server) as (client, threads):
            waiting = threads.submit(wait, client, how)
            assert proxy.awaited.wait(20)
            here.signal(Word(text="0"))
            got = waiting.result(30)
    assert got == (["0"] if how in {"result", "until_result"} else [event.seq for event in here.events()])


def test_an_answer_of_a_proxy_that_gave_up_says_that_the_request_may_have_been_taken():
    with (
        answering(saying("504 Gateway Timeout", "text/html", "")) as url,
        Client(url, TOKEN) as client,
        pytest.raises(OrchestratorUnreachable, match="may have been taken: ask again, with the same id or key"),
    ):
        start(client, "total", "total", a=1)


def test_what_is_too_long_for_a_request_is_refused_as_input_with_what_to_do(orchestrator: Orchestrator):
    start(orchestrator, "words", "words")
    with (
        Server(orchestrator, [str(APP)], port=0),
        Client() as client,
        pytest.raises(InvalidInput, match="12582912 bytes: leave what is long in a file, and give its path"),
    ):
        client.get("words").signal(Word(text="x" * 13_000_000))


@pytest.mark.parametrize("how", ["until_result", "follow", "until_followed"])
def test_a_wait_ends_when_its_client_is_closed(how: str, orchestrator: Orchestrator):
    start(orchestrator, "words", "words")
    with Server(orchestrator, [str(APP)], port=0) as server:
        proxy = Cutter(server.url)
        with through(proxy, server) as (client, threads):
            waiting = threads.submit(wait, client, how)
            assert proxy.awaited.wait(20)
            eventually(lambda: client._wire.waits._ends)
            client.close()
            with pytest.raises(OrchestratorClosed, match="was closed"):
                waiting.result(10)


def test_an_awaited_reply_ends_when_its_client_is_closed(orchestrator: Orchestrator):
    with Server(orchestrator, [asked.__file__], port=0) as server:
        proxy = Cutter(server.url)
        with through(proxy, server) as (client, threads):
            reply = threads.submit(ask, client, "aio.ask")
            eventually(orchestrator.approvals, 30)
            client.close()
            with pytest.raises(OrchestratorClosed, match="was closed while it waited; what it waited for goes on"):
                reply.result(10)


@pytest.mark.parametrize("how", ["ask", "aio.ask"])
def test_a_question_that_is_cut_at_once_ends_with_an_error(how: str, orchestrator: Orchestrator):
    with Server(orchestrator, [asked.__file__], port=0) as server:
        proxy = Cutter(server.url, at_once=True)
        with (
            through(proxy, server) as (client, _),
            pytest.raises(OrchestratorUnreachable, match="broke off"),
        ):
            ask(client, how)


@pytest.mark.parametrize("how", WAYS)
def test_a_wait_that_is_cut_at_once_ends_with_an_error(how: str, orchestrator: Orchestrator):
    start(orchestrator, "words", "words")
    with Server(orchestrator, [str(APP)], port=0) as server:
        proxy = Cutter(server.url, at_once=True)
        with (
            through(proxy, server) as (client, _),
            pytest.raises(OrchestratorUnreachable, match="broke off"),
        ):
            wait(client, how)
