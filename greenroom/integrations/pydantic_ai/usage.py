"""Tokens and price of one answer, in the form in which attempts of model steps record them."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from pydantic_ai.messages import ModelResponse

from greenroom.actors.models import measured
from greenroom.messages.options.policy import Price

_LOCAL: Final = frozenset({"localhost", "host.docker.internal"})


def usage_of(result: object, declared: Price | None) -> Mapping[str, float]:
    """Return the usage of a model step's result; empty if it is not an answer of a model.

    It is also empty if the model reports no tokens. A price that neither the library nor the author knows is left out.
    """
    if not isinstance(result, ModelResponse):
        return {}
    return measured.usage_of(result.usage.input_tokens, result.usage.output_tokens, _price(result), declared)


def _price(response: ModelResponse) -> float | None:
    """Return the price of an answer by the library's list; None if it has none, as for an answer without tokens."""
    if not (response.usage.input_tokens or response.usage.output_tokens):
        return None
    if response.provider_url and is_local(response.provider_url):
        return None  # a server of one's own may answer to the name of a model that has a price
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        return None


def is_local(url: str) -> bool:
    """Return whether a server is one of this machine or network, and not that of a provider."""
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host in _LOCAL or "." not in host
