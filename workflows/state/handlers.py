"""Handlers that apply one type of event each to a run's state.

``fold`` looks handlers up in a table by the event's type. A ``match`` would be checked by the type checker as well, but
each pattern that does not fit costs a Python call of pydantic's, and there are over forty types.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar, cast

from greenroom.messages.core.message import Event
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.state.run_state import RunState

E = TypeVar("E", bound=Event)
Handler: TypeAlias = Callable[[RunState, AnyEvent], None]


def handler(kind: type[E], apply: Callable[[RunState, E], None]) -> tuple[type[Event], Handler]:
    """Return an entry of the table; type checkers see whether the handler takes that type of event."""
    return kind, cast("Handler", apply)
