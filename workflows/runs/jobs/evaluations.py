"""The evaluators that are looking at one result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from greenroom.messages.evaluation import Evaluation
from greenroom.messages.frames.worker import Evaluate, Judged, Progress
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, JobHandle, Lost, PoolKey, Unavailable
from greenroom.workflows.decisions.inputs import NoWorkers
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.state.run_state import RunState, Step

TRIES: Final = 3
"""How often an evaluator whose process dies is asked before it counts as broken."""


@dataclass(slots=True)
class _Seat:
    """One evaluator's place on the panel."""

    evaluator: str
    timeout: float | None
    tries: int = 0
    evaluation: Evaluation | None = None
    job: JobHandle | None = None
    """The job that asks it."""

    @property
    def name(self) -> str:
        return self.evaluator.rpartition(":")[2]


class EvaluationJobs:
    """Asks every evaluator of a step about one result, and reports when all have answered. Reactor's thread only.

    Nothing of it is journaled before the verdict: an orchestrator that dies in between has the panel judge again.
    """

    def __init__(
        self,
        services: RunDependencies,
        state: RunState,
        step: Step,
        done: Callable[[Sequence[Evaluation]], None],
        stranded: Callable[[NoWorkers], None],
    ) -> None:
        """Ask at once.

        Args:
            services: The orchestrator.
            state: The run.
            step: Whose result is looked at.
            done: Called with one evaluation per evaluator, in the step's order.
            stranded: Called where the evaluators' pool has given up for a while.
        """
        self._stranded = stranded
        self._services = services
        self._state = state
        self._step = step
        self._attempt = len(step.attempts)
        self._done = done
        self._pool = PoolKey(state.app, "evaluator", "evaluator")
        options = step.options
        self._seats = [_Seat(*seat) for seat in zip_longest(options.accept, options.accept_timeouts)]
        self._waiting: dict[str, _Seat] = {}
        for seat in self._seats:
            self._ask(seat)

    def withdraw(self) -> None:
        """Stop asking: nobody waits for the verdict."""
        for seat in self._waiting.values():
            if seat.job is not None:
                seat.job.withdraw()
        self._waiting.clear()

    def _ask(self, seat: _Seat) -> None:
        seat.tries += 1
        token = self._services.mint()
        self._waiting[token] = seat
        frame = Evaluate(
            run_id=self._state.run_id,
            key=self._step.key,
            attempt=self._attempt,
            token=token,
            evaluator=seat.evaluator,
            threshold=self._step.options.threshold,
            subject=self._step.result,
            arguments=self._step.arguments,
        )
        job = Job(
            token=token,
            run_id=self._state.run_id,
            label=f"{seat.name} of {self._step.key}",
            frame=frame,
            reply=self._hear,
            attempt=seat.tries,
            timeout=seat.timeout,
        )
        seat.job = self._services.submit(self._pool, None, job)

    def _hear(self, event: JobEvent) -> None:
        if isinstance(event, Assigned) or (isinstance(event, Answered) and isinstance(event.message, Progress)):
            return
        seat = self._waiting.pop(event.token, None)
        if seat is None:
            return
        match event:
            case Answered(message=Judged() as judged):
                seat.evaluation = self._evaluation(seat, judged)
            case Lost(exit=gone, charged=True) if seat.tries >= TRIES:
                seat.evaluation = self._broken(seat, f"its process {gone.sentence()}")
            case Lost(charged=charged):
                seat.tries -= not charged
                self._ask(seat)
                return
            case Unavailable() if event.pool:
                self.withdraw()
                self._stranded(NoWorkers(event.reason, pool=event.pool))
                return
            case Unavailable(reason=reason):
                seat.evaluation = self._broken(seat, reason)
            case Answered(message=message):
                seat.evaluation = self._broken(seat, f"it answered with {message.type}")
        given = [seat.evaluation for seat in self._seats if seat.evaluation is not None]
        if len(given) == len(self._seats):
            self._done(given)

    def _evaluation(self, seat: _Seat, judged: Judged) -> Evaluation:
        return Evaluation(
            name=seat.name,
            score=judged.score,
            passed=judged.passed,
            threshold=self._step.options.threshold,
            reason=judged.reason,
            label=judged.label,
            error=judged.error,
            duration=judged.duration,
        )

    def _broken(self, seat: _Seat, why: str) -> Evaluation:
        return Evaluation(name=seat.name, score=None, passed=False, threshold=self._step.options.threshold, error=why)
