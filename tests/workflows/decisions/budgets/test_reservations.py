"""Reservations: what a call of a model may use is reserved before it, and never more than a budget has left."""

from hypothesis import given
from hypothesis import strategies as st

from greenroom import Budget
from greenroom.messages.events import events as ev
from greenroom.messages.options.policy import ModelCall, Price
from greenroom.messages.records.attempts import Reservation
from greenroom.workflows.decisions.budget_usage import DAY, Account, Spending
from greenroom.workflows.decisions.budgets.reservations import (
    LEAST_OUTPUT,
    WANTED_OUTPUT,
    Need,
    Refusal,
    need_of,
    reserve,
)

PRICE = Price(input=1.0, output=10.0)


def account(budget: Budget, **spent: float) -> Account:
    return Account("r", budget, 0.0, Spending(**spent))  # type: ignore[arg-type]


@given(
    usd=st.none() | st.floats(1e-6, 10.0),
    tokens=st.none() | st.integers(1, 10**6),
    spent=st.floats(0.0, 1.0),
    used=st.integers(0, 10**6),
    size=st.integers(0, 10**6),
    wanted=st.integers(1, 10**5),
    price=st.builds(Price, input=st.floats(0, 100), output=st.floats(0, 100)),
    returning=st.booleans(),
)
def test_no_reservation_is_more_than_what_is_left(usd, tokens, spent, used, size, wanted, price, returning):
    limited = account(Budget(usd=usd, tokens=tokens), usd=spent, tokens=float(used))
    need = Need("m", price, size, wanted)
    found = reserve(need, [(limited, returning)])
    if isinstance(found, Reservation):
        assert found.usd <= limited.usd_left + 1e-12
        assert found.tokens <= limited.tokens_left
        assert found.tokens == size + found.max_tokens
        assert min(wanted, LEAST_OUTPUT) <= found.max_tokens <= wanted
        assert found.max_tokens == wanted or not returning, "it would have waited"
    elif found == "wait":
        assert returning
    else:
        least = need.reserve(need.least_output)
        assert least.usd > limited.usd_left - 1e-9 or least.tokens > limited.tokens_left
        assert found.reason.startswith(limited.subject)


def test_a_prompt_counts_one_token_for_two_bytes_and_the_answer_what_its_author_allows():
    call = ModelCall(model="m", price=PRICE, extra_bytes=100)
    assert need_of(call, 101) == Need("m", PRICE, 101, WANTED_OUTPUT)
    assert need_of(call.model_copy(update={"max_tokens": 50}), 0).output_tokens == 50


def test_an_answer_is_cut_to_what_is_left_only_if_nothing_else_may_come_back():
    limited, need = account(Budget(usd=0.1)), Need("m", PRICE, 1000, 16_384)
    assert reserve(need, [(limited, True)]) == "wait"
    found = reserve(need, [(limited, False)])
    assert isinstance(found, Reservation)
    assert found.max_tokens == 9900
    limited.granted["t"] = found
    refused = reserve(need, [(limited, False)])
    assert isinstance(refused, Refusal)
    assert "0 of 0.1 USD, and the next call of m may need 0.00356 USD; raise it with `greenroom runs" in refused.reason


def test_a_model_without_a_known_price_is_not_called_for_a_budget_in_usd_unless_that_is_allowed():
    need = Need("vllm:llama", None, 10, 100)
    refused = reserve(need, [(account(Budget(usd=1.0)), True)])
    assert isinstance(refused, Refusal)
    assert "the price of the model vllm:llama is not known" in refused.reason
    assert "--budget unknown_price=allow" in refused.reason
    assert reserve(need, [(account(Budget(usd=1.0, unknown_price="allow")), False)]) == Reservation(
        tokens=110, usd=0.0, max_tokens=100
    )
    assert isinstance(reserve(need, [(account(Budget(tokens=1000)), False)]), Reservation)
    assert Budget(usd=1.0, unknown_price="allow").raised(Budget(usd=2.0)).unknown_price == "allow"


def test_an_attempt_that_was_not_measured_has_used_what_was_reserved_for_it():
    reserved = Reservation(tokens=100, usd=0.5, max_tokens=50)

    def attempt(token: str, **usage: float) -> list[ev.AnyEvent]:
        started = ev.AttemptStarted(
            at=1.0, key="a#1", attempt=1, token=token, worker="w", pid=1, incarnation=1, reserved=reserved
        )
        ended = ev.AttemptEnded(at=2.0, key="a#1", attempt=1, token=token, outcome="crash", usage=usage)
        return [started, ended]

    spending = Spending()
    spending.add(attempt("1")[:1])
    assert (spending.usd, list(spending.reserved)) == (0.0, ["1"])
    spending.add(attempt("1")[1:])
    assert spending == Spending(usd=0.5, tokens=100, attempts=1)
    spending.add(attempt("2", input_tokens=3, output_tokens=4, usd=0.25))
    assert spending == Spending(usd=0.75, tokens=107, attempts=2)
    spending.add(attempt("3", input_tokens=3, output_tokens=4))
    assert spending == Spending(usd=1.25, tokens=114, attempts=3), "its price is not known"


def test_a_budget_of_one_day_begins_anew_at_midnight_but_keeps_what_is_reserved():
    daily = Account("", Budget(usd=1.0), DAY, Spending(usd=0.9, since=DAY), daily=True)
    daily.spending.reserved["t"] = Reservation(tokens=1, usd=0.25, max_tokens=1)
    daily.begin_day(DAY * 2 - 1)
    assert daily.usd_left < 0
    daily.begin_day(DAY * 2)
    assert daily.usd_left == 0.75
