"""Result of a model step that another library's agent makes, with its usage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of a model step whose function asks the model itself.

    Attributes:
        value: The result, as the step's signature describes it.
        usage: What the attempt used: ``input_tokens``, ``output_tokens``, and ``usd`` if the price is known.
    """

    value: Any
    usage: Mapping[str, float]
