"""When the next request to a model may start: requests and tokens per minute, requests at once, pauses. Pure."""

from typing import Final

from greenroom.messages.core.frozen import mutable
from greenroom.messages.options.call_limits import ModelLimit

MINUTE: Final = 60.0
LONGEST_HOLD: Final = 3600.0
"""Most seconds that a provider can hold all requests to a model."""


@mutable
class _Request:
    """A request that has started within the last minute."""

    at: float
    tokens: int
    """Estimated, and replaced by what it used once that is known."""


class RateLimit:
    """The requests to one model. In each 60 seconds no more start than allowed. All times are given by the caller.

    Args:
        limit: The limits.
    """

    def __init__(self, limit: ModelLimit) -> None:
        """Start without any request."""
        self.limit = limit
        self.held_until = 0.0
        """The provider has asked for no request before this time."""
        self._running: set[str] = set()
        self._recent: dict[str, _Request] = {}
        """By token of the attempt, oldest first."""
        self._tokens = 0
        """Sum over the recent requests."""

    @property
    def running(self) -> int:
        """Number of requests that have not ended."""
        return len(self._running)

    def hold(self, now: float, seconds: float) -> None:
        """Let no request start for a time, or for longer if it is held for longer already."""
        self.held_until = max(self.held_until, now + min(seconds, LONGEST_HOLD))

    def next_at(self, now: float, tokens: int) -> float | None:
        """Return when a request may start, at least ``now``; None if another one has to end before.

        A request with more tokens than a minute allows starts when no other has started for a minute.
        """
        limit = self.limit
        if limit.concurrency is not None and len(self._running) >= limit.concurrency:
            return None
        if limit.rpm is None and limit.tpm is None:
            return max(now, self.held_until)
        self._forget(now)
        recent, due = list(self._recent.values()), max(now, self.held_until)
        if limit.rpm is not None and len(recent) >= limit.rpm:
            due = max(due, recent[-limit.rpm].at + MINUTE)
        if limit.tpm is not None and recent and tokens > limit.tpm:
            due = max(due, recent[-1].at + MINUTE)
        elif limit.tpm is not None:
            excess = self._tokens + min(tokens, limit.tpm) - limit.tpm
            for request in recent:
                if excess <= 0:
                    break
                due = max(due, request.at + MINUTE)
                excess -= request.tokens
        return due

    def start(self, now: float, token: str, tokens: int) -> None:
        """Record the start of a request."""
        self._running.add(token)
        if self.limit.rpm is not None or self.limit.tpm is not None:
            self._recent[token] = _Request(now, tokens)
            self._tokens += tokens

    def end(self, token: str, tokens: int | None) -> None:
        """Record the end of a request. ``tokens`` is what it used, or None if that is not known."""
        self._running.discard(token)
        if tokens is not None and (request := self._recent.get(token)) is not None:
            self._tokens += tokens - request.tokens
            request.tokens = tokens

    def _forget(self, now: float) -> None:
        """Forget the requests that started more than a minute ago."""
        for token in [token for token, request in self._recent.items() if request.at + MINUTE <= now]:
            self._tokens -= self._recent.pop(token).tokens
