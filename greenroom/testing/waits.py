"""Waiting for what a run does, by the events in its journal instead of by time."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar, get_args, overload

from greenroom.journal.interface import Stored
from greenroom.messages.core.times import Seconds, seconds
from greenroom.messages.records.records import RunRecord, RunStatus, StepRecord, StepStatus
from greenroom.testing.standing import Handle, orchestrator_of, run_of, where_it_stands
from greenroom.workflows.api.handles.run import Run

T = TypeVar("T")
H = TypeVar("H", bound=Handle)

TIMEOUT: Final = 10.0
"""Real seconds."""


class WaitFailed(AssertionError):  # noqa: N818  a test's failure, whose name says what failed
    """The awaited thing did not happen in time, or cannot happen any more. The message says what the run does."""


@overload
def wait_for(run: H, condition: Callable[[H], T], /, *, timeout: Seconds = TIMEOUT) -> T: ...
@overload
def wait_for(run: Handle, /, *, status: RunStatus, timeout: Seconds = TIMEOUT) -> RunRecord: ...
@overload
def wait_for(
    run: Handle, /, *, step: str, status: StepStatus | None = None, timeout: Seconds = TIMEOUT
) -> StepRecord: ...
@overload
def wait_for(run: Handle, /, *, event: str, after: int = 0, timeout: Seconds = TIMEOUT) -> Stored: ...
def wait_for(
    run: Handle,
    condition: Callable[[Any], Any] | None = None,
    /,
    *,
    status: RunStatus | StepStatus | None = None,
    step: str | None = None,
    event: str | None = None,
    after: int = 0,
    timeout: Seconds = TIMEOUT,
) -> Any:
    """Wait until a run has reached a state, and return what was found.

    A virtual clock advances meanwhile, and stops when the wait is over: what the run waits for then, it still waits for
    when this returns.

    Args:
        run: A run or session of an orchestrator of this process.
        condition: Called with the run or session after each of its commits, in the caller's thread, until it returns a
            true value.
        status: Status of the run, or with ``step`` of that step.
        step: Name or key of a step. Without ``status``: wait until one of its attempts has begun.
        event: Type of an event, such as ``"timer.set"``.
        after: Consider only events with sequence numbers above this one.
        timeout: Longest real time to wait, in seconds.

    Returns:
        The value of the condition; the record of the run or the step; or the stored event.

    Raises:
        WaitFailed: It did not happen in time, or the run is over and it cannot happen any more.
        ValueError: No condition or more than one was given, or there is no such status.
        TypeError: It is the handle of something else.
    """
    found = run_of(run)
    known = get_args(RunStatus if step is None else StepStatus)
    if status is not None and status not in known:
        msg = f"the status of a {'run' if step is None else 'step'} is one of {', '.join(known)}, not {status!r}"
        raise ValueError(msg)
    wanted = [value for value in (condition, step or status, event) if value is not None]
    if len(wanted) != 1:
        msg = "give one thing to wait for: a condition, a status, a step (and maybe its status), or an event"
        raise ValueError(msg)
    if condition is not None:
        return until(found, lambda: condition(run), f"the condition {_name(condition)}", timeout)
    if event is not None:
        return until(found, lambda: _event(found, event, after), f"an event {event}", timeout)
    if step is not None:
        what = f"step {step} {'begun' if status is None else status}"
        return until(found, lambda: _step(found, step, status), what, timeout)
    return until(found, lambda: _status(found, status), f"status {status}", timeout)


def until(run: Run[Any], look: Callable[[], T | None], what: str, timeout: Seconds, *, let_pass: bool = True) -> T:
    """Call a function after each commit of a run until it returns a true value, and return that.

    Args:
        run: The run.
        look: Returns a true value when the wait is over.
        what: Description of the awaited thing, for the message.
        timeout: Longest real time to wait, in seconds.
        let_pass: Whether a virtual clock may advance meanwhile.

    Raises:
        WaitFailed: It did not happen in time, or cannot happen any more.
    """
    orchestrator = orchestrator_of(run)
    changed = threading.Event()
    watch = orchestrator.watch(run.id, changed.set, end_only=False)
    patience = seconds(timeout, "the timeout of a wait")
    deadline = time.monotonic() + patience
    try:
        while True:
            changed.clear()
            seen = watch.told
            over = orchestrator.reads.is_over(run.id)
            if found := look():
                return found
            if over:
                msg = f"waited for {what}, and now nothing follows any more\n{where_it_stands(run)}"
                raise WaitFailed(msg)
            orchestrator.check_alive()
            if let_pass:
                watch.rest(seen)
            if not changed.wait(max(0.0, deadline - time.monotonic())):
                msg = f"waited {patience:g} s for {what}\n{where_it_stands(run)}"
                raise WaitFailed(msg)
    finally:
        watch()


def steps_named(run: Run[Any], name: str) -> list[StepRecord]:
    """Return the calls of a step, by its name or its key."""
    return [found for found in run.steps() if name in {found.name, found.key}]


def _step(run: Run[Any], name: str, status: str | None) -> StepRecord | None:
    for found in steps_named(run, name):
        if found.attempts if status is None else found.status == status:
            return found
    return None


def _status(run: Run[Any], status: str | None) -> RunRecord | None:
    record = run.record
    return record if record.status == status else None


def _event(run: Run[Any], type_: str, after: int) -> Stored | None:
    return next((stored for stored in run.events(after) if stored.type == type_), None)


def _name(condition: Callable[..., object]) -> str:
    return str(getattr(condition, "__name__", condition))
