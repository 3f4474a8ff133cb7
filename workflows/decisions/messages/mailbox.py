"""What a supervisor does about messages to its run: the part of ``decide`` that knows the mailbox.

Pure like the rest of it. Messages of one type are taken in the order in which they came, by the calls that await that
type in the order in which they asked.
"""

from collections.abc import Iterable
from typing import Final

from greenroom.messages.core.errors import MailboxFull, RunEnded
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.decisions.messages.turns import message_waits, refuses
from greenroom.workflows.state.run_state import RunState

CAPACITY: Final = 10_000
"""Messages that may wait."""


def message_arrived(state: RunState, happened: do.Signal, moment: Moment, out: Decision) -> None:
    """Keep a message, unless it came before, and hand it to whoever awaits it."""
    if (known := known_number(state, happened)) is not None:
        out.receipt = -known
        return
    if refuses(state, out):
        return
    if len(state.mailbox) >= CAPACITY:
        out.refused = MailboxFull(f"{CAPACITY} messages wait for run {state.run_id}: send it again once some are taken")
        return
    out.receipt = number = state.received + 1
    out.events.append(
        ev.MessageReceived(at=moment.now, number=number, name=happened.name, value=happened.value, key=happened.key)
    )
    if state.session is not None:
        message_waits(state, out)
    else:
        _hand_on(state, number, happened.name, moment, out)


def known_number(state: RunState, happened: do.Signal) -> int | None:
    """Give the number of the message that this one repeats."""
    return None if happened.key is None else state.message_keys.get(happened.key) or happened.known or None


def message_too_late(state: RunState, happened: do.Signal, out: Decision) -> None:
    """Refuse a message to a run that has ended, unless it came before."""
    if (known := known_number(state, happened)) is not None:
        out.receipt = -known
    elif not refuses(state, out):
        out.refused = RunEnded(f"run {state.run_id} is {state.status}: it takes no messages any more")


def receive_asked(state: RunState, command: worker.ScheduleReceive, moment: Moment, out: Decision) -> None:
    """The program awaits a message: there may be one already."""
    if command.key in state.receives or command.key in state.taken:
        return
    out.events.append(ev.ReceiveAsked(at=moment.now, key=command.key, name=command.name))
    for number, name in _waiting(state, out):
        if name == command.name:
            _take(command.key, number, moment, out)
            return


def receive_withdrawn(state: RunState, key: str, moment: Moment, out: Decision) -> None:
    """The program awaits a message no longer. One that is on its way to it is there for the next who asks."""
    if key not in state.receives and state.taken.get(key) is None:
        return
    out.events.append(ev.ReceiveWithdrawn(at=moment.now, key=key))
    if (given := state.taken.get(key)) is not None:
        number, letter = given
        _hand_on(state, number, letter.name, moment, out)


def hand_out(state: RunState, moment: Moment, out: Decision) -> None:
    """Match what waits on both sides. There is something to match only where a retry has given back what was taken."""
    for number, letter in state.mailbox.items():
        taken = {event.key for event in out.events if isinstance(event, ev.MessageTaken)}
        for key, awaited in state.receives.items():
            if awaited == letter.name and key not in taken:
                _take(key, number, moment, out)
                break


def message_refused(state: RunState, command: worker.RefuseMessage, moment: Moment, out: Decision) -> None:
    """The program could not read a message: say so where a person looks."""
    if command.key in state.taken and command.key not in state.refused:
        out.events.append(ev.MessageRefused(at=moment.now, key=command.key, reason=command.reason))


def _hand_on(state: RunState, number: int, name: str, moment: Moment, out: Decision) -> None:
    gone = {event.key for event in out.events if isinstance(event, (ev.MessageTaken, ev.ReceiveWithdrawn))}
    for key, awaited in state.receives.items():
        if awaited == name and key not in gone:
            _take(key, number, moment, out)
            return


def _waiting(state: RunState, out: Decision) -> Iterable[tuple[int, str]]:
    """Give the messages that nobody has taken, what this decision has done to them included: number and type.

    Nothing is copied where nothing has changed: ten thousand messages may lie here, and be taken one by one.
    """
    changes = [event for event in out.events if isinstance(event, (ev.MessageTaken, ev.ReceiveWithdrawn))]
    if not changes:
        return ((number, letter.name) for number, letter in state.mailbox.items())
    waiting = {number: letter.name for number, letter in state.mailbox.items()}
    for event in changes:
        if isinstance(event, ev.MessageTaken):
            waiting.pop(event.number, None)
        elif (given := state.taken.get(event.key)) is not None:
            waiting[given[0]] = given[1].name
    return sorted(waiting.items())


def _take(key: str, number: int, moment: Moment, out: Decision) -> None:
    out.events.append(ev.MessageTaken(at=moment.now, key=key, number=number))
    out.then.append(do.ReleaseSteps())
