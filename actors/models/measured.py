"""Model steps that another library's agent makes: what they are given besides their arguments, and what they return."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from greenroom.messages.core.frozen import frozen


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
