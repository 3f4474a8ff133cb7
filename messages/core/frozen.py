"""Values that pass between parts of the orchestrator, in millions: immutable by convention, cheap to create.

``dataclasses`` compiles a text for each method that it writes, when the module is imported, and there are over a
hundred such classes. So only ``__init__`` is left to it, and the other methods, which are rarely called, are the same
for all: a class takes a quarter of the time of a frozen dataclass, and a third of the memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, Final, TypeVar

from typing_extensions import dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Return a dataclass with slots that type checkers treat as frozen, with methods as those of a frozen dataclass.

    At run time assignments are not prevented, because ``dataclass(frozen=True)`` makes instances about three times as
    expensive. A method that the class itself defines stays.
    """
    for name, method in _METHODS.items():
        if name not in vars(cls):
            setattr(cls, name, method)
    return dataclass(slots=True, repr=False, eq=False)(cls)


@recursive_repr()
def _show(value: Any) -> str:
    """Return the call that makes an equal value."""
    shown = ", ".join(f"{each.name}={getattr(value, each.name)!r}" for each in fields(value) if each.repr)
    return f"{value.__class__.__qualname__}({shown})"


def _equals(value: Any, other: Any) -> Any:
    """Return whether another value of the same class has equal fields; ``NotImplemented`` for other classes."""
    if other.__class__ is not value.__class__:
        return NotImplemented
    compared = _compared(value.__class__)
    return compared(value) == compared(other)


def _hash(value: Any) -> int:
    """Return a hash of the fields that are compared."""
    return hash(_compared(value.__class__)(value))


_METHODS: Final = {"__repr__": _show, "__eq__": _equals, "__hash__": _hash}


@cache
def _compared(cls: Any) -> Callable[[Any], Any]:
    """Return a function that returns the fields of a value that are compared. Made when the first one is compared."""
    names = [each.name for each in fields(cls) if each.compare]
    if len(names) > 1:
        return attrgetter(*names)  # ten times as fast as the line below, which makes a tuple of fewer too
    return lambda value: tuple(getattr(value, name) for name in names)
