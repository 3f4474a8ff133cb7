"""The evaluators of one result, each a job in an evaluator process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from greenroom.messages.evaluation import Evaluation
from greenroom.messages.frames.worker import Emitted, Evaluate, Judged, Progress
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, JobHandle, Lost, PoolKey, Unavailable
from greenroom.workflows.decisions.inputs import Input, NoWorkers
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.emissions import Emissions
from greenroom.workflows.state.run_state import RunState, Step
from greenroom.workflows.state.transcripts import judged_arguments, judged_result

TRIES: Final = 3
"""Times that an evaluator is asked whose process dies, before it counts as broken."""


@dataclass(slots=True)
class _Evaluator:
    """One evaluator, and what it has answered."""

    ref: str
    """Reference of its function."""
    timeout: float | None
    tries: int = 0
    evaluation: Evaluation | None = None
    job: JobHandle | None = None
    """The job that asks it."""
    emissions: Emissions | None = None
    """The values that this job emits; None before the first."""

    @property
    def name(self) -> str:
        return self.ref.rpartition(":")[2]


class EvaluationJobs:
    """Asks every evaluator of a step about one result, and reports when all have answered. Reactor thread only.

    Nothing is recorded before the verdict: if the orchestrator dies before it, the next one asks all evaluators again.
    """

    def __init__(
        self,
        dependencies: RunDependencies,
        state: RunState,
        step: Step,
        done: Callable[[Sequence[Evaluation]], None],
        stranded: Callable[[NoWorkers], None],
        report: Callable[[Input], None],
    ) -> None:
        """Ask all evaluators.

        Args:
            dependencies: The orchestrator.
            state: The run.
            step: The step whose result is evaluated.
            done: Called with one evaluation per evaluator, in the step's order.
            stranded: Called if the evaluators' pool has given up for a while.
            report: Takes the values that evaluators emit.
        """
        self._report = report
        self._stranded = stranded
        self._dependencies = dependencies
        self._state = state
        self._step = step
        self._attempt = len(step.attempts)
        self._subject, self._arguments = judged_result(step), judged_arguments(state, step)
        self._done = done
        self._pool = PoolKey(state.app, "evaluator", "evaluator")
        options = step.options
        self._evaluators = [_Evaluator(*each) for each in zip_longest(options.accept, options.accept_timeouts)]
        self._waiting: dict[str, _Evaluator] = {}
        for evaluator in self._evaluators:
            self._ask(evaluator)

    def withdraw(self) -> None:
        """Withdraw the jobs: the verdict is not needed."""
        for evaluator in self._waiting.values():
            if evaluator.job is not None:
                evaluator.job.withdraw()
        self._waiting.clear()

    def _ask(self, evaluator: _Evaluator) -> None:
        evaluator.tries += 1
        evaluator.emissions = None
        token = self._dependencies.mint()
        self._waiting[token] = evaluator
        frame = Evaluate(
            run_id=self._state.run_id,
            key=self._step.key,
            attempt=self._attempt,
            token=token,
            evaluator=evaluator.ref,
            threshold=self._step.options.threshold,
            subject=self._subject,
            arguments=self._arguments,
        )
        job = Job(
            token=token,
            run_id=self._state.run_id,
            label=f"{evaluator.name} of {self._step.key}",
            frame=frame,
            reply=self._hear,
            attempt=evaluator.tries,
            timeout=evaluator.timeout,
        )
        evaluator.job = self._dependencies.submit(self._pool, None, job)

    def _hear(self, event: JobEvent) -> None:
        if isinstance(event, Assigned) or (isinstance(event, Answered) and isinstance(event.message, Progress)):
            return
        if isinstance(event, Answered) and isinstance(event.message, Emitted):
            self._note_emitted(event.message)
        else:
            self._conclude(event)

    def _conclude(self, event: JobEvent) -> None:
        """Keep what an evaluator has answered, or ask it again."""
        evaluator = self._waiting.pop(event.token, None)
        if evaluator is None:
            return
        if evaluator.emissions is not None:
            evaluator.emissions.flush()
        match event:
            case Answered(message=Judged() as judged):
                evaluator.evaluation = self._evaluation(evaluator, judged)
            case Lost(exit=gone, charged=True) if evaluator.tries >= TRIES:
                evaluator.evaluation = self._broken(evaluator, f"its process {gone.sentence()}")
            case Lost(charged=charged):
                evaluator.tries -= not charged
                self._ask(evaluator)
                return
            case Unavailable() if event.pool:
                self.withdraw()
                self._stranded(NoWorkers(event.reason, pool=event.pool))
                return
            case Unavailable(reason=reason):
                evaluator.evaluation = self._broken(evaluator, reason)
            case Answered(message=message):
                evaluator.evaluation = self._broken(evaluator, f"it answered with {message.type}")
        given = [evaluator.evaluation for evaluator in self._evaluators if evaluator.evaluation is not None]
        if len(given) == len(self._evaluators):
            self._done(given)

    def _note_emitted(self, emitted: Emitted) -> None:
        evaluator = self._waiting.get(emitted.token)
        if evaluator is None or evaluator.job is None:
            return
        if evaluator.emissions is None:
            soon = self._dependencies.reactor.call
            evaluator.emissions = Emissions(self._step.key, self._attempt, "", evaluator.job, self._report, soon)
        evaluator.emissions.add(emitted)

    def emitted_written(self) -> None:
        """Let the evaluators emit more, because what they have emitted is committed."""
        for evaluator in self._waiting.values():
            if evaluator.emissions is not None:
                evaluator.emissions.written()

    def _evaluation(self, evaluator: _Evaluator, judged: Judged) -> Evaluation:
        return Evaluation(
            name=evaluator.name,
            score=judged.score,
            passed=judged.passed,
            threshold=self._step.options.threshold,
            reason=judged.reason,
            label=judged.label,
            error=judged.error,
            duration=judged.duration,
        )

    def _broken(self, evaluator: _Evaluator, why: str) -> Evaluation:
        return Evaluation(
            name=evaluator.name, score=None, passed=False, threshold=self._step.options.threshold, error=why
        )
