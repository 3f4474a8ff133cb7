"""Decisions about messages to a run. Pure.

Messages of one type are taken in the order in which they came, by the calls that await that type in the order in which
they were made.
"""

from typing import Final

from greenroom.messages.core.errors import MailboxFull, RunEnded
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.messages.turns import refuses
from greenroom.workflows.state.run_state import RunState

CAPACITY: Final = 10_000
"""Maximum number of messages that wait."""


def message_arrived(out: Decision, happened: inputs.Signal) -> None:
    """Record a message, unless it was received before, and give it to the first call that awaits its type."""
    state = out.state
    if (known := known_number(state, happened)) is not None:
        out.receipt = -known
        return
    if refuses(out):
        return
    if len(state.mailbox) >= CAPACITY:
        out.refused = MailboxFull(f"{CAPACITY} messages wait for run {state.run_id}: send it again once some are taken")
        return
    out.receipt = number = state.received + 1
    begins_turn = state.idle and not state.halted
    out.record(ev.MessageReceived(at=out.at, number=number, name=happened.name, value=happened.value, key=happened.key))
    if state.session is None:
        _hand_on(out, number, happened.name)
    elif begins_turn:
        out.start_program()


def known_number(state: RunState, happened: inputs.Signal) -> int | None:
    """Return the number of the earlier message with the same key, or None if there is none."""
    return None if happened.key is None else state.message_keys.get(happened.key) or happened.known or None


def message_too_late(out: Decision, happened: inputs.Signal) -> None:
    """Refuse a message to a run that has ended, unless it was received before."""
    state = out.state
    if (known := known_number(state, happened)) is not None:
        out.receipt = -known
    elif not refuses(out):
        out.refused = RunEnded(f"run {state.run_id} is {state.status}: it takes no messages any more")


def receive_asked(out: Decision, command: frames.ScheduleReceive) -> None:
    """Record that the program awaits a message, and give it the oldest of that type that waits."""
    state, key = out.state, command.key
    if key in state.receives or key in state.taken:
        return
    out.record(ev.ReceiveAsked(at=out.at, key=key, name=command.name))
    number = next((number for number, letter in state.mailbox.items() if letter.name == command.name), None)
    if number is not None:
        _take(out, key, number)


def receive_withdrawn(out: Decision, key: str) -> None:
    """Record that a call awaits no message any more, and give a message on its way to it to the next call."""
    given = out.state.taken.get(key)
    if key not in out.state.receives and given is None:
        return
    out.record(ev.ReceiveWithdrawn(at=out.at, key=key))
    if given is not None:
        number, letter = given
        _hand_on(out, number, letter.name)


def hand_out(out: Decision) -> None:
    """Give waiting messages to waiting calls. Only a retry, which gives messages back, leaves both waiting."""
    for number, letter in list(out.state.mailbox.items()) if out.state.receives else ():
        _hand_on(out, number, letter.name)


def message_refused(out: Decision, command: frames.RefuseMessage) -> None:
    """Record in the run's events that the program could not read a message."""
    if command.key in out.state.taken and command.key not in out.state.refused:
        out.record(ev.MessageRefused(at=out.at, key=command.key, reason=command.reason))


def _hand_on(out: Decision, number: int, name: str) -> None:
    """Give a message to the call that has awaited its type for longest."""
    key = next((key for key, awaited in out.state.receives.items() if awaited == name), None)
    if key is not None:
        _take(out, key, number)


def _take(out: Decision, key: str, number: int) -> None:
    out.record(ev.MessageTaken(at=out.at, key=key, number=number))
    out.then.append(do.ReleaseSteps())
