"""The content of a result as a model reads it: with text, and without the bytes of images and other files."""

from collections.abc import Sequence
from typing import Any, Final, cast

_FILES: Final = frozenset({"image", "audio"})
"""Types of items whose ``data`` are bytes in Base64."""


def without_bytes(content: Sequence[Any]) -> list[Any]:
    """Return content in which the bytes of images, recordings and other files are replaced by their number.

    A model would be given the start and the end of long bytes as text, of which it can read nothing.

    Args:
        content: The result of a call that is neither structured nor text alone. Items of other forms stay as they are.
    """
    return [_without_bytes(item) for item in content]


def _without_bytes(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    fields = cast("dict[str, Any]", item)
    inner = fields.get("resource")
    if fields.get("type") == "resource" and isinstance(inner, dict):
        return {**fields, "resource": _counted(cast("dict[str, Any]", inner), "blob")}
    return _counted(fields, "data") if fields.get("type") in _FILES else fields


def _counted(fields: dict[str, Any], name: str) -> dict[str, Any]:
    written = fields.get(name)
    if not isinstance(written, str):
        return fields
    length = len(written.rstrip("=")) * 3 // 4
    return {**fields, name: f"({length} bytes that are not shown here)"}
