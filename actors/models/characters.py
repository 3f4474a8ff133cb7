"""Whole characters from servers that send halves: JSON can carry half a surrogate pair, and no journal can.

Servers that cut a text by its UTF-16 units send the halves of one emoji in two pieces of a stream.
"""

import json
from collections.abc import Callable
from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart

from greenroom.messages.ids import is_text


def whole(text: str) -> str:
    """Return a text with the two halves of each pair joined, and with a replacement character for any other half."""
    return text if is_text(text) else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def make_whole(response: ModelResponse) -> None:
    """Do the same for what a model has written, thought, and given to tools."""
    for part in response.parts:
        if isinstance(part, (TextPart, ThinkingPart)):
            part.content = whole(part.content)
        elif isinstance(part, ToolCallPart):
            part.args = whole(part.args) if isinstance(part.args, str) else _whole_value(part.args)


def _whole_value(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return value if is_text(text) else json.loads(whole(text))


class WholePieces:
    """Hands on the pieces of a stream. Half a pair at the end of one waits for the next.

    Args:
        on_text: Is called with each piece that is whole.
    """

    def __init__(self, on_text: Callable[[str], None]) -> None:
        """Keep the callback."""
        self._on_text = on_text
        self._kept = ""

    def add(self, piece: str) -> None:
        """Hand on a piece."""
        piece = self._kept + piece
        self._kept = piece[-1] if "\ud800" <= piece[-1] <= "\udbff" else ""
        if ready := piece[: len(piece) - len(self._kept)]:
            self._on_text(whole(ready))

    def end(self) -> None:
        """Hand on what is kept, as nothing follows."""
        if self._kept:
            self._on_text(whole(self._kept))
