"""``Panel``: several evaluators that give one score together."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError
from typing_extensions import override

from greenroom.actors.evaluation.panels import Member, combined
from greenroom.actors.values.conversion import faults, sentence
from greenroom.messages.core.errors import DefinitionError, EvaluatorFailure
from greenroom.messages.core.other_names import with_hints
from greenroom.messages.options.policy import Combine, EvaluatorOptions, PanelOptions, StepOptions
from greenroom.messages.records.evaluation import Evaluation, Score
from greenroom.workflows.authoring.evaluators.evaluation_run import evaluation_by, provide, threshold_of
from greenroom.workflows.authoring.step import NO_EVALUATOR, EvaluatorGroup, Step

_DEFAULT: Final = StepOptions().threshold


@with_hints
class Panel(EvaluatorGroup):
    """Several evaluators whose scores become one.

    Use it in ``accept=[...]`` beside other evaluators, or await it in a workflow: ``score = await panel(result)``. In
    ``accept`` its judges are asked only about results that no evaluator outside of a panel has rejected.
    """

    def __init__(
        self,
        name: str,
        members: Sequence[Step[..., Score]],
        *,
        combine: Combine = "mean",
        weights: Sequence[float] | None = None,
        threshold: float | None = None,
    ) -> None:
        """Make the panel.

        Args:
            name: Name of the panel.
            members: Judges, rules, and functions with ``@evaluator``.
            combine: ``"mean"`` of the scores; ``"majority"``, the share of members that accept the result, which has to
                be more than half; or ``"min"``, the lowest score.
            weights: Weights of the members in a mean or a majority, above 0; by default all are alike.
            threshold: Lowest score with which the panel accepts a result; None for the threshold of the step. A
                majority has none.

        Raises:
            DefinitionError: There are no members, as many weights as members are not given, or an option is invalid.
        """
        title = f"panel `{name}`"
        self.members = tuple(members)
        self.weights = (1.0,) * len(self.members) if weights is None else tuple(weights)
        if not self.members or any(not _evaluates(each) for each in self.members):
            msg = (
                f"{title} {NO_EVALUATOR}; a panel cannot be a member of a panel"
                if self.members
                else f"{title} has no members"
            )
            raise DefinitionError(msg)
        if len(self.weights) != len(self.members):
            msg = f"{title} has {len(self.members)} members and {len(self.weights)} weights: give one to each"
            raise DefinitionError(msg)
        try:
            self.options = PanelOptions(name=name, combine=combine, threshold=threshold)
            for weight in self.weights:
                EvaluatorOptions(weight=weight)
        except ValidationError as error:
            msg = f"{title} has invalid options: {sentence(faults(error))}"
            raise DefinitionError(msg) from None
        self.name = name
        provide()

    def __repr__(self) -> str:
        """Name the panel and its members."""
        return f"<panel `{self.name}`: {self.options.combine} of {', '.join(each.name for each in self.members)}>"

    async def __call__(self, result: Any, call: Any = None) -> Score:
        """Have all members rate a result, at the same time, and return the panel's score.

        Raises:
            EvaluatorFailure: Too few members gave a score; see ``combine``.
        """
        whole = await self.evaluation(result, call)
        if whole.score is None:
            msg = f"panel `{self.name}` gave no score: {whole.error}"
            raise EvaluatorFailure(msg, step=self.name)
        return Score(whole.score, whole.reason)

    @override
    async def evaluation(self, result: Any, call: Any, *, recorded: bool = False) -> Evaluation:
        """Have all members rate a result, and return what they say together; see ``evaluation_by``."""
        said = await asyncio.gather(*(evaluation_by(each, result, call, recorded=recorded) for each in self.members))
        weighted = [Member(weight, each) for weight, each in zip(self.weights, said, strict=True)]
        return combined(self.name, self.options.combine, threshold_of(self), weighted)


def _evaluates(member: object) -> bool:
    return isinstance(member, Step) and member.definition.evaluates
