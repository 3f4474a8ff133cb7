"""What a model says to have used is what somebody can use."""

from typing import Any

import pytest

from greenroom import ModelReply
from greenroom.actors.models.measured import usage_of
from greenroom.messages.options.policy import Price


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "usd"])
@pytest.mark.parametrize("value", [-1, -(10**18), 10**400, 10**19])
def test_a_number_that_nobody_can_use_is_refused_with_the_field(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field}|US dollars"):
        ModelReply("an answer", **{field: value})


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf"), float("-inf"), 1e300])
def test_a_price_below_0_or_not_finite_is_refused(usd: float) -> None:
    with pytest.raises(ValueError, match="must be between 0 and"):
        ModelReply("an answer", usd=usd)
    with pytest.raises(ValueError, match="must be between 0 and"):
        usage_of(1, 1, usd, None)


@pytest.mark.parametrize(("field", "value"), [("input_tokens", 1.5), ("output_tokens", None), ("usd", "free")])
def test_what_is_no_number_is_refused(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match="must be a"):
        ModelReply("an answer", **{field: value})


def test_all_other_numbers_are_taken() -> None:
    assert ModelReply("an answer", input_tokens=0, output_tokens=10**9, usd=0.0).usd == 0.0
    assert usage_of(1_000_000, 0, None, Price(input=2.0, output=3.0))["usd"] == 2.0
