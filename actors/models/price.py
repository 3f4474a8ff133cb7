"""Names and prices of models, as far as they are known without a call."""

import os
from functools import cache
from typing import Final

from greenroom.actors.models import Model, default_name
from greenroom.messages.options.policy import Price

_PROVIDERS: Final = {"openai": "openai", "openai-chat": "openai", "anthropic": "anthropic", "google": "google"}
"""Providers with list prices, by the prefix of the names of their models."""
_ELSEWHERE: Final = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "google": "GOOGLE_GEMINI_BASE_URL",
}
"""Variables that direct the requests to another server, whose prices are not those of the provider."""
_MILLION: Final = 1_000_000


def name_of(model: str | Model | None) -> str:
    """Return the name by which a model is limited: its own, or that of its class if it has none."""
    if model is None:
        return default_name()
    if isinstance(model, str):
        return model
    name = getattr(model, "name", None)
    return name if isinstance(name, str) and name else type(model).__qualname__


def price_of(model: str | Model | None) -> Price | None:
    """Return the price of a model, or None if it is not known.

    A model that is an object may have an attribute ``price``: a ``Price``, or US dollars per million input and output
    tokens. The list prices of providers come with the extra of the provider; the highest tier is returned.
    """
    if model is None or isinstance(model, str):
        return _listed(name_of(model))
    return Price.of(getattr(model, "price", None))


def known_or_declared(model: str | Model | None, declared: Price | None) -> Price | None:
    """Return the price of a model, or if it is not known the one that its author has declared.

    An ``LLM`` declares one price and may have several models, so the price of one must not hide that of another. Only a
    model that is free, such as the embedded mock, takes a declared price: so budgets can be tried with it.
    """
    known = price_of(model)
    return known if declared is None or (known is not None and known != Price()) else declared


@cache
def _listed(name: str) -> Price | None:
    if name == "mock":
        return Price()
    prefix, _, model = name.partition(":")
    provider = _PROVIDERS.get(prefix)
    if provider is None or not model or os.environ.get(_ELSEWHERE[provider]):
        return None
    try:
        from genai_prices import Usage, calc_price  # noqa: PLC0415  takes half a second, and mocks do not need it
    except ImportError:
        return None
    try:
        asked, both = (
            calc_price(usage, model_ref=model, provider_id=provider).total_price
            for usage in (Usage(input_tokens=_MILLION), Usage(input_tokens=_MILLION, output_tokens=_MILLION))
        )
    except LookupError:
        return None
    return Price(input=float(asked), output=float(both - asked))
