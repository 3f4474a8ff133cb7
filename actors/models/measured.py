"""What an answer of a model used, also where another library asks the model: then with what its step is given."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from greenroom.actors.models import check_usage
from greenroom.messages.core.frozen import frozen
from greenroom.messages.options.policy import Price


@frozen
class Asked:
    """What a model step is given besides its arguments.

    Attributes:
        messages: The conversation that it reads, oldest first, as JSON values; None if it names none.
        max_tokens: Most output tokens that the budget allows; None for no limit.
    """

    messages: Any = None
    max_tokens: int | None = None


asked: ContextVar[Asked] = ContextVar("greenroom_asked")
"""Set in the task of each attempt of such a step, in LLM workers."""


@frozen
class Measured:
    """Result of a model step whose function asks the model itself.

    Attributes:
        value: The result, as the step's signature describes it.
        usage: What the attempt used: ``input_tokens``, ``output_tokens``, and ``usd`` if the price is known.
    """

    value: Any
    usage: Mapping[str, float]


def usage_of(input_tokens: int, output_tokens: int, usd: float | None, price: Price | None) -> dict[str, float]:
    """Return what one answer of a model used, as its attempt records it. What is not known is left out.

    Without tokens and a price it is empty, and budgets keep what was reserved: no call reads nothing, so the model has
    not said what it used.

    Args:
        input_tokens: Tokens read; 0 if the model has not said.
        output_tokens: Tokens written; 0 if the model has not said.
        usd: Price of the answer in US dollars, as the model said it or as a list has it for these tokens; None if
            neither is known.
        price: Price of the model, used where ``usd`` is None; None if it is not known.

    Raises:
        TypeError: See ``check_usage``.
        ValueError: See ``check_usage``.
    """
    check_usage(input_tokens, output_tokens, usd)
    if usd is None and not input_tokens and not output_tokens:
        return {}
    usage: dict[str, float] = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    if usd is None and price is not None:
        usd = price.usd(input_tokens, output_tokens)
    return usage if usd is None else {**usage, "usd": usd}
