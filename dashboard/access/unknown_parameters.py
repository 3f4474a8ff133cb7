"""Unknown query parameters are refused: with a mistyped filter, the unfiltered list would look like the answer."""

from difflib import get_close_matches

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from greenroom.dashboard.responses.problems import Refusal
from greenroom.messages.core.failures import Fault, one_line


def refuse_unknown(request: Request) -> None:
    """Refuse a request with a query parameter that its operation does not have.

    Raises:
        Refusal: The request has unknown parameters; the message names all of them.
    """
    if not request.query_params:
        return
    known = _parameters(request.scope["route"])
    faults = tuple(
        Fault(field=f"query.{name}", sentence=f"is not a parameter of this path; {_hint(name, known)}")
        for name in dict.fromkeys(request.query_params)
        if name not in known
    )
    if faults:
        raise Refusal("invalid_request", one_line(faults), errors=faults)


def _parameters(route: APIRoute) -> list[str]:
    """Return the query parameters of an operation. The OpenAPI document has them too, but takes seconds to make."""
    return [each.alias for each in get_flat_params(route.dependant) if isinstance(each.field_info, Query)]


def _hint(name: str, known: list[str]) -> str:
    if close := get_close_matches(name, known, n=1):
        return f"did you mean {close[0]!r}?"
    return f"it has {', '.join(map(repr, known))}" if known else "it has none"


Strict = Depends(refuse_unknown)
"""The FastAPI dependency that every route has."""
