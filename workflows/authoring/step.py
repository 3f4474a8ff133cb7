"""Steps: decorated functions, which are called as before wherever they run."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Final, Generic, ParamSpec, Self, TypeAlias, TypedDict, TypeVar, Unpack, cast

from pydantic import ValidationError

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.definitions.definitions import Definition, ModelDefinition, StepDefinition
from greenroom.actors.definitions.signature import every_item
from greenroom.actors.values.conversion import as_score, faults
from greenroom.actors.worker import tool_fakes
from greenroom.messages.core.errors import DefinitionError, EvaluatorFailure, StepFailed
from greenroom.messages.core.message import Json
from greenroom.messages.core.times import Seconds
from greenroom.messages.evaluation import Score
from greenroom.messages.policy import EvaluatorOptions, PanelOptions, Price, Retry, StepOptions

P = ParamSpec("P")
R = TypeVar("R")

Call: TypeAlias = Coroutine[object, None, R]
"""Result of calling a step or workflow: a coroutine. With ``Any`` in place of ``object``, mypy would lose the types
that ``asyncio.gather`` returns."""

DEFAULT_TIMEOUT: Final = 300.0
"""Seconds one attempt may take by default."""
DEFAULT_RETRY: Final = Retry()
"""The default retry policy."""
NO_EVALUATOR: Final = "takes functions decorated with @evaluator, and a Judge, Rule or Panel"


class StepChanges(TypedDict, total=False):
    """Options that ``Step.options`` can change.

    Attributes:
        timeout: Seconds one attempt may take, or None for no limit.
        retry: How often and when it is tried again.
        name: Name of the call, in its key and in every record.
        key: Label of the call in its key, such as the item it works on.
    """

    timeout: Seconds | None
    retry: Retry
    name: str
    key: str | None


class Step(Generic[P, R]):
    """A function whose calls are journaled steps inside a workflow.

    Awaited inside a workflow, a call runs in a worker process of its own kind, under the step's timeout and retry
    policy, and its result is recorded. Awaited anywhere else it runs in place, once: a plain function in a thread, so
    that it does not block the loop, an ``async`` function on the loop itself.
    """

    def __init__(self, definition: StepDefinition, accept: "Evaluators" = ()) -> None:
        """Wrap a definition; made by the decorators."""
        self.definition = definition
        self.name = definition.name
        self._accept = evaluator_steps(accept)
        self._options = definition.options
        self._key: str | None = None
        present(self, definition.fn)

    @property
    def fn(self) -> Callable[P, Any]:
        """The plain function, ``async`` if it was written so."""
        return self.definition.fn

    @property
    def timeout(self) -> float | None:
        """Seconds one attempt may take; None for no limit."""
        return self._options.timeout

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Call the step; nothing runs before the coroutine is awaited or made a task.

        Raises:
            TypeError: The arguments do not fit the function, or cannot be written as JSON.
        """
        port = program.get()
        if port is not None:
            return self._schedule(port, self._checked, self.definition.signature.encode_call(args, kwargs))
        self.definition.signature.check(args, kwargs)
        coroutine: Any = self._run_in_place(args, kwargs)
        coroutine.__qualname__ = self.name  # the name in Python's warning about a coroutine never awaited
        return cast("Call[R]", coroutine)

    def options(self, **changes: Unpack[StepChanges]) -> Self:
        """Return a copy with other options: ``timeout``, ``retry``, ``name``, ``key``.

        Raises:
            DefinitionError: Options have invalid values; all of them are named.
        """
        given: dict[str, Any] = {**changes}
        changed = copy(self)
        changed.__dict__.pop("_checked", None)
        changed.name = given.pop("name", self.name)
        changed._key = given.pop("key", self._key)  # noqa: SLF001  a copy of this object
        changed._options = step_options(self.definition.title, {**dict(self._options), **given})  # noqa: SLF001
        return changed

    def __repr__(self) -> str:
        """Describe the step in a few words."""
        limit = "no timeout" if self._options.timeout is None else f"{self._options.timeout:g} s each"
        attempts = self._options.retry.attempts
        many = "1 attempt" if attempts == 1 else f"up to {attempts} attempts"
        return f"<{self.definition.title} of {self.definition.site.module}: {many}, {limit}>"

    @cached_property
    def _checked(self) -> StepOptions:
        """The options, after a check that workers can find the step and its evaluators."""
        for definition in (self.definition, *(step.definition for step in self._accept)):
            _ = definition.app
        return self.definition.call_options(self._with_judges(self._options))

    def _with_judges(self, options: StepOptions) -> StepOptions:
        """Return options with the models of the judges among the evaluators."""
        models = [
            judge.calls[0] if isinstance(judge := step.definition, ModelDefinition) else None for step in self._accept
        ]
        if not any(models):
            return options
        asked = zip(options.evaluators, models, strict=True)
        return options.model_copy(
            update={"evaluators": tuple(more.model_copy(update={"model": model}) for more, model in asked)}
        )

    def evaluator_options(self) -> EvaluatorOptions:
        """Return how it is asked as an evaluator of other steps."""
        return EvaluatorOptions()

    def accept_fault(self) -> str:
        """Return why it cannot evaluate the results of a step; empty if it can."""
        return "" if self.definition.evaluates else NO_EVALUATOR

    async def _schedule(self, port: ProgramPort, options: StepOptions, arguments: Json) -> R:
        try:
            result = await port.call_step(
                name=self.name,
                kind=self.definition.step_kind,
                step=self.definition.ref,
                arguments=arguments,
                options=options,
                key=self._key,
            )
        except StepFailed as error:
            if not self.definition.evaluates:
                raise
            failed = EvaluatorFailure(
                str(error), step=error.step, attempts=error.attempts, outcome=error.outcome, error=error.error
            )
            raise failed from error
        return cast("R", self.definition.decode_result(result))

    async def _run_in_place(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        fn = tool_fakes.in_place.get(self.definition.ref, self.definition.fn)
        if inspect.isasyncgenfunction(fn):
            return cast("R", await every_item(fn(*args, **kwargs)))
        if inspect.iscoroutinefunction(fn):
            result = await fn(*args, **kwargs)
        else:
            result = await asyncio.to_thread(_call, fn, args, kwargs)
        return cast("R", as_score(result) if self.definition.kind == "evaluator" else result)


class EvaluatorGroup:
    """Several evaluators that give one score together; see ``Panel``.

    Attributes:
        options: How their scores become one.
        members: The evaluators.
        weights: The weight of each.
    """

    options: PanelOptions
    members: "tuple[Step[..., Score], ...]"
    weights: tuple[float, ...]


Evaluators: TypeAlias = Sequence[Step[..., Score] | EvaluatorGroup]
"""What a step's ``accept`` takes."""


def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain function; a generator returns the list of its items, as in a tool process."""
    result = fn(*args, **kwargs)
    return list(result) if inspect.isgenerator(result) else result


def step_options(title: str, values: dict[str, Any], accept: Sequence[object] = ()) -> StepOptions:
    """Return the checked options of a step.

    Args:
        title: Name of the step, for the error.
        values: Fields of ``StepOptions``.
        accept: The evaluators of its results.

    Raises:
        DefinitionError: Options have invalid values; all of them are named.
    """
    evaluating, found = accepted(accept)
    values = {**values, **evaluating}
    try:
        options = StepOptions.model_validate(values)
    except ValidationError as error:
        found += faults(error)
        options = StepOptions()
    if found:
        msg = f"{title} has options that cannot be:" + "".join(f"\n  {place}: {what}" for place, what in found)
        raise DefinitionError(msg)
    return options


def given_price(title: str, price: object) -> Price | None:
    """Return the price of a model that its author has given, or None.

    Raises:
        DefinitionError: It is no price.
    """
    try:
        return Price.of(price)
    except ValueError as error:
        msg = f"{title} has a wrong price: {error}"
        raise DefinitionError(msg) from error


def accepted(accept: object) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the fields of ``StepOptions`` for evaluators, and what is wrong with them: option and sentence."""
    given = cast("Sequence[object]", accept) if isinstance(accept, (list, tuple)) else (accept,)
    steps: list[tuple[Step[..., Any], EvaluatorOptions]] = []
    panels: list[PanelOptions] = []
    found: dict[tuple[str, str], None] = {}
    for each in given:
        if isinstance(each, EvaluatorGroup):
            place, weighted = len(panels), zip(each.members, each.weights, strict=True)
            panels.append(each.options)
            steps += [(step, _in_panel(step.evaluator_options(), place, weight)) for step, weight in weighted]
        elif isinstance(each, Step):
            step = cast("Step[..., Any]", each)
            steps.append((step, step.evaluator_options()))
        else:
            found["accept", NO_EVALUATOR] = None
    for step, _ in steps:
        if fault := step.accept_fault():
            found["accept", fault] = None
    values: dict[str, Any] = {}
    if steps and not found:
        values["accept"] = tuple(step.definition.ref for step, _ in steps)
        values["accept_timeouts"] = tuple(step.timeout for step, _ in steps)
        options = tuple(more for _, more in steps)
        values["evaluators"] = options if any(more != EvaluatorOptions() for more in options) else ()
        values["panels"] = tuple(panels)
    return values, list(found)


def _in_panel(options: EvaluatorOptions, panel: int, weight: float) -> EvaluatorOptions:
    return options.model_copy(update={"panel": panel, "weight": weight})


def evaluator_steps(accept: Evaluators) -> "tuple[Step[..., Score], ...]":
    """Return the evaluators of a step, those in panels included."""
    return tuple(step for each in accept for step in (each.members if isinstance(each, EvaluatorGroup) else (each,)))


def present(wrapper: object, fn: Callable[..., Any]) -> None:
    """Show ``help``, ``inspect.signature`` and documentation tools the function behind its wrapper."""
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wrapper, attribute, getattr(fn, attribute, None))
    setattr(wrapper, "__wrapped__", fn)  # noqa: B010  inspect's convention, unknown to type checkers


def check_coroutine(fn: Callable[..., Any], title: str) -> None:
    """Check that a workflow or a session is a coroutine function.

    Raises:
        DefinitionError: It is a plain function, or a generator.
    """
    if inspect.isasyncgenfunction(fn):
        msg = f"{title} yields, and what calls it waits for one result: return it, and `emit(...)` what comes before it"
        raise DefinitionError(msg)
    if not inspect.iscoroutinefunction(fn):
        msg = f"{title} is not a coroutine function: write `async def {fn.__name__}`"
        raise DefinitionError(msg)


def author_name(fn: object, name: str | None, kind: str) -> str:
    """Return the name of a decorated function: the given one, or its own.

    Raises:
        DefinitionError: It is already decorated, or not a function.
    """
    if isinstance(known := getattr(fn, "definition", None), Definition):
        msg = f"{known.title} is a step, a workflow or a session already: decorate a function once"
        raise DefinitionError(msg)
    if not callable(fn):
        msg = f"@{kind} decorates a function, not {fn!r}; its options are given by name"
        raise DefinitionError(msg)
    return name if name is not None else str(getattr(fn, "__name__", fn))
