"""Admission: calls that a limit holds back wait outside of the pools, and go on when they may."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom import Breaker, ModelLimit
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.frames.worker import Completed, Execute, Failed
from greenroom.supervision.admission import Admission
from greenroom.supervision.jobs import Answered, Job, JobHandle, JobOrder, Lost, PoolKey, Release, Withdraw
from greenroom.supervision.policy.held_calls import HeldCalls, dump, load

LLM = PoolKey("app.py", "llm", "llm")
TOOLS = PoolKey("app.py", "tool", "tool")


class Desk:
    """An admission with a pool that takes every job, and a clock that is set by hand."""

    def __init__(self, breakers: Any = None, **limits: ModelLimit) -> None:
        self.now = 0.0
        self.jobs: dict[str, Job] = {}
        """What the pool has."""
        self.order_of_jobs: list[str] = []
        self.released: list[str] = []
        self.told: list[str] = []
        self.alarms: list[tuple[float, Callable[[], object]]] = []
        self.kept: Sequence[HeldCalls] = ()
        """What an orchestrator after this one would begin with."""
        self.limits, self.breakers = limits, breakers or {}
        self.open()
        self.handles: dict[str, JobHandle] = {}

    def open(self, held: Sequence[HeldCalls] = ()) -> None:
        """Begin again, as the next orchestrator does."""
        self.admission = Admission(
            self.take, self.limits, self.breakers, lambda: self.now, self.call_at, held=held, keep=self.keep
        )

    def keep(self, held: Sequence[HeldCalls]) -> None:
        self.kept = load(dump(held))

    def take(self, _pool: PoolKey, _limits: Any, job: Job) -> JobHandle:
        self.jobs[job.token] = job
        self.order_of_jobs.append(job.token)
        return JobHandle(self.ordered, job.token)

    def ordered(self, order: JobOrder) -> None:
        if isinstance(order, Release):
            self.released.append(order.token)
        elif isinstance(order, Withdraw):
            del self.jobs[order.token]

    def call_at(self, moment: float, callback: Callable[[], object]) -> Any:
        alarm = (moment, callback)
        self.alarms.append(alarm)
        return SimpleNamespace(cancel=lambda: self.alarms.remove(alarm))

    def submit(self, token: str, model: str = "m", tokens: int = 0, tool: str = "search") -> None:
        frame = Execute(
            run_id="r", key="k", name=tool, step="app:x", attempt=1, token=token, arguments=None, idempotency_key="i"
        )
        job = Job(token, "r", "k", frame, lambda event: self.told.append(event.token), model=model, tokens=tokens)
        self.handles[token] = self.admission.submit(LLM if model else TOOLS, None, job)

    def answer(self, token: str, failure: Failure | None = None, **usage: float) -> None:
        message: Any = Completed(token=token, result=1, duration=0.0, usage=usage)
        if failure is not None:
            message = Failed(token=token, failure=failure, duration=0.0, usage=usage)
        self.jobs.pop(token).reply(Answered(token, message))

    def lose(self, token: str, *, charged: bool = True) -> None:
        self.jobs.pop(token).reply(Lost(token, Exit(kind="exited", code=1), charged))

    def wait_until(self, moment: float) -> None:
        self.now = moment
        for alarm in [alarm for alarm in self.alarms if alarm[0] <= moment]:
            self.alarms.remove(alarm)
            alarm[1]()


DOWN = Failure(outcome="error", type="ConnectionError", classes=("builtins.ConnectionError", "builtins.Exception"))
BUSY = Failure(outcome="error", type="RetryAfter", retry_after=1.5)


def test_as_many_requests_run_as_allowed_and_the_others_follow_in_order():
    desk = Desk(m=ModelLimit(concurrency=2))
    for token in "abcd":
        desk.submit(token)
    desk.submit("other", model="n")
    assert desk.order_of_jobs == ["a", "b", "other"]
    assert desk.handles["c"].waits
    assert not desk.handles["a"].waits
    desk.handles["c"].withdraw()
    desk.answer("b")
    assert desk.order_of_jobs == ["a", "b", "other", "d"]
    assert desk.told == ["b"]
    (record, _) = desk.admission.records()
    assert (record.id, record.kind, record.status, record.detail) == ("m", "model", "running", "2 running, 0 waiting")


def test_sixteen_requests_run_at_once_by_default_and_the_mock_has_no_limit():
    desk = Desk()
    for number in range(20):
        desk.submit(f"a{number}", model="openai:gpt-5")
        desk.submit(f"b{number}", model="mock")
    assert len(desk.jobs) == 16 + 20


def test_a_request_to_wait_holds_every_call_of_the_model_and_of_no_other():
    desk = Desk()
    desk.submit("a")
    desk.submit("b")
    desk.answer("a", BUSY)
    desk.submit("c")
    desk.handles["b"].release()  # a worker was chosen for it, and its start is on record by now
    desk.submit("d", model="n")
    desk.handles["d"].release()
    assert (list(desk.jobs), desk.released) == (["b", "d"], ["d"])
    assert desk.admission.held == 1
    assert {record.id: record.status for record in desk.admission.records()} == {"m": "held", "n": "running"}
    desk.wait_until(1.4)
    assert (list(desk.jobs), desk.released) == (["b", "d"], ["d"])
    desk.wait_until(1.5)
    assert (list(desk.jobs), desk.released) == (["b", "d", "c"], ["d", "b"])
    assert not desk.alarms


def test_requests_and_tokens_of_a_minute_are_counted_with_what_they_really_used():
    desk = Desk(m=ModelLimit(rpm=3, tpm=100))
    desk.submit("a", tokens=60)
    desk.submit("b", tokens=60)
    assert list(desk.jobs) == ["a"]
    desk.answer("a", input_tokens=10, output_tokens=10)
    assert list(desk.jobs) == ["b"], "the first one used less than expected"
    desk.answer("b", input_tokens=1, output_tokens=1)
    desk.submit("c", tokens=1)
    desk.submit("d", tokens=1)
    assert list(desk.jobs) == ["c"]
    desk.wait_until(59.0)
    assert list(desk.jobs) == ["c"]
    desk.wait_until(60.0)
    assert list(desk.jobs) == ["c", "d"]


def test_calls_wait_while_the_breaker_of_a_model_is_open_and_one_tries_it_afterwards():
    desk = Desk({"m": Breaker(failures=2, within=60.0, cooldown=10.0)})
    for token in "abcd":
        desk.submit(token)
    desk.answer("a", DOWN)
    desk.lose("b")
    desk.submit("e")
    desk.submit("f")
    assert list(desk.jobs) == ["c", "d"]
    assert desk.admission.records()[0].status == "open"
    desk.wait_until(10.0)
    assert list(desk.jobs) == ["c", "d", "e"]
    assert desk.admission.records()[0].status == "half_open"
    desk.answer("e")
    assert list(desk.jobs) == ["c", "d", "f"]
    assert desk.told == ["a", "b", "e"]


def test_a_probe_that_is_withdrawn_or_lost_without_its_fault_lets_the_next_one_try():
    desk = Desk({"m": Breaker(failures=1, cooldown=10.0)})
    desk.submit("a")
    desk.answer("a", DOWN)
    for token in "bcd":
        desk.submit(token)
    desk.wait_until(10.0)
    assert list(desk.jobs) == ["b"]
    desk.handles["b"].withdraw()
    assert list(desk.jobs) == ["c"]
    desk.lose("c", charged=False)
    assert list(desk.jobs) == ["d"]


def test_a_tool_has_a_breaker_only_if_it_is_given_one():
    desk = Desk({"tool:search": Breaker(failures=2)})
    for number in range(9):
        desk.submit(f"x{number}", model="", tool="other")
        desk.answer(f"x{number}", DOWN)
    for token in "ab":
        desk.submit(token, model="")
        desk.answer(token, DOWN)
    desk.submit("c", model="")
    assert not desk.jobs
    (record,) = desk.admission.records()
    assert (record.id, record.kind, record.status) == ("search", "tool", "open")


def test_a_model_may_have_no_breaker():
    desk = Desk({"m": None})
    for number in range(30):
        desk.submit(str(number))
        desk.answer(str(number), DOWN)
    assert desk.admission.records()[0].status == "running"


def test_a_pause_of_a_provider_lasts_over_a_restart_and_no_longer_than_it_was_asked_for():
    desk = Desk()
    desk.submit("a")
    desk.answer("a", BUSY)
    assert desk.kept == (HeldCalls("m", 1.5),)
    desk.now = 1.0
    desk.open(desk.kept)
    (record,) = desk.admission.records()
    assert (record.status, record.detail) == ("held", "0 running, 0 waiting; the provider asked to wait for 0.5 s more")
    desk.submit("b")
    assert desk.handles["b"].waits
    desk.wait_until(1.5)
    assert desk.order_of_jobs == ["a", "b"]
    desk.answer("b")
    desk.open(desk.kept)
    assert not desk.admission.records()


def test_an_open_breaker_lasts_over_a_restart_and_a_probe_closes_it_for_good():
    desk = Desk({"m": Breaker(failures=2, cooldown=10.0)})
    for token in "ab":
        desk.submit(token)
        desk.answer(token, DOWN)
    assert desk.kept == (HeldCalls("m", open_until=10.0),)
    desk.now = 4.0
    desk.open(desk.kept)
    desk.submit("c")
    desk.submit("d")
    assert desk.handles["c"].waits
    desk.wait_until(10.0)
    assert desk.order_of_jobs == ["a", "b", "c"], "one call shows whether it works"
    desk.answer("c")
    assert desk.order_of_jobs == ["a", "b", "c", "d"]
    assert not desk.kept


def test_a_breaker_whose_time_went_by_without_an_orchestrator_lets_one_call_through():
    desk = Desk({"m": Breaker(cooldown=10.0)})
    desk.now = 5000.0
    desk.open([HeldCalls("m", open_until=10.0)])
    assert [record.status for record in desk.admission.records()] == ["open"]
    desk.submit("a")
    desk.submit("b")
    assert desk.order_of_jobs == ["a"]
    desk.answer("a", DOWN)
    assert desk.kept == (HeldCalls("m", open_until=5010.0),)


def test_a_clock_that_was_set_back_holds_nothing_back_for_longer_than_usual():
    desk = Desk({"m": Breaker(cooldown=10.0)})
    desk.open([HeldCalls("m", 1e9, 1e9)])
    desk.submit("a")
    desk.wait_until(3600.0)
    assert desk.order_of_jobs == ["a"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}x", '[{"name": 1}]', '[{"name": "m", "held_until": "x"}]'])
def test_a_damaged_text_is_refused(text: str):
    with pytest.raises(ValueError, match=r"."):
        load(text)
