"""Prices of the models of one ``LLM``, which has a single price to declare."""

import pytest

from greenroom import LLM, Judge, MockModel
from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.actors.models.price import price_of
from greenroom.messages.options.policy import Price

DECLARED = Price(input=0.1, output=0.2)
LISTED = "openai:gpt-5"


class Own:
    async def complete(self, request: ModelRequest) -> ModelReply:
        raise NotImplementedError


def prices(step: LLM[str] | Judge) -> list[Price | None]:
    definition = step.definition
    assert isinstance(definition, ModelDefinition)
    return [call.price for call in definition.calls]


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("GREENROOM_MODEL", raising=False)


def test_a_declared_price_is_that_of_the_models_whose_price_is_not_known() -> None:
    listed = price_of(LISTED)
    assert listed is not None
    assert listed.output > 1
    assert prices(LLM("first", model=Own(), fallback=(LISTED,), price=(0.1, 0.2))) == [DECLARED, listed]
    assert prices(LLM("second", model=LISTED, fallback=(Own(),), price=(0.1, 0.2))) == [listed, DECLARED]
    assert prices(Judge("third", rubric="kind", model=LISTED, price=(0.1, 0.2))) == [listed]
    assert prices(LLM("fourth", model=Own(), fallback=(LISTED,))) == [None, listed]


def test_the_embedded_mock_takes_a_declared_price_so_that_budgets_can_be_tried_with_it() -> None:
    assert prices(LLM("fifth", price=(0.1, 0.2))) == [DECLARED]
    assert prices(LLM("sixth", model=MockModel(), price=(0.1, 0.2))) == [DECLARED]
    assert prices(LLM("named", model=MockModel(name="trial"), price=(0.1, 0.2))) == [DECLARED]
    assert prices(LLM("seventh")) == [Price()]
