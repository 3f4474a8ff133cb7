"""``Judge`` and ``Pairwise``: language models that rate results."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast, get_args

from typing_extensions import override

from greenroom.actors.definitions.definition_site import caller_site
from greenroom.actors.evaluation.judge import JudgeDefinition, Sees
from greenroom.actors.models import Model, check_model
from greenroom.actors.values.conversion import AnyJson
from greenroom.messages.core.errors import DefinitionError, EvaluatorFailure
from greenroom.messages.core.message import Shown
from greenroom.messages.core.other_names import with_hints
from greenroom.messages.core.times import Seconds
from greenroom.messages.options.policy import EvaluatorOptions, Retry
from greenroom.messages.records.evaluation import Score
from greenroom.workflows.authoring.evaluators.evaluation_run import provide
from greenroom.workflows.authoring.step import (
    DEFAULT_RETRY,
    DEFAULT_TIMEOUT,
    Call,
    Step,
    given_price,
    given_settings,
    step_options,
)

CAN_SEE: Final[tuple[Sees, ...]] = get_args(Sees)
"""All that a judge can see beside the result."""
SEES_BY_DEFAULT: Final[tuple[Sees, ...]] = ("call", "expected")
"""What a judge sees beside the result if its author does not say."""
_EVEN: Final = 0.5


@with_hints
class Judge(Step[..., Score]):
    """A language model as evaluator: it rates a result by a rubric, with a score and a reason.

    Use it in ``accept=[...]`` of tools and LLMs, as a member of a ``Panel``, or await it in a workflow:
    ``score = await judge(result, {"expected": ...})``. It runs in an LLM worker. In ``accept`` it is asked only about
    results that no function or rule has rejected, and its usage is recorded with the evaluation.
    """

    def __init__(  # noqa: PLR0913  one for each thing that an author sets
        self,
        name: str,
        *,
        rubric: str,
        model: str | Model | None = None,
        threshold: float | None = None,
        sees: Sequence[Sees] = SEES_BY_DEFAULT,
        retry: Retry = DEFAULT_RETRY,
        timeout: Seconds | None = DEFAULT_TIMEOUT,
        settings: Mapping[str, Shown] | None = None,
        price: tuple[float, float] | None = None,
    ) -> None:
        """Make the judge; like a decorated function it belongs at the top level of a file.

        Args:
            name: Name of the judge.
            rubric: What makes a result good. The judge is told to give 1.0 to what meets it completely.
            model: See ``LLM``.
            threshold: Lowest score with which it accepts a result; None for the threshold of the step.
            sees: What it sees beside the result: the ``"call"`` that returned it, the ``"expected"`` output, and of a
                whole run also its ``"steps"`` and the ``"metadata"`` of its case.
            retry: How often and when it is asked again if the model fails or its answer is not valid.
            timeout: Seconds one call may take; None for no limit.
            settings: Passed to the model unchanged.
            price: See ``LLM``.

        Raises:
            DefinitionError: An option has an invalid value, or there is no such model.
        """
        title = f"judge `{name}`"
        _check_rubric(title, rubric)
        given: object = sees  # a caller need not be typed; a str would be one name per letter
        listed = cast("Collection[object]", given) if isinstance(given, (list, tuple, set, frozenset)) else None
        if listed is None or not all(each in CAN_SEE for each in listed):
            msg = f"{title} has sees={given!r:.100}: give a tuple of some of {', '.join(CAN_SEE)}"
            raise DefinitionError(msg)
        check_model(model, title)
        provide()
        options = step_options(title, {"timeout": timeout, "retry": retry, "threshold": _threshold(threshold)})
        self._threshold = None if threshold is None else options.threshold

        async def rate(result: AnyJson, call: AnyJson = None) -> Score:
            return await _ask_in_place(definition, result, call)

        definition = JudgeDefinition(
            name,
            rate,
            caller_site(f"Judge.{name}"),
            options,
            rubric=rubric,
            model=model,
            settings=given_settings(title, settings),
            sees=sees,
            price=given_price(title, price),
        )
        super().__init__(definition)
        self.__name__ = name
        self.__doc__ = rubric

    def __call__(self, result: Any, call: Any = None) -> Call[Score]:
        """Rate a result; nothing runs before the coroutine is awaited or made a task.

        Args:
            result: The result: any value that pydantic can write as JSON.
            call: What led to it, for example ``{"args": [...], "kwargs": {...}, "expected": ...}``.

        Raises:
            EvaluatorFailure: When awaited: the judge gave no score.
        """
        return super().__call__(result, call)

    @override
    def evaluator_options(self) -> EvaluatorOptions:
        """Return how it is asked as an evaluator of other steps."""
        retry = self._options.retry
        return EvaluatorOptions(name=self.name, kind="llm", threshold=self._threshold, retry=retry)


@with_hints
class Pairwise:
    """A language model that says which of two results is better.

    It is asked twice, with the results in either order, since models prefer one place to the other. Await it in a
    workflow: ``score = await better(first, second)``. The score is 1.0 if the first result is better in both orders,
    0.0 if the second is, and between them if the answers differ; the label is ``"first"``, ``"second"`` or ``"tie"``.
    """

    def __init__(
        self,
        name: str,
        *,
        rubric: str,
        model: str | Model | None = None,
        retry: Retry = DEFAULT_RETRY,
        timeout: Seconds | None = DEFAULT_TIMEOUT,
        settings: Mapping[str, Shown] | None = None,
        price: tuple[float, float] | None = None,
    ) -> None:
        """Make the judge; see ``Judge`` for the arguments.

        Raises:
            DefinitionError: An option has an invalid value, or there is no such model.
        """
        title = f"judge `{name}`"
        _check_rubric(title, rubric)
        check_model(model, title)

        async def compare(first: AnyJson, second: AnyJson) -> Score:
            return await _ask_in_place(definition, first, second)

        definition = JudgeDefinition(
            name,
            compare,
            caller_site(f"Pairwise.{name}"),
            step_options(title, {"timeout": timeout, "retry": retry}),
            rubric=rubric,
            model=model,
            settings=given_settings(title, settings),
            compares=True,
            price=given_price(title, price),
        )
        self.name = name
        self._step: Step[..., Score] = Step(definition)

    async def __call__(self, first: Any, second: Any) -> Score:
        """Compare two results.

        Raises:
            EvaluatorFailure: The model gave no valid answer.
        """
        one, other = await asyncio.gather(
            self._step.options(key="as given")(first, second), self._step.options(key="swapped")(second, first)
        )
        value = (one.value + 1.0 - other.value) / 2
        label = "first" if value > _EVEN else "second" if value < _EVEN else "tie"
        return Score(value, f"{one.reason} (in the other order: {other.reason})", label)


def _check_rubric(title: str, rubric: object) -> None:
    if not isinstance(rubric, str) or not rubric.strip():
        msg = f"{title} needs a rubric in words, not {rubric!r:.100}"
        raise DefinitionError(msg)


def _threshold(threshold: float | None) -> float:
    return 0.7 if threshold is None else threshold


async def _ask_in_place(definition: JudgeDefinition, *given: Any) -> Score:
    """Ask once, outside any run.

    Raises:
        EvaluatorFailure: The judge gave no score.
    """
    from greenroom.actors.worker.models.prompt import ask_in_place  # noqa: PLC0415  for workers, and for calls in place

    try:
        return cast("Score", await ask_in_place(definition, definition.prompt_of(given, {})))
    except Exception as error:
        msg = f"{definition.title} gave no score: {error}"
        raise EvaluatorFailure(msg, step=definition.name, attempts=1) from error
