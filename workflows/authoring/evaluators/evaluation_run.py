"""The workflows of ``greenroom eval``: they check cases, and have evaluators rate the results of other runs.

Every app with evaluators has them. They run as all workflows do, so evaluations are journaled, tried again and counted.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, Protocol, cast

from greenroom.actors.definitions.definition_site import Site
from greenroom.actors.definitions.definitions import BuiltInWorkflow, built_in
from greenroom.actors.definitions.registry import find_workflow, suggestion
from greenroom.actors.values.conversion import sentence
from greenroom.messages.core.errors import DefinitionError, EvaluatorFailure, InvalidInput, NotSerializable
from greenroom.messages.options.policy import StepOptions
from greenroom.messages.records.evaluation import Evaluation, Score
from greenroom.workflows.authoring.step import Call, EvaluatorGroup, Step

CHECK: Final = "greenroom.check_cases"
EVALUATE: Final = "greenroom.evaluate"


class Rater(Protocol):
    """Anything that rates a result: an evaluator, or a panel."""

    name: str

    def __call__(self, result: Any, call: Any = None, /) -> Call[Score]:
        """Rate a result."""
        ...


def threshold_of(evaluator: object) -> float:
    """Return the lowest score with which an evaluator accepts a result, if no step says otherwise."""
    own = None
    if isinstance(evaluator, Step):
        own = evaluator.evaluator_options().threshold
    elif isinstance(evaluator, EvaluatorGroup):
        own = evaluator.options.threshold
    return StepOptions().threshold if own is None else own


async def rated(evaluator: Rater | Step[..., Score], result: Any, call: Any) -> Score:
    """Return an evaluator's score. A function gets as many arguments as it has parameters.

    Raises:
        EvaluatorFailure: It gave no score.
    """
    if not _is_function(evaluator):  # judges, rules and panels take any call
        return await evaluator(result, call)
    step = cast("Step[..., Score]", evaluator)
    given: Mapping[str, Any] = cast("Mapping[str, Any]", call) if isinstance(call, Mapping) else {}
    many = len(step.definition.signature.parameters)
    return await step(*[result, {"args": [], "kwargs": {}, **given}][:many])


async def check_cases(app: str, workflow: str, evaluators: list[str], cases: list[dict[str, Any]]) -> list[list[str]]:
    """Return what is wrong with the evaluators, and then with the inputs of each case, as lists of sentences."""
    wrong: list[list[str]] = [[]]
    try:
        definition = find_workflow(workflow) if workflow else None
    except DefinitionError as error:
        return [[str(error)]]
    for name in evaluators:
        try:
            find_evaluator(app, name)
        except DefinitionError as error:
            wrong[0].append(str(error))
    if definition is None:
        return wrong
    for inputs in cases:
        try:
            definition.bind_json(inputs)
        except InvalidInput as error:
            wrong.append([sentence((each,)) for each in error.errors] or [str(error)])
        else:
            wrong.append([])
    return wrong


async def evaluate(app: str, evaluators: list[str], result: Any, call: dict[str, Any]) -> list[Evaluation]:
    """Have evaluators rate the result of a run, all at the same time."""
    return list(await asyncio.gather(*(_evaluated(app, name, result, call) for name in evaluators)))


async def _evaluated(app: str, name: str, result: Any, call: dict[str, Any]) -> Evaluation:
    return await evaluation_by(find_evaluator(app, name), result, call, recorded=True)


async def evaluation_by(evaluator: Rater, result: Any, call: Any, *, recorded: bool = False) -> Evaluation:
    """Return what an evaluator says about a result; if it gives no score, why it failed.

    Args:
        evaluator: The evaluator.
        result: The result.
        call: What led to it.
        recorded: Whether the result is JSON that the journal holds. A function gets the value that its annotation makes
            of it, and has failed if there is none: it was not its caller who chose the value.
    """
    if isinstance(evaluator, EvaluatorGroup):
        return await evaluator.evaluation(result, call, recorded=recorded)
    threshold = threshold_of(evaluator)
    try:
        score = await rated(evaluator, _as_taken(evaluator, result) if recorded else result, call)
    except (EvaluatorFailure, InvalidInput, NotSerializable) as error:
        if not (recorded or isinstance(error, EvaluatorFailure)):
            raise
        return Evaluation(name=evaluator.name, score=None, passed=False, threshold=threshold, error=str(error))
    return Evaluation(
        name=evaluator.name,
        score=score.value,
        passed=score.value >= threshold,
        threshold=threshold,
        reason=score.reason,
        label=score.label,
    )


def _as_taken(evaluator: object, result: Any) -> Any:
    """Return a result as the value that a function with ``@evaluator`` takes, by its annotation."""
    if _is_function(evaluator):
        form = next(iter(cast("Step[..., Score]", evaluator).definition.signature.forms.values()))
        return form.decode(result)
    return result


def find_evaluator(app: str, name: str) -> Rater:
    """Return the evaluator with a name at the top level of an app's file.

    Raises:
        DefinitionError: There is none.
    """
    module = _module(app)
    found: object = getattr(module, name, None)
    if _rates(found):
        return cast("Rater", found)
    known = [key for key, value in vars(module).items() if _rates(value)] if module is not None else []
    msg = f"{app} has no evaluator `{name}`{suggestion(name, known)}"
    raise DefinitionError(msg)


def _is_function(evaluator: object) -> bool:
    """Return whether an evaluator is a function of the app, and no judge, rule or panel."""
    return type(evaluator) is Step


def _rates(value: object) -> bool:
    return isinstance(value, EvaluatorGroup) or (isinstance(value, Step) and value.definition.evaluates)


def _module(app: str) -> ModuleType | None:
    """Return the module of an app, which this process has imported."""
    modules = list(sys.modules.items())
    return next((each for key, each in modules if app in {key, getattr(each, "__file__", None)}), None)


def provide() -> None:
    """Register the workflows, so that the app that is being imported has them."""
    if EVALUATE in built_in:
        return
    workflows: dict[str, Callable[..., Any]] = {CHECK: check_cases, EVALUATE: evaluate}
    for name, fn in workflows.items():
        site = Site(__name__, fn.__name__, __name__, __file__, "", id(globals()), 0)
        BuiltInWorkflow("workflow", name, fn, site)
