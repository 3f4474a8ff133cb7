"""Decisions about the runs that a run starts and awaits. Pure."""

from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.messages.ids import child_id, turn_child_id
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision


def schedule_child(out: Decision, command: frames.ScheduleChild) -> None:
    """Record that the program asks for a child run, and start it after the commit."""
    state = out.state
    if command.key in state.children:
        return
    number = state.children_made + 1
    if state.session is None:
        run_id = child_id(state.run_id, number)
    else:
        run_id = turn_child_id(state.run_id, state.turns + 1, number)
    out.record(
        ev.ChildScheduled(
            at=out.at,
            key=command.key,
            run_id=run_id,
            app=state.app,
            workflow=command.workflow,
            arguments=command.arguments,
            version=command.version,
            fingerprint=command.fingerprint,
            budget=command.budget,
        )
    )
    if not out.ends_turn:
        out.then.append(do.StartChild(command.key))


def withdraw_child(out: Decision, key: str) -> None:
    """Cancel a child that the program no longer awaits. The program waits until the child has ended."""
    out.then.append(do.CancelChild(key, out.state.children[key].run_id))


def abandon_child(out: Decision, key: str, *, at_once: bool) -> None:
    """End the wait for a child whose parent ends, and cancel the child."""
    run_id = out.state.children[key].run_id
    failure = Failure(outcome="cancelled", message="no longer awaited")
    out.record(ev.ChildEnded(at=out.at, key=key, run_id=run_id, failure=failure))
    out.then.append(do.ReleaseSteps())
    out.then.append(do.CancelChild(key, run_id, at_once=at_once))


def child_finished(out: Decision, happened: inputs.ChildFinished) -> None:
    """Record how a child run ended.

    A child that was still being cancelled when its parent was retried ends once more before it goes on.
    """
    child = out.state.children.get(happened.key)
    if child is None or not child.open or (child.retry is not None and child.retry != happened.retried):
        return
    out.record(
        ev.ChildEnded(
            at=out.at,
            key=happened.key,
            run_id=child.run_id,
            result=happened.result,
            failure=happened.failure,
            step=happened.step,
            attempts=happened.attempts,
        )
    )
    out.then.append(do.ReleaseSteps())
