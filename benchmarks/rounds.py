"""What every figure is made of."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from floors import Floors

from greenroom import Orchestrator

CLIENTS = 16
"""Threads that start runs and send messages, so that these share commits as those of many clients would."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What is measured.
        unit: Its unit.
        target: What is aimed at, from the floors of this machine.
        better: Whether less is better, or more.
        floor: What the bare operations alone would give.
        floor_is: Which operations those are.
        measure: Gives one round, in a directory of its own.
    """

    name: str
    unit: str
    target: Callable[[Floors], float]
    better: Literal["less", "more"]
    floor: Callable[[Floors], float]
    floor_is: str
    measure: Callable[[Path], float]


@contextmanager
def orchestrator_in(directory: Path, **options: Any) -> Iterator[Orchestrator]:
    """Open an orchestrator whose journal and home lie in ``directory``."""
    with Orchestrator(directory / "journal.db", home=directory / "home", **options) as orchestrator:
        yield orchestrator


def at_once(action: Callable[[int], object], times: int) -> None:
    """Call an action with 0, 1, 2 and so on, from several threads."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(action, range(times)))
