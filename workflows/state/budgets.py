"""How a run's state changes with its budget."""

from greenroom.messages.core.times import LONGEST
from greenroom.messages.events.events import RunResumed
from greenroom.workflows.state.run_state import WALL_KEY, RunState


def wall(state: RunState) -> float | None:
    """Give the moment at which a run's own time is over, None where it has all the time in the world."""
    limit = None if state.budget is None else state.budget.wall
    return None if limit is None or limit >= LONGEST else state.started_at + limit


def set_wall(state: RunState) -> None:
    """Have the run woken when its time is over."""
    if (due := wall(state)) is not None:
        state.wait_changes.append((WALL_KEY, due))


def clear_wall(state: RunState) -> None:
    """Have it woken no more."""
    if wall(state) is not None:
        state.wait_changes.append((WALL_KEY, None))


def resumed(state: RunState, event: RunResumed) -> None:
    """Go on with another budget, where there is one."""
    if event.budget is not None:
        clear_wall(state)
        state.budget = event.budget
        if state.run_id not in state.accounts:
            state.accounts = (*state.accounts, state.run_id)
        set_wall(state)
