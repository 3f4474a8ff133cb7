"""Decisions about the messages that a program sends: recorded first, then delivered until they arrive. Pure.

The receiver recognizes repetitions by their key, so each message arrives once.
"""

from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision


def message_sent(out: Decision, command: frames.SendMessage) -> None:
    """Record a message that the program sends, and deliver it after the commit."""
    if command.key in out.state.sent:
        return
    out.record(
        ev.MessageSent(
            at=out.at,
            key=command.key,
            to=command.to,
            name=command.name,
            value=command.value,
            on_failure=command.policy.on_failure,
            budget=command.policy.budget,
        )
    )
    out.then.append(do.Deliver(command.key))


def message_delivered(out: Decision, happened: inputs.Delivered) -> None:
    """Record that a message has arrived, or never will."""
    if happened.key in out.state.outgoing:
        out.record(ev.MessageDelivered(at=out.at, key=happened.key, refused=happened.refused))


def deliver_again(out: Decision) -> None:
    """Deliver the messages of which it is not known whether they arrived."""
    out.then.extend(do.Deliver(key) for key in out.state.outgoing)
