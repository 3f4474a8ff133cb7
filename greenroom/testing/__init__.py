"""Tools for tests of workflows: a virtual clock, kills, waits, scripted models, fakes, replays, a check of journals.

With greenroom installed, pytest has the fixtures ``orchestrator``, ``virtual_clock``, ``model_scripts`` and
``tool_fakes`` (see ``greenroom.testing.plugin``). This package works without pytest too. Its names are loaded when they
are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenroom.testing.clock import VirtualClock
    from greenroom.testing.exports import ReplayDiffers, replay_export
    from greenroom.testing.fakes import FakeCall, ToolFakes
    from greenroom.testing.folds import assert_state_is_fold
    from greenroom.testing.kills import kill
    from greenroom.testing.scripts import ModelScripts
    from greenroom.testing.standing import where_it_stands
    from greenroom.testing.waits import WaitFailed, wait_for

__all__ = [
    "FakeCall",
    "ModelScripts",
    "ReplayDiffers",
    "ToolFakes",
    "VirtualClock",
    "WaitFailed",
    "assert_state_is_fold",
    "kill",
    "replay_export",
    "wait_for",
    "where_it_stands",
]

_HOMES = {
    "FakeCall": "fakes",
    "ModelScripts": "scripts",
    "ReplayDiffers": "exports",
    "ToolFakes": "fakes",
    "VirtualClock": "clock",
    "WaitFailed": "waits",
    "assert_state_is_fold": "folds",
    "kill": "kills",
    "replay_export": "exports",
    "wait_for": "waits",
    "where_it_stands": "standing",
}


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
