"""The result of a run, or the error that stands for how it ended."""

from greenroom.actors.failures.reconstruction import with_location
from greenroom.messages.advice import go_on
from greenroom.messages.core.errors import RunCancelled, RunFailed, RunParked
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.workflows.queries.records.run_records import failed_at
from greenroom.workflows.state.run_state import RunState


def result_of(state: RunState) -> Json:
    """Return a run's result, or raise its error; see ``Queries.result``."""
    if state.ended == "completed":
        return state.result
    if state.ended == "failed":
        step, attempts = failed_at(state)
        place = f" at step {step}" if step is not None and step not in (state.reason or "") else ""
        sentence = f"run {state.run_id} failed{place}: {state.reason}"
        failed = RunFailed(sentence, run_id=state.run_id, step=step, attempts=shown(attempts))
        raise failed if state.failure is None else with_location(failed, state.failure)
    if state.ended == "cancelled":
        raise RunCancelled(f"run {state.run_id} was cancelled" + (f": {state.reason}" if state.reason else ""))
    if state.halted == "parked":
        msg = (
            f"run {state.run_id} is parked: {(state.reason or '').rstrip('.')}; once that is mended, it goes on with "
            f"{go_on(state.run_id)}, or with its handle's resume()"
        )
        raise RunParked(msg)
    msg = f"run {state.run_id} has not ended: it is {state.status}"
    raise TimeoutError(msg)
