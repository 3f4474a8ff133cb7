"""The evaluators of one result, each a job in a worker: functions and rules first, judges after them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Final

from pydantic import TypeAdapter
from pydantic_core import to_json

from greenroom.actors.evaluation.panels import Member, combined
from greenroom.messages.attempts import Reservation
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import JsonText, plain, text_of
from greenroom.messages.evaluation import Evaluation, Score, deciding
from greenroom.messages.frames.worker import Completed, Emitted, Evaluate, Execute, Failed, Judged, Progress
from greenroom.messages.policy import EvaluatorOptions, StepOptions
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, JobHandle, Lost, PoolKey, Unavailable
from greenroom.workflows.decisions.inputs import Input, NoWorkers, StepJudged
from greenroom.workflows.decisions.reservations import Need, need_of
from greenroom.workflows.decisions.steps.quota import is_refusal
from greenroom.workflows.decisions.steps.retry_policy import Again, PastAttempt, forbids, next_attempt
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.emissions import Emissions
from greenroom.workflows.runs.jobs.judge_calls import FREE, JudgeCalls
from greenroom.workflows.state.run_state import RunState, Step
from greenroom.workflows.state.transcripts import judged_arguments, judged_result

_SCORE: Final = TypeAdapter(Score)
TRIES: Final = 3
"""Times that an evaluator is asked whose process dies, before it counts as broken."""


@dataclass(slots=True)
class _Evaluator:
    """One evaluator, and what it has answered."""

    ref: str
    """Reference of its function."""
    timeout: float | None
    options: EvaluatorOptions
    deaths: int = 0
    """Deaths of its process that are charged to it."""
    failures: list[PastAttempt] = field(default_factory=list[PastAttempt])
    usage: dict[str, float] = field(default_factory=dict[str, float])
    """What all its calls have used."""
    duration: float = 0.0
    began: float = 0.0
    """Loop time of the first call."""
    evaluation: Evaluation | None = None
    job: JobHandle | None = None
    """The job that asks it."""
    emissions: Emissions | None = None
    """The values that this job emits; None before the first."""
    unpaid: str = ""
    """What its model's provider said if the account there has no quota left."""
    alarm: asyncio.TimerHandle | None = None
    """While it waits to be asked again."""

    @property
    def name(self) -> str:
        return self.options.name or self.ref.rpartition(":")[2]

    @property
    def is_judge(self) -> bool:
        return self.options.kind == "llm"

    @property
    def asked(self) -> int:
        """How often it has been asked, without those times that its process died of something else."""
        return self.deaths + len(self.failures)


class EvaluationJobs:
    """Asks every evaluator of a step about one result, and reports when all have answered. Reactor thread only.

    Judges cost money. They are asked in a second round, and only about results that no evaluator of the first round has
    rejected. Nothing is recorded before the verdict: if the orchestrator dies before it, the next one asks all
    evaluators again.
    """

    def __init__(
        self,
        dependencies: RunDependencies,
        state: RunState,
        step: Step,
        done: Callable[[StepJudged], None],
        judges_due: Callable[[], None],
        stranded: Callable[[NoWorkers], None],
        report: Callable[[Input], None],
    ) -> None:
        """Prepare to ask; ``begin`` asks.

        Args:
            dependencies: The orchestrator.
            state: The run.
            step: The step whose result is evaluated.
            done: Called with one evaluation per evaluator that was asked, and one per panel, for the run's actor.
            judges_due: Called if the judges are to be asked; ``ask_judges`` then asks them.
            stranded: Called if a pool of the evaluators has given up for a while.
            report: Takes messages for the run's actor.
        """
        self.calls = JudgeCalls(dependencies, state, step, report)
        self._report = report
        self._stranded = stranded
        self._dependencies = dependencies
        self._state = state
        self._step = step
        self._attempt = len(step.attempts)
        self._subject, self._arguments = judged_result(step), judged_arguments(state, step)
        self._done = done
        self._judges_due = judges_due
        options = step.options
        plain_one = EvaluatorOptions()
        self._evaluators = [
            _Evaluator(ref, timeout, more or plain_one)
            for ref, timeout, more in zip_longest(options.accept, options.accept_timeouts, options.evaluators)
        ]
        self._waiting: dict[str, _Evaluator] = {}
        """Evaluators that are being asked, by token."""
        self._judging = False
        """Whether the second round has begun."""

    def begin(self) -> None:
        """Ask all evaluators but the judges."""
        first = [each for each in self._evaluators if not each.is_judge]
        for evaluator in first:
            self._ask(evaluator)
        if not first:
            self._judges_due()

    def ask_judges(self) -> None:
        """Ask the judges."""
        self._judging = True
        for evaluator in self._evaluators:
            if evaluator.is_judge:
                self._ask(evaluator)

    def withdraw(self) -> None:
        """Withdraw the jobs: the verdict is not needed."""
        for evaluator in self._waiting.values():
            if evaluator.job is not None:
                evaluator.job.withdraw()
        for evaluator in self._evaluators:
            if evaluator.alarm is not None:
                evaluator.alarm.cancel()
        self._waiting.clear()
        self.calls.withdraw()

    @property
    def moving(self) -> bool:
        """Whether something will happen before the next alarm. Calls of judges that limits hold back only wait."""
        jobs = [evaluator.job for evaluator in self._waiting.values()]
        return not jobs or any(job is not None and not job.waits for job in jobs)

    # ------------------------------------------------------------ asking

    def _ask(self, evaluator: _Evaluator) -> None:
        evaluator.alarm = None
        evaluator.emissions = None
        evaluator.began = evaluator.began or self._dependencies.reactor.loop.time()
        evaluator.job = None
        token, model = self._dependencies.mint(), evaluator.options.model
        self._waiting[token] = evaluator
        frame = self._frame(evaluator, token)
        if model is None or not isinstance(frame, Execute):
            self._submit(evaluator, frame)
            return
        need = need_of(model, len(text_of(frame.arguments)) + sum(len(each.encode()) for each in frame.feedback))
        self.calls.reserve(token, evaluator.name, need, partial(self._submit, evaluator, frame, need))

    def _submit(
        self,
        evaluator: _Evaluator,
        frame: Execute | Evaluate,
        need: Need | None = None,
        reserved: Reservation | None = None,
    ) -> None:
        """Give the question to a worker."""
        if reserved is not None and isinstance(frame, Execute):
            frame = frame.model_copy(update={"max_tokens": reserved.max_tokens})
        job = Job(
            token=frame.token,
            run_id=self._state.run_id,
            label=f"{evaluator.name} of {self._step.key}",
            frame=frame,
            reply=self._hear,
            attempt=evaluator.asked + 1,
            timeout=evaluator.timeout,
        )
        if need is not None:
            job = replace(job, model=need.model, tokens=need.expected_tokens)
        kind = evaluator.options.kind
        evaluator.job = self._dependencies.submit(PoolKey(self._state.app, kind, kind), None, job)

    def _frame(self, evaluator: _Evaluator, token: str) -> Execute | Evaluate:
        step, rule = self._step, evaluator.options.rule
        if not evaluator.is_judge and not rule:
            return Evaluate(
                run_id=self._state.run_id,
                key=step.key,
                attempt=self._attempt,
                token=token,
                evaluator=evaluator.ref,
                threshold=self._threshold(evaluator),
                subject=self._subject,
                arguments=self._arguments,
            )
        more = to_json({"rule": rule} if rule else {})
        both = text_of(self._subject), text_of(self._arguments)
        feedback = [past.failure.message for past in evaluator.failures if past.failure and past.outcome == "invalid"]
        return Execute(
            run_id=self._state.run_id,
            key=step.key,
            name=evaluator.name,
            step=evaluator.ref,
            attempt=evaluator.asked + 1,
            token=token,
            arguments=JsonText(b'{"args":[%b,%b],"kwargs":%b}' % (*both, more)),
            idempotency_key=f"{self._state.run_id}/{step.key}@{self._attempt}/{evaluator.name}",
            feedback=tuple(feedback),
        )

    def _threshold(self, evaluator: _Evaluator) -> float:
        own = evaluator.options.threshold
        return self._step.options.threshold if own is None else own

    # ------------------------------------------------------------ answers

    def _hear(self, event: JobEvent) -> None:
        if isinstance(event, Assigned) or (isinstance(event, Answered) and isinstance(event.message, Progress)):
            return
        if isinstance(event, Answered) and isinstance(event.message, Emitted):
            self._note_emitted(event.message)
        else:
            self._settle(event)

    def _settle(self, event: Answered | Lost | Unavailable) -> None:
        """Keep what an evaluator has answered, or ask it again."""
        evaluator = self._waiting.pop(event.token, None)
        if evaluator is None:
            return
        if evaluator.emissions is not None:
            evaluator.emissions.flush()
        self.calls.ended(event.token, _usage(event))
        match event:
            case Answered(message=Judged() as judged):
                evaluator.evaluation = self._evaluation(evaluator, judged)
            case Answered(message=Completed() as completed):
                evaluator.evaluation = self._scored(evaluator, completed)
            case Answered(message=Failed() as failed):
                self._failed(evaluator, failed)
            case Lost():
                self._lost(evaluator, event)
            case Unavailable() if event.pool:
                self.withdraw()
                self._stranded(NoWorkers(event.reason, pool=event.pool))
                return
            case Unavailable(reason=reason):
                self._give_up(evaluator, reason)
            case Answered(message=message):
                self._give_up(evaluator, f"it answered with {message.type}")
        self._conclude()

    def _lost(self, evaluator: _Evaluator, lost: Lost) -> None:
        """Ask an evaluator again whose process has died, or give it up."""
        evaluator.deaths += lost.charged
        if evaluator.deaths < TRIES:
            self._ask(evaluator)
        else:
            self._give_up(evaluator, f"its process {lost.exit.sentence()}")

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
            threshold=self._threshold(evaluator),
            reason=judged.reason,
            label=judged.label,
            error=judged.error,
            duration=judged.duration,
            panel=self._panel_of(evaluator),
        )

    def _scored(self, evaluator: _Evaluator, completed: Completed) -> Evaluation:
        """Return the evaluation for the score of a judge or a rule."""
        self._count(evaluator, completed)
        score = _SCORE.validate_python(plain(completed.result))
        threshold = self._threshold(evaluator)
        return Evaluation(
            name=evaluator.name,
            score=score.value,
            passed=score.value >= threshold,
            threshold=threshold,
            reason=score.reason,
            label=score.label,
            duration=evaluator.duration,
            usage=evaluator.usage,
            panel=self._panel_of(evaluator),
        )

    def _failed(self, evaluator: _Evaluator, failed: Failed) -> None:
        """Ask a judge again, or give it up, as its retry policy says."""
        self._count(evaluator, failed)
        failure: Failure = failed.failure
        retry = evaluator.options.retry
        evaluator.failures.append(PastAttempt(failure.outcome, charged=True, failure=failure))
        if retry is not None and failure.outcome != "cancelled":
            loop = self._dependencies.reactor.loop
            options = StepOptions(retry=retry)
            elapsed = loop.time() - evaluator.began
            following = next_attempt(options, evaluator.failures, elapsed, self._dependencies.random())
            if isinstance(following, Again):
                evaluator.alarm = loop.call_later(following.delay, self._ask, evaluator)
                return
            if is_refusal(failure) and not forbids(retry, failure):
                evaluator.unpaid = failure.message
        self._give_up(evaluator, failure.told())

    def _count(self, evaluator: _Evaluator, answer: Completed | Failed) -> None:
        evaluator.duration += answer.duration
        for name, amount in answer.usage.items():
            evaluator.usage[name] = evaluator.usage.get(name, 0.0) + amount

    def _give_up(self, evaluator: _Evaluator, why: str) -> None:
        """Note that an evaluator gives no score."""
        evaluator.evaluation = Evaluation(
            name=evaluator.name,
            score=None,
            passed=False,
            threshold=self._threshold(evaluator),
            error=why,
            duration=evaluator.duration,
            usage=evaluator.usage,
            panel=self._panel_of(evaluator),
        )

    # ------------------------------------------------------------ rounds and panels

    def _conclude(self) -> None:
        """Report when all that were asked have answered, or that the judges are due."""
        if any(each.evaluation is None for each in self._evaluators if self._judging or not each.is_judge):
            return
        given = [each.evaluation for each in self._evaluators if each.evaluation is not None]
        given += self._panels()
        open_ = any(each.evaluation is None for each in self._evaluators)
        if open_ and not any(each.score is not None and not each.passed for each in deciding(given)):
            self._judges_due()
        else:
            unpaid = next((each.unpaid for each in self._evaluators if each.unpaid), "")
            self._done(StepJudged(self._step.key, self._attempt, tuple(given), self.calls.settled, unpaid))

    def _panels(self) -> list[Evaluation]:
        """Return the evaluations of the panels whose members have all answered."""
        found: list[Evaluation] = []
        for number, panel in enumerate(self._step.options.panels):
            members = [each for each in self._evaluators if each.options.panel == number]
            said = [Member(each.options.weight, each.evaluation) for each in members if each.evaluation is not None]
            if len(said) == len(members):
                threshold = self._step.options.threshold if panel.threshold is None else panel.threshold
                found.append(combined(panel.name, panel.combine, threshold, said))
        return found

    def _panel_of(self, evaluator: _Evaluator) -> str | None:
        number = evaluator.options.panel
        return None if number is None else self._step.options.panels[number].name


def _usage(event: Answered | Lost | Unavailable) -> Mapping[str, float]:
    """Return what a call has used. What is left out is not known."""
    if isinstance(event, Unavailable):
        return FREE
    return event.message.usage if isinstance(event, Answered) and isinstance(event.message, (Completed, Failed)) else {}
