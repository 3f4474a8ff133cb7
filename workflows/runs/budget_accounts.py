"""The accounts of budgets: of runs with those below them, and of the whole orchestrator."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from greenroom.journal.interface import Journal
from greenroom.messages.core.frozen import mutable
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.options.policy import Budget
from greenroom.messages.records.attempts import Reservation
from greenroom.workflows.decisions.budget_usage import Account, Overdraft, Spending, midnight, overdraft
from greenroom.workflows.decisions.budgets.reservations import Need, Refusal, reserve
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import RunState

_ENDS: Final = (ev.AttemptEnded, ev.JudgeAnswered)
"""Types of events with which a call ends."""


def settles(events: Sequence[AnyEvent]) -> bool:
    """Return whether events settle a reservation. Others may reserve what comes back, so they must be written first."""
    return any(isinstance(event, _ENDS) for event in events)


@mutable
class _Waiter:
    """A call that waits for reservations of others to come back."""

    state: RunState
    token: str
    need: Need
    done: Callable[[Reservation | None], None]
    rank: int
    """Those with lower ranks are served first."""
    refused: Callable[[str], None] | None
    """Told why a budget does not allow it, if nothing waits for the call and its refusal stops no run."""


_FIRST, _IN_ORDER, _LAST = range(3)
"""Ranks: of calls by which something goes on that has begun, of all others, and of those for which nothing waits."""


class BudgetAccounts:
    """Keeps the sums, so that an attempt is not started when others have used up its budget.

    Everything is in the journal as well. An account is added up from there when a run that draws on it is first read.
    ``load`` is called in the reader's thread, before such a run is in memory, so nothing is spent meanwhile. All other
    methods are for the reactor thread only.
    """

    def __init__(self) -> None:
        """Start without any account."""
        self._accounts: dict[str, Account] = {}
        self.shared: list[Account] = []
        """The budgets of the orchestrator, on which every run draws. Written before the first run."""
        self._waiting: dict[str, _Waiter] = {}
        """By token, in the order of their requests."""
        self._lives: set[str] = set()
        """Tokens of reservations that this orchestrator has made and that are not settled: they may come back."""

    def share(self, total: Budget | None, daily: Budget | None, journal: Journal, now: float) -> None:
        """Open the accounts of the orchestrator, and add up the whole journal. May block; before the first run."""
        start = midnight(now)
        if total is not None:
            self.shared.append(Account("", total, 0.0))
        if daily is not None:
            self.shared.append(Account("", daily, start, Spending(since=start), daily=True))
        for row in journal.runs(limit=None) if self.shared else ():
            recent = row.ended_at is None or row.updated_at >= start
            if row.kind != "schedule" and (total is not None or recent):
                events = [stored.event for stored in journal.events(row.id)]
                for account in self.shared:
                    own = Spending(since=account.spending.since)
                    own.add(events)
                    account.spending.merge(own)

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
                _add_state(state, self._accounts[state.run_id].spending)
            self._accounts[state.run_id].replace_budget(state.budget)
            self._accounts[state.run_id].lifted = _lifted(state)
        now = state.updated_at
        for account in self._of(state, now):
            account.spending.add(events)
            for event in events:
                if isinstance(event, (ev.AttemptStarted, ev.JudgeAsked)):
                    account.granted.pop(event.token, None)
        self._lives.difference_update(event.token for event in events if isinstance(event, _ENDS))
        if self._waiting and events:
            self._serve(now)

    def overdraft(self, state: RunState, now: float, *, cleans_up: bool = True) -> Overdraft | None:
        """Return a budget that is used up of those that a run draws on: first one whose time is over, last of attempts.

        The time of a run that has ended stands still. ``cleans_up`` is False for an input that is
        not part of the cleanup of a cancelled run.
        """
        at, mine = now if state.ended_at is None else state.ended_at, self._of(state, now)
        found = [over for account in mine if (over := overdraft(account, at, cleans_up=cleans_up)) is not None]
        if len(found) > 1:
            found.sort(key=lambda over: (not over.late, over.of_attempts))
        return found[0] if found else None

    def close(self, state: RunState) -> None:
        """Drop the account of a run that has ended and has started no children."""
        if state.ended is not None and not state.children_made:
            self._accounts.pop(state.run_id, None)

    # ------------------------------------------------------------ reservations

    def limits_models(self, state: RunState) -> bool:
        """Return whether a budget limits what the models of a run may use."""
        owners = (self._accounts.get(owner) for owner in state.accounts)
        return any(each and (each.budget.usd or each.budget.tokens) for each in (*owners, *self.shared))

    def reserve(
        self,
        state: RunState,
        token: str,
        need: Need,
        now: float,
        done: Callable[[Reservation | None], None],
        *,
        first: bool = False,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        """Reserve what an attempt may use, of every budget that its run draws on.

        Args:
            state: The run. Its accounts must be loaded.
            token: Token of the attempt.
            need: What it may use.
            now: The time, in seconds since the Unix epoch.
            done: Called with the reservation, maybe later. Called with None if a budget does not allow the attempt;
                ``overdraft`` then returns the reason.
            first: Whether it is served before others: a judge, without whom a result that is paid for is of no use.
            refused: Called with the reason, in place of ``done``, if a budget does not allow a call that nothing waits
                for. Such a call is served after all others, and its refusal stops no run.
        """
        rank = _FIRST if first else _LAST if refused is not None else _IN_ORDER
        self._waiting[token] = waiter = _Waiter(state, token, need, done, rank, refused)
        if len(self._waiting) == 1:
            self._try(waiter, now)
        else:
            self._serve(now)

    def give_back(self, state: RunState, token: str, now: float) -> None:
        """Drop the reservation of an attempt that has not begun, or its request for one."""
        self._waiting.pop(token, None)
        returned = [account.granted.pop(token, None) for account in self._of(state, now)]
        if any(returned):
            self._lives.discard(token)
            self._serve(now)

    def hold_used(self, state: RunState, token: str, usage: Mapping[str, float], now: float) -> None:
        """Hold no more for a call that has ended than it has used, as far as that is known, until ``give_back``."""
        used = usage.keys() & {"input_tokens", "output_tokens"}
        for account in self._of(state, now):
            if (held := account.granted.get(token)) is not None:
                tokens = math.ceil(sum(usage[name] for name in used)) if used else held.tokens
                account.granted[token] = held.model_copy(update={"tokens": tokens, "usd": usage.get("usd", held.usd)})
        self._serve(now)

    def _serve(self, now: float) -> None:
        """Serve the calls that wait, judges first and those for which nothing waits last, otherwise in order.

        One that goes on waiting holds up the later ones of its budgets.
        """
        blocked: set[Account] = set()
        for waiter in sorted(self._waiting.values(), key=lambda each: each.rank):
            mine = self._of(waiter.state, now)
            if waiter.token in self._waiting and blocked.isdisjoint(mine) and not self._try(waiter, now):
                blocked.update(mine)

    def _try(self, waiter: _Waiter, now: float) -> bool:
        """Serve an attempt; return False if it has to wait."""
        refused = waiter.refused
        mine = [account for account in self._of(waiter.state, now) if refused is not None or not account.lifted]
        verdict = reserve(waiter.need, [(account, self._returning(account)) for account in mine])
        if verdict == "wait":
            return False
        del self._waiting[waiter.token]
        if isinstance(verdict, Refusal):
            if refused is not None:
                refused(verdict.reason)
                return True
            verdict.account.refused = Overdraft(verdict.account.run_id, verdict.reason)
            waiter.done(None)
            return True
        for account in mine:
            account.granted[waiter.token] = verdict
        self._lives.add(waiter.token)
        waiter.done(verdict)
        return True

    def _returning(self, account: Account) -> bool:
        """Return whether any reservation of an account may come back."""
        return bool(account.granted) or not self._lives.isdisjoint(account.spending.reserved)

    def _of(self, state: RunState, now: float) -> list[Account]:
        """Return the accounts that a run draws on."""
        for each in self.shared:
            each.begin_day(now)
        own = [self._accounts[owner] for owner in state.accounts if owner in self._accounts]
        return own + self.shared if self.shared else own


def _lifted(state: RunState) -> bool:
    """Return whether a budget does not limit its run, which cleans up after a cancellation of it or of its turn."""
    return state.cancel_requested is not None or state.turn_cancelled


def _add_state(state: RunState, spending: Spending) -> None:
    """Add up what a run has used, as far as it is in memory."""
    for step in (*state.steps.values(), *state.shelved.values()):
        for attempt in step.attempts:
            spending.add_attempt(attempt.usage, attempt.reserved)
        spending.add_judges(step.evaluations, {name: -more for name, more in step.judges_usage.items()})
    spending.add_judges(state.evaluations, {})


def _add_tree(
    run_id: str, past: Sequence[AnyEvent], events: Callable[[str], Sequence[AnyEvent]], spending: Spending
) -> None:
    """Add up a run and everything below it, including what a retry has dropped."""
    own = Spending()
    own.add(past)
    spending.merge(own)
    added: set[str] = set()
    for event in past:
        if isinstance(event, ev.ChildScheduled) and event.run_id not in added:
            child = events(event.run_id)
            first = child[0] if child else None
            if isinstance(first, ev.RunStarted) and first.parent == run_id:  # not one that a fork shares
                added.add(event.run_id)
                _add_tree(event.run_id, child, events, spending)
