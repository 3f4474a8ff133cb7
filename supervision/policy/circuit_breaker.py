"""When calls of a model or a tool that keeps failing are held back. Pure."""

from collections import deque
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.failures import Failure
from greenroom.messages.options.call_limits import Breaker

BreakerStatus: TypeAlias = Literal["closed", "open", "half_open"]
_CONNECTION: Final = frozenset({"builtins.ConnectionError", "builtins.TimeoutError"})


class CircuitBreaker:
    """One breaker. All times are given by the caller.

    Args:
        policy: When it opens, and for how long.
    """

    def __init__(self, policy: Breaker) -> None:
        """Start closed."""
        self.policy = policy
        self.openings = 0
        """Number of times that it has opened, without the probes that failed."""
        self._failures: deque[float] = deque(maxlen=policy.failures)
        """Times of the newest failures in a row."""
        self._open_until: float | None = None
        """None while it is closed."""
        self._probe: str | None = None
        """Token of the call that was let through."""

    @property
    def status(self) -> BreakerStatus:
        """``"closed"``, ``"open"``, or ``"half_open"`` while one call is let through."""
        return "closed" if self._open_until is None else "open" if self._probe is None else "half_open"

    @property
    def open_until(self) -> float | None:
        """When a call is let through, or was; None while the breaker is closed."""
        return self._open_until

    def reopen(self, until: float) -> None:
        """Be open until a time, as a breaker was that is no more."""
        self._open_until = until

    def next_at(self, now: float) -> float | None:
        """Return when a call may start, at least ``now``; None if another one has to end before."""
        if self._open_until is None:
            return now
        return max(now, self._open_until) if self._probe is None else None

    def started(self, token: str) -> None:
        """Record the start of a call that ``next_at`` allows."""
        if self._open_until is not None:
            self._probe = token

    def succeeded(self, token: str) -> None:
        """Record a call that shows that the model or tool works. Late answers to earlier calls do not close it."""
        if self._open_until is None or token == self._probe:
            self._failures.clear()
            self._open_until = self._probe = None

    def failed(self, token: str, now: float) -> None:
        """Record a failure of infrastructure."""
        if self._open_until is not None:
            if token == self._probe:
                self._open_until, self._probe = now + self.policy.cooldown, None
            return
        self._failures.append(now)
        if len(self._failures) == self.policy.failures and now - self._failures[0] <= self.policy.within:
            self._open_until = now + self.policy.cooldown
            self.openings += 1

    def dropped(self, token: str) -> None:
        """Record a call that ended without showing whether the model or tool works."""
        if token == self._probe:
            self._probe = None


def is_infrastructure(failure: Failure, *, model: bool) -> bool:
    """Return whether a failed attempt says that the model or tool itself does not work.

    Every error of a model does so if it may be tried again and the provider did not just ask to wait: its answers are
    not the code of the app. An error of a tool does so only if it is a lost connection or a time-out.
    """
    if failure.outcome in {"crash", "timeout"}:
        return True
    if failure.outcome != "error" or failure.fatal or failure.retry_after is not None:
        return False
    return model or not _CONNECTION.isdisjoint(failure.classes)
