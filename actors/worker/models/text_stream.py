"""The text of a model's answer on its way to a stream, in pieces that are worth an event each."""

import asyncio
from collections.abc import Callable
from typing import Final

JOIN: Final = 0.05
"""Seconds for which pieces of text are joined."""
LONGEST: Final = 1024 * 1024
"""Most characters of one value, which as JSON is shorter than a value may be."""


class TextStream:
    """Joins the pieces that arrive within ``JOIN`` seconds. Called on a worker's loop only.

    Args:
        emit: Takes the joined text.
    """

    def __init__(self, emit: Callable[[str], None]) -> None:
        """Begin without text."""
        self._emit = emit
        self._pieces: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def __call__(self, piece: str) -> None:
        """Take a piece of the answer. Pieces that come after the end are dropped."""
        if not piece or self._ended:
            return
        self._pieces.append(piece)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(JOIN, self._flush)

    def end(self) -> None:
        """Emit what was not emitted yet, and take nothing more: the attempt is about to be answered."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        text = "".join(self._pieces)
        self._pieces.clear()
        for start in range(0, len(text), LONGEST):
            self._emit(text[start : start + LONGEST])
