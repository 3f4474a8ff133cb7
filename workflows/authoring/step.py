"""Steps: decorated functions, which are called as before wherever they run."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from copy import copy
from functools import cache, cached_property
from typing import Any, Final, Generic, ParamSpec, Self, TypeAlias, TypedDict, TypeVar, Unpack, cast

from pydantic import ValidationError

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.definitions.definitions import Definition, Kind, ModelDefinition, StepDefinition, check_name
from greenroom.actors.definitions.signature import every_item
from greenroom.actors.values.conversion import as_score, faults
from greenroom.actors.worker import tool_fakes
from greenroom.messages.core.errors import DefinitionError, EvaluatorFailure, StepFailed
from greenroom.messages.core.message import Json
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.core.times import Seconds
from greenroom.messages.options.policy import (
    EvaluatorOptions,
    ModelCall,
    PanelOptions,
    Price,
    Retry,
    SampledEvaluator,
    Sampling,
    StepOptions,
)
from greenroom.messages.records.evaluation import Evaluation, Score

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


class Step(OtherNames, Generic[P, R]):
    """A function whose calls are journaled steps inside a workflow.

    Awaited inside a workflow, a call runs in a worker process of its own kind, under the step's timeout and retry
    policy, and its result is recorded. Awaited anywhere else it runs in place, once: a plain function in a thread, so
    that it does not block the loop, an ``async`` function on the loop itself.
    """

    def __init__(self, definition: StepDefinition, accept: "Evaluators" = (), sample: "Shares | None" = None) -> None:
        """Wrap a definition; made by the decorators."""
        self.definition = definition
        self.name = definition.name
        self._accept = evaluator_steps(accept)
        self._sample = evaluator_steps(tuple(sample or ()))
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
        changed.name = check_name(given.pop("name", self.name), self.definition.kind)
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
        for definition in (self.definition, *(step.definition for step in (*self._accept, *self._sample))):
            _ = definition.app
        return self.definition.call_options(self._with_judges(self._options))

    def _with_judges(self, options: StepOptions) -> StepOptions:
        """Return options with the models of the judges among the evaluators."""
        changes: dict[str, Any] = {}
        models = [_model_of(step) for step in self._accept]
        if any(models):
            asked = zip(options.evaluators, models, strict=True)
            changes["evaluators"] = tuple(more.model_copy(update={"model": model}) for more, model in asked)
        if options.sample is not None:
            changes["sample"] = sampling_with_models(options.sample, self._sample)
        return options.model_copy(update=changes) if changes else options

    def evaluator_options(self) -> EvaluatorOptions:
        """Return how it is asked as an evaluator of other steps.

        Its failure is final there unless its author has chosen a retry policy: the same code mostly fails again, and
        the result would wait for it.
        """
        name = "" if self.name == self.definition.name else self.name
        retry = None if self._options.retry == DEFAULT_RETRY else self._options.retry
        return EvaluatorOptions(name=name, retry=retry)

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

    async def evaluation(self, result: Any, call: Any, *, recorded: bool = False) -> Evaluation:
        """Have all members rate a result, and return what they say together.

        Args:
            result: The result.
            call: What led to it.
            recorded: Whether the result is JSON that the journal holds.
        """
        raise NotImplementedError


Evaluators: TypeAlias = Sequence[Step[..., Score] | EvaluatorGroup]
"""What a step's ``accept`` takes."""
Shares: TypeAlias = Mapping[Step[..., Score] | EvaluatorGroup, float]
"""What ``sample`` takes: evaluators that rate answers in the background, each with the share that it rates."""


def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain function; a generator returns the list of its items, as in a tool process."""
    result = fn(*args, **kwargs)
    return list(result) if inspect.isgenerator(result) else result


def step_options(
    title: str, values: dict[str, Any], accept: Sequence[object] = (), sample: object = None
) -> StepOptions:
    """Return the checked options of a step.

    Args:
        title: Name of the step, for the error.
        values: Fields of ``StepOptions``.
        accept: The evaluators of its results.
        sample: Those that rate a share of them in the background; see ``Shares``.

    Raises:
        DefinitionError: Options have invalid values; all of them are named.
    """
    evaluating, found = accepted(accept)
    values = {**values, **evaluating}
    if sample is not None:
        values["sample"], wrong = sampled(sample)
        found += wrong
    try:
        options = StepOptions.model_validate(values)
    except ValidationError as error:
        found += faults(error)
        options = StepOptions()
    if found:
        msg = f"{title} has invalid options:" + "".join(f"\n  {place}: {what}" for place, what in found)
        raise DefinitionError(msg)
    return options


def given_settings(title: str, settings: object) -> dict[str, Any]:
    """Return the settings of a model that its author has given; none for None.

    Raises:
        DefinitionError: They are not a mapping.
    """
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        msg = f'{title} has settings={settings!r:.100}: they are a dict, such as {{"temperature": 0.2}}'
        raise DefinitionError(msg)
    return dict(cast("Mapping[str, Any]", settings))


def given_price(title: str, price: object) -> Price | None:
    """Return the price of a model that its author has given, or None.

    Raises:
        DefinitionError: It is not a price.
    """
    try:
        return Price.of(price)
    except ValueError as error:
        msg = f"{title} has a wrong price: {error}"
        raise DefinitionError(msg) from error


def accepted(accept: object) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the fields of ``StepOptions`` for evaluators, and what is wrong with them: option and sentence."""
    given = cast("Sequence[object]", accept) if isinstance(accept, (list, tuple)) else (accept,)
    steps, panels, found = _members(given, "accept")
    values: dict[str, Any] = {}
    if steps and not found:
        values["accept"] = tuple(step.definition.ref for step, _ in steps)
        values["accept_timeouts"] = tuple(step.timeout for step, _ in steps)
        options = tuple(more for _, more in steps)
        values["evaluators"] = options if any(more != EvaluatorOptions() for more in options) else ()
        values["panels"] = tuple(panels)
    return values, found


def sampled(sample: object) -> tuple[Sampling | None, list[tuple[str, str]]]:
    """Return how a share of the answers is rated, None if none is, and what is wrong: option and sentence."""
    if not isinstance(sample, Mapping):
        return None, [("sample", f"is a mapping of evaluators to shares, such as {{judge: 0.1}}, not {sample!r:.100}")]
    panels: list[PanelOptions] = []
    evaluators: list[SampledEvaluator] = []
    found: list[tuple[str, str]] = []
    for each, share in cast("Mapping[object, object]", sample).items():
        steps, panel, wrong = _members((each,), "sample", len(panels))
        panels += panel
        found += wrong
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            found.append(("sample", f"a share is a number above 0 and at most 1, not {share!r:.100}"))
            continue
        evaluators += [
            SampledEvaluator(ref=step.definition.ref, share=share, timeout=step.timeout, options=options)
            for step, options in steps
        ]
    if found or not evaluators:
        return None, found
    return Sampling(evaluators=tuple(evaluators), panels=tuple(panels)), []


def _model_of(evaluator: Step[..., Any]) -> ModelCall | None:
    """Return the model that an evaluator calls; None if it is not a judge."""
    definition = evaluator.definition
    return definition.calls[0] if isinstance(definition, ModelDefinition) else None


def sampling_with_models(sampling: Sampling, evaluators: Sequence[Step[..., Any]]) -> Sampling:
    """Return a sampling with the models of the judges among its evaluators, given in the same order."""
    return sampling.model_copy(
        update={
            "evaluators": tuple(
                each.model_copy(update={"options": each.options.model_copy(update={"model": _model_of(step)})})
                for each, step in zip(sampling.evaluators, evaluators, strict=True)
            )
        }
    )


def sampling_of(title: str, sample: "Shares | None") -> Callable[[], Sampling] | None:
    """Return what tells how a share of the results of a workflow or a session is rated, None if none is.

    Raises:
        DefinitionError: What is given is not a mapping of evaluators to shares.
    """
    sampling, found = (None, []) if sample is None else sampled(sample)
    if found:
        msg = f"{title} has invalid options:" + "".join(f"\n  {place}: {what}" for place, what in found)
        raise DefinitionError(msg)
    if sampling is None or sample is None:
        return None
    evaluators = evaluator_steps(tuple(sample))
    return cache(lambda: sampling_with_models(sampling, evaluators))  # models are looked up in workers


Member: TypeAlias = tuple[Step[..., Any], EvaluatorOptions]
"""An evaluator, and how it is asked."""


def _members(
    given: Sequence[object], option: str, panels_before: int = 0
) -> tuple[list[Member], list[PanelOptions], list[tuple[str, str]]]:
    """Return evaluators with those in panels, the panels, and what is wrong with them."""
    steps: list[Member] = []
    panels: list[PanelOptions] = []
    found: dict[tuple[str, str], None] = {}
    for each in given:
        if isinstance(each, EvaluatorGroup):
            place, weighted = panels_before + len(panels), zip(each.members, each.weights, strict=True)
            panels.append(each.options)
            steps += [(step, _in_panel(step.evaluator_options(), place, weight)) for step, weight in weighted]
        elif isinstance(each, Step):
            step = cast("Step[..., Any]", each)
            steps.append((step, step.evaluator_options()))
        else:
            found[option, NO_EVALUATOR] = None
    for step, _ in steps:
        if fault := step.accept_fault():
            found[option, fault] = None
    return steps, panels, list(found)


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


def author_name(fn: object, name: str | None, kind: Kind) -> str:
    """Return the name of a decorated function: the given one, or its own.

    Raises:
        DefinitionError: It is already decorated, or not a function, or the name is not valid.
    """
    if isinstance(known := getattr(fn, "definition", None), Definition):
        msg = f"{known.title} is a step, a workflow or a session already: decorate a function once"
        raise DefinitionError(msg)
    if not callable(fn):
        msg = f"@{kind} decorates a function, not {fn!r}; its options are given by name"
        raise DefinitionError(msg)
    return check_name(getattr(fn, "__name__", str(fn)) if name is None else name, kind)
