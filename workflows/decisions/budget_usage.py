"""Usage of budgets: sums over events, and their comparison with the limits. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from greenroom.messages.advice import raise_budget, resume_all
from greenroom.messages.core.frozen import frozen, mutable
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.options.policy import Budget
from greenroom.messages.records.attempts import Reservation
from greenroom.messages.records.evaluation import Evaluation

TOTAL: Final = "the budget of this orchestrator "
DAILY: Final = "the daily budget of this orchestrator "
SHARED_SUBJECTS: Final = (TOTAL, DAILY)
"""The beginnings of every reason that names a budget of the orchestrator."""
DAY: Final = 86_400.0
READING: Final = 3600.0
"""Seconds that an advised limit of time allows until somebody follows the advice, since that time counts too."""
_LONG: Final = 10.0
"""Seconds from which on they are told as whole ones."""


def subject_of(run_id: str) -> str:
    """Return the beginning of every reason that names the budget of a run."""
    return f"the budget of run {run_id} "


def midnight(now: float) -> float:
    """Return the start of the day in UTC."""
    return now - now % DAY


@mutable
class Spending:
    """Sums of what attempts have used and reserved."""

    usd: float = 0.0
    tokens: float = 0.0
    attempts: int = 0
    reserved: dict[str, Reservation] = field(default_factory=dict[str, Reservation])
    """Reservations of attempts that have begun and not ended, by token."""
    since: float = 0.0
    """Only what is settled from this time on counts."""

    def add_attempt(self, usage: Mapping[str, float], reserved: Reservation | None) -> None:
        """Add an attempt that has ended."""
        self.attempts += 1
        self._settle(usage, reserved)

    def _settle(self, usage: Mapping[str, float], reserved: Reservation | None) -> None:
        """Add what an attempt has used. What is not known of it is what was reserved."""
        used = usage.keys() & {"input_tokens", "output_tokens"}
        self.usd += usage.get("usd", 0.0 if reserved is None else reserved.usd)
        self.tokens += sum(usage[name] for name in used) if used or reserved is None else reserved.tokens

    def add_judges(self, evaluations: Iterable[Evaluation], settled: Mapping[str, float]) -> None:
        """Add what judges have used, without what was settled call by call."""
        for evaluation in evaluations:
            self._settle(evaluation.usage, None)
        self._settle({name: -amount for name, amount in settled.items()}, None)

    def add(self, events: Iterable[AnyEvent]) -> None:
        """Add the usage in events. What a fork shares with its origin counts for the origin alone."""
        for event in events:
            match event:
                case ev.AttemptStarted(token=token, reserved=reserved):
                    self.attempts += 1
                    if reserved is not None:
                        self.reserved[token] = reserved
                case ev.JudgeAsked(token=token, reserved=reserved):
                    self.reserved[token] = reserved
                case ev.AttemptEnded(token=token, usage=usage) | ev.JudgeAnswered(token=token, usage=usage):
                    reserved = self.reserved.pop(token, None)
                    if event.at >= self.since:
                        self._settle(usage, reserved)
                case ev.StepEvaluated(evaluations=evaluations, settled=settled) if event.at >= self.since:
                    self.add_judges(evaluations, settled)
                case ev.AnswerRated(evaluations=evaluations) if event.at >= self.since:
                    self.add_judges(evaluations, {})
                case ev.RunForked():
                    self.usd, self.tokens, self.attempts = 0.0, 0.0, 0
                    self.reserved.clear()
                case _:
                    pass

    def merge(self, other: "Spending") -> None:
        """Add the sums of other attempts."""
        self.usd += other.usd
        self.tokens += other.tokens
        self.attempts += other.attempts
        self.reserved.update(other.reserved)


@dataclass(slots=True, eq=False)
class Account:
    """A budget, and what was used and reserved of it: by a run and the runs below it, or by a whole orchestrator."""

    run_id: str
    """Id of the run that has the budget; empty if the orchestrator has it."""
    budget: Budget
    started_at: float
    spending: Spending = field(default_factory=Spending)
    lifted: bool = False
    """Whether the run was cancelled: its budget does not limit the cleanup, neither its own nor that of runs below."""
    granted: dict[str, Reservation] = field(default_factory=dict[str, Reservation])
    """Reservations for attempts that have not begun, by token."""
    refused: "Overdraft | None" = None
    """Why a call of a model was refused, until the budget is raised."""
    daily: bool = False
    """Whether it is the orchestrator's budget of one day."""

    @property
    def subject(self) -> str:
        """The beginning of every reason that names this budget."""
        return subject_of(self.run_id) if self.run_id else DAILY if self.daily else TOTAL

    @property
    def usd_left(self) -> float:
        """US dollars that are neither used nor reserved; infinite if they are not limited."""
        if self.budget.usd is None:
            return math.inf
        return self.budget.usd - self.spending.usd - sum(each.usd for each in self._reservations())

    @property
    def tokens_left(self) -> float:
        """Tokens that are neither used nor reserved; infinite if they are not limited."""
        if self.budget.tokens is None:
            return math.inf
        return self.budget.tokens - self.spending.tokens - sum(each.tokens for each in self._reservations())

    def _reservations(self) -> Iterable[Reservation]:
        yield from self.spending.reserved.values()
        yield from self.granted.values()

    def replace_budget(self, budget: Budget) -> None:
        """Take a budget that may have been raised."""
        if budget != self.budget:
            self.budget, self.refused = budget, None

    def begin_day(self, now: float) -> None:
        """Forget what was used on earlier days. What is reserved stays so."""
        if self.daily and midnight(now) > self.started_at:
            self.started_at, self.refused = midnight(now), None
            self.spending.usd = self.spending.tokens = 0.0


@frozen
class Overdraft:
    """A budget that is used up."""

    run_id: str
    """Id of the run that has the budget; empty if the orchestrator has it."""
    reason: str
    """Which limit was reached, and how to go on."""
    late: bool = False
    """Whether the time limit was reached: then the run stops, whether an attempt is due or not."""
    of_attempts: bool = False
    """Whether attempts are used up, and nothing else. Judges may still be asked, since their calls are no attempts."""


def overdraft(account: Account, now: float, *, cleans_up: bool = True) -> Overdraft | None:
    """Return why a budget is used up, or None if it is not. A cleanup is not limited."""
    if account.lifted and cleans_up:
        return None
    budget, spent = account.budget, account.spending
    wall = now - account.started_at
    used = {
        "wall": (round(wall, 0 if wall >= _LONG else 1), budget.wall, "{:.12g} of {:g} s"),
        "usd": (spent.usd, budget.usd, "{:.4g} of {:g} USD"),
        "tokens": (spent.tokens, budget.tokens, "{:.0f} of {} tokens"),
        "attempts": (spent.attempts, budget.attempts, "{} of {} attempts"),
    }
    for name, (amount, limit, words) in used.items():
        if name == "attempts" and account.refused is not None:
            break
        if limit is not None and (wall if name == "wall" else amount) >= limit:
            total = 2 * max(amount, limit) + (READING if name == "wall" else 0)
            reason = f"{account.subject}is used up: {words.format(amount, limit)}; {way_on(account, name, total)}"
            return Overdraft(account.run_id, reason, late=name == "wall", of_attempts=name == "attempts")
    return account.refused


def way_on(account: Account, name: str, total: float) -> str:
    """Return how to raise a limit of a budget to a new total."""
    if account.run_id:
        return f"raise it with {raise_budget(account.run_id, name, total)} or resume(budget=...)"
    option = "daily_budget" if account.daily else "budget"
    tomorrow = "wait until 00:00 UTC, or " if account.daily else ""
    return (
        f"{tomorrow}open the orchestrator with {option}=Budget({name}={total:.12g}) or that table in pyproject.toml; "
        f"then {resume_all()}"
    )
