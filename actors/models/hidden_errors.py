"""Errors that servers send as successful answers: some in front of several providers know their failure too late."""

import json
from typing import Any, Final, cast

_OK: Final = 200
_ANSWERS: Final = frozenset({"object", "choices", "content", "candidates", "output"})
"""Fields of which every answer has one, in one of the protocols."""
_UNKNOWN: Final = 500
_ERRORS: Final = range(400, 600)


def reveal_errors(provider: object) -> None:
    """Give answers of a provider that are errors the status of an error, so that its library reads them as such.

    Args:
        provider: A provider of Pydantic AI that was just made. One that makes no HTTP client is left as it is.
    """
    client: Any = getattr(provider, "_own_http_client", None)
    if client is None:
        return

    async def reveal(response: Any) -> None:
        if response.status_code == _OK and "json" in response.headers.get("content-type", ""):
            await response.aread()
            response.status_code = _status_of(response.content)

    client.event_hooks["response"].append(reveal)


def _status_of(body: bytes) -> int:
    """Return the status that an error in a body names, 500 if it names none, and 200 if there is no error."""
    try:
        found = _object(json.loads(body))
    except ValueError:
        return _OK
    if not found.get("error") or _ANSWERS & found.keys():
        return _OK
    code = _object(found["error"]).get("code")
    return code if isinstance(code, int) and code in _ERRORS else _UNKNOWN


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
