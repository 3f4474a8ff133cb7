"""Names in paths. A slash in a name such as ``chat/ada`` is written as ``%2F``, so that the name is one segment."""

from typing import Annotated, TypeAlias
from urllib.parse import unquote

from pydantic import AfterValidator
from starlette.types import Scope


def routed_path(scope: Scope) -> str:
    """Return a request's path for the router: decoded, except for slashes and percent signs inside segments."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    segments = (unquote(segment) for segment in raw.decode("ascii", "replace").split("/"))
    return "/".join(segment.replace("%", "%25").replace("/", "%2F") for segment in segments)


Segment: TypeAlias = Annotated[str, AfterValidator(unquote)]
"""A path parameter, fully decoded."""
