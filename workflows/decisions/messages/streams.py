"""Decisions about values that a run emits. Pure. A value is in the journal alone; the state only counts."""

from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.workflows.decisions.decision import Decision


def value_emitted(out: Decision, command: frames.EmitValue) -> None:
    """Add a value to its stream, unless the same call has added it before."""
    key, channel, number = command.key, command.channel, command.number
    if number > out.state.emitted.get(key, 0):
        offset = out.state.offsets.get(channel, 0)
        out.record(
            ev.ValueEmitted(at=out.at, key=key, number=number, channel=channel, offset=offset, value=command.value)
        )
