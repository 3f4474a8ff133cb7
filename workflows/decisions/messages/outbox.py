"""What a supervisor does about the messages that its program sends: recorded first, then delivered until they arrive.

Pure like the rest of ``decide``. The receiver tells repetitions by key, so each arrives once.
"""

from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.state.run_state import RunState


def message_sent(state: RunState, command: worker.SendMessage, moment: Moment, out: Decision) -> None:
    """The program sends a message."""
    if command.key in state.sent:
        return
    out.events.append(
        ev.MessageSent(
            at=moment.now,
            key=command.key,
            to=command.to,
            name=command.name,
            value=command.value,
            on_failure=command.policy.on_failure,
            budget=command.policy.budget,
        )
    )
    out.then.append(do.Deliver(command.key))


def message_delivered(state: RunState, happened: do.Delivered, moment: Moment, out: Decision) -> None:
    """A message has arrived, or never will."""
    if happened.key in state.outgoing:
        out.events.append(ev.MessageDelivered(at=moment.now, key=happened.key, refused=happened.refused))


def deliver_again(state: RunState, out: Decision) -> None:
    """Nobody knows whether these have arrived."""
    out.then.extend(do.Deliver(key) for key in state.outgoing)
