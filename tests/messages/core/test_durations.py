"""Every place that takes seconds takes a ``timedelta`` for the same."""

import inspect
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_type_hints

import pytest

import greenroom
from greenroom import LLM, Budget, MockModel, Pool, Retry, RetryAfter, evaluator, testing, tool
from greenroom.messages.commands import AskSession, CancelRun
from greenroom.messages.core.times import limit, seconds
from greenroom.messages.events.schedules import Plan
from greenroom.testing import VirtualClock
from greenroom.workflows.api.schedules import ScheduleMethods

GIVEN = 90.5


def nothing() -> None: ...


def everything(result: str) -> bool:
    return bool(result)


STEP = tool(nothing)


def advanced(value: Any) -> float:
    clock = VirtualClock(0.0)
    clock.advance(value, timeout=value)
    return clock.time()


def jumped(value: Any) -> float:
    clock = VirtualClock(0.0)
    clock.jump(value)
    return clock.time()


def latency(value: Any) -> Any:
    return MockModel(latency=value).latency, MockModel(latency=(value, 0.5)).latency


def plan(**times: Any) -> Plan:
    return Plan(app="a", workflow="w", arguments={}, **times)


TAKEN: dict[str, Callable[[Any], Any]] = {
    "Retry.initial": lambda value: Retry(initial=value).initial,
    "Retry.max_delay": lambda value: Retry(max_delay=value).max_delay,
    "Retry.within": lambda value: Retry(within=value).within,
    "Budget.wall": lambda value: Budget(wall=value).wall,
    "Pool.within": lambda value: Pool(within=value),
    "Pool.cpu": lambda value: Pool(cpu=value),
    "Pool.idle_after": lambda value: Pool(idle_after=value),
    "RetryAfter.seconds": lambda value: (RetryAfter(value).seconds, str(RetryAfter(value))),
    "MockModel.latency": latency,
    "tool.timeout": lambda value: tool(timeout=value)(nothing).timeout,
    "evaluator.timeout": lambda value: evaluator(timeout=value)(everything).timeout,
    "LLM.timeout": lambda value: LLM("writer", timeout=value).timeout,
    "Step.options": lambda value: STEP.options(timeout=value).timeout,
    "Plan.every": lambda value: plan(every=value),
    "Plan.catch_up": lambda value: plan(every=1.0, catch_up=value),
    "VirtualClock.advance": advanced,
    "VirtualClock.jump": jumped,
    "AskSession.timeout": lambda value: AskSession(app="", session="s", session_key="k", value=1, timeout=value),
    "CancelRun.within": lambda value: CancelRun(run_id="r", within=limit(value, "within")),
    "a wait": lambda value: seconds(value, "a wait"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_timedelta_is_taken_for_its_seconds(name: str) -> None:
    take = TAKEN[name]
    assert take(timedelta(seconds=GIVEN)) == take(GIVEN)
    assert take(timedelta(seconds=90)) == take(90)


def _callables() -> dict[str, Any]:
    """Give everything public that can be called, by name."""
    found: dict[str, Any] = {}
    for module in (greenroom, testing):
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):
                found[name] = value
            if isinstance(value, type):
                for each in dir(value):
                    member = inspect.getattr_static(value, each)
                    if not each.startswith("_") and inspect.isfunction(member):
                        found[f"{name}.{each}"] = member
    return found


def test_whatever_is_public_and_takes_a_duration_says_that_it_may_be_a_timedelta() -> None:
    words = re.compile(r"^(timeout|grace|within|every|catch_up|seconds|initial|max_delay|wall|idle_after|latency)$")
    found = [
        (name, parameter.name, str(parameter.annotation))
        for name, value in _callables().items()
        for parameter in _signature(value)
        if words.match(parameter.name)
    ]
    assert len(found) >= 15
    # What a handle asks its host for, what its twin asks it for, and what a worker hands to a model.
    internal = {"wait_result", "until_result", "until_over", "ModelRequest"}
    kept = {
        "Retry",
        "Budget",
        "Pool",
        "Breaker",
    }  # their type checkers see another signature; see the test of a user's script
    wrong = [each for each in found if "timedelta" not in each[2] and "Seconds" not in each[2]]
    assert [each for each in wrong if each[0].split(".")[-1] not in internal and each[0] not in kept] == []


def _signature(value: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return []


def test_a_schedule_takes_both() -> None:
    hints = get_type_hints(ScheduleMethods.schedule)
    assert timedelta in hints["every"].__args__
    assert timedelta in hints["catch_up"].__args__
