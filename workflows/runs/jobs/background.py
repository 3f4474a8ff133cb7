"""Rates sampled answers in the background, some at a time, in workers that do nothing else."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from loguru import logger

from greenroom.journal.interface import Journal, Mark
from greenroom.messages.core.errors import (
    BudgetUsedUp,
    CodecError,
    GreenroomError,
    JournalCorrupt,
    JournalError,
    OrchestratorClosed,
)
from greenroom.messages.events.events import AnswerSampled
from greenroom.messages.records.attempts import Reservation
from greenroom.messages.records.evaluation import Evaluation
from greenroom.workflows.decisions.budgets.reservations import Need
from greenroom.workflows.decisions.inputs import AnswerRated, Confirmed, Input, NoWorkers, RatingDue
from greenroom.workflows.queries.event_marks import marked_event
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.evaluations import EvaluationJobs
from greenroom.workflows.runs.jobs.judge_calls import Calls
from greenroom.workflows.runs.jobs.questions import Question
from greenroom.workflows.state.run_state import RunState

T = TypeVar("T")
AT_ONCE: Final = 4
"""Most answers that are rated at a time."""
PAUSE: Final = 30.0
"""Seconds until an answer is tried again whose evaluators have no workers now."""

Answer: TypeAlias = tuple[str, str]
"""Id of the run, and identity of the answer within it."""


class Runs(Protocol):
    """What the background needs of the registry of runs. Reactor thread only."""

    def route(self, run_id: str, message: Input | Confirmed, /) -> None:
        """Send a message to a run, which is read from the journal if it is not in memory."""
        ...

    def state(self, run_id: str) -> RunState | None:
        """Return the state of a run that is in memory."""
        ...

    async def read(self, job: Callable[[], T]) -> T:
        """Run ``job`` in a thread that may block."""
        ...

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task."""
        ...


class BackgroundRatings:
    """Has the evaluators of sampled answers asked, and tells the runs what they have said. Reactor thread only.

    Everything it knows is in the journal: each answer is one event, found by a mark that its scores clear. So answers
    wait here by name only, and what is lost with the orchestrator is found again by the next one. An answer whose
    evaluators were being asked then is rated anew, and its scores are recorded once.
    """

    def __init__(self, runs: Runs) -> None:
        """Start with nothing to rate; ``attach`` must follow."""
        self._runs = runs
        self._dependencies: RunDependencies
        self._queue: OrderedDict[Answer, int] = OrderedDict()
        """Answers that wait for their turn, with the sequence numbers of their events."""
        self._rated: dict[Answer, _Rating] = {}
        """Answers whose turn it is."""
        self._closed = False

    def attach(self, dependencies: RunDependencies) -> None:
        """Take the orchestrator's parts. Called once, before anything else."""
        self._dependencies = dependencies

    @property
    def moving(self) -> bool:
        """Whether something will happen before the next alarm. Calls that limits hold back only wait."""
        return any(rating.jobs is None or rating.jobs.moving for rating in self._rated.values())

    def add(self, run_id: str, sample: str, seq: int) -> None:
        """Have an answer rated, unless it is going to be.

        Args:
            run_id: The run.
            sample: The answer.
            seq: Sequence number of the event that holds it, which is committed.
        """
        answer = run_id, sample
        if not self._closed and answer not in self._rated:
            self._queue.setdefault(answer, seq)
            self._serve()

    def _serve(self) -> None:
        while self._queue and len(self._rated) < AT_ONCE:
            answer, seq = self._queue.popitem(last=False)
            rating = self._rated[answer] = _Rating(self._runs, self._dependencies, *answer)
            self._runs.begin(self._rate(answer, seq, rating))

    async def _rate(self, answer: Answer, seq: int, rating: "_Rating") -> None:
        """Have one answer rated, and its scores recorded."""
        run_id, sample = answer
        again = partial(self.add, run_id, sample, seq)
        call_later = self._dependencies.reactor.loop.call_later
        try:
            find = partial(_found, self._dependencies.journal, Mark(run_id, "sampled", sample, seq))
            app, event = await self._runs.read(find)
            if event is not None:
                said = await rating.ask(_question(app, run_id, event))
                if said is not None:
                    await rating.tell(AnswerRated(sample, tuple(said)))
                elif rating.stranded:
                    call_later(PAUSE, again)
        except OrchestratorClosed:
            return
        except (JournalCorrupt, CodecError) as error:
            logger.error("an answer of run {} is not rated: {}", run_id, error)
        except JournalError:
            call_later(PAUSE, again)
        finally:
            rating.stop()
            self._rated.pop(answer, None)
            if not self._closed:
                self._serve()

    def close(self) -> None:
        """Withdraw what is under way. The next orchestrator begins with it."""
        self._closed = True
        self._queue.clear()
        for rating in tuple(self._rated.values()):
            rating.stop()


class _Rating:
    """One answer while it is rated. It reserves of budgets what its judges may use, until their scores are recorded."""

    def __init__(self, runs: Runs, dependencies: RunDependencies, run_id: str, sample: str) -> None:
        self._runs = runs
        self._dependencies = dependencies
        self._run_id = run_id
        self._sample = sample
        self._said: asyncio.Future[Sequence[Evaluation] | None] = dependencies.reactor.loop.create_future()
        self._held: dict[str, RunState] = {}
        """Tokens of calls for which something is reserved, with the run that it is reserved for."""
        self.jobs: EvaluationJobs[Calls] | None = None
        """None until the evaluators are asked."""
        self.stranded = False
        """Whether a pool of the evaluators has given up for a while."""

    async def ask(self, question: Question) -> Sequence[Evaluation] | None:
        """Ask all evaluators. Return None if they need not be asked any more, or cannot be now."""
        if self._said.done():
            return None

        def settle(evaluations: Sequence[Evaluation], _unpaid: str) -> None:
            if not self._said.done():
                self._said.set_result(evaluations)

        def strand(_why: NoWorkers) -> None:
            self.stranded = True
            self.stop()

        def judges_due() -> None:
            jobs.ask_judges()

        jobs = EvaluationJobs[Calls](self._dependencies, question, self, settle, judges_due, strand, _drop)
        self.jobs = jobs
        jobs.begin()
        return await self._said

    async def tell(self, happened: Input) -> int:
        """Tell the run something, and return its receipt after the commit.

        Raises:
            GreenroomError: It was refused.
        """
        receipt: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def heard(error: GreenroomError | None, number: int) -> None:
            if receipt.done():
                return
            if error is None:
                receipt.set_result(number)
            else:
                receipt.set_exception(error)

        self._runs.route(self._run_id, Confirmed(happened, heard))
        return await receipt

    def stop(self) -> None:
        """Ask nobody any more, and give back what is reserved."""
        if not self._said.done():
            self._said.set_result(None)
        if self.jobs is not None:
            self.jobs.withdraw()

    # ------------------------------------------------------------ the calls of its judges, see ``Calls``

    def reserve(self, token: str, judge: str, need: Need, submit: Callable[[Reservation | None], None]) -> None:
        """Call ``submit`` once a call may be made, or leave the judge out if there is no money for it."""
        del judge
        self._runs.begin(self._reserve(token, need, submit))

    async def _reserve(self, token: str, need: Need, submit: Callable[[Reservation | None], None]) -> None:
        try:
            asked = await self.tell(RatingDue(self._sample))
        except BudgetUsedUp as error:
            self._leave_out(token, str(error))
            return
        except JournalError:
            asked = 0
        budgets, state = self._dependencies.registry.budgets, self._runs.state(self._run_id)
        if not asked:  # it was rated meanwhile, or its run cannot be read
            self.stop()
        elif self._said.done():
            pass
        elif state is None or not budgets.limits_models(state):
            submit(None)
        else:
            self._held[token] = state
            refused = partial(self._refused, token)
            budgets.reserve(state, token, need, self._dependencies.clock(), submit, refused=refused)

    def _refused(self, token: str, why: str) -> None:
        self._held.pop(token, None)
        self._leave_out(token, f"not rated: {why}")

    def _leave_out(self, token: str, why: str) -> None:
        if self.jobs is not None and not self._said.done():
            self.jobs.leave_out(token, why)

    def ended(self, token: str, usage: Mapping[str, float]) -> None:
        """Hold what a call has used until that is recorded with its score."""
        if (state := self._held.get(token)) is not None:
            self._dependencies.registry.budgets.hold_used(state, token, usage, self._dependencies.clock())

    def withdraw(self) -> None:
        """Give back what is reserved."""
        held, self._held = self._held, {}
        for token, state in held.items():
            self._dependencies.registry.budgets.give_back(state, token, self._dependencies.clock())


def _found(journal: Journal, mark: Mark) -> tuple[str, AnswerSampled | None]:
    """Return the app of a run and the event of a sampled answer; None if that was rated. Reader's thread."""
    row = journal.run(mark.run_id)
    if row is None or not journal.marks("sampled", mark.run_id, mark.name):
        return "", None
    return row.app, marked_event(journal, mark)


def _question(app: str, run_id: str, event: AnswerSampled) -> Question:
    sampling = event.sampling
    return Question(
        app=app,
        run_id=run_id,
        key=event.key or event.sample,
        attempt=event.attempt,
        result=event.result,
        arguments=event.arguments,
        threshold=event.threshold,
        evaluators=[(each.ref, each.timeout, each.options) for each in sampling.evaluators],
        panels=sampling.panels,
        background=True,
    )


def _drop(_happened: Input) -> None:
    """Drop what an evaluator reports besides its answer: the answer that it rates has left its run."""
