"""An account without credit or quota: one request, a parked run that says what to do, and the answer after a top-up."""

import asyncio
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom import Client, Orchestrator, Run, RunParked
from greenroom.dashboard.server import Server
from greenroom.testing import replay_export
from tests.acceptance import harness
from tests.acceptance.apps.models import quota
from tests.actors.models.provider_server import (
    BEHAVIOURS,
    Behaviour,
    ProviderServer,
    call,
    chat,
    chunk,
    respond,
    stream,
)
from tests.actors.models.provider_server import error as error_body
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EMPTY = BEHAVIOURS["any", "quota"]
HELLO = chat("Hello, ", "world.")
RATING = stream(
    chunk(call("give_final_answer", '{"reason": "so it is", "score": 0.9}')), chunk(finish="tool_calls"), "[DONE]"
)


@dataclass
class Account:
    """The provider's account: its server refuses to answer until it is topped up."""

    server: ProviderServer
    topped_up: bool = False

    def __post_init__(self) -> None:
        for model, answer in (("paid", HELLO), ("rater", RATING), ("agent", self.agent)):
            self.server.behaviours[model] = self.unless_empty(answer)

    def unless_empty(self, answer: Behaviour) -> Behaviour:
        async def behave(writer: Any, request: Any) -> None:
            await (answer if self.topped_up else EMPTY)(writer, request)

        return behave

    async def agent(self, writer: Any, request: Any) -> None:
        """Ask for a tool, and answer once its result is there; the account is empty in between."""
        messages = request.body["messages"]
        if messages[-1]["role"] == "tool":
            await chat(f"I saw {messages[-1]['content']}.")(writer, request)
        else:
            self.topped_up = False
            arguments = json.dumps({"folder": messages[-1]["content"]})
            await stream(chunk(call("look", arguments)), chunk(finish="tool_calls"), "[DONE]")(writer, request)

    def asked(self, model: str) -> int:
        return self.server.counts()[model]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with ProviderServer() as server:
        for name in ("OPENAI", "ANTHROPIC"):
            monkeypatch.setenv(f"{name}_API_KEY", f"sk-{secrets.token_hex(12)}")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.removesuffix("/v1"))
        yield Account(server)


@pytest.fixture
def orchestrator(account: Account, orchestrator: Orchestrator) -> Orchestrator:
    """Open the orchestrator after the variables are set, which its workers inherit."""
    return orchestrator


def parked(run: Any) -> str:
    """Wait until a run is parked; give the reason."""
    with pytest.raises(RunParked) as caught:
        run.result(60)
    return str(caught.value)


def attempts(run: Any) -> dict[str, list[tuple[str, bool]]]:
    return {step.key: [(each.outcome, each.charged) for each in step.attempts] for step in run.steps()}


@pytest.mark.parametrize(
    ("which", "model", "said"),
    [
        ("openai", "openai-chat:paid", "You exceeded your current quota"),
        ("unpaid", "openai-chat:unpaid", "payment required"),
        ("claude", "anthropic:quota", "Your credit balance is too low"),
    ],
)
def test_the_run_is_parked_after_one_request_and_completes_after_a_top_up(account, orchestrator, which, model, said):
    run = orchestrator.start(quota.asks, which, id="poor")
    reason = parked(run)
    assert reason.count(f"the account for the model '{model}' has no credit or quota left ({said})") == 1
    assert re.search(r"top it up or raise its limit; .* `greenroom runs resume poor.*` goes on with it", reason)
    name = model.partition(":")[2]
    assert account.asked(name) == 1
    (step,) = run.steps()
    assert attempts(run)[step.key] == [("error", False)]
    account.server.behaviours[name] = BEHAVIOURS["messages", "answers"] if which == "claude" else HELLO
    run.resume()
    assert run.result(60) == "Hello, world."
    assert attempts(run)[step.key] == [("error", False), ("ok", True)]
    assert run.steps()[0].attempts[0].usage == {"input_tokens": 0, "output_tokens": 0, "usd": 0.0}


def test_a_resume_without_a_top_up_parks_it_again_as_often_as_one_likes(account, orchestrator):
    run = orchestrator.start(quota.asks, "openai")
    for asked in range(1, 5):
        assert "has no credit or quota left" in parked(run)
        assert account.asked("paid") == asked, "more than the two attempts of its policy"
        run.resume()
        eventually(lambda asked=asked: account.asked("paid") == asked + 1, 30)
    parked(run)
    account.topped_up = True
    run.resume()
    assert run.result(60) == "Hello, world."


def by_handle(run: Run[Any], _server: Server) -> None:
    run.resume()


def by_client(run: Run[Any], _server: Server) -> None:
    with Client() as client:
        client.get(run.id).resume()


def by_http(run: Run[Any], server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token.value}"}
    way = f"{server.url}/api/v1/runs/{run.id}/resume"
    assert httpx.post(way, headers=headers, json={}, trust_env=False).is_success


def by_command(run: Run[Any], _server: Server) -> None:
    subprocess.run([sys.executable, ROOT / "main.py", "runs", "resume", run.id], check=True, timeout=60)


def test_several_calls_at_once_keep_the_answers_that_come_and_repeat_only_what_was_refused(account, orchestrator):
    holds: list[Any] = []

    async def slowly(writer: Any, request: Any) -> None:
        holds.append(asyncio.Event())
        await holds[0].wait()
        await HELLO(writer, request)

    account.server.behaviours["slow"] = slowly
    run = orchestrator.start(quota.asks_many, 3)
    eventually(lambda: run.status == "parked" and holds, 60)
    account.server._loop.call_soon_threadsafe(holds[0].set)
    eventually(lambda: attempts(run)["1/slow#1"] == [("ok", True)], 30)
    assert run.status == "parked"
    account.topped_up = True
    refused = account.asked("paid")
    run.resume()
    assert run.result(60) == ["Hello, world."] * 5
    assert account.asked("slow") == 1
    assert account.asked("paid") == refused + 4


def test_a_fallback_takes_over_and_the_run_is_parked_only_for_the_last_model(account, orchestrator):
    run = orchestrator.start(quota.asks, "spared")
    assert run.result(60) == "Hello, world."
    assert "run.parked" not in [stored.event.type for stored in run.events()]
    assert account.asked("paid") == 1
    run = orchestrator.start(quota.asks, "both")
    assert "'openai-chat:paid' has no credit" in parked(run)
    assert [len(found) for found in attempts(run).values()] == [1, 2, 1]
    account.topped_up = True
    run.resume()
    assert run.result(60) == "Hello, world."
    assert (account.asked("unpaid"), account.asked("broken"), account.asked("paid")) == (1, 2, 3)


def test_a_program_cannot_steer_what_is_parked_unless_its_retry_policy_says_so(account, orchestrator):
    run = orchestrator.start(quota.catches)
    parked(run)
    account.topped_up = True
    run.resume()
    assert run.result(60) == "Hello, world."
    account.topped_up = False
    went_on = orchestrator.start(quota.steers).result(60)
    assert "went on" in went_on
    assert "has no credit or quota left" in went_on


def test_an_agent_goes_on_where_its_model_was_refused_and_repeats_no_tool(account, orchestrator, tmp_path):
    account.topped_up = True
    run = orchestrator.start(quota.helps, str(tmp_path))
    parked(run)
    assert list(attempts(run)) == ["helper#1/model#1", "helper#1/look[call_1]#1", "helper#1/model#2"]
    account.topped_up = True
    run.resume()
    assert run.result(60) == "I saw an otter."
    assert (tmp_path / "log").read_text().splitlines() == ["looked"]


def test_a_turn_of_a_session_waits_for_quota_and_is_answered_once(account, orchestrator):
    anna = orchestrator.session(quota.talk, "anna")
    with pytest.raises(RunParked, match="runs resume talk/anna"):
        anna.ask(quota.Words(text="hi"), 60, key="first")
    account.topped_up = True
    orchestrator.get("talk/anna").resume()
    assert anna.ask(quota.Words(text="hi"), 60, key="first") == "1: Hello, world."
    assert anna.ask(quota.Words(text="ho"), 60) == "2: Hello, world."
    assert not orchestrator.dead_letters()


def test_the_run_at_the_top_is_parked_for_a_child_and_its_resume_is_enough(account, orchestrator):
    run = orchestrator.start(quota.below, "openai", id="top")
    reason = parked(run)
    assert "step poor#1 of run top~1 waits for quota: the account" in reason
    assert "runs resume top" in reason
    assert orchestrator.get("top~1").status == "paused"
    account.topped_up = True
    run.resume()
    assert run.result(60) == "Hello, world.!"


def test_a_child_that_is_read_in_order_to_be_resumed_does_not_stop_the_run_above_it_again(
    account, home, mark, tmp_path
):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        parked(orchestrator.start(quota.below, "openai", id="top"))
    account.topped_up = True
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), recover=False) as orchestrator:
        run = orchestrator.get("top")
        run.resume()
        assert run.result(60) == "Hello, world.!"
        assert [stored.event.type for stored in run.events()].count("run.parked") == 1


def test_the_cleanup_of_a_cancelled_run_is_not_held_up(account, orchestrator, tmp_path):
    run = orchestrator.start(quota.cleans_up, str(tmp_path))
    eventually(lambda: run.status == "waiting", 60)
    run.cancel()
    eventually(lambda: run.status == "cancelled", 60)
    assert account.asked("paid") == 1


# ---------------------------------------------------------------- judges


@pytest.mark.parametrize("which", ["rated", "must"])
def test_a_result_waits_for_its_judge_and_is_not_asked_for_again(account, orchestrator, which):
    run = orchestrator.start(quota.rates, which)
    reason = parked(run)
    assert f"the evaluation of step {run.steps()[0].key} waits for quota: the account for the model" in reason
    assert run.steps()[0].status == "evaluating"
    assert not run.steps()[0].evaluations
    account.topped_up = True
    run.resume()
    assert run.result(60) == "Hello, world."
    (step,) = run.steps()
    assert [(each.name, each.score) for each in step.evaluations] == [("fair", 0.9)]
    assert not step.flagged
    assert (account.asked("answers"), account.asked("rater")) == (1, 2)


def test_a_result_that_may_be_used_without_its_judge_does_not_wait(account, orchestrator):
    run = orchestrator.start(quota.rates, "may")
    assert run.result(60) == "Hello, world."
    assert "has no credit or quota left" in run.steps()[0].evaluations[0].error
    assert account.asked("rater") == 1


def test_an_awaited_judge_is_a_step_like_any_other(account, orchestrator):
    run = orchestrator.start(quota.rates_itself)
    parked(run)
    account.topped_up = True
    run.resume()
    assert run.result(60) == 0.9


# ---------------------------------------------------------------- doors, and the next orchestrator


@pytest.mark.parametrize("resume", [by_handle, by_client, by_http, by_command])
def test_it_goes_on_after_a_kill_of_the_orchestrator_through_every_door(account, home, mark, tmp_path, resume):
    owner = subprocess.Popen([sys.executable, "-m", "tests.acceptance.apps.models.quota", str(tmp_path)])
    try:
        eventually((tmp_path / "parked").exists, 90)
    finally:
        owner.kill()
        owner.wait()
    app = str(ROOT / "tests" / "acceptance" / "apps" / "models" / "quota.py")
    opened = Orchestrator(tmp_path / "runs.db", home=home, pools=harness.pools())
    with opened as orchestrator, Server(orchestrator, [app], port=0) as server:
        run = orchestrator.get("poor")
        assert run.status == "parked"
        assert orchestrator.get("poor~1").status == "paused"
        assert account.asked("paid") == 1, "nothing is asked before somebody resumes it"
        account.topped_up = True
        resume(run, server)
        eventually(lambda: run.status == "completed", 60)
        assert run.result(1) == "Hello, world.!"
        assert attempts(orchestrator.get("poor~1")) == {"poor#1": [("error", False), ("ok", True)]}


def test_an_export_of_a_parked_run_and_of_what_became_of_it_replays(account, orchestrator, tmp_path):
    run = orchestrator.start(quota.asks_many, 1, id="poor")
    account.server.behaviours["slow"] = HELLO
    parked(run)
    account_file, later = tmp_path / "parked.jsonl", tmp_path / "completed.jsonl"
    export(account_file)
    replay_export(account_file, quota.asks_many)
    account.topped_up = True
    run.resume()
    run.result(60)
    export(later)
    replay_export(later, quota.asks_many)
    types = [stored.event.type for stored in run.events()]
    assert [each for each in types if each in {"run.parked", "run.resumed"}] == ["run.parked", "run.resumed"]


def export(file: Path) -> None:
    subprocess.run(
        [sys.executable, ROOT / "main.py", "runs", "export", "poor", "--to", str(file)], check=True, timeout=60
    )


def test_the_words_of_the_provider_are_bounded(account, orchestrator):
    account.server.behaviours["paid"] = respond(402, error_body("pay " * 5000))
    reason = parked(orchestrator.start(quota.asks, "openai"))
    assert len(reason) < 1500
