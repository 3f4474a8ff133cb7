"""The retry policy of steps: whether, when and how another attempt is made. Pure."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.failures import Failure, Outcome
from greenroom.messages.core.former_name import present_class
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.times import LONGEST
from greenroom.messages.options.policy import MAX_DELAY, ExceptionNames, Retry, StepOptions

SOLO_AFTER: Final = 2
"""Charged crashes after which a step runs alone in a fresh worker, so that the next crash has one possible cause."""
CONVICTED_AFTER: Final = 2
"""Zygotes that a step must lose while it alone runs below them until it counts as the cause of earlier deaths too.
Someone else may have killed one of them."""


@frozen
class PastAttempt:
    """An attempt that has ended, as far as the policy needs it."""

    outcome: Outcome
    charged: bool = True
    """False if the step did not cause the failure: an injected fault, a crash of another step, a lost orchestrator."""
    failure: Failure | None = None


@frozen
class Again:
    """Make another attempt in ``delay`` seconds."""

    delay: float
    solo: bool = False
    """Run it alone in a fresh worker."""


@frozen
class GiveUp:
    """Fail the step."""

    reason: Literal["exhausted", "fatal", "quarantined", "unknown"]


Next: TypeAlias = Again | GiveUp


def next_attempt(options: StepOptions, history: Sequence[PastAttempt], elapsed: float, unit: float) -> Next:
    """Decide what follows the newest attempt.

    The checks, in order: is the failure fatal; may the step run only once; has it crashed too many workers; are its
    attempts used up. An attempt that is not charged is made again at once.

    Args:
        options: The options of the step.
        history: All attempts of this call, newest last; the newest one has failed.
        elapsed: Seconds since the first attempt began.
        unit: A random number, at least 0 and below 1, for the jitter.

    Raises:
        ValueError: There is no attempt, or the newest was ``ok`` or ``cancelled``.
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
    if last.charged and sum(map(_took_zygote, charged)) >= CONVICTED_AFTER:  # it caused the earlier deaths too
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
    """Return whether the zygote of the attempt's worker died."""
    return past.failure is not None and past.failure.exit is not None and past.failure.exit.kind == "backend_lost"


def _cut_off(past: PastAttempt) -> bool:
    """Return whether the attempt ended without it being known if its effect has happened."""
    return not past.charged or past.outcome in {"crash", "timeout"}


def _retryable(retry: Retry, past: PastAttempt) -> bool:
    """Return whether the exception classes of the policy allow another attempt; they concern exceptions alone."""
    if past.outcome != "error":
        return True
    classes = past.failure.classes if past.failure is not None else ()
    allowed = not set(classes).isdisjoint(_names(retry.on))
    return allowed and not (past.failure is not None and forbids(retry, past.failure))


def forbids(retry: Retry, failure: Failure) -> bool:
    """Return whether a policy names a class of an exception as one after which a step is never tried again."""
    return not set(failure.classes).isdisjoint(_names(retry.never))


def _names(classes: ExceptionNames) -> Iterator[str]:
    """Yield the present names of a policy's classes: it may have been recorded under the former ones."""
    return (present_class(str(each)) for each in classes)


def _delay(retry: Retry, attempts: int, failure: Failure | None, unit: float) -> float:
    """Return the delay by the formula of ``Retry``; the failure may ask for more, beyond ``max_delay``."""
    try:
        grown = retry.initial * retry.factor ** (attempts - 1)
    except OverflowError:
        grown = math.inf if retry.initial else 0.0
    most = max(retry.max_delay, retry.initial) if retry.max_delay == MAX_DELAY else retry.max_delay
    delay = min(grown, most) * (1.0 + retry.jitter * (2.0 * unit - 1.0))
    asked = failure.retry_after if failure is not None else None
    wanted = max(delay, asked) if asked is not None and math.isfinite(asked) else delay
    return min(wanted, LONGEST)


def _unless_late(retry: Retry, again: Again, elapsed: float) -> Next:
    """Give up if the next attempt would begin more than ``within`` seconds after the first."""
    late = retry.within is not None and elapsed + again.delay > retry.within
    return GiveUp("exhausted") if late else again
