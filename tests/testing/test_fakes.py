"""Tools that a test has replaced: its own function answers, in its own process, and everything around it is real."""

import asyncio
import os
import sys
import threading
from unittest.mock import Mock

import pytest

from greenroom import LLM, Orchestrator, RunFailed, current
from greenroom.testing import ToolFakes, VirtualClock, kill
from tests.testing.apps.weather import Sky, look, report, say

pytestmark = pytest.mark.slow


def test_a_closure_of_the_test_answers_in_place_of_the_tool_and_the_others_stay(orchestrator, tool_fakes):
    seen = []

    def fake(place: str) -> Sky:
        seen.append((place, current().step, os.getpid()))
        return Sky(place=place, clouds=3)

    tool_fakes.replace(look, fake)
    run = orchestrator.start(report, "Oslo", id="r1")
    assert run.result(60) == "really: 3 clouds over Oslo"
    assert seen == [("Oslo", "look#1", os.getpid())]
    assert [(call.args, call.kwargs, call.run_id, call.attempt) for call in tool_fakes.calls(look)] == [
        (("Oslo",), {}, "r1", 1)
    ]
    assert run.steps()[0].attempts[0].pid != os.getpid()


def test_a_mock_raises_and_then_answers_under_the_retry_policy_of_the_tool(orchestrator, tool_fakes):
    mock = Mock(side_effect=[ConnectionError("no line"), Sky(place="Rome", clouds=0)])
    tool_fakes.replace(look, mock)
    run = orchestrator.start(report, "Rome")
    assert run.result(60) == "really: 0 clouds over Rome"
    assert mock.call_count == 2
    first, second = run.steps()[0].attempts
    assert (first.outcome, second.outcome) == ("error", "ok")
    assert "ConnectionError: no line" in first.error


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (lambda: pytest.fail("nobody looks at Oslo"), "Failed: nobody looks at Oslo"),
        (lambda: pytest.skip("no sky"), "Skipped: no sky"),
        (lambda: sys.exit("no sky"), "SystemExit: no sky"),
        (lambda: next(iter(())), "StopIteration"),
    ],
)
def test_a_fake_that_ends_the_test_fails_the_attempt_in_its_own_words(orchestrator, tool_fakes, outcome, told):
    tool_fakes.replace(look, lambda _place: outcome())
    with pytest.raises(RunFailed, match=told):
        orchestrator.start(report, "Oslo").result(60)


def test_an_async_fake_that_is_cancelled_says_so(orchestrator, tool_fakes):
    async def fake(_place: str) -> Sky:
        raise asyncio.CancelledError("no sky")

    tool_fakes.replace(look, fake)
    with pytest.raises(RunFailed, match="CancelledError"):
        orchestrator.start(report, "Oslo").result(60)


def test_an_async_fake_is_awaited(orchestrator, tool_fakes):
    async def fake(place: str) -> Sky:
        return Sky(place=place, clouds=1)

    tool_fakes.replace(look, fake)
    assert orchestrator.start(report, "Bern").result(60) == "really: 1 clouds over Bern"


def test_what_a_fake_gives_has_to_fit_the_tools_annotation(orchestrator, tool_fakes):
    tool_fakes.replace(look, lambda _place: "cloudy")
    with pytest.raises(RunFailed, match="look"):
        orchestrator.start(report, "Kiel").result(60)


def test_fakes_of_attempts_that_run_at_once_are_called_at_once(orchestrator, tool_fakes):
    both = threading.Barrier(2)

    def fake(place: str) -> Sky:
        both.wait(30)
        return Sky(place=place, clouds=2)

    tool_fakes.replace(look, fake)
    runs = [orchestrator.start(report, place) for place in ("here", "there")]
    assert [run.result(60) for run in runs] == ["really: 2 clouds over here", "really: 2 clouds over there"]


def test_the_worker_of_a_faked_attempt_can_be_killed_and_the_next_attempt_asks_again(orchestrator, tool_fakes):
    entered, go = threading.Event(), threading.Event()

    def fake(place: str) -> Sky:
        if len(tool_fakes.calls(look)) == 1:
            entered.set()
            go.wait(60)
        return Sky(place=place, clouds=2)

    tool_fakes.replace(look, fake)
    run = orchestrator.start(report, "Linz")
    assert entered.wait(60)
    kill(run, step="look")
    assert run.result(60) == "really: 2 clouds over Linz"
    go.set()
    assert [attempt.outcome for attempt in run.steps()[0].attempts] == ["crash", "ok"]


def test_a_fake_answers_also_where_the_tool_is_called_in_place(tool_fakes):
    tool_fakes.replace(look, lambda place: Sky(place=place, clouds=9))
    assert asyncio.run(look("Graz")).clouds == 9
    assert tool_fakes.calls(look)[0].args == ("Graz",)


def test_a_worker_that_outlives_the_fakes_it_was_started_for_says_what_to_do(tmp_path, monkeypatch):
    fakes = ToolFakes()
    monkeypatch.setenv(fakes.variable, str(fakes.path))
    with Orchestrator(home=tmp_path, clock=VirtualClock()) as orchestrator:
        fakes.replace(look, lambda place: Sky(place=place, clouds=4))
        assert orchestrator.start(report, "Ulm").result(60) == "really: 4 clouds over Ulm"
        fakes.close()
        with pytest.raises(RunFailed, match="let the orchestrator be closed before its tool_fakes are"):
            orchestrator.start(report, "Ulm").result(60)


@pytest.mark.parametrize("given", ["look", None, report, LLM("poet")])
def test_calls_of_what_is_no_tool_are_refused(tool_fakes, given):
    with pytest.raises(TypeError, match=r"calls are kept of tools and of servers made by mcp\(\), not of "):
        tool_fakes.calls(given)


def test_what_is_no_tool_is_refused_with_the_way_that_there_is(tool_fakes):
    with pytest.raises(TypeError, match="model_scripts"):
        tool_fakes.replace(LLM("writer"), lambda: "x")
    with pytest.raises(TypeError, match="@tool"):
        tool_fakes.replace(print, lambda: "x")
    with pytest.raises(TypeError, match="cannot be called"):
        tool_fakes.replace(say, "x")
