"""What a supervisor does about the runs that its run starts and awaits: the part of ``decide`` that knows children.

Pure like the rest of it.
"""

from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.ids import child_id, turn_child_id
from greenroom.workflows.state.run_state import RunState


def schedule_child(state: RunState, command: worker.ScheduleChild, moment: Moment, out: Decision) -> None:
    """The program asks for a run of its own."""
    if command.key in state.children:
        return
    already = sum(isinstance(event, ev.ChildScheduled) for event in out.events)
    number = state.children_made + already + 1
    if state.session is None:
        run_id = child_id(state.run_id, number)
    else:
        run_id = turn_child_id(state.run_id, state.turns + 1, number)
    out.events.append(
        ev.ChildScheduled(
            at=moment.now,
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
    out.then.append(do.StartChild(command.key))


def withdraw_child(state: RunState, key: str, out: Decision) -> None:
    """The program is cancelled where it awaits a child: tell the child to end. The program waits until it has."""
    out.then.append(do.CancelChild(key, state.children[key].run_id))


def abandon_child(state: RunState, key: str, moment: Moment, out: Decision, *, at_once: bool) -> None:
    """The run ends while a child goes on: nobody is left to hear how that comes to its end."""
    child = state.children[key]
    failure = Failure(outcome="cancelled", message="no longer awaited")
    out.events.append(ev.ChildEnded(at=moment.now, key=key, run_id=child.run_id, failure=failure))
    out.then.append(do.ReleaseSteps())
    out.then.append(do.CancelChild(key, child.run_id, at_once=at_once))


def child_finished(state: RunState, happened: do.ChildFinished, moment: Moment, out: Decision) -> None:
    """A child run has come to its end."""
    child = state.children.get(happened.key)
    if child is None or not child.open:
        return
    out.events.append(
        ev.ChildEnded(
            at=moment.now,
            key=happened.key,
            run_id=child.run_id,
            result=happened.result,
            failure=happened.failure,
            step=happened.step,
            attempts=happened.attempts,
        )
    )
    out.then.append(do.ReleaseSteps())
