"""What holds back the calls of models and tools, as values that outlive an orchestrator. Pure.

A provider's pause and an open breaker are about a service, and not about the orchestrator that met them. Times are
those of the wall clock, which goes on while no orchestrator runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from pydantic import TypeAdapter

TOOL: Final = "tool:"
"""Begins the name of a tool's breaker."""


@dataclass(frozen=True, slots=True)
class HeldCalls:
    """What holds back the calls of one model or tool. Times are seconds since the Unix epoch."""

    name: str
    """Name of the model, or ``TOOL`` and that of the tool."""
    held_until: float = 0.0
    """The provider asks for no call before this time; 0 if it does not."""
    open_until: float | None = None
    """When the open breaker lets a call through; None if it is closed."""

    def words(self, now: float) -> str:
        """Return what holds the calls back at a time, in a few words; empty if nothing does any more."""
        parts: list[str] = []
        if self.held_until > now:
            parts.append(f"the provider asked to wait for {self.held_until - now:.1f} s more")
        if self.open_until is not None:
            left = self.open_until - now
            when = f"lets a call through in {left:.1f} s" if left > 0 else "lets the next call through, to see"
            parts.append(f"its breaker is open and {when}")
        return "; ".join(parts)


@cache
def _adapter() -> TypeAdapter[tuple[HeldCalls, ...]]:
    return TypeAdapter(tuple[HeldCalls, ...])


def dump(held: Iterable[HeldCalls]) -> str:
    """Return values as text."""
    return _adapter().dump_json(tuple(held)).decode()


def load(text: str) -> tuple[HeldCalls, ...]:
    """Return the values of a text.

    Raises:
        ValueError: It holds anything else.
    """
    return _adapter().validate_json(text, strict=True)
