"""Agents of Pydantic AI with the durability capability: steps, keys, dependencies, failures, approvals, sessions."""

import asyncio
import json
import os
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="pip install 'greenroom[pydantic-ai]'")

from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError
from pydantic_ai.models.test import TestModel

from greenroom import DefinitionError, RunFailed, RunParked
from greenroom.integrations.pydantic_ai import GreenroomDurability
from greenroom.testing import wait_for
from tests.integrations.apps import agents

KEYS = [
    "clerk#1/model#1",
    "clerk#1/search[c1]#1",
    "clerk#1/count[c2]#1",
    "clerk#1/model#2",
    "clerk#1/search[c3]#1",
    "clerk#1/model#3",
]


def outcomes(run: Any) -> dict[str, list[str]]:
    return {step.key: [attempt.outcome for attempt in step.attempts] for step in run.steps()}


def test_each_model_request_and_tool_call_is_a_step_in_a_worker_of_its_kind(orchestrator, lines) -> None:
    run = orchestrator.start(agents.office, "where are the otters?")
    assert run.result(timeout=30) == "found otters | 2 | found seals"
    steps = {step.key: step for step in run.steps()}
    assert sorted(steps) == sorted(KEYS)
    assert {key: step.kind for key, step in steps.items()} == {key: "llm" if "model" in key else "tool" for key in KEYS}
    assert {step.name for step in steps.values()} == {"model", "search", "count"}
    pids = {kind: {step.attempts[0].pid for step in steps.values() if step.kind == kind} for kind in ("llm", "tool")}
    assert os.getpid() not in pids["llm"] | pids["tool"]
    assert not pids["llm"] & pids["tool"]
    assert Counter(line["step"] for line in lines(run)) == Counter(KEYS)


def test_tokens_are_recorded_with_the_attempt_and_counted_for_the_run(orchestrator) -> None:
    run = orchestrator.start(agents.office, "where are the otters?")
    run.result(timeout=30)
    usages = [step.attempts[0].usage for step in run.steps() if step.kind == "llm"]
    assert all(usage["input_tokens"] > 0 and usage["output_tokens"] > 0 for usage in usages)
    assert all("usd" not in usage for usage in usages)  # nobody knows the price of a script
    assert run.usage["input_tokens"] == sum(usage["input_tokens"] for usage in usages)


def test_an_answer_with_halves_of_characters_is_recorded_with_whole_ones(orchestrator) -> None:
    assert orchestrator.start(agents.reads_halves).result(timeout=30) == "a \N{OTTER} b \ufffd"


def test_keys_are_those_of_the_places_where_agents_run_and_no_task_of_the_library_counts(orchestrator) -> None:
    run = orchestrator.start(agents.twice, "where?")
    assert run.result(timeout=30) == ["found otters | 2 | found seals"] * 3 + ["True"]
    below = [f"{task}/{key}" for task in (1, 2) for key in KEYS]
    assert sorted(outcomes(run)) == sorted([*below, "clerk#1/model#1", "echo#1"])


def test_an_agent_in_a_tool_that_runs_in_the_workflow_has_its_keys_below_the_call(orchestrator) -> None:
    run = orchestrator.start(agents.publish)
    assert run.result(timeout=30) == "x: found deep | y: found deep"
    inner = ["echo#1", "scholar#1/model#1", "scholar#1/model#2", "scholar#1/search[s1]#1"]
    below = [f"editor#1/study[{call}]#1/{key}" for call in ("c1", "c2") for key in inner]
    assert sorted(outcomes(run)) == sorted(["editor#1/model#1", "editor#1/model#2", *below])


def test_dependencies_reach_tools_as_their_own_type(orchestrator) -> None:
    run = orchestrator.start(agents.greet, "Ada")
    assert run.result(timeout=30) == "Ada ['a', 'm', 'z'] c1 teller#1/who[c1]#1"


def test_dependencies_of_an_unnamed_type_are_refused_before_anything_is_asked(orchestrator) -> None:
    run = orchestrator.start(agents.undescribed, "Ada")
    with pytest.raises(RunFailed, match=r"agent `clerk` is run with deps of Customer.*deps_type=Customer"):
        run.result(timeout=30)
    assert run.steps() == []


def test_a_tool_that_fails_in_any_way_is_described_to_the_model(orchestrator, lines) -> None:
    run = orchestrator.start(agents.trouble)
    told = [json.loads(text)["error"] for text in run.result(timeout=40).split(" | ")]
    assert told == [
        "the tool failed after 2 attempts: LookupError: no such index.",
        "the tool failed after 1 attempt: the worker exited with code 7.",
        "the tool failed after 1 attempt: overran its time of 0.5 s and was killed; `timeout=` gives it more.",
        "not today",
        "the tool failed after 1 attempt: MemoryError: its process may allocate 300 MiB; `memory_mb=` gives it more.",
        "the tool failed after 1 attempt: the worker exited with code 1. It is unknown whether it took effect.",
    ]
    assert Counter(line["what"] for line in lines(run)) == {"asked": 2, "paid": 1}


def test_a_providers_wish_for_a_pause_is_followed(orchestrator, lines) -> None:
    run = orchestrator.start(agents.wait_a_little)
    assert run.result(timeout=30) == "at last"
    (step,) = run.steps()
    first, second = step.attempts
    assert (first.outcome, second.outcome) == ("error", "ok")
    assert (second.started_at - first.ended_at).total_seconds() >= 1


def test_a_rejected_request_is_made_once_and_its_error_is_the_librarys(orchestrator, lines) -> None:
    run = orchestrator.start(agents.locked_out)
    assert run.result(timeout=30) == "401 broken {'error': 'no key'} after 1"
    assert len(lines(run)) == 1


def test_a_fallback_model_falls_back_within_one_step(orchestrator, lines) -> None:
    run = orchestrator.start(agents.fallen_back)
    assert run.result(timeout=30) == "from the spare"
    assert outcomes(run) == {"spare#1/model#1": ["ok"]}
    assert len(lines(run)) == 2


@pytest.mark.skipif(agents.ModelFallback is None, reason="this version has no ModelFallback")
def test_the_fallback_capability_falls_back_from_a_model_that_killed_its_worker(orchestrator) -> None:
    run = orchestrator.start(agents.relay)
    assert run.result(timeout=30) == "from the second"
    assert outcomes(run) == {"relayed#1/model#1": ["crash"], "relayed#1/model#2": ["ok"]}


@pytest.mark.parametrize(("which", "said"), [("poor", "pay first"), ("poorer", "pay first")])
def test_a_run_waits_for_quota_and_completes_after_a_top_up(orchestrator, paid, which, said) -> None:
    run = orchestrator.start(agents.pay_first, which)
    with pytest.raises(RunParked, match=rf"step {which}#1/model#1 waits for quota: .*{said}.*runs resume"):
        run.result(timeout=30)
    assert [attempt.charged for attempt in run.steps()[0].attempts] == [False]
    paid.touch()
    run.resume()
    assert run.result(timeout=30) == "paid for"
    assert outcomes(run) == {f"{which}#1/model#1": ["error", "ok"]}


@pytest.mark.skipif(agents.ModelFallback is None, reason="this version has no ModelFallback")
def test_the_fallback_capability_takes_over_before_the_run_waits_for_quota(orchestrator, paid) -> None:
    run = orchestrator.start(agents.relay_unpaid)
    with pytest.raises(RunParked, match=r"step poor_relay#1/model#3 waits for quota"):
        run.result(timeout=30)
    assert outcomes(run) == {f"poor_relay#1/model#{number}": ["error"] for number in (1, 2, 3)}
    paid.touch()
    run.resume()
    assert run.result(timeout=30) == "paid for"


def test_a_tool_that_needs_approvals_asks_for_all_of_them_and_obeys(orchestrator, lines) -> None:
    run = orchestrator.start(agents.spend)
    asked = wait_for(run, lambda _: len(orchestrator.approvals()) == 2 and orchestrator.approvals(), timeout=20)
    by_key = {approval.key: approval for approval in asked}
    assert {key: (item.action, item.args) for key, item in by_key.items()} == {
        "treasurer#1/pay[c1]#1/approve#1": ("pay", {"amount": 5}),
        "treasurer#1/pay[c2]#1/approve#1": ("pay", {"amount": 7}),
    }
    first, second = (by_key[f"treasurer#1/pay[c{number}]#1/approve#1"] for number in (1, 2))
    orchestrator.decide(first.id, "edit", args={"amount": 6}, by="Ada")
    orchestrator.decide(second.id, "reject", comment="too much", by="Ada")
    assert run.result(timeout=30) == "paid 6 | too much"
    assert [line["amount"] for line in lines(run) if line["what"] == "paid"] == [6]


def test_approvals_can_be_asked_by_hand(orchestrator, lines) -> None:
    run = orchestrator.start(agents.spend_by_hand)
    asked = wait_for(run, lambda _: len(orchestrator.approvals()) == 2 and orchestrator.approvals(), timeout=20)
    for approval in asked:
        orchestrator.decide(approval.id, "approve", by="Ada")
    assert run.result(timeout=30) == "paid 5 | paid 7"
    assert sorted(line["step"] for line in lines(run) if line["what"] == "paid") == [
        "careful#2/pay[c1]#1",
        "careful#2/pay[c2]#1",
    ]


def test_a_session_keeps_an_agents_history(orchestrator) -> None:
    chat = orchestrator.session(agents.talk, "ada")
    assert chat.ask(agents.Said(text="hello"), timeout=30) == "found otters | 2 | found seals"
    assert chat.ask(agents.Said(text="and now?"), timeout=30) == "found otters | 2 | found seals"
    assert len([item for item in chat.history() if item]) == 2


def test_events_reach_their_handler_in_workers(orchestrator, lines) -> None:
    run = orchestrator.start(agents.aloud)
    assert run.result(timeout=30) == "quiet"
    heard = {line["event"]: line["step"] for line in lines(run) if line["what"] == "heard"}
    assert heard["part_start"].startswith("loud#1/model#")
    assert heard["function_tool_result"].startswith("loud#1/event#")


def test_only_llm_workers_need_the_key_of_a_provider(orchestrator, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    pytest.importorskip("openai")
    run = orchestrator.start(agents.unkeyed)
    assert "named#1/model#1 failed after 1 attempt: UserError: Set the `OPENAI_API_KEY`" in run.result(timeout=30)


# ---------------------------------------------------------------- outside of workflows, and definitions


def test_outside_of_a_workflow_the_agent_runs_as_usual() -> None:
    agent = Agent(TestModel(), name="visitor", capabilities=[GreenroomDurability()])

    @agent.tool_plain
    def here() -> int:
        return os.getpid()

    result = asyncio.run(agent.run("hello"))
    assert json.loads(result.output) == {"here": os.getpid()}


def test_an_agent_needs_a_name() -> None:
    with pytest.raises(UserError, match="needs to have a unique `name` in order to be used with Greenroom"):
        Agent(TestModel(), capabilities=[GreenroomDurability()])


def test_options_that_cannot_be_are_all_named() -> None:
    with pytest.raises(DefinitionError) as caught:
        GreenroomDurability(tools={"search": {"timeout": -1, "crash_attempts": 0}})
    assert "tool `search` has invalid options" in str(caught.value)
    assert "timeout" in str(caught.value)
    assert "crash_attempts" in str(caught.value)


def test_an_agent_made_by_a_running_workflow_is_refused(orchestrator) -> None:
    run = orchestrator.start(agents.improvised)
    with pytest.raises(RunFailed, match="move it to the top level of a file"):
        run.result(timeout=30)


def test_without_the_extra_the_import_says_what_to_install(tmp_path) -> None:
    import subprocess  # noqa: PLC0415  used here alone
    import sys  # noqa: PLC0415

    program = (
        "import sys; sys.modules['pydantic_ai'] = None\n"
        "try:\n    import greenroom.integrations.pydantic_ai\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "run `pip install 'greenroom[pydantic-ai]'`" in done.stdout
