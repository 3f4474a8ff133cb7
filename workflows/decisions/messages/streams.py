"""What a supervisor does about values that its run emits: the part of ``decide`` that knows streams.

Pure like the rest of it. A value is in the journal and nowhere else: the state counts, and holds none of them.
"""

from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.state.run_state import RunState


def value_emitted(state: RunState, command: worker.EmitValue, moment: Moment, out: Decision) -> None:
    """Add a value to its stream, unless the call has done so before."""
    key, channel = command.key, command.channel
    if command.number <= state.emitted.get(key, 0):
        return
    offset = state.offsets.get(channel, 0)
    for event in reversed(out.events):  # the newest of the channel is near, as values come many at a time
        if isinstance(event, ev.ValueEmitted) and event.channel == channel:
            offset = event.offset + 1
            break
    out.events.append(
        ev.ValueEmitted(
            at=moment.now, key=key, number=command.number, channel=channel, offset=offset, value=command.value
        )
    )
