"""The parts that all figures share."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from floors import Floors

from greenroom import Orchestrator

CLIENTS = 16
"""Threads that start runs and send messages, so that they share commits as many clients would."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What is measured.
        unit: Its unit.
        target: Returns the target value, from the floors of this machine.
        better: Whether lower or higher values are better.
        floor: Returns the value that the bare operations alone would give.
        floor_is: Description of these operations.
        measure: Returns the value of one round, measured in a new directory.
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
    """Open an orchestrator with its journal and home in ``directory``."""
    with Orchestrator(directory / "journal.db", home=directory / "home", **options) as orchestrator:
        yield orchestrator


def at_once(action: Callable[[int], object], times: int) -> None:
    """Call an action with the numbers below ``times``, from several threads."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(action, range(times)))
