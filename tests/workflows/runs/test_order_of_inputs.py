"""An attempt is recorded whole in whatever order its events and other inputs reach the run's actor."""

import itertools
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.messages.events.events import AnyEvent, RunStarted
from greenroom.messages.frames.worker import Completed, Emitted, Progress, ScheduleStep, Turn
from greenroom.messages.options.policy import StepOptions
from greenroom.supervision.jobs import Answered, Assigned, Job, JobHandle, JobOrder
from greenroom.workflows.decisions.inputs import Pause, ProgramTurn, Tick
from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.runs.budget_accounts import BudgetAccounts
from greenroom.workflows.state.fold import fold

RUN = RunStarted(at=1.0, run_id="r", app="app.py", workflow="flow", arguments={})
EMITTED = Emitted(token="", channel="default", value=1)
STEP = ScheduleStep(key="a#1", name="a", kind="tool", step="app:a", arguments=None, options=StepOptions())


class Surroundings:
    """The orchestrator of one run's actor: a reactor that runs when told, a journal without a disk, a pool."""

    def __init__(self) -> None:
        self.calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.events: list[AnyEvent] = []
        self.lingering: list[Callable[[], None]] = []
        self.jobs: dict[str, Job] = {}
        self.orders: list[JobOrder] = []
        self.now = 1.0
        numbers = itertools.count(1)
        nothing: Callable[..., None] = lambda *_arguments: None  # noqa: E731
        loop = SimpleNamespace(time=lambda: self.now, call_later=nothing)
        dependencies: Any = SimpleNamespace(
            reactor=SimpleNamespace(
                call=lambda function, *arguments: self.calls.append((function, arguments)), loop=loop
            ),
            journal=SimpleNamespace(append=self._append),
            submit=self._submit,
            registry=SimpleNamespace(
                budgets=BudgetAccounts(),
                resident=SimpleNamespace(keep=nothing, drop=nothing),
                linger=self.lingering.append,
                route=nothing,
                published=nothing,
                announce=nothing,
                forget=nothing,
                note_unheard=nothing,
                is_unheard=lambda _run_id: False,
            ),
            router=SimpleNamespace(),
            mint=lambda: f"1:{next(numbers)}",
            clock=self._clock,
            call_at=nothing,
            random=lambda: 0.5,
            on_journal_failure=nothing,
            observe=nothing,
        )
        self.ref = RunActor.start(dependencies, fold(None, RUN), first=[RUN])

    def _append(self, append: Any) -> None:
        self.events += append.events
        append.done(None)

    def _submit(self, _pool: Any, _limits: Any, job: Job) -> JobHandle:
        self.jobs[job.label] = job
        return JobHandle(self.orders.append, job.token)

    def _clock(self) -> float:
        self.now += 0.001
        return self.now

    def run(self) -> None:
        """Run everything that is scheduled."""
        while self.calls:
            function, arguments = self.calls.popleft()
            function(*arguments)

    def flush(self) -> None:
        """Let the time pass for which events and choices are kept."""
        lingering, self.lingering[:] = self.lingering[:], []
        for flush in lingering:
            flush()


WAYS = [
    way
    for way in itertools.permutations(("answer", "progress", "emit", "pause", "tick", "flush", "flush"))
    if max(way.index("progress"), way.index("emit")) < way.index("answer")
]


@pytest.mark.parametrize("at_once", [True, False], ids=["together", "one by one"])
def test_an_attempt_is_recorded_whole(at_once):
    for way in dict.fromkeys(WAYS):
        around = Surroundings()
        around.run()
        around.ref.tell(ProgramTurn(Turn(run_id="r", commands=(STEP,))))
        around.run()
        job = around.jobs["a#1"]
        deeds: dict[str, Callable[[], object]] = {
            "answer": lambda job=job: job.reply(
                Answered(job.token, Completed(token=job.token, result=1, duration=0.1))
            ),  # type: ignore[misc]
            "progress": lambda job=job: job.reply(Answered(job.token, Progress(token=job.token, detail="half"))),  # type: ignore[misc]
            "emit": lambda job=job: job.reply(Answered(job.token, EMITTED.model_copy(update={"token": job.token}))),  # type: ignore[misc]
            "pause": lambda around=around: around.ref.tell(Pause(None)),  # type: ignore[misc]
            "tick": lambda around=around: around.ref.tell(Tick()),  # type: ignore[misc]
            "flush": around.flush,
        }
        job.reply(Assigned(job.token, "tool-1", 7, 1))
        for deed in way:
            deeds[deed]()
            if not at_once:
                around.run()
        around.run()
        around.flush()
        around.run()
        around.flush()
        kinds = [event.type for event in around.events if event.type.startswith(("attempt.", "step."))]
        assert kinds[:2] == ["step.scheduled", "attempt.started"], way
        assert sorted(kinds[2:4]) == ["attempt.progressed", "step.emitted"], way
        assert kinds[4:] == ["attempt.ended", "step.completed"], way
        times = [event.at for event in around.events]
        assert times == sorted(times), way
        assert around.orders == [], way
