"""Events about messages to a run, and about values from it, applied to its state."""

from operator import itemgetter
from typing import Final

from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Resolution
from greenroom.workflows.state.handlers import handler
from greenroom.workflows.state.run_state import ReceivedMessage, RunState


def _message_received(state: RunState, event: ev.MessageReceived) -> None:
    state.received = event.number
    state.mailbox[event.number] = ReceivedMessage(event.name, event.value, state.seq + 1, event.at)
    if event.key is not None:
        state.message_keys[event.key] = event.number
        if state.session is not None:
            state.mark_changes.append(("message", event.key, state.seq + 1))


def _receive_asked(state: RunState, event: ev.ReceiveAsked) -> None:
    state.receives[event.key] = event.name
    state.asked[event.key] = state.seq + 1


def _message_taken(state: RunState, event: ev.MessageTaken) -> None:
    del state.receives[event.key]
    letter = state.mailbox.pop(event.number)
    state.taken[event.key] = event.number, letter
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=letter.value))


def _message_refused(state: RunState, event: ev.MessageRefused) -> None:
    state.refused.add(event.key)


def _receive_withdrawn(state: RunState, event: ev.ReceiveWithdrawn) -> None:
    state.receives.pop(event.key, None)
    given = state.taken.get(event.key)
    state.taken[event.key] = None
    if given is not None:
        state.mailbox = dict(sorted([*state.mailbox.items(), given], key=itemgetter(0)))


def _value_emitted(state: RunState, event: ev.ValueEmitted) -> None:
    state.offsets[event.channel] = event.offset + 1
    state.emitted[event.key] = event.number


HANDLERS: Final = (
    handler(ev.MessageReceived, _message_received),
    handler(ev.ReceiveAsked, _receive_asked),
    handler(ev.MessageTaken, _message_taken),
    handler(ev.MessageRefused, _message_refused),
    handler(ev.ReceiveWithdrawn, _receive_withdrawn),
    handler(ev.ValueEmitted, _value_emitted),
)
