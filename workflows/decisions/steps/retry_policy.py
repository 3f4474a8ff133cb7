"""Whether, when and how a failed step is tried again."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.failures import Failure, Outcome
from greenroom.messages.core.times import LONGEST
from greenroom.messages.former_name import present_class
from greenroom.messages.policy import ExceptionNames, Retry, StepOptions

SOLO_AFTER: Final = 2
"""Charged crashes after which a step runs alone in a fresh worker, so that the next death has one suspect only."""


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """What the decision needs to know of an attempt that has ended."""

    outcome: Outcome
    charged: bool = True
    """False for an attempt the step is not to blame for: an injected fault, a bystander, a lost orchestrator."""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more, ``delay`` seconds from now."""

    delay: float
    solo: bool = False
    """Run it in a fresh worker with nothing else in flight."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step has come to its end without a result."""

    reason: Literal["exhausted", "fatal", "quarantined", "unknown"]


Next: TypeAlias = Again | GiveUp


def next_attempt(options: StepOptions, history: Sequence[PastAttempt], elapsed: float, unit: float) -> Next:
    """Decide what follows the newest attempt.

    The questions are asked in the order of their weight: did the step itself say stop; may it run twice at all; has it
    killed too many workers; is the policy used up. An attempt that is not charged costs nothing and is made again at
    once.

    Args:
        options: What the step asked for.
        history: Every attempt of this call, newest last; the newest one gave no result.
        elapsed: Seconds since the first attempt began.
        unit: A random number, at least 0 and below 1, for the jitter.

    Raises:
        ValueError: There is no attempt to follow, or the newest was ``ok`` or ``cancelled``: nothing follows those.
    """
    if not history or history[-1].outcome in {"ok", "cancelled"}:
        msg = "only an attempt that failed is followed by another one"
        raise ValueError(msg)
    last = history[-1]
    if last.charged and last.failure is not None and last.failure.fatal:
        return GiveUp("fatal")
    if options.once:
        return GiveUp("unknown" if _cut_off(last) else "exhausted")
    charged = [past for past in history if past.charged]
    crashes = sum(past.outcome == "crash" for past in charged)
    if last.charged and _took_zygote(last):  # it ran alone below that, so the earlier ones were its doing too
        crashes += sum(_took_zygote(past) for past in history if not past.charged)
    solo = crashes >= SOLO_AFTER
    if not last.charged:
        return _unless_late(options.retry, Again(0.0, solo), elapsed)
    if last.outcome == "crash" and crashes >= options.crash_attempts:
        return GiveUp("quarantined")
    if len(charged) >= options.retry.attempts or not _retryable(options.retry, last):
        return GiveUp("exhausted")
    return _unless_late(options.retry, Again(_delay(options.retry, len(charged), last.failure, unit), solo), elapsed)


def _took_zygote(past: PastAttempt) -> bool:
    """Say whether the process died from which the attempt's worker was forked."""
    return past.failure is not None and past.failure.exit is not None and past.failure.exit.kind == "backend_lost"


def _cut_off(past: PastAttempt) -> bool:
    """Say whether the attempt ended while its effect may or may not have happened."""
    return not past.charged or past.outcome in {"crash", "timeout"}


def _retryable(retry: Retry, past: PastAttempt) -> bool:
    """Say whether the policy's classes let this attempt be repeated: they speak of exceptions alone."""
    if past.outcome != "error":
        return True
    classes = set(past.failure.classes) if past.failure is not None else set[str]()
    return not classes.isdisjoint(_names(retry.on)) and classes.isdisjoint(_names(retry.never))


def _names(classes: ExceptionNames) -> Iterator[str]:
    """Yield the present names of a policy's classes: it may have been recorded under the former ones."""
    return (present_class(str(each)) for each in classes)


def _delay(retry: Retry, attempts: int, failure: Failure | None, unit: float) -> float:
    """Give the seconds before the next attempt by the formula of ``Retry``; a step may ask for more, past its cap."""
    try:
        grown = retry.initial * retry.factor ** (attempts - 1)
    except OverflowError:
        grown = math.inf if retry.initial else 0.0
    delay = min(grown, retry.max_delay) * (1.0 + retry.jitter * (2.0 * unit - 1.0))
    asked = failure.retry_after if failure is not None else None
    wanted = max(delay, asked) if asked is not None and math.isfinite(asked) else delay
    return min(wanted, LONGEST)


def _unless_late(retry: Retry, again: Again, elapsed: float) -> Next:
    """Hold the bound on the whole: no attempt begins more than ``within`` seconds after the first."""
    late = retry.within is not None and elapsed + again.delay > retry.within
    return GiveUp("exhausted") if late else again
