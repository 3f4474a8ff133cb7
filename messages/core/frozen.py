"""Values that pass between the parts of the orchestrator, millions of them: immutable by agreement, cheap to make."""

from dataclasses import dataclass, field
from typing import TypeVar

from typing_extensions import dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a dataclass with slots that type checkers take for frozen.

    At run time nothing hinders an assignment: what ``dataclass(frozen=True)`` does for that makes an instance cost some
    three times as much.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
