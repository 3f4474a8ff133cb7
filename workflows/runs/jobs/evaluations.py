"""The evaluators of one result, each a job in a worker: functions and rules first, judges after them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from greenroom.actors.evaluation.panels import Member, combined
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import JsonText, plain, text_of
from greenroom.messages.frames.worker import Completed, Emitted, Evaluate, Execute, Failed, Judged, Progress
from greenroom.messages.options.policy import StepOptions
from greenroom.messages.records.attempts import Reservation
from greenroom.messages.records.evaluation import Evaluation, Score, deciding
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, Lost, PoolKey, Unavailable
from greenroom.workflows.decisions.budgets.reservations import Need, need_of
from greenroom.workflows.decisions.inputs import Input, NoWorkers
from greenroom.workflows.decisions.steps.quota import is_refusal
from greenroom.workflows.decisions.steps.retry_policy import Again, PastAttempt, forbids, next_attempt
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.emissions import Emissions
from greenroom.workflows.runs.jobs.judge_calls import FREE, Calls
from greenroom.workflows.runs.jobs.questions import Evaluator, Question

C = TypeVar("C", bound=Calls)
_SCORE: Final = TypeAdapter(Score)
TRIES: Final = 3
"""Times that an evaluator is asked whose process dies, before it counts as broken."""
BACKGROUND: Final = "background"
"""Name of the pools of evaluators that rate in the background: one of functions, and one of judges."""


class EvaluationJobs(Generic[C]):
    """Asks all evaluators about one result, and reports when all have answered. Reactor thread only.

    Judges cost money. They are asked in a second round. Where that decides about the result, they are asked only if no
    evaluator of the first round has rejected it. No evaluation is recorded before all have answered: if the
    orchestrator dies before that, the next one asks all evaluators again.
    """

    def __init__(
        self,
        dependencies: RunDependencies,
        question: Question,
        calls: C,
        done: Callable[[Sequence[Evaluation], str], None],
        judges_due: Callable[[], None],
        stranded: Callable[[NoWorkers], None],
        report: Callable[[Input], None],
    ) -> None:
        """Prepare to ask; ``begin`` asks.

        Args:
            dependencies: The orchestrator.
            question: The result, and whom to ask about it.
            calls: Reserves for the calls of judges.
            done: Called with one evaluation per evaluator that was asked, and one per panel; and with what was said to
                a judge whose model's account has no quota left, empty if there is none.
            judges_due: Called if the judges are to be asked; ``ask_judges`` then asks them.
            stranded: Called if a pool of the evaluators has given up for a while.
            report: Takes the values that evaluators emit.
        """
        self.calls = calls
        self._report = report
        self._stranded = stranded
        self._dependencies = dependencies
        self._question = question
        self._done = done
        self._judges_due = judges_due
        self._evaluators = [Evaluator(*each) for each in question.evaluators]
        self._waiting: dict[str, Evaluator] = {}
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

    def leave_out(self, token: str, why: str) -> None:
        """Go on without a judge, for whose call there is no money."""
        if (judge := self._waiting.pop(token, None)) is not None:
            self._give_up(judge, why)
            self._conclude()

    def withdraw(self) -> None:
        """Withdraw the jobs: the answers are not needed."""
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

    def _ask(self, evaluator: Evaluator) -> None:
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
        evaluator: Evaluator,
        frame: Execute | Evaluate,
        need: Need | None = None,
        reserved: Reservation | None = None,
    ) -> None:
        """Give the question to a worker."""
        if reserved is not None and isinstance(frame, Execute):
            frame = frame.model_copy(update={"max_tokens": reserved.max_tokens})
        job = Job(
            token=frame.token,
            run_id=self._question.run_id,
            label=f"{evaluator.name} of {self._question.key}",
            frame=frame,
            reply=self._hear,
            attempt=evaluator.asked + 1,
            timeout=evaluator.timeout,
        )
        if need is not None:
            job = replace(job, model=need.model, tokens=need.expected_tokens)
        kind = evaluator.options.kind
        pool = PoolKey(self._question.app, kind, BACKGROUND if self._question.background else kind)
        evaluator.job = self._dependencies.submit(pool, None, job)

    def _frame(self, evaluator: Evaluator, token: str) -> Execute | Evaluate:
        asked, rule = self._question, evaluator.options.rule
        if not evaluator.is_judge and not rule:
            return Evaluate(
                run_id=asked.run_id,
                key=asked.key,
                attempt=asked.attempt,
                token=token,
                evaluator=evaluator.ref,
                subject=asked.result,
                arguments=asked.arguments,
            )
        more = to_json({"rule": rule} if rule else {})
        both = text_of(asked.result), text_of(asked.arguments)
        feedback = [past.failure.message for past in evaluator.failures if past.failure and past.outcome == "invalid"]
        return Execute(
            run_id=asked.run_id,
            key=asked.key,
            name=evaluator.name,
            step=evaluator.ref,
            attempt=evaluator.asked + 1,
            token=token,
            arguments=JsonText(b'{"args":[%b,%b],"kwargs":%b}' % (*both, more)),
            idempotency_key=f"{asked.run_id}/{asked.key}@{asked.attempt}/{evaluator.name}",
            feedback=tuple(feedback),
        )

    def _threshold(self, evaluator: Evaluator) -> float:
        own = evaluator.options.threshold
        return self._question.threshold if own is None else own

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
                self._judged(evaluator, judged)
            case Answered(message=Completed() as completed):
                self._count(evaluator, completed)
                self._take_score(evaluator, completed)
            case Answered(message=Failed() as failed):
                self._count(evaluator, failed)
                self._failed(evaluator, failed.failure)
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

    def _lost(self, evaluator: Evaluator, lost: Lost) -> None:
        """Ask an evaluator again whose process has died, or give it up."""
        evaluator.deaths += lost.charged
        if evaluator.deaths < TRIES:
            self._ask(evaluator)
        else:
            self._give_up(evaluator, f"its process {lost.exit.sentence()}")

    def _note_emitted(self, emitted: Emitted) -> None:
        evaluator = self._waiting.get(emitted.token)
        asked = self._question
        if evaluator is None or evaluator.job is None or asked.background:
            return
        if evaluator.emissions is None:
            soon = self._dependencies.reactor.call
            evaluator.emissions = Emissions(asked.key, asked.attempt, "", evaluator.job, self._report, soon)
        evaluator.emissions.add(emitted)

    def emitted_written(self) -> None:
        """Let the evaluators emit more, because what they have emitted is committed."""
        for evaluator in self._waiting.values():
            if evaluator.emissions is not None:
                evaluator.emissions.written()

    def _judged(self, evaluator: Evaluator, judged: Judged) -> None:
        """Keep what a function has answered, or ask it again if it failed."""
        evaluator.duration += judged.duration
        if judged.failure is not None:
            self._failed(evaluator, judged.failure)
            return
        threshold = self._threshold(evaluator)
        evaluator.evaluation = Evaluation(
            name=evaluator.name,
            score=judged.score,
            passed=judged.score is not None and judged.score >= threshold,
            threshold=threshold,
            reason=judged.reason,
            label=judged.label,
            duration=evaluator.duration,
            panel=self._panel_of(evaluator),
        )

    def _take_score(self, evaluator: Evaluator, completed: Completed) -> None:
        """Keep the score of a judge or a rule as its evaluation."""
        try:
            score = _SCORE.validate_python(plain(completed.result))
        except ValidationError as error:  # its worker does not run our code as we left it
            self._give_up(evaluator, f"its process answered with what is not a score: {error.errors()[0]['msg']}")
            return
        threshold = self._threshold(evaluator)
        evaluator.evaluation = Evaluation(
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

    def _failed(self, evaluator: Evaluator, failure: Failure) -> None:
        """Ask an evaluator again, or give it up, as its retry policy says."""
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

    def _count(self, evaluator: Evaluator, answer: Completed | Failed) -> None:
        evaluator.duration += answer.duration
        for name, amount in answer.usage.items():
            evaluator.usage[name] = evaluator.usage.get(name, 0.0) + amount

    def _give_up(self, evaluator: Evaluator, why: str) -> None:
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
        rejected = any(each.score is not None and not each.passed for each in deciding(given))
        if open_ and (self._question.background or not rejected):
            self._judges_due()
            return
        if self._question.background:
            given = [each.model_copy(update={"background": True}) for each in given]
        self._done(given, next((each.unpaid for each in self._evaluators if each.unpaid), ""))

    def _panels(self) -> list[Evaluation]:
        """Return the evaluations of the panels whose members have all answered."""
        found: list[Evaluation] = []
        for number, panel in enumerate(self._question.panels):
            members = [each for each in self._evaluators if each.options.panel == number]
            said = [Member(each.options.weight, each.evaluation) for each in members if each.evaluation is not None]
            if members and len(said) == len(members):
                threshold = self._question.threshold if panel.threshold is None else panel.threshold
                found.append(combined(panel.name, panel.combine, threshold, said))
        return found

    def _panel_of(self, evaluator: Evaluator) -> str | None:
        number = evaluator.options.panel
        return None if number is None else self._question.panels[number].name


def _usage(event: Answered | Lost | Unavailable) -> Mapping[str, float]:
    """Return what a call has used. What is left out is not known."""
    if isinstance(event, Unavailable):
        return FREE
    return event.message.usage if isinstance(event, Answered) and isinstance(event.message, (Completed, Failed)) else {}
