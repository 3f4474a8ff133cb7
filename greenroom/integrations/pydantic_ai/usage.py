"""Tokens and price of one answer, in the form in which attempts of model steps record them."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from pydantic_ai.messages import ModelResponse

_LOCAL: Final = frozenset({"localhost", "host.docker.internal"})


def usage_of(result: object) -> Mapping[str, float]:
    """Return the usage of a model step's result; empty if it is no answer of a model. An unknown price is left out."""
    if not isinstance(result, ModelResponse):
        return {}
    usage: dict[str, float] = {
        "input_tokens": result.usage.input_tokens,
        "output_tokens": result.usage.output_tokens,
    }
    price = _price(result)
    return usage if price is None else {**usage, "usd": price}


def _price(response: ModelResponse) -> float | None:
    if response.provider_url and _is_local(response.provider_url):
        return None  # a server of one's own may answer to the name of a model that has a price
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        return None


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host in _LOCAL or "." not in host
