"""The calls of the judges of one result: what is reserved for them of budgets, and what they have used."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, Protocol

from greenroom.messages.core.frozen import mutable
from greenroom.messages.records.attempts import Reservation
from greenroom.workflows.decisions.budgets.reservations import Need
from greenroom.workflows.decisions.inputs import Input, JudgeAnswered, JudgeReserved, JudgeUnaffordable
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.state.run_state import RunState, Step

FREE: Final[Mapping[str, float]] = {"input_tokens": 0, "output_tokens": 0, "usd": 0.0}
"""The usage of a call that was not made."""


class Calls(Protocol):
    """Reserves for the calls of the judges of one result. Reactor thread only."""

    def reserve(self, token: str, judge: str, need: Need, submit: Callable[[Reservation | None], None]) -> None:
        """Call ``submit`` once a call may be made, with what is reserved for it; with None if no budget limits it."""
        ...

    def ended(self, token: str, usage: Mapping[str, float]) -> None:
        """Take the end of a call. Usage that is left out is not known."""
        ...

    def withdraw(self) -> None:
        """Give back what is reserved."""
        ...


@mutable
class _Call:
    """A call that budgets limit."""

    submit: Callable[[Reservation | None], None]
    reserved: Reservation | None = None
    """None while it waits for a reservation."""
    phase: Literal["reserving", "recording", "made"] = "reserving"


class JudgeCalls:
    """Reserves for each call before it is made, and reports its end. Reactor thread only.

    The reservation is recorded before the call, so that a call that a crash cuts off counts with what was reserved.
    """

    def __init__(
        self, dependencies: RunDependencies, state: RunState, step: Step, report: Callable[[Input], None]
    ) -> None:
        """Start without any call; ``report`` takes messages for the run's actor."""
        self._dependencies = dependencies
        self._state = state
        self._key, self._attempt = step.key, len(step.attempts)
        self._report = report
        self._calls: dict[str, _Call] = {}
        """By token."""
        self.settled: dict[str, float] = {}
        """Usage that was reported call by call."""

    def reserve(self, token: str, judge: str, need: Need, submit: Callable[[Reservation | None], None]) -> None:
        """Call ``submit`` once a call may be made; at once and with None if no budget limits it."""
        budgets = self._dependencies.registry.budgets
        if not budgets.limits_models(self._state):
            submit(None)
            return
        call = self._calls[token] = _Call(submit)
        now, done = self._dependencies.clock(), partial(self._reserved, token, judge, call)
        budgets.reserve(self._state, token, need, now, done, first=True)

    def _reserved(self, token: str, judge: str, call: _Call, reserved: Reservation | None) -> None:
        if reserved is None:
            del self._calls[token]
            self._report(JudgeUnaffordable(self._key))
        else:
            call.reserved, call.phase = reserved, "recording"
            self._report(JudgeReserved(self._key, self._attempt, token, judge, reserved))

    def send(self, token: str) -> None:
        """Make a call whose reservation is committed, unless it was withdrawn."""
        if (call := self._calls.get(token)) is not None and call.phase == "recording":
            call.phase = "made"
            call.submit(call.reserved)

    def ended(self, token: str, usage: Mapping[str, float]) -> None:
        """Report the end of a call. Usage that is left out is not known."""
        if self._calls.pop(token, None) is None:
            return
        for name, amount in usage.items():
            self.settled[name] = self.settled.get(name, 0.0) + amount
        self._report(JudgeAnswered(self._key, self._attempt, token, dict(usage)))

    def withdraw(self) -> None:
        """Give back what was reserved for calls that were not made. What the others use will not be known."""
        for token, call in list(self._calls.items()):
            clock = self._dependencies.clock
            self._dependencies.registry.budgets.give_back(self._state, token, clock())
            self.ended(token, {} if call.phase == "made" else FREE)
