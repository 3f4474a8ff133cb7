"""The dashboard: what it shows, and what a person can do there."""

import httpx

from tests.dashboard.conftest import APP, start
from tests.support import eventually

HUGE = 12345678901234567890


def test_a_token_is_asked_for_and_kept(browse, orchestrator):
    start(orchestrator, "total", "total", a=1).result(30)
    page = browse("index.html", token="x" * 20)
    page.shows("not this server's")
    assert "total" not in page.text
    page.do("type", label="token", text=orchestrator.home.token.read_text())
    page.do("submit", text="Show")
    page.shows("total", "completed")
    assert "not this server's" not in page.text
    assert "Token" not in page.text


def test_a_run_is_started_and_seen_to_its_end(browse, orchestrator):
    page = browse("index.html")
    page.shows("No runs.")
    page.do("unfold", text="Start a run")
    page.shows("Workflow")
    page.do("type", label="Workflow", text="total", within=["Start a run"])
    page.shows("Add two numbers.")
    page.do("type", label="Id", text="sum", within=["Start a run"])
    page.do("type", label="Arguments", text=f'{{"a": {HUGE}, "b": 1}}', within=["Start a run"])
    page.do("submit", text="Start", within=["Start a run", "Arguments"])
    page.shows("Run sum", "completed", "add#1", "offered.py")
    assert page.hash == "#run/sum"
    assert orchestrator.get("sum").result(0) == HUGE + 1
    page.do("unfold", text="Result")
    page.shows(str(HUGE + 1))
    page.do("unfold", text="Arguments")
    page.shows(f'"a": {HUGE}')
    page.do("unfold", text="Newest events")
    page.shows("run.completed", "step.scheduled")
    page.do("open", hash="#runs")
    page.shows("sum")


def test_a_failure_is_shown_with_its_line_and_the_run_retried_forked_and_followed(browse, orchestrator):
    run = start(orchestrator, "broken", "broken")
    eventually(lambda: run.status == "failed")
    page = browse("index.html")
    page.do("type", label="Status", text="failed")
    page.shows("broken", "failed")
    page.do("open", hash="#run/broken")
    page.shows("ValueError", "no luck", "Retry")
    page.do("unfold", text="What happened")
    page.shows("offered.py:", "explode")
    page.do("unfold", text="Progress")
    page.shows('"lit": "no luck"')
    page.do("click", text="Retry")
    page.do("until", text="explode#1")
    page.do("click", text="Fork before this step", within=["explode#1"])
    page.shows("Run broken-")
    assert page.hash.startswith("#run/broken-")
    assert any("forked" in stored.event.type for stored in run.events()) or len(orchestrator.runs(name="broken")) == 2


def test_a_run_is_paused_resumed_told_something_and_cancelled(browse, orchestrator):
    run = start(orchestrator, "words", "words", count=2)
    page = browse("index.html")
    page.do("open", hash="#run/words")
    page.shows("waiting")
    page.do("click", text="Pause")
    page.shows("paused", "Resume")
    assert orchestrator.get("words").status == "paused"
    page.do("click", text="Resume")
    page.shows("Pause")
    page.do("unfold", text="Send a message to it")
    page.do("type", label="Type", text="Word", within=["Send a message"])
    page.do("type", label="Message", text='{"txt": "a"}', within=["Send a message"])
    page.do("submit", text="Send", within=["Send a message"])
    page.do("type", label="Message", text='{"text": "<b>hello</b>"}', within=["Send a message"])
    page.do("submit", text="Send", within=["Send a message"])
    page.do("unfold", text="Shared state")
    page.shows("<b>hello</b>")
    page.do("click", text="Cancel")
    page.shows("cancelled")
    assert run.status == "cancelled"
    assert "Cancel run words?" in page.do("asked")
    page.do("open", hash="#run/%")
    page.shows("Runs")


def test_a_question_is_approved_with_other_arguments_or_rejected(browse, orchestrator):
    first = start(orchestrator, "release", "first", version="one")
    second = start(orchestrator, "pay", "second", usd=1.5)
    page = browse("index.html")
    page.do("open", hash="#approvals")
    page.shows("release", "first", "pay", "second")
    page.do("type", label="By", text="ada", within=["first"])
    page.do("type", label="Comment", text="looks well", within=["first"])
    page.do("unfold", text="Approve with other arguments", within=["first"])
    page.do("type", label="other arguments", text="[2]", within=["first"])
    page.do("click", text="Approve these", within=["first"])
    page.shows("args.0: is a number, and the question is about a text", "Approve these")
    page.do("type", label="other arguments", text='["two"]', within=["first"])
    page.do("click", text="Approve these", within=["first"])
    assert first.result(30) == "edit ['two'] by ada"
    page.do("until", text="first", gone=True)
    page.do("open", hash="#run/second")
    page.do("click", text="Reject", within=["pay"])
    eventually(lambda: second.status == "completed")
    page.do("until", text="Reject", gone=True)
    page.do("open", hash="#approvals")
    page.shows("Nothing waits for a decision.")


def test_a_session_is_opened_talked_to_and_closed(browse, orchestrator):
    page = browse("index.html")
    page.do("open", hash="#sessions")
    page.shows("No sessions.")
    page.do("type", label="Talk to a new one", text="chat")
    page.do("submit", text="Go")
    page.do("open", hash="#session/chat/ada%20l")
    page.shows("Its first message opens it.", "Message")
    page.do("type", label="Message", text='{"text": "spell"}')
    page.do("submit", text="Send")
    page.shows("1 Word", "answered", "1 steps")
    page.do("unfold", text="1 steps")
    page.shows("spell#1")
    page.do("type", label="Message", text='{"text": "bad"}')
    page.do("submit", text="Send")
    page.shows("no such word", "failed")
    page.do("unfold", text="State")
    page.shows('"spell"')
    page.do("open", hash="#dead-letters")
    page.shows("message 2", "no such word")
    page.do("click", text="Drop")
    page.shows("Nothing was set aside.")
    page.do("open", hash="#session/chat/ada%20l")
    page.do("click", text="Close")
    page.shows("completed")
    page.do("open", hash="#sessions")
    page.shows("chat/ada l")


def test_workers_are_shown_and_killed_and_the_tree_with_them(browse, orchestrator, tmp_path):
    run = start(orchestrator, "standing", "standing", path=str(tmp_path / "pid"))
    page = browse("index.html")
    page.do("open", hash="#processes")
    page.shows("standing stand#1", "Supervision tree", "one_for_one")
    page.do("click", text="Kill", within=["standing stand#1"])
    page.do("open", hash="#run/standing")
    page.shows("crash", "not counted", "running")
    page.do("unfold", text="What happened")
    page.shows("SIGKILL")
    run.cancel()
    page.shows("cancelled")


def test_a_schedule_is_triggered_paused_and_resumed(browse, orchestrator, http):
    plan = {"app": str(APP), "workflow": "total", "arguments": {"a": 2}, "every": 3600.0}
    http.post("/api/v1/schedules/hourly", json={"plan": plan}).raise_for_status()
    page = browse("index.html")
    page.do("open", hash="#schedules")
    page.shows("hourly", "every 3600 s", "active")
    page.do("click", text="Trigger")
    page.shows("hourly~")
    page.do("click", text="Pause")
    page.shows("paused")
    page.do("click", text="Resume")
    page.shows("active")


def test_a_server_that_has_gone_is_said_to(browse, server):
    page = browse("index.html")
    page.shows("No runs.")
    server.close()
    page.shows("The server does not answer")


def test_what_a_run_says_is_text_wherever_it_is_shown(browse, orchestrator):
    start(orchestrator, "broken", "broken", why="<img src=x onerror=alert(1)>")
    page = browse("index.html")
    page.do("open", hash="#run/broken")
    page.shows("<img src=x onerror=alert(1)>")
    assert page.do("count", tag="img") == 0


def test_every_path_that_is_asked_for_exists(browse, orchestrator, server):
    start(orchestrator, "total", "total", a=1).result(30)
    page = browse("index.html")
    for place in ("runs", "run/total", "sessions", "approvals", "schedules", "dead-letters", "processes"):
        page.do("open", hash=f"#{place}")
        page.do("unfold_all")
    page.shows("Supervision tree")
    token = {"Authorization": f"Bearer {server.token.value}"}
    with httpx.Client(base_url=server.url, headers=token, trust_env=False) as http:
        for asked in {each for each in page.do("asked") if each.startswith("GET")}:
            assert http.get(asked.removeprefix("GET ")).status_code == 200, asked
