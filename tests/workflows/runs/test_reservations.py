"""Many runs call models under one budget, through kills of the orchestrator: the bill never exceeds the budget."""

import itertools
import random
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import pytest

from greenroom.journal.interface import Append
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent, RunStarted
from greenroom.messages.frames.worker import Completed, Execute, Failed, Return, ScheduleStep, Turn
from greenroom.messages.options.policy import Budget, EvaluatorOptions, ModelCall, Price, Retry, StepOptions
from greenroom.supervision.jobs import Answered, Assigned, Job, JobHandle, JobOrder, Lost, Release, Withdraw
from greenroom.workflows.decisions.budget_usage import Spending
from greenroom.workflows.decisions.inputs import Overdrawn, ProgramTurn, Recover, Resume
from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.runs.budget_accounts import BudgetAccounts
from greenroom.workflows.state.fold import fold_all

PRICE: Final = Price(input=1.0, output=10.0)
MODEL: Final = ModelCall(model="mock", price=PRICE, max_tokens=1000)
PLAIN: Final = StepOptions(model=MODEL, retry=Retry(attempts=50, initial=0.0))
JUDGED: Final = StepOptions(
    model=MODEL,
    retry=PLAIN.retry,
    accept=("app:one", "app:two"),
    accept_timeouts=(None, None),
    evaluators=(EvaluatorOptions(name="judge", kind="llm", model=MODEL, retry=Retry()),) * 2,
)
CALLS: Final = 3
"""Model calls of each run."""


class Orchestrators:
    """Orchestrators that follow one another on one journal; each of their parts is real but processes and disk."""

    def __init__(self, seed: int, runs: int, budget: Budget, judged: bool = False) -> None:
        self.options = JUDGED if judged else PLAIN
        self.random = random.Random(seed)
        self.now = 1000.0
        self.committed: list[tuple[str, AnyEvent]] = []
        self.bill = 0.0
        """What the provider asks for, given that every call which was cut off had used all that it was allowed."""
        self.tokens = itertools.count(1)
        self.names = [f"p.{number}" for number in range(runs)]
        self.parent = RunStarted(
            at=1.0, run_id="p", app="a.py", workflow="w", arguments={}, budget=budget, accounts=("p",)
        )
        self.limit = budget.usd or 0.0
        self.committed.append(("p", self.parent))
        for name in self.names:
            child = RunStarted(
                at=1.0,
                run_id=name,
                app="a.py",
                workflow="w",
                arguments={},
                parent="p",
                parent_key=name,
                accounts=("p",),
            )
            scheduled = ev.ChildScheduled(at=1.0, key=name, run_id=name, app="a.py", workflow="w", arguments={})
            self.committed += [("p", scheduled), (name, child)]
        self.kills = 0
        self.open()

    def events(self, run_id: str) -> list[AnyEvent]:
        return [event for name, event in self.committed if name == run_id]

    def open(self) -> None:
        """Begin an orchestrator, which recovers every run that has not ended."""
        self.calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.appends: deque[Append] = deque()
        self.jobs: dict[str, Job] = {}
        self.released: set[str] = set()
        self.overdrawn: list[str] = []
        self.budgets = BudgetAccounts()
        self.refs: dict[str, Any] = {}
        nothing: Callable[..., None] = lambda *_arguments: None  # noqa: E731
        dependencies: Any = SimpleNamespace(
            reactor=SimpleNamespace(
                call=lambda function, *arguments: self.calls.append((function, arguments)),
                loop=SimpleNamespace(time=lambda: self.now, call_later=nothing),
            ),
            journal=SimpleNamespace(append=self.appends.append),
            submit=self.submit,
            registry=SimpleNamespace(
                budgets=self.budgets,
                resident=SimpleNamespace(keep=nothing, drop=nothing),
                linger=lambda flush: self.calls.append((flush, ())),
                route=self.route,
                published=nothing,
                announce=nothing,
                forget=nothing,
                note_unheard=nothing,
                is_unheard=lambda _run_id: False,
            ),
            router=SimpleNamespace(),
            mint=lambda: f"{self.kills}:{next(self.tokens)}",
            clock=lambda: self.now,
            call_at=lambda *_: SimpleNamespace(cancel=nothing),
            random=self.random.random,
            on_journal_failure=nothing,
            observe=nothing,
        )
        for name in self.names:
            state = fold_all(self.events(name))
            self.budgets.load(state, self.events)
            if state.ended is None:
                self.refs[name] = RunActor.start(dependencies, state)
                self.refs[name].tell(Recover(orphaned=True))
                if not state.steps:
                    steps = tuple(
                        ScheduleStep(
                            key=f"a#{number}", name="a", kind="llm", step="app:a",
                            arguments={"args": ["x" * self.random.randrange(2000)], "kwargs": {}},
                            options=self.options,
                        )
                        for number in range(1, CALLS + 1)
                    )  # fmt: skip
                    self.refs[name].tell(ProgramTurn(Turn(run_id=name, commands=steps)))

    def route(self, run_id: str, happened: Any) -> None:
        if isinstance(happened, Overdrawn):
            assert run_id == "p"
            self.overdrawn.append(happened.reason)

    def submit(self, _pool: Any, _limits: Any, job: Job) -> JobHandle:
        if isinstance(job.frame, Execute):
            self.jobs[job.token] = job
            self.calls.append((job.reply, (Assigned(job.token, "llm-1", 1, 1),)))
            if not job.hold:  # a judge's
                self.order(Release(job.token))
        return JobHandle(self.order, job.token)

    def order(self, order: JobOrder) -> None:
        if isinstance(order, Release) and order.token in self.jobs:
            self.released.add(order.token)
            self.bill += self.most(order.token)
        elif isinstance(order, Withdraw):
            self.jobs.pop(order.token, None)
            self.released.discard(order.token)

    def most(self, token: str) -> float:
        """Return what a call costs at most: one token for two bytes of its prompt, and every token it is allowed."""
        frame = self.jobs[token].frame
        assert isinstance(frame, Execute)
        assert frame.max_tokens is not None
        return PRICE.usd(len(str(frame.arguments)) / 2, frame.max_tokens)

    def act(self) -> bool:
        """Let one thing happen; return whether anything could."""
        self.now += 0.01
        if self.calls:
            function, arguments = self.calls.popleft()
            function(*arguments)
        elif self.random.random() < 0.05 and self.kills < 5:
            self.kills += 1  # kill -9: what was not committed is lost, and every call is cut off
            self.open()
        elif self.appends and self.random.random() < 0.5:
            self.commit(self.appends.popleft())
        elif self.released:
            self.finish(self.random.choice(sorted(self.released)))
        elif self.appends:
            self.commit(self.appends.popleft())
        else:
            return False
        return True

    def commit(self, append: Append) -> None:
        for event in append.events:
            self.committed.append((append.run_id, event))
            self.check()
        append.done(None)

    def finish(self, token: str) -> None:
        self.released.discard(token)
        most, job = self.most(token), self.jobs.pop(token)
        frame = job.frame
        assert isinstance(frame, Execute)
        if self.random.random() < 0.1:
            job.reply(Lost(token, Exit(kind="signaled", signal="SIGKILL"), charged=False))
            return
        asked = len(str(frame.arguments)) // 4
        given = self.random.randrange((frame.max_tokens or 0) + 1)
        usd = PRICE.usd(asked, given)
        self.bill += usd - most
        usage = {"input_tokens": float(asked), "output_tokens": float(given), "usd": usd}
        if self.random.random() < 0.1 and frame.name != "judge":
            failure = Failure(outcome="invalid", message="not JSON")
            job.reply(Answered(token, Failed(token=token, failure=failure, duration=0.0, usage=usage)))
            return
        result = {"value": 0.9, "reason": "good", "label": None} if frame.name == "judge" else "x"
        job.reply(Answered(token, Completed(token=token, result=result, duration=0.0, usage=usage)))

    def check(self) -> None:
        spending = Spending()
        for _, event in self.committed:
            spending.add([event])
        reserved = sum(each.usd for each in spending.reserved.values())
        assert spending.usd + reserved <= self.limit + 1e-9
        assert self.bill <= self.limit + 1e-9

    def run(self) -> None:
        """Run until nothing more can happen. Programs return once their calls are over."""
        returning = True
        while returning:
            while self.act():
                pass
            returning = False
            for name in self.names:
                state = fold_all(self.events(name))
                if state.ended is None and not state.halted and not any(step.open for step in state.steps.values()):
                    self.refs[name].tell(ProgramTurn(Turn(run_id=name, commands=(Return(result=None),))))
                    returning = True


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_bill_of_many_runs_never_exceeds_their_budget_whenever_the_orchestrator_is_killed(
    seed: int, judged: bool
) -> None:
    world = Orchestrators(seed, runs=12, budget=Budget(usd=0.08), judged=judged)
    world.run()
    states = [fold_all(world.events(name)) for name in world.names]
    assert world.kills
    assert {state.status for state in states} <= {"completed", "paused"}, [str(state.status) for state in states]
    assert any(state.halted for state in states), "the budget is for fewer calls than they make"
    spending = Spending()
    spending.add(event for _, event in world.committed)
    assert spending.usd > 0.9 * world.limit, "runs are stopped only when too little is left for any call"
    for state in states:
        if state.halted:
            assert (state.reason or "").startswith("the budget of run p is used up")


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_runs_that_a_budget_is_enough_for_all_complete_though_they_wait_for_each_other(seed: int, judged: bool) -> None:
    world = Orchestrators(seed, runs=6, budget=Budget(usd=3.0 if judged else 1.0), judged=judged)
    world.run()
    assert {fold_all(world.events(name)).status for name in world.names} == {"completed"}


def test_a_run_that_was_stopped_goes_on_once_the_budget_is_raised() -> None:
    world = Orchestrators(3, runs=4, budget=Budget(usd=0.02))
    world.kills = 5  # no more of them
    world.run()
    stopped = [name for name in world.names if fold_all(world.events(name)).halted]
    assert stopped
    world.limit = 5.0
    parent = fold_all([*world.events("p"), ev.RunResumed(at=world.now, budget=Budget(usd=5.0))])
    world.budgets.note(parent, [])
    for name in stopped:
        world.refs[name].tell(Resume(unless_parked=True))
    world.run()
    assert {fold_all(world.events(name)).status for name in world.names} == {"completed"}
