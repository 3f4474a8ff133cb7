"""The dashboard where something is slow, gone, or oddly named, or changes while a person looks at it."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from greenroom.dashboard.server import Server
from tests.dashboard.apps import offered, passing_on
from tests.dashboard.apps.asked import Note, desk
from tests.dashboard.conftest import APP, start

Rule = Callable[[BaseHTTPRequestHandler], str | None]


@pytest.fixture
def between(server: Server) -> Iterator[Callable[[Rule], str]]:
    """Give what puts a proxy before the server.

    The rule may wait before a request goes on. It returns what the proxy does with it: None to pass on the answer, "cut"
    to break off once the server has answered, "html" to answer with a page of its own.
    """
    opened: list[ThreadingHTTPServer] = []

    def between(rule: Rule) -> str:
        class Proxy(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                verdict = rule(self)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                passed = ("Authorization", "Content-Type", "Idempotency-Key")
                headers = {name: self.headers[name] for name in passed if name in self.headers}
                with httpx.Client(base_url=server.url, trust_env=False) as http:
                    answer = http.request(self.command, self.path, headers=headers, content=body)
                if verdict == "cut":
                    self.close_connection = True
                    return
                status, kind, text = answer.status_code, answer.headers["content-type"], answer.content
                if verdict == "html":
                    status, kind, text = 200, "text/html", b"<p>Log in first"
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_GET  # noqa: N815  the name that the base class looks for

            def log_message(self, *_: Any) -> None: ...

        proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        opened.append(proxy)
        return f"http://127.0.0.1:{proxy.server_port}"

    yield between
    for proxy in opened:
        proxy.shutdown()
        proxy.server_close()


def test_an_old_answer_does_not_replace_a_newer_one(browse, between, orchestrator):
    start(orchestrator, "total", "total", a=1).result(30)
    held, go_on, passed = threading.Event(), threading.Event(), threading.Event()

    def rule(request: BaseHTTPRequestHandler) -> None:
        known = request.headers.get("Authorization", "Bearer").strip() != "Bearer"
        if known and request.path.startswith("/api/v1/runs?") and "status=" not in request.path:
            held.set()
            go_on.wait(30)
        if "status=failed" in request.path and go_on.is_set():
            passed.set()  # one more look, asked for after the old answer

    page = browse(url=between(rule))
    assert held.wait(30)
    page.type("Status", "failed")
    page.shows("No runs.")
    go_on.set()
    while not passed.is_set():
        page.shows("No runs.")
        assert "#run/total" not in page.text
        assert page.count("tr") == 1, "the headings alone"


def test_a_server_that_is_silent_is_said_to_be(browse, between):
    silent, go_on = threading.Event(), threading.Event()

    def rule(_: BaseHTTPRequestHandler) -> None:
        if silent.is_set():
            go_on.wait(30)

    page = browse(url=between(rule))
    page.shows("No runs.")
    silent.set()
    page.shows("The server has not answered for a while")
    go_on.set()
    page.hides("The server has not answered")


def test_a_command_without_an_answer_may_have_been_done_and_a_page_of_a_proxy_is_no_answer(
    browse, between, orchestrator
):
    verdict: list[str] = []
    page = browse(url=between(lambda request: verdict[0] if request.command == "POST" else None))
    for given, said in (("cut", "It may have done what you asked: look before you ask again"), ("html", "text/html")):
        verdict[:] = [given]
        page.unfold("Start a run")
        page.shows("Workflow")
        page.type("Id", given, "Start a run")
        page.type("Arguments", '{"a": 1}', "Start a run")
        page.type("Workflow", "total", "Start a run")
        page.type("Arguments", '{"a": 1}', "Start a run")
        page.click("Start", "Start a run", "Arguments")
        page.shows(said)
        assert orchestrator.get(given).result(30) == 2


def test_what_is_sent_again_because_no_answer_came_is_done_once(browse, between, orchestrator):
    start(orchestrator, "total", "origin", a=1).result(30)
    lost = ["", "", ""]
    page = browse(url=between(lambda request: "cut" if request.command == "POST" and lost.pop() else None))

    def twice(send: Callable[[], Any]) -> None:
        lost[:] = ["", "lost"]
        send()
        page.shows("ask again as it is, and it is done once")
        send()
        page.hides("ask again as it is")

    page.unfold("Start a run")
    page.shows("Workflow")
    page.type("Workflow", "total", "Start a run")
    page.type("Arguments", '{"a": 5}', "Start a run")
    twice(lambda: page.click("Start", "Start a run", "Arguments"))
    assert len(orchestrator.runs(name="total")) == 2
    page.open("#run/origin")
    twice(lambda: page.click("Fork"))
    assert len(orchestrator.runs(name="total")) == 3
    page.open("#session/chat/ada")
    page.shows("Message")
    page.type("Message", '{"text": "spell"}')
    twice(lambda: page.click("Send"))
    page.shows("1 Word", "answered")
    lost[:] = ["", ""]
    page.click("Send")
    page.shows("2 Word")
    assert "3 Word" not in page.text


def test_a_fork_does_not_call_a_person_back_who_has_gone_on(browse, between, orchestrator):
    start(orchestrator, "total", "total", a=1).result(30)
    asked, go_on = threading.Event(), threading.Event()

    def rule(request: BaseHTTPRequestHandler) -> None:
        if request.path.endswith("/fork"):
            asked.set()
            go_on.wait(30)

    page = browse(url=between(rule))
    page.open("#run/total")
    page.click("Fork")
    assert asked.wait(30)
    page.open("#processes")
    page.shows("Supervision tree")
    go_on.set()
    page.open("#runs")
    page.shows("total-")
    assert page.hash == "#runs"


def test_what_could_not_be_shown_is_asked_for_again(browse, orchestrator, server):
    page = browse()
    page.shows("No runs.")
    port = httpx.URL(server.url).port
    server.close()
    page.open("#session/chat/ada")
    page.shows("Try again")
    with Server(orchestrator, [str(APP)], port=port):
        page.click("Try again")
        page.shows("Word", '"text": ""', "Its first message opens it.")


def test_what_is_folded_open_is_looked_at_again(browse, orchestrator):
    run = start(orchestrator, "words", "words", count=2)
    page = browse()
    page.open("#run/words")
    page.unfold("Newest events")
    page.shows("run.started")
    run.cancel()
    page.shows("cancelled")
    assert "run.cancelled" not in page.text
    page.click("Refresh", "Newest events")
    page.shows("run.cancelled")


def test_the_newest_messages_of_a_long_session_are_shown_and_earlier_ones_on_demand(browse, orchestrator):
    chat = orchestrator.session(offered.chat, "long")
    for number in range(250):
        chat.tell(offered.Word(text=f"word {number}"))
    page = browse()
    page.open("#session/chat/long")
    page.shows('"text": "word 249"', "Show earlier messages")
    assert '"text": "word 99"' not in page.text
    page.click("Show earlier messages")
    page.shows('"text": "word 0"', '"text": "word 249"')
    assert "Show earlier messages" not in page.text


def test_the_newest_steps_of_a_long_run_are_shown_and_earlier_ones_on_demand(browse, orchestrator):
    start(orchestrator, "sums", "long", numbers=250).result(30)
    page = browse()
    page.open("#run/long")
    page.shows("add#101", "add#250", "Show earlier steps")
    assert "add#100 " not in page.text
    page.click("Show earlier steps")
    page.shows("add#1 ", "add#250")
    page.hides("Show earlier steps")


def test_a_run_that_a_session_started_is_a_run(browse, orchestrator):
    clerk = orchestrator.session(passing_on.clerk, "a %")
    assert clerk.ask(passing_on.Ask(text="hello")) == "hello"
    page = browse()
    page.follow("clerk/a %/1.1")
    page.shows("Run clerk/a %/1.1", "completed", "child of clerk/a %")
    page.follow("clerk/a %")
    page.shows("Session clerk/a %", "hello")


def test_a_paused_session_is_resumed(browse, orchestrator, api):
    orchestrator.session(offered.chat, "ada").ask(offered.Word(text="hello"))
    api.post("/runs/chat%2Fada/pause").raise_for_status()
    page = browse()
    page.open("#session/chat/ada")
    page.shows("paused")
    page.click("Resume")
    page.hides("Resume")
    assert orchestrator.sessions()[0].status == "waiting"


def test_what_a_session_asks_people_stands_with_the_session(browse, orchestrator):
    session = orchestrator.session(desk, "ann")
    session.tell(Note(text="go"))
    page = browse()
    page.open("#session/desk/ann")
    page.shows("Approve with other arguments")
    page.click("Approve")
    page.shows("answered")
    assert [turn.status for turn in session.history()] == ["answered"]


def test_an_attempt_under_way_is_said_to_have_begun_and_not_to_have_lasted(browse, orchestrator, tmp_path):
    run = start(orchestrator, "standing", "standing", path=str(tmp_path / "pid"))
    page = browse()
    page.open("#run/standing")
    page.shows("stand#1", "running since ")
    run.cancel()


def test_the_focus_stays_on_a_button_whose_row_changes(browse, orchestrator, http):
    plan = {"app": str(APP), "workflow": "total", "arguments": {"a": 2}, "every": 3600.0}
    http.post("/api/v1/schedules/hourly", json={"plan": plan}).raise_for_status()
    page = browse()
    page.open("#schedules")
    page.click("Trigger")
    page.shows("hourly~")
    assert page.focused == "Trigger"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_browsers_cut_out_of_addresses_is_never_asked_about(browse, orchestrator, name):
    start(orchestrator, "words", name)
    page = browse()
    page.follow(name)
    page.shows("No page can ask about what is called . or ..")
    assert not any(f"runs/{name}" in each for each in page.asked)
    page = browse("/docs")
    page.unfold("POST/api/v1/runs/{run_id}/resume")
    page.type("run_id", name, "/api/v1/runs/{run_id}/resume")
    page.click("Send", "/api/v1/runs/{run_id}/resume")
    page.shows("No page can ask about what is called . or ..")
    assert page.asked == ["GET /openapi.json"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_what_can_be_no_token_is_said_so(browse, path):
    page = browse(path, token="ein schlüssel so lang")
    page.shows("A token consists of visible ASCII characters")


def test_the_docs_round_no_number(browse, orchestrator):
    huge = 12345678901234567890
    start(orchestrator, "total", "total", a=huge, b=0).result(30)
    page = browse("/docs")
    page.shows("/api/v1/runs/{run_id}/result")
    page.unfold("GET/api/v1/runs/{run_id}/result")
    within = ["/api/v1/runs/{run_id}/result"]
    page.type("run_id", "total", *within)
    page.click("Send", *within)
    page.shows(f'"result": {huge}')
