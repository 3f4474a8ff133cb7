"""What one model request may cost at most: the model's name and price, and the size of the request.

Used in programs, before a request, so that budgets can reserve it.
"""

from functools import cache
from typing import Any, Final

from genai_prices import Usage, calc_price
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_core import to_json

from greenroom.integrations.pydantic_ai.contexts import Wire
from greenroom.integrations.pydantic_ai.usage import is_local
from greenroom.messages.options.policy import ModelCall, Price

_MILLION: Final = 1_000_000
_READ: Final = (
    {"input_tokens": _MILLION},
    {"input_tokens": _MILLION, "cache_write_tokens": _MILLION},
    {"input_tokens": _MILLION, "cache_write_tokens": _MILLION, "cache_write_1h_tokens": _MILLION},
)
"""What a request may do with its tokens besides reading them. Some providers charge more for those that they keep."""


def call_of(model: object, name: str | None, wire: Wire, price: Price | None) -> ModelCall:
    """Return what an orchestrator needs to know of a request.

    Args:
        model: The model; None if only its name is known.
        name: The name by which the request asks for it; None for the agent's own model.
        wire: The request as JSON values, with its whole conversation.
        price: The price that the author has declared for models whose own is not known; None for none.
    """
    models = _asked_in_turn(model)
    own = model.settings if isinstance(model, Model) else None
    settings: dict[str, Any] = {**(own or {}), **(wire["settings"] or {})}
    most = settings.get("max_tokens")
    return ModelCall(
        model=",".join(map(_name, models)) or name or "",
        price=_dearest([_price(each) or price for each in models] or [price]),
        extra_bytes=_size(wire),
        max_tokens=most if isinstance(most, int) and most > 0 else None,
    )


def _asked_in_turn(model: object) -> list[Model]:
    """Return the models that one request may reach: several if they fall back to each other within it."""
    while isinstance(model, WrapperModel):
        model = model.wrapped
    if isinstance(model, FallbackModel):
        return [each for inner in model.models for each in _asked_in_turn(inner)]
    return [model] if isinstance(model, Model) else []


def _name(model: Model) -> str:
    return f"{model.system}:{model.model_name}"


def _dearest(prices: list[Price | None]) -> Price | None:
    """Return a price that none of several models exceeds; None if that of one is not known."""
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    return Price(input=max(price.input for price in known), output=max(price.output for price in known))


def _price(model: Model) -> Price | None:
    url = model.base_url
    return None if url and is_local(url) else _listed(model.system, model.model_name, url)


@cache
def _listed(provider: str, model: str, url: str | None) -> Price | None:
    """Return the price at the highest tier, in the list by which the library computes what a request has cost."""
    read = [usd for usage in _READ if (usd := _usd(provider, model, url, **usage)) is not None]
    both = _usd(provider, model, url, input_tokens=_MILLION, output_tokens=_MILLION)
    return Price(input=max(read), output=both - read[0]) if read and both is not None else None


def _usd(provider: str, model: str, url: str | None, **usage: int) -> float | None:
    counted = Usage(**usage)
    if url:
        try:
            return float(calc_price(counted, model, provider_api_url=url).total_price)
        except (LookupError, ValueError):
            pass
    try:
        return float(calc_price(counted, model, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None


def _size(wire: Wire) -> int:
    """Return the bytes of what a model reads of a request; the library leaves out what messages say of themselves."""
    parts = [part for message in wire["messages"] for part in message["parts"]]
    instructions = next((text for message in reversed(wire["messages"]) if (text := message.get("instructions"))), "")
    told = {name: value for name, value in wire["parameters"].items() if value}
    return len(to_json([[{name: each for name, each in part.items() if each} for part in parts], instructions, told]))
