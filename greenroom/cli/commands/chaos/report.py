"""What a chaos run has done and what held: as a record, and in lines for people."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from greenroom.cli.commands.chaos.invariants import Invariant
    from greenroom.workflows.queries.reader import JournalQueries

MOST_PRINTED: Final = 5
"""Most contradictions of an invariant that are printed; JSON has all."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a chaos run has done, and what held."""

    seed: int
    seconds: float
    """From the first fault to the end of the last run."""
    runs: int
    """Number of runs, without children and without the runs before the first fault."""
    faults: dict[str, int]
    """Number of faults by kind."""
    attempts: dict[str, int]
    """Number of attempts by outcome, of all runs in the journal."""
    invariants: "list[Invariant]"
    home: str | None
    """Where the journal and the logs are; None if they were deleted."""


def attempts_by_outcome(reads: "JournalQueries") -> dict[str, int]:
    """Return the number of attempts of all runs by outcome, the most frequent one first."""
    attempts = (
        attempt
        for row in reads.journal.runs(kind="run", limit=None)
        for step in reads.steps(row.id)
        for attempt in step.attempts
    )
    return dict(Counter(attempt.outcome or "none" for attempt in attempts).most_common())


def many(count: int, what: str) -> str:
    """Return a number of things, as in "2 runs"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def show(report: Report, say: Callable[[str], None]) -> None:
    """Say what a report holds, line by line."""
    faults = ", ".join(f"{count} {kind}" for kind, count in report.faults.items())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report.attempts.items()) or "none"
    say(f"{many(report.runs, 'run')} in {report.seconds:.1f} s")
    say(f"{many(sum(report.faults.values()), 'fault')}: {faults}")
    say(f"{many(sum(report.attempts.values()), 'attempt')}: {outcomes}")
    for invariant in report.invariants:
        say(f"{'✖' if invariant.broken else '✔'} {invariant.sentence}")
        for what in invariant.broken[:MOST_PRINTED]:
            say(f"    {what}")
        if len(invariant.broken) > MOST_PRINTED:
            say(f"    and {len(invariant.broken) - MOST_PRINTED} more")
    if report.home is not None:
        say(f"the journal and the logs are in {report.home}")
