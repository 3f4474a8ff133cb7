"""How much is reserved of budgets before a model is called, and when nothing can be. Pure."""

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from greenroom.messages.advice import allow_unknown_price
from greenroom.messages.core.frozen import frozen
from greenroom.messages.options.policy import ModelCall, Price
from greenroom.messages.records.attempts import Reservation
from greenroom.workflows.decisions.budget_usage import Account, way_on

BYTES_PER_TOKEN: Final = 2
"""Fewest bytes of a prompt that make one token. The usual number is about four, so this estimate is high."""
WANTED_OUTPUT: Final = 16_384
"""Output tokens that are reserved for one answer, unless the author sets ``max_tokens`` or less is left."""
LEAST_OUTPUT: Final = 256
"""Fewest output tokens with which a model is called, unless the author sets fewer: shorter answers would be cut off."""

EXPECTED_OUTPUT: Final = 1000
"""Output tokens of an answer that count for the tokens per minute of a model, until it is known how many they are."""


@frozen
class Need:
    """What one call of a model may use."""

    model: str
    price: Price | None
    """None if it is not known."""
    input_tokens: int
    output_tokens: int
    """Output tokens that it should be allowed."""

    @property
    def least_output(self) -> int:
        """Fewest output tokens with which the call is made."""
        return min(self.output_tokens, LEAST_OUTPUT)

    @property
    def expected_tokens(self) -> int:
        """Tokens that count for the tokens per minute of a model, until it is known how many were used."""
        return self.input_tokens + min(self.output_tokens, EXPECTED_OUTPUT)

    def reserve(self, output_tokens: int) -> Reservation:
        """Return the reservation for a call with so many output tokens."""
        usd = 0.0 if self.price is None else self.price.usd(self.input_tokens, output_tokens)
        return Reservation(tokens=self.input_tokens + output_tokens, usd=usd, max_tokens=output_tokens)


@frozen
class Refusal:
    """Why a call is not made."""

    account: Account
    """The budget that does not allow it."""
    reason: str


Verdict: TypeAlias = Reservation | Refusal | Literal["wait"]


def need_of(call: ModelCall, argument_bytes: int) -> Need:
    """Return what a call may use, given the bytes of its arguments and of the feedback on earlier answers."""
    size = call.extra_bytes + argument_bytes
    return Need(call.model, call.price, math.ceil(size / BYTES_PER_TOKEN), call.max_tokens or WANTED_OUTPUT)


def reserve(need: Need, accounts: Sequence[tuple[Account, bool]]) -> Verdict:
    """Decide about a reservation.

    A call for which less than the wanted output is left waits, if reservations of other calls may come back. If there
    are none, it gets what is left. If that is too little too, the budget is used up.

    Args:
        need: What the call may use.
        accounts: The budgets that the call draws on, each with whether some of its reservations may come back.

    Returns:
        The reservation, the reason why there is none, or ``"wait"``.
    """
    short: list[tuple[Account, bool]] = []
    most = need.output_tokens
    for account, returning in accounts:
        if need.price is None and account.budget.needs_prices:
            return Refusal(account, _unknown(need, account))
        left = _most_output(need, account)
        if left < most:
            short.append((account, returning))
            most = left
    if not short:
        return need.reserve(most)
    if any(returning for _, returning in short):
        return "wait"
    if most >= need.least_output:
        return need.reserve(most)
    account = short[-1][0]
    return Refusal(account, _too_little(need, account))


def _most_output(need: Need, account: Account) -> int:
    """Return the most output tokens that an account allows, up to the wanted ones; below 0 if not even the input."""
    most = float(need.output_tokens)
    if account.budget.tokens is not None:
        most = min(most, account.tokens_left - need.input_tokens)
    price = need.price
    if account.budget.usd is not None and price is not None:
        left = account.usd_left - price.usd(need.input_tokens, 0)
        if left < 0:
            return -1
        if price.output > 0:
            most = min(most, left * 1e6 / price.output)
    whole = math.floor(most)
    if whole > 0 and account.budget.usd is not None and need.reserve(whole).usd > account.usd_left:
        whole -= 1  # the division was rounded up
    return whole


def _too_little(need: Need, account: Account) -> str:
    """Return why a call is not made, and how to go on."""
    least = need.reserve(need.least_output)
    budget, spent = account.budget, account.spending
    if budget.tokens is not None and account.tokens_left < least.tokens:
        words, asks = f"{spent.tokens:.0f} of {budget.tokens} tokens", f"{least.tokens} tokens"
        way = way_on(account, "tokens", 2 * (budget.tokens + least.tokens))
    else:
        assert budget.usd is not None
        words, asks = f"{spent.usd:.4g} of {budget.usd:g} USD", f"{least.usd:.4g} USD"
        way = way_on(account, "usd", 2 * (budget.usd + least.usd))
    return f"{account.subject}is used up: {words}, and the next call of {need.model} may need {asks}; {way}"


def _unknown(need: Need, account: Account) -> str:
    """Return why a model without a known price is not called, and how to go on."""
    if account.run_id:
        allow = f'{allow_unknown_price(account.run_id)} or Budget(usd=..., unknown_price="allow")'
    else:
        allow = 'open the orchestrator with Budget(usd=..., unknown_price="allow")'
    return (
        f"{account.subject}is in USD, and the price of the model {need.model} is not known: declare it with "
        f"price=(USD per million input tokens, USD per million output tokens) of its LLM or Judge, or in the model= of "
        f"its GreenroomDurability, and start again, or allow it with {allow}"
    )
