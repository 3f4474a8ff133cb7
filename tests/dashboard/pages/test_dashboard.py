"""The dashboard: what it shows, and what a person can do there."""

import httpx

from tests.dashboard.apps import talking
from tests.dashboard.conftest import APP, start
from tests.support import eventually

HUGE = 12345678901234567890


def test_a_token_is_asked_for_and_kept(browse, orchestrator):
    start(orchestrator, "total", "total", a=1).result(30)
    page = browse(token="x" * 20)
    page.shows("not this server's")
    assert "total" not in page.text
    page.type("token", orchestrator.home.token.read_text())
    page.click("Show")
    page.shows("total", "completed")
    assert "not this server's" not in page.text
    assert "Token" not in page.text


def test_a_run_is_started_and_seen_to_its_end(browse, orchestrator):
    page = browse()
    page.shows("No runs.")
    page.unfold("Start a run")
    page.shows("Workflow")
    page.type("Workflow", "total", "Start a run")
    page.shows("Add two numbers.")
    page.type("Id", "sum", "Start a run")
    page.type("Arguments", f'{{"a": {HUGE}, "b": 1}}', "Start a run")
    page.click("Start", "Start a run", "Arguments")
    page.shows("Run sum", "completed", "add#1", "offered.py")
    assert page.hash == "#run/sum"
    assert orchestrator.get("sum").result(0) == HUGE + 1
    page.unfold("Result")
    page.shows(str(HUGE + 1))
    page.unfold("Arguments")
    page.shows(f'"a": {HUGE}')
    page.unfold("Newest events")
    page.shows("run.completed", "step.scheduled")
    page.open("#runs")
    page.shows("sum")


def test_a_failure_is_shown_with_its_line_and_the_run_retried_forked_and_followed(browse, orchestrator):
    run = start(orchestrator, "broken", "broken")
    eventually(lambda: run.status == "failed")
    page = browse()
    page.type("Status", "failed")
    page.shows("broken", "failed")
    page.open("#run/broken")
    page.shows("ValueError", "no luck", "Retry")
    assert page.text.count("StepFailed") == 1, "the reason, and not the exception a second time"
    page.unfold("What happened")
    page.shows("offered.py:", "explode")
    page.unfold("Progress")
    page.shows('"lit": "no luck"')
    page.click("Retry")
    page.shows("explode#1")
    page.click("Fork before this step", "explode#1")
    page.shows("Run broken-")
    assert page.hash.startswith("#run/broken-")
    assert any("forked" in stored.event.type for stored in run.events()) or len(orchestrator.runs(name="broken")) == 2


def test_a_run_is_paused_resumed_told_something_and_cancelled(browse, orchestrator):
    run = start(orchestrator, "words", "words", count=2)
    page = browse()
    page.open("#run/words")
    page.shows("waiting")
    page.click("Pause")
    page.shows("paused", "Resume")
    assert orchestrator.get("words").status == "paused"
    page.click("Resume")
    page.shows("Pause")
    page.unfold("Send a message to it")
    page.type("Type", "Word", "Send a message")
    page.type("Message", '{"txt": "a"}', "Send a message")
    page.click("Send", "Send a message")
    page.type("Message", '{"text": "<b>hello</b>"}', "Send a message")
    page.click("Send", "Send a message")
    page.unfold("Shared state")
    page.shows("<b>hello</b>")
    page.click("Cancel")
    page.shows("cancelled")
    assert run.status == "cancelled"
    assert "Cancel run words?" in page.asked
    page.open("#run/%")
    page.shows("Runs")


def test_a_question_is_approved_with_other_arguments_or_rejected(browse, orchestrator):
    first = start(orchestrator, "release", "first", version="one")
    second = start(orchestrator, "pay", "second", usd=1.5)
    page = browse()
    page.open("#approvals")
    page.shows("release", "first", "pay", "second")
    page.type("By", "ada", "first")
    page.type("Comment", "looks well", "first")
    page.unfold("Approve with other arguments", "first")
    page.type("other arguments", "[2]", "first")
    page.click("Approve these", "first")
    page.shows("args.0: is a number, and the question is about a text", "Approve these")
    page.type("other arguments", '["two"]', "first")
    page.click("Approve these", "first")
    assert first.result(30) == "edit ['two'] by ada"
    page.hides("first")
    page.open("#run/second")
    page.click("Reject", "pay")
    eventually(lambda: second.status == "completed")
    page.hides("Reject")
    page.open("#approvals")
    page.shows("Nothing waits for a decision.")


def test_a_session_is_opened_talked_to_and_closed(browse, orchestrator):
    page = browse()
    page.open("#sessions")
    page.shows("No sessions.")
    page.type("Talk to a new one", "chat")
    page.click("Go")
    page.open("#session/chat/ada%20l")
    page.shows("Its first message opens it.", "Message")
    page.type("Message", '{"text": "spell"}')
    page.click("Send")
    page.shows("1 Word", "answered", "1 step")
    page.unfold("1 step")
    page.shows("spell#1")
    page.type("Message", '{"text": "bad"}')
    page.click("Send")
    page.shows("no such word", "failed")
    page.unfold("State")
    page.shows('"spell"')
    page.open("#dead-letters")
    page.shows("message 2", "no such word")
    page.click("Drop")
    page.shows("Nothing was set aside.")
    page.open("#session/chat/ada%20l")
    page.click("Close")
    page.shows("completed")
    page.open("#sessions")
    page.shows("chat/ada l")


def test_the_conversation_of_an_agent_is_shown_message_by_message(browse, orchestrator):
    orchestrator.start(talking.answer, "Where is A-17?", id="asked").result(30)
    page = browse()
    page.open("#run/asked")
    page.unfold("Conversation with its model")
    page.shows("user\nWhere is A-17?", "calls find_order call_1", "tool find_order call_1", "is on its way")


def test_workers_are_shown_and_killed_and_the_tree_with_them(browse, orchestrator, tmp_path):
    run = start(orchestrator, "standing", "standing", path=str(tmp_path / "pid"))
    page = browse()
    page.open("#processes")
    page.shows("standing stand#1", "Supervision tree", "one_for_one")
    page.click("Kill", "standing stand#1")
    page.open("#run/standing")
    page.shows("crash", "not counted", "running")
    page.unfold("What happened")
    page.shows("SIGKILL")
    run.cancel()
    page.shows("cancelled")


def test_a_schedule_is_triggered_paused_and_resumed(browse, orchestrator, http):
    plan = {"app": str(APP), "workflow": "total", "arguments": {"a": 2}, "every": 3600.0}
    http.post("/api/v1/schedules/hourly", json={"plan": plan}).raise_for_status()
    page = browse()
    page.open("#schedules")
    page.shows("hourly", "every 3600 s", "active")
    page.click("Trigger")
    page.shows("hourly~")
    page.click("Pause")
    page.shows("paused")
    page.click("Resume")
    page.shows("active")


def test_a_server_that_has_gone_is_said_to(browse, server):
    page = browse()
    page.shows("No runs.")
    server.close()
    page.shows("The server does not answer")


def test_what_a_run_says_is_text_wherever_it_is_shown(browse, orchestrator):
    start(orchestrator, "broken", "broken", why="<img src=x onerror=alert(1)>")
    page = browse()
    page.open("#run/broken")
    page.shows("<img src=x onerror=alert(1)>")
    assert page.count("img") == 0


def test_every_path_that_is_asked_for_exists(browse, orchestrator, server):
    start(orchestrator, "total", "total", a=1).result(30)
    page = browse()
    for place in ("runs", "run/total", "sessions", "approvals", "schedules", "dead-letters", "processes"):
        page.open(f"#{place}")
        page.unfold_all()
    page.shows("Supervision tree")
    token = {"Authorization": f"Bearer {server.token.value}"}
    with httpx.Client(base_url=server.url, headers=token, trust_env=False) as http:
        for asked in {each for each in page.asked if each.startswith("GET")}:
            assert http.get(asked.removeprefix("GET ")).status_code == 200, asked
