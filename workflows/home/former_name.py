"""Settings of a project that was set up under this package's former name: they are used, and a sentence says so."""

import os
import warnings
from collections.abc import Callable
from typing import Final

from greenroom.messages.core.former_name import FORMER

NAME: Final = "greenroom"
TABLE: Final = FORMER
"""The former table of ``pyproject.toml``, below ``tool``."""
HOME: Final = f".{FORMER}"
"""The former default home."""

_told: set[str] = set()
"""Sentences that this process has reported. Written and read by any thread; a race reports a sentence twice."""


def _warn(sentence: str) -> None:
    warnings.warn(sentence, FutureWarning, stacklevel=1)


report: Callable[[str], None] = _warn
"""Reports a sentence to a person. The command line puts its own printer here, which writes to stderr."""


def variable(name: str) -> str | None:
    """Return an environment variable, or the one with the former prefix if only that one is set.

    Args:
        name: The variable's present name, such as ``GREENROOM_HOME``.
    """
    value = os.environ.get(name)
    former = name.replace(NAME.upper(), FORMER.upper(), 1)
    if value is None and (value := os.environ.get(former)) is not None:
        tell(f"{former} is used, because {name} is not set: set {name} instead, since {FORMER} is now called {NAME}")
    return value


def tell(sentence: str) -> None:
    """Report that something goes by the former name, once per process."""
    if sentence not in _told:
        _told.add(sentence)
        report(sentence)
