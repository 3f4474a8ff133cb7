"""Steps: decorated functions, which are called as before wherever they run."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Final, Generic, ParamSpec, Self, TypeAlias, TypedDict, TypeVar, Unpack, cast

from pydantic import ValidationError

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.definitions.definitions import Definition, StepDefinition
from greenroom.actors.definitions.signature import every_item
from greenroom.actors.values.conversion import as_score, faults
from greenroom.actors.worker import tool_fakes
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.message import Json
from greenroom.messages.core.times import Seconds
from greenroom.messages.evaluation import Score
from greenroom.messages.policy import Retry, StepOptions

P = ParamSpec("P")
R = TypeVar("R")

Call: TypeAlias = Coroutine[object, None, R]
"""Result of calling a step or workflow: a coroutine. With ``Any`` in place of ``object``, mypy would lose the types
that ``asyncio.gather`` returns."""

DEFAULT_TIMEOUT: Final = 300.0
"""Seconds one attempt may take by default."""
DEFAULT_RETRY: Final = Retry()
"""The default retry policy."""


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

    def __init__(self, definition: StepDefinition, accept: "Sequence[Step[..., Score]]" = ()) -> None:
        """Wrap a definition; made by the decorators."""
        self.definition = definition
        self.name = definition.name
        self._accept = tuple(accept)
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
        return self.definition.call_options(self._options)

    async def _schedule(self, port: ProgramPort, options: StepOptions, arguments: Json) -> R:
        result = await port.call_step(
            name=self.name,
            kind=self.definition.step_kind,
            step=self.definition.ref,
            arguments=arguments,
            options=options,
            key=self._key,
        )
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


Evaluators: TypeAlias = Sequence[Step[..., Score]]


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
    given = accept if isinstance(accept, (list, tuple)) else (accept,)
    steps = [cast("Step[..., Any]", step) for step in given if isinstance(step, Step)]
    evaluators = [step for step in steps if step.definition.kind == "evaluator"]
    found: list[tuple[str, str]] = []
    if len(evaluators) != len(given):
        found.append(("accept", "takes functions decorated with @evaluator"))
    if evaluators:
        refs = tuple(step.definition.ref for step in evaluators)
        timeouts = tuple(step.timeout for step in evaluators)
        values = {**values, "accept": refs, "accept_timeouts": timeouts}
    try:
        options = StepOptions.model_validate(values)
    except ValidationError as error:
        found += faults(error)
        options = StepOptions()
    if found:
        msg = f"{title} has options that cannot be:" + "".join(f"\n  {place}: {what}" for place, what in found)
        raise DefinitionError(msg)
    return options


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
