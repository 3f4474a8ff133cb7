"""Decisions about values that a run emits. Pure. A value is in the journal alone; the state only counts."""

from greenroom.messages.core.message import Json
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.messages.transcript import read_answer
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.run_state import RunState, Step
from greenroom.workflows.state.transcripts import judged_result


def value_emitted(out: Decision, command: frames.EmitValue) -> None:
    """Add a value to its stream, unless the same call has added it before."""
    key, channel, number = command.key, command.channel, command.number
    if number > out.state.emitted.get(key, 0):
        offset = _next(out.state, channel)
        out.record(
            ev.ValueEmitted(at=out.at, key=key, number=number, channel=channel, offset=offset, value=command.value)
        )


def step_emitted(out: Decision, happened: inputs.StepEmitted) -> None:
    """Add values of a running attempt, or of an evaluator of its result, to their streams."""
    step = out.state.steps.get(happened.key)
    if step is not None and _may_emit(step, happened):
        for channel, value in happened.values:
            _emit(out, step, channel, value)
    if happened.confirm:
        out.then.append(do.ConfirmEmitted(happened.key))


def _may_emit(step: Step, happened: inputs.StepEmitted) -> bool:
    """Return whether the attempt that the values come from has not been superseded."""
    if happened.token:
        return step.running is not None and step.running.token == happened.token
    return step.status == "evaluating" and len(step.attempts) == happened.attempt


def add_final(out: Decision, step: Step) -> None:
    """Add the text of a step that is about to complete to its stream: its result, or what an agent says meanwhile."""
    assert step.options.stream is not None, f"{step.key} has no stream"
    text = judged_result(step)
    if step.transcript is not None and not (answer := read_answer(step.result)).final:
        if not answer.message.text:
            return  # it asks for tools, and says nothing
        text = answer.message.text
    _emit(out, step, step.options.stream, text, final=True)


def discard(out: Decision, step: Step) -> None:
    """Tell readers that the values of a step's newest attempt do not count, because it was not accepted."""
    channels = step.attempts[-1].channels if step.attempts else ()
    if channels:
        offsets = {channel: _next(out.state, channel) for channel in channels}
        out.record(ev.ValuesDiscarded(at=out.at, key=step.key, attempt=len(step.attempts), offsets=offsets))


def _emit(out: Decision, step: Step, channel: str, value: Json, *, final: bool = False) -> None:
    out.record(
        ev.StepEmitted(
            at=out.at,
            key=step.key,
            attempt=len(step.attempts),
            channel=channel,
            offset=_next(out.state, channel),
            value=value,
            final=final,
        )
    )


def _next(state: RunState, channel: str) -> int:
    return state.offsets.get(channel, 0)
