"""Values that pass between parts of the orchestrator, in millions: without ``__dict__``, cheap to create and to define.

``dataclasses`` compiles a text for each method that it writes, when the module is imported, and there are over a
hundred such classes. Here a class's ``__init__`` is written when its first instance is made, which most processes never
do for most classes. The other methods, which are rarely called, are the same for all. So a class takes an eighth of the
time of a frozen dataclass, and a third of the memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar

from typing_extensions import dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Return a dataclass with slots that type checkers treat as frozen, with methods as those of a frozen dataclass.

    At run time assignments are not prevented, because ``dataclass(frozen=True)`` makes instances about three times as
    expensive. A method that the class itself defines stays.
    """
    return _made(cls, __repr__=_show, __eq__=_equals, __hash__=_hash)


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[T]) -> type[T]:
    """Return a dataclass with slots, with methods as those of ``dataclass(slots=True)``. See ``frozen``."""
    return _made(cls, __repr__=_show, __eq__=_equals, __hash__=None)


def _made(cls: type[T], **methods: Callable[..., Any] | None) -> type[T]:
    for name, method in methods.items():
        if name not in vars(cls):
            setattr(cls, name, method)
    made = dataclass(init=False, repr=False, eq=False, slots=True)(cls)

    def start(self: Any, *args: Any, **named: Any) -> None:
        """Write the true ``__init__``, for this instance and all that follow."""
        written = _initializer(made)
        made.__init__ = written  # type: ignore[method-assign]
        written(self, *args, **named)

    made.__init__ = start  # type: ignore[method-assign]
    return made


def _initializer(cls: type[Any]) -> Callable[..., None]:
    """Return the ``__init__`` that ``dataclass`` writes for a class with the same fields."""
    known = fields(cls)
    content: dict[str, Any] = {each.name: each for each in known}
    content["__annotations__"] = {each.name: each.type for each in known}
    content |= {name: getattr(cls, name) for name in ("__doc__", "__module__", "__qualname__")}
    if hasattr(cls, "__post_init__"):
        content["__post_init__"] = cls.__post_init__
    twin: Any = dataclass(repr=False, eq=False)(type(cls.__name__, (), content))
    return twin.__init__  # type: ignore[no-any-return]


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


@cache
def _compared(cls: Any) -> Callable[[Any], Any]:
    """Return a function that returns the fields of a value that are compared. Made when the first one is compared."""
    names = [each.name for each in fields(cls) if each.compare]
    if len(names) > 1:
        return attrgetter(*names)  # ten times as fast as the line below, which makes a tuple of fewer too
    return lambda value: tuple(getattr(value, name) for name in names)
