"""What evaluators are asked, and what is known of each of them while they answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import field
from itertools import zip_longest

from greenroom.messages.core.frozen import frozen, mutable
from greenroom.messages.core.message import Json
from greenroom.messages.options.policy import EvaluatorOptions, PanelOptions
from greenroom.messages.records.evaluation import Evaluation
from greenroom.supervision.jobs import JobHandle
from greenroom.workflows.decisions.steps.retry_policy import PastAttempt
from greenroom.workflows.runs.jobs.emissions import Emissions
from greenroom.workflows.state.run_state import RunState, Step
from greenroom.workflows.state.transcripts import judged_arguments, judged_result


@frozen
class Question:
    """A result that evaluators are asked about."""

    app: str
    run_id: str
    key: str
    """Key of the step, or what stands for it."""
    attempt: int
    result: Json
    arguments: Json
    """What led to the result."""
    threshold: float
    """Lowest score of a good result, for evaluators that have no threshold of their own."""
    evaluators: Sequence[tuple[str, float | None, EvaluatorOptions]]
    """Reference, time limit and options of each."""
    panels: Sequence[PanelOptions]
    background: bool = False
    """Whether the result is in use already. Its evaluators have workers of their own, so that no other job waits for
    them; each of them is asked, whatever the others say; and what they emit is dropped."""


def question_of(state: RunState, step: Step) -> Question:
    """Return the question that decides about the newest result of a step."""
    options, plain_one = step.options, EvaluatorOptions()
    found = zip_longest(options.accept, options.accept_timeouts, options.evaluators)
    return Question(
        app=state.app,
        run_id=state.run_id,
        key=step.key,
        attempt=len(step.attempts),
        result=judged_result(step),
        arguments=judged_arguments(state, step),
        threshold=options.threshold,
        evaluators=[(ref, timeout, more or plain_one) for ref, timeout, more in found],
        panels=options.panels,
    )


@mutable
class Evaluator:
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
        """Its name in evaluations."""
        return self.options.name or self.ref.rpartition(":")[2]

    @property
    def is_judge(self) -> bool:
        """Whether it is a model call, which costs money."""
        return self.options.kind == "llm"

    @property
    def asked(self) -> int:
        """How often it has been asked, without those times that its process died of something else."""
        return self.deaths + len(self.failures)
