"""Budgets of runs whose Pydantic AI agents pay for models: reserved before the call, settled after it."""

from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="pip install 'greenroom[pydantic-ai]'")

from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import RequestUsage

from greenroom import Budget, DefinitionError, Orchestrator, Pool, RunParked
from greenroom.integrations.pydantic_ai import GreenroomDurability
from greenroom.integrations.pydantic_ai.prices import call_of
from greenroom.integrations.pydantic_ai.stand_ins import stand_in
from greenroom.integrations.pydantic_ai.usage import usage_of
from greenroom.messages.options.policy import Price
from greenroom.workflows.decisions.budget_usage import Spending
from tests.integrations.apps import paid
from tests.support import eventually

WIRE: dict[str, Any] = {"messages": [], "settings": None, "parameters": {}}


def most_held(runs: list[Any]) -> tuple[float, float]:
    """Give the most that was spent and reserved at any event, and what was spent at the end."""
    spending, most = Spending(), 0.0
    for *_, event in sorted((stored.at, stored.seq, run.id, stored.event) for run in runs for stored in run.events()):
        spending.add([event])
        most = max(most, spending.usd + sum(each.usd for each in spending.reserved.values()))
    assert not spending.reserved
    return most, spending.usd


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_hundred_runs_at_once_never_spend_or_reserve_more_than_one_dollar(tmp_path) -> None:
    pools = {"program": Pool(size=1), "llm": Pool(size=1)}
    with Orchestrator(
        tmp_path / "runs.db", home=tmp_path / "home", pools=pools, durability="process", budget=Budget(usd=1.0)
    ) as orchestrator:
        runs = [orchestrator.start(paid.pays, 2, id=f"run-{number}") for number in range(100)]
        eventually(lambda: {run.status for run in runs} <= {"parked", "completed"}, 120)
        parked = [run for run in runs if run.status == "parked"]
        assert 0 < len(parked) < 95
        with pytest.raises(RunParked, match=r"the budget of this orchestrator is used up: .* of 1 USD.*runs resume"):
            parked[0].result(10)
        most, usd = most_held(runs)
        assert 0.8 < usd <= most <= 1.0 + 1e-9
        assert sum(run.usage.get("usd", 0.0) for run in runs) == pytest.approx(usd)


def test_a_request_is_reserved_with_the_tokens_that_its_author_allows(orchestrator) -> None:
    run = orchestrator.start(paid.pays, 1, budget=Budget(usd=0.5))
    assert run.result(timeout=30) == 1
    reserved = next(each.event.reserved for each in run.events() if each.type == "attempt.started")
    assert reserved.max_tokens == 1000
    assert 0.01 < reserved.usd < 0.0105  # a thousand tokens, and a question of some bytes
    assert run.usage["usd"] == pytest.approx(50e-6 * paid.PRICE[0] + paid.WRITTEN * 1e-6 * paid.PRICE[1])


def test_the_model_is_told_how_many_tokens_the_budget_allows(orchestrator) -> None:
    assert orchestrator.start(paid.pays_open_ended).result(timeout=30) == "None"
    run = orchestrator.start(paid.pays_open_ended, budget=Budget(usd=0.02))
    assert 1900 < int(run.result(timeout=30)) < 2000


def test_a_model_of_unknown_price_is_not_called_under_a_budget_in_usd_unless_allowed(orchestrator) -> None:
    run = orchestrator.start(paid.pays_unknown, budget=Budget(usd=1.0))
    with pytest.raises(RunParked, match=r"price of the model function:unknown is not known.*GreenroomDurability"):
        run.result(timeout=30)
    assert not run.steps()[0].attempts
    run.cancel(within=0)
    allowed = orchestrator.start(paid.pays_unknown, budget=Budget(usd=1.0, unknown_price="allow"))
    allowed.result(timeout=30)
    assert "usd" not in allowed.usage


def test_a_request_whose_model_does_not_say_what_it_used_counts_with_what_was_reserved(orchestrator) -> None:
    run = orchestrator.start(paid.pays_silent, 5, budget=Budget(usd=0.25))
    with pytest.raises(RunParked, match="is used up: 0.2"):
        run.result(timeout=30)
    assert [[each.usage for each in step.attempts] for step in run.steps()] == [
        [{}],
        [{}],
        [{}],
        [],
    ]  # the third with less
    assert run.usage == {"unpriced": 3.0}


def test_a_price_of_a_list_is_no_price_of_an_answer_without_tokens() -> None:
    pytest.importorskip("openai")
    answer = ModelResponse(parts=[], model_name="gpt-4o-mini", provider_name="openai", usage=RequestUsage())
    assert usage_of(answer, Price(input=1.0)) == {}
    answer.usage = RequestUsage(input_tokens=100)
    assert usage_of(answer, None) == {"input_tokens": 100, "output_tokens": 0, "usd": pytest.approx(100 * 0.15e-6)}


def test_a_model_by_its_name_has_the_price_of_its_provider(monkeypatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    known = call_of(stand_in("openai:gpt-5"), "openai:gpt-5", WIRE, None)
    assert known.price == Price(input=1.25, output=10.0)
    assert known.model == "openai:gpt-5"


def test_a_request_that_may_reach_several_models_has_the_price_of_the_dearest() -> None:
    declared = Price(input=1.0, output=2.0)
    several = WrapperModel(FallbackModel(TestModel(), FunctionModel(paid.answer, model_name="other")))
    call = call_of(several, None, WIRE, declared)
    assert (call.model, call.price) == ("test:test,function:other", declared)
    assert call_of(several, None, WIRE, None).price is None
    assert call_of(None, "own:model", WIRE, None).model == "own:model"


def test_the_size_of_a_request_counts_instructions_once_and_no_records_of_the_library() -> None:
    message = {"parts": [{"content": "x" * 100, "id": None}], "instructions": "y" * 1000, "usage": {"z": "z" * 500}}
    assert 1300 < call_of(TestModel(), None, {**WIRE, "messages": [message] * 3}, None).extra_bytes < 1450


def test_a_wrong_price_is_refused() -> None:
    with pytest.raises(DefinitionError, match="has a wrong price"):
        GreenroomDurability(model={"price": (1.0,)})  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
