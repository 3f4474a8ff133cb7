"""Changes of a run's budget, applied to its state."""

from greenroom.messages.core.times import LONGEST
from greenroom.messages.events import events as ev
from greenroom.workflows.state.run_state import WALL_KEY, RunState


def wall(state: RunState) -> float | None:
    """Return when the run's own time is over, or None if it has no time limit."""
    limit = None if state.budget is None else state.budget.wall
    return None if limit is None or limit >= LONGEST else state.started_at + limit


def set_wall(state: RunState) -> None:
    """Set the durable timer for the end of the run's time."""
    if (due := wall(state)) is not None:
        state.wait_changes.append((WALL_KEY, due))


def clear_wall(state: RunState) -> None:
    """Clear that timer."""
    if wall(state) is not None:
        state.wait_changes.append((WALL_KEY, None))


def resumed(state: RunState, event: ev.RunResumed) -> None:
    """Replace the budget if the event has one."""
    if event.budget is not None:
        clear_wall(state)
        state.budget = event.budget
        if state.run_id not in state.accounts:
            state.accounts = (*state.accounts, state.run_id)
        set_wall(state)
