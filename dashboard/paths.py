"""Names in paths. Some hold slashes, such as ``chat/ada``: written as ``%2F``, each stays one segment."""

from typing import Annotated, TypeAlias
from urllib.parse import unquote

from pydantic import AfterValidator
from starlette.types import Scope


def routed_path(scope: Scope) -> str:
    """Give a request's path for the router: decoded, but for the slashes and percent signs inside of segments."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    segments = (unquote(segment) for segment in raw.decode("ascii", "replace").split("/"))
    return "/".join(segment.replace("%", "%25").replace("/", "%2F") for segment in segments)


Segment: TypeAlias = Annotated[str, AfterValidator(unquote)]
"""A path parameter as whoever sent it meant it."""
