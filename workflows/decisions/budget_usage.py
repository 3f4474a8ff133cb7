"""Usage of budgets: sums over events, and their comparison with the limits. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from greenroom.messages.advice import raise_budget
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.policy import Budget


@dataclass(slots=True)
class Spending:
    """Sums of what attempts have used."""

    usd: float = 0.0
    tokens: float = 0.0
    attempts: int = 0

    def add_attempts(self, usages: Iterable[Mapping[str, float]]) -> None:
        """Add attempts, given the usage of each."""
        for usage in usages:
            self.attempts += 1
            self.add_usage(usage)

    def add_usage(self, usage: Mapping[str, float]) -> None:
        """Add what one model call has used."""
        self.usd += usage.get("usd", 0.0)
        self.tokens += usage.get("input_tokens", 0.0) + usage.get("output_tokens", 0.0)

    def add(self, events: Iterable[AnyEvent]) -> None:
        """Add the usage in events. What a fork shares with its origin counts for the origin alone."""
        for event in events:
            match event:
                case ev.AttemptStarted():
                    self.attempts += 1
                case ev.AttemptEnded(usage=usage):
                    self.add_usage(usage)
                case ev.StepEvaluated(evaluations=evaluations):
                    for evaluation in evaluations:
                        self.add_usage(evaluation.usage)
                case ev.RunForked():
                    self.usd, self.tokens, self.attempts = 0.0, 0.0, 0
                case _:
                    pass


@dataclass(slots=True)
class Account:
    """The budget of a run, and what it and the runs below it have used."""

    run_id: str
    budget: Budget
    started_at: float
    spending: Spending = field(default_factory=Spending)
    lifted: bool = False
    """Whether the run was cancelled: its budget does not limit the cleanup, neither its own nor that of runs below."""


@dataclass(frozen=True, slots=True)
class Overdraft:
    """A budget that is used up."""

    run_id: str
    """Id of the run that has the budget."""
    reason: str
    """Which limit was reached, and how to go on."""
    late: bool = False
    """Whether the time limit was reached: then the run stops, whether an attempt is due or not."""

    @property
    def subject(self) -> str:
        """The beginning of every such reason."""
        return f"the budget of run {self.run_id} "


def overdraft(account: Account, now: float) -> Overdraft | None:
    """Return why a budget is used up, or None if it is not."""
    if account.lifted:
        return None
    budget, spent = account.budget, account.spending
    used = {
        "wall": (now - account.started_at, budget.wall, "{:.0f} of {:g} s"),
        "usd": (spent.usd, budget.usd, "{:.4g} of {:g} USD"),
        "tokens": (spent.tokens, budget.tokens, "{:.0f} of {} tokens"),
        "attempts": (spent.attempts, budget.attempts, "{} of {} attempts"),
    }
    for name, (amount, limit, words) in used.items():
        if limit is not None and amount >= limit:
            way = f"raise it with {raise_budget(account.run_id, name, 2 * limit)} or resume(budget=...)"
            reason = f"the budget of run {account.run_id} is used up: {words.format(amount, limit)}; {way}"
            return Overdraft(account.run_id, reason, late=name == "wall")
    return None
