"""How events about messages to a run, and values from it, change its state."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final

from greenroom.messages.events.events import (
    MessageReceived,
    MessageRefused,
    MessageTaken,
    ReceiveAsked,
    ReceiveWithdrawn,
    ValueEmitted,
)
from greenroom.messages.frames.worker import Resolution
from greenroom.workflows.state.run_state import Letter, RunState


def _message_received(state: RunState, event: MessageReceived) -> None:
    state.received = event.number
    state.mailbox[event.number] = Letter(event.name, event.value, state.seq + 1, event.at)
    if event.key is not None:
        state.message_keys[event.key] = event.number
        if state.session is not None:
            state.mark_changes.append(("message", event.key, state.seq + 1))


def _receive_asked(state: RunState, event: ReceiveAsked) -> None:
    state.receives[event.key] = event.name


def _message_taken(state: RunState, event: MessageTaken) -> None:
    del state.receives[event.key]
    letter = state.mailbox.pop(event.number)
    state.taken[event.key] = event.number, letter
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=letter.value))


def _message_refused(state: RunState, event: MessageRefused) -> None:
    state.refused.add(event.key)


def _receive_withdrawn(state: RunState, event: ReceiveWithdrawn) -> None:
    state.receives.pop(event.key, None)
    given = state.taken.get(event.key)
    state.taken[event.key] = None
    if given is not None:
        state.mailbox = dict(sorted([*state.mailbox.items(), given], key=itemgetter(0)))


def _value_emitted(state: RunState, event: ValueEmitted) -> None:
    state.offsets[event.channel] = event.offset + 1
    state.emitted[event.key] = event.number


FOLDS: Final[Mapping[type[Any], Callable[[RunState, Any], None]]] = {
    MessageReceived: _message_received,
    ReceiveAsked: _receive_asked,
    MessageTaken: _message_taken,
    MessageRefused: _message_refused,
    ReceiveWithdrawn: _receive_withdrawn,
    ValueEmitted: _value_emitted,
}
