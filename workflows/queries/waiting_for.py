"""What a run waits for, in words. Pure: a function of the state and the time."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from greenroom.messages.records.approvals import approval_id
from greenroom.supervision.policy.held_calls import TOOL, HeldCalls
from greenroom.workflows.state.run_state import RunState, Step

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def waits_for(state: RunState, now: float, held: Iterable[HeldCalls] = ()) -> list[str]:
    """Return what a run waits for, one phrase each; first what a person can act on.

    The list is empty for a run that has ended, or is paused or parked: its record has the reason.

    Args:
        state: The run.
        now: Seconds since the Unix epoch.
        held: What holds back the calls of models and tools.
    """
    if state.ended is not None or state.halted is not None:
        return []
    return list(_phrases(state, now, {each.name: words for each in held if (words := each.words(now))}))


def _phrases(state: RunState, now: float, held: Mapping[str, str]) -> Iterator[str]:
    for key, question in state.questions.items():
        yield f"a person, to decide {question.action!r}: approval {approval_id(state.run_id, key)}"
    for name in state.receives.values():
        yield f"a message: {name}"
    for step in state.steps.values():
        if step.open and step.status != "escalated":
            yield _step(step, now, held)
    for child in state.children.values():
        if child.open:
            yield f"run {child.run_id}"
    for due in state.timers.values():
        yield f"{moment(due)} UTC ({_until(due, now)})"
    if state.receives and state.mailbox:
        names = ", ".join(letter.name for letter in state.mailbox.values())
        yield f"nothing that is in its mailbox: {names}"


def _step(step: Step, now: float, held: Mapping[str, str]) -> str:
    if step.retry_at is not None:
        return (
            f"attempt {step.next_attempt} of {step.key}, at {moment(step.retry_at)} UTC ({_until(step.retry_at, now)})"
        )
    if (attempt := step.running) is not None:
        return f"{step.key}, whose attempt {attempt.number} runs on {attempt.worker} (pid {attempt.pid})"
    if step.status == "evaluating":
        return f"the evaluators of {step.key}"
    model = "" if step.options.model is None else step.options.model.model
    for name, what in ((model, f"the model {model}"), (TOOL + step.name, f"the tool {step.name}")):
        if words := held.get(name):
            return f"{what}, for {step.key}: {words}"
    return f"a worker for {step.key}"


def _until(due: float, now: float) -> str:
    return f"in {span(due - now)}" if due > now else "due now"


def span(seconds: float) -> str:
    """Return a duration in its largest unit, such as ``"29 d"`` or ``"3.5 s"``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def moment(at: float) -> str:
    """Return seconds since the Unix epoch as text in UTC, without the time zone."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    except (ValueError, OverflowError, OSError):
        return "the end of time"
