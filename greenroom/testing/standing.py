"""The state of a run, for the message of a failed test."""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias, cast

from greenroom.metrics.event_sentences import describe
from greenroom.workflows.api.handles.run import Run
from greenroom.workflows.api.handles.session import Session
from greenroom.workflows.api.handles.twin import Twin
from greenroom.workflows.api.orchestrator import Orchestrator
from greenroom.workflows.queries.waiting_for import moment
from greenroom.workflows.state.run_state import RunState, Step

LAST_EVENTS: Final = 8
Handle: TypeAlias = Run[Any] | Session[Any, Any, Any]
"""What tests wait for and kill."""


def run_of(handle: Handle | None) -> Run[Any]:
    """Return the run that a handle stands for. A session is a run, too, with an id such as ``chat/ada``.

    Raises:
        TypeError: It is the handle of neither, or its orchestrator is in another process.
        RunNotFound: The session has had no message yet.
    """
    if isinstance(handle, Run):
        return handle
    if isinstance(handle, Session):
        return orchestrator_of(handle).get(handle.id)
    given = cast("object", handle)
    msg = f"a test needs the handle of a run or a session here, such as orchestrator.start() gives, not {given!r:.200}"
    if isinstance(given, Twin):
        msg = f"{given!r} is for asynchronous code: give its attribute `plain` here"
    raise TypeError(msg)


def orchestrator_of(run: Handle) -> Orchestrator:
    """Return the orchestrator of a run or session.

    Raises:
        TypeError: The orchestrator is in another process.
    """
    if not isinstance(run.host, Orchestrator):
        msg = f"{run!r} comes from {run.host!r}: a test needs the handle that an Orchestrator of its own process gave"
        raise TypeError(msg)
    return run.host


def where_it_stands(handle: Handle) -> str:
    """Return a few lines on what a run or session does, what it waits for, and what happened last."""
    run = run_of(handle)
    stored = list(run.events())
    state = orchestrator_of(run).reads.fold(run.id)
    reason = f": {state.reason}" if state.reason else ""
    lines = [f"run {run.id} of workflow {state.workflow} is {state.status}{reason}"]
    lines += [f"  {line}" for line in _waits(state)]
    lines.append(f"  its last events, of {len(stored)}:")
    for item in stored[-LAST_EVENTS:]:
        sentence = describe(run.id, state.workflow, item.event).removeprefix(f"run {run.id} ")
        lines.append(f"    {item.seq:>4} {moment(item.at)} {item.type}: {sentence}")
    return "\n".join(lines)


def _waits(state: RunState) -> Iterator[str]:
    for step in state.steps.values():
        yield _step(step)
    for key, due in state.timers.items():
        yield f"waits until {moment(due)} ({key})"
    for key, name in state.receives.items():
        yield f"waits for a message: {name} ({key})"
    for key, question in state.questions.items():
        yield f"waits for a person: {question.action} ({key})"
    for key, child in state.children.items():
        if child.open:
            yield f"waits for run {child.run_id} ({key})"
    if state.mailbox:
        yield f"has messages that nobody takes: {', '.join(letter.name for letter in state.mailbox.values())}"


def _step(step: Step) -> str:
    text = f"step {step.key} is {step.status}"
    if step.attempts:
        last = step.attempts[-1]
        text += f", attempt {last.number}" + (f": {last.outcome}" if last.outcome is not None else "")
        text += f" ({last.failure.told()})" if last.failure is not None else ""
    return text + (f", again at {moment(step.retry_at)}" if step.retry_at is not None else "")
