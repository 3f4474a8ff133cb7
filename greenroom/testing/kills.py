"""Killing the processes that work for a run, at the right moment."""

from contextlib import suppress
from functools import partial
from typing import Any, Final, overload

from greenroom.messages.core.errors import WorkerNotFound
from greenroom.messages.core.times import Seconds
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.testing.standing import Handle, orchestrator_of, run_of, where_it_stands
from greenroom.testing.waits import TIMEOUT, WaitFailed, steps_named, until
from greenroom.workflows.api.handles.run import Run

SIGKILL: Final = 9


@overload
def kill(run: Handle, step: None = None, *, timeout: Seconds = TIMEOUT) -> bool: ...
@overload
def kill(run: Handle, step: str, *, timeout: Seconds = TIMEOUT) -> AttemptRecord: ...
def kill(run: Handle, step: str | None = None, *, timeout: Seconds = TIMEOUT) -> AttemptRecord | bool:
    """Send SIGKILL to the worker that runs a step of a run, or to the one with its program; wait until it is dead.

    The kill is an injected fault, as by ``Orchestrator.kill``: it is not counted against the step or the run. Workers
    of programs and models have many jobs at once, and those are lost too.

    A step is killed as soon as it runs; a virtual clock advances until then. The step must be slow enough to be caught:
    let it wait for something that the test does afterwards, such as creating a file. A program is killed as soon as a
    worker has it, so right after ``start`` the kill hits its beginning, and no time passes. A run with a long wait and
    a session with no message to handle are in no process, so nothing can be killed.

    Args:
        run: A run or session of an orchestrator of this process.
        step: Name or key of a step; None for the program.
        timeout: Longest real time to wait, in seconds.

    Returns:
        For a step, the killed attempt; for a program, whether it was in a process that could be killed.

    Raises:
        WaitFailed: There was nothing to kill in time, or it ended by itself before the signal came.
        TypeError: It is the handle of something else.
    """
    found = run_of(run)
    return _kill_attempt(found, step, timeout) if step is not None else _kill_program(found, timeout)


def _kill_attempt(run: Run[Any], step: str, timeout: Seconds) -> AttemptRecord:
    key, met = until(run, lambda: _running(run, step), f"a running attempt of step {step}", timeout)
    number = met.number
    what = f"the end of attempt {number} of step {key}"
    while True:
        with suppress(WorkerNotFound):  # the worker has ended meanwhile: the outcome is recorded, or will be
            orchestrator_of(run).kill(met.worker, SIGKILL)
        ended = until(run, partial(_ended_or_moved, run, key, met), what, timeout, let_pass=False)
        if ended.outcome is not None:
            break
        met = ended  # the worker died before it read the attempt, and another one has it
    if ended.outcome != "crash":
        msg = (
            f"attempt {number} of step {key} ended ({ended.outcome}) before it could be killed: have it wait for "
            f"something that the test does after the kill\n{where_it_stands(run)}"
        )
        raise WaitFailed(msg)
    return ended


def _running(run: Run[Any], step: str) -> tuple[str, AttemptRecord] | None:
    for found in steps_named(run, step):
        if found.status == "running" and found.attempts and found.attempts[-1].outcome is None:
            return found.key, found.attempts[-1]
    return None


def _ended_or_moved(run: Run[Any], key: str, met: AttemptRecord) -> AttemptRecord | None:
    (step,) = steps_named(run, key)
    attempt = step.attempts[met.number - 1]
    return attempt if attempt.outcome is not None or attempt.pid != met.pid else None


def _kill_program(run: Run[Any], timeout: Seconds) -> bool:
    orchestrator = orchestrator_of(run)

    def place() -> tuple[str | None, int] | None:
        """Return the worker with the program, and as of which event; no worker if no process has the run."""
        peek = orchestrator.peek(run.id)
        if peek is None:
            return None if orchestrator.reads.is_over(run.id) else (None, 0)
        if peek.dozing or peek.state.idle:
            return None, 0
        return (peek.worker, peek.state.seq) if peek.worker is not None else None

    worker, seq = until(run, place, "a worker that has its program", timeout, let_pass=False)
    if worker is None:
        return False
    orchestrator.kill(worker, SIGKILL)

    def lost() -> bool:
        return any(stored.type == "program.ended" for stored in run.events(after=seq))

    return until(run, lost, "the end of its program", timeout, let_pass=False)
