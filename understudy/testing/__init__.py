"""What tests of workflows need: a clock that leaves out waiting, kills, waits, scripted models, a check of journals.

With understudy installed, pytest has the fixtures ``orchestrator`` and ``virtual_clock`` (see
``understudy.testing.plugin``). What is here can be used without pytest as well, and is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.testing.clock import VirtualClock

__all__ = ["VirtualClock"]

_HOMES = {"VirtualClock": "clock"}


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
