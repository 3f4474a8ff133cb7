"""The accounts of runs that have budgets: what they and the runs below them have used."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.decisions.budget_usage import Account, Overdraft, Spending, overdraft
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import RunState


class BudgetAccounts:
    """Keeps the sums, so that an attempt is not started when others have used up its budget.

    Everything is in the journal as well. An account is added up from there when a run that draws on it is first read.
    ``load`` is called in the reader's thread, before such a run is in memory, so nothing is spent meanwhile. All other
    methods are for the reactor thread only.
    """

    def __init__(self) -> None:
        """Start without any account."""
        self._accounts: dict[str, Account] = {}

    def open(self, state: RunState) -> None:
        """Open the account of a run that has just started."""
        if state.budget is not None and state.run_id not in self._accounts:
            self._accounts[state.run_id] = Account(state.run_id, state.budget, state.started_at)

    def load(self, state: RunState, events: Callable[[str], Sequence[AnyEvent]]) -> None:
        """Add up the accounts that a run draws on, unless that was done; ``events`` returns those of a run."""
        for owner in state.accounts:
            if owner not in self._accounts:
                past = events(owner)
                run = fold_all(past)
                if run.budget is not None:
                    spending = Spending()
                    _add_tree(owner, past, events, spending)
                    account = Account(owner, run.budget, run.started_at, spending, _lifted(run))
                    self._accounts.setdefault(owner, account)

    def note(self, state: RunState, events: Sequence[AnyEvent]) -> None:
        """Add new events to the accounts that a run draws on."""
        if state.budget is not None:
            if state.run_id not in self._accounts:  # it had none before
                self.open(state)
                self._accounts[state.run_id].spending.add_attempts(_attempts_of(state))
                for usage in _evaluations_of(state):
                    self._accounts[state.run_id].spending.add_usage(usage)
            self._accounts[state.run_id].budget = state.budget
            self._accounts[state.run_id].lifted = _lifted(state)
        for owner in state.accounts:
            if (account := self._accounts.get(owner)) is not None:
                account.spending.add(events)

    def overdraft(self, state: RunState, now: float) -> Overdraft | None:
        """Return a budget that is used up of those that a run draws on, one whose time is over before all others."""
        accounts = [account for owner in state.accounts if (account := self._accounts.get(owner)) is not None]
        found = [over for account in accounts if (over := overdraft(account, now)) is not None]
        return next((over for over in found if over.late), found[0] if found else None)

    def close(self, state: RunState) -> None:
        """Drop the account of a run that has ended and has started no children."""
        if state.ended is not None and not state.children_made:
            self._accounts.pop(state.run_id, None)


def _lifted(state: RunState) -> bool:
    """Return whether a budget does not limit its run, which cleans up after a cancellation of it or of its turn."""
    return state.cancel_requested is not None or state.turn_cancelled


def _attempts_of(state: RunState) -> Iterator[Mapping[str, float]]:
    """Yield what each attempt of a run used, including those that a retry has dropped."""
    for step in (*state.steps.values(), *state.shelved.values()):
        for attempt in step.attempts:
            yield attempt.usage


def _evaluations_of(state: RunState) -> Iterator[Mapping[str, float]]:
    """Yield what the evaluations of results have used."""
    for step in (*state.steps.values(), *state.shelved.values()):
        for evaluation in step.evaluations:
            yield evaluation.usage


def _add_tree(
    run_id: str, past: Sequence[AnyEvent], events: Callable[[str], Sequence[AnyEvent]], spending: Spending
) -> None:
    """Add up a run and everything below it, including what a retry has dropped."""
    own = Spending()
    own.add(past)
    spending.usd, spending.tokens = spending.usd + own.usd, spending.tokens + own.tokens
    spending.attempts += own.attempts
    added: set[str] = set()
    for event in past:
        if isinstance(event, ev.ChildScheduled) and event.run_id not in added:
            child = events(event.run_id)
            first = child[0] if child else None
            if isinstance(first, ev.RunStarted) and first.parent == run_id:  # not one that a fork shares
                added.add(event.run_id)
                _add_tree(event.run_id, child, events, spending)
