"""What authors write: ``@tool``, ``@evaluator``, ``@workflow``, ``LLM`` and ``sleep``."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from pydantic import BaseModel

from greenroom.actors.definitions.definition_site import caller_site, function_site
from greenroom.actors.definitions.definitions import (
    ModelDefinition,
    StepDefinition,
    WorkflowDefinition,
    check_defaults,
    is_model,
)
from greenroom.actors.models import Model, check_model
from greenroom.messages.core import times
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.message import Shown
from greenroom.messages.core.times import Seconds
from greenroom.messages.evaluation import Score
from greenroom.messages.policy import Budget, OnEvaluatorError, OnReject, Retry
from greenroom.workflows.authoring.step import (
    DEFAULT_RETRY,
    DEFAULT_TIMEOUT,
    Call,
    Step,
    author_name,
    check_coroutine,
    step_options,
)
from greenroom.workflows.authoring.workflow import Workflow, check_budget

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S", bound=BaseModel)
S_contra = TypeVar("S_contra", bound=BaseModel, contravariant=True)

Judgement: TypeAlias = Score | bool | float
"""What an evaluator may return: ``True`` is 1.0, ``False`` 0.0."""
Evaluators: TypeAlias = Sequence[Step[..., Score]]


class ToolDecorator(Protocol):
    """``tool`` with its options given."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, AsyncIterator[R] | Iterator[R]], /) -> Step[P, list[R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Step[P, R]: ...


class EvaluatorDecorator(Protocol):
    """``evaluator`` with its options given."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, Judgement]], /) -> Step[P, Score]: ...
    @overload
    def __call__(self, fn: Callable[P, Judgement], /) -> Step[P, Score]: ...


class Stateful(Protocol[S_contra, P, R_co]):
    """A coroutine function whose first parameter is the shared state: a pydantic model, named ``state``."""

    def __call__(self, state: S_contra, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Be called with the state before everything else."""
        ...


class WorkflowDecorator(Protocol):
    """``workflow`` with its options given."""

    @overload
    def __call__(self, fn: Stateful[S, P, R], /) -> Workflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...


@overload
def tool(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def tool(fn: Callable[P, AsyncIterator[R] | Iterator[R]], /) -> Step[P, list[R]]: ...
@overload
def tool(fn: Callable[P, R], /) -> Step[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    timeout: Seconds | None = DEFAULT_TIMEOUT,
    retry: Retry = DEFAULT_RETRY,
    crash_attempts: int = 3,
    once: bool = False,
    memory_mb: int | None = None,
    env: Sequence[str] = (),
    accept: Evaluators = (),
    threshold: float = 0.7,
    on_reject: OnReject = "retry",
    on_evaluator_error: OnEvaluatorError | None = None,
) -> ToolDecorator: ...
def tool(  # noqa: PLR0913  the contract's options
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: Seconds | None = DEFAULT_TIMEOUT,
    retry: Retry = DEFAULT_RETRY,
    crash_attempts: int = 3,
    once: bool = False,
    memory_mb: int | None = None,
    env: Sequence[str] = (),
    accept: Evaluators = (),
    threshold: float = 0.7,
    on_reject: OnReject = "retry",
    on_evaluator_error: OnEvaluatorError | None = None,
) -> Any:
    """Make a function a step that runs in a tool process.

    Args:
        fn: The function, plain or ``async``. What yields, of either kind, gives the list of all it yields.
        name: What the step is called; the function's name by default.
        timeout: Seconds one attempt may take before its process is killed; None for no limit.
        retry: How often and when it is tried again after it raised, overran or died.
        crash_attempts: Deaths of its process before the call is set aside.
        once: At most once: after a crash ``OutcomeUnknown`` is raised in the workflow instead of another attempt.
        memory_mb: Data limit of its process in MiB. A tool with a limit of its own has processes of its own.
        env: Names of environment variables that it may see. A tool with such has processes of its own.
        accept: Evaluators that must accept its result.
        threshold: Score from which each of them accepts it.
        on_reject: What becomes of a result they do not accept: ``"retry"``, ``"flag"`` it and go on, ``"fail"``, or
            ``"escalate"`` to a person, who takes it, replaces it or rejects it (``Orchestrator.decide``).
        on_evaluator_error: What becomes of a result that none of them refused while one of them failed itself:
            ``"reject"`` it, so that ``on_reject`` holds, ``"flag"`` it and go on, or ``"accept"`` it. By default it is
            rejected with ``on_reject="fail"`` and else flagged.

    Raises:
        DefinitionError: An option has a value it cannot have; all of them are named.
    """

    def decorate(fn: Callable[..., Any]) -> Step[..., Any]:
        step_name = author_name(fn, name, "tool")
        options: dict[str, Any] = {
            "timeout": timeout,
            "retry": retry,
            "crash_attempts": crash_attempts,
            "once": once,
            "threshold": threshold,
            "on_reject": on_reject,
            "on_evaluator_error": on_evaluator_error,
        }
        if memory_mb is not None or env:
            # A text is one name, not a name for each letter, and a mapping has values, which have no place in a file.
            names = env if isinstance(env, (str, Mapping)) else tuple(env)
            options |= {"pool": f"tool:{step_name}", "limits": {"memory_mb": memory_mb, "env": names}}
        checked = step_options(f"tool `{step_name}`", options, accept)
        return Step(StepDefinition("tool", step_name, fn, function_site(fn, step_name), checked), accept)

    return decorate if fn is None else decorate(fn)


@overload
def evaluator(fn: Callable[P, Coroutine[Any, Any, Judgement]], /) -> Step[P, Score]: ...
@overload
def evaluator(fn: Callable[P, Judgement], /) -> Step[P, Score]: ...
@overload
def evaluator(
    *, name: str | None = None, timeout: Seconds | None = DEFAULT_TIMEOUT, retry: Retry = DEFAULT_RETRY
) -> EvaluatorDecorator: ...
def evaluator(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: Seconds | None = DEFAULT_TIMEOUT,
    retry: Retry = DEFAULT_RETRY,
) -> Any:
    """Make a function a judge of results that runs in an evaluator process.

    It takes the result, and maybe the arguments of the call that gave it, as a second parameter:
    ``{"args": [...], "kwargs": {...}}``. It gives a ``Score``, a number from 0 to 1, or a bool.

    Args:
        fn: The function, plain or ``async``.
        name: What it is called; the function's name by default.
        timeout: Seconds one attempt may take before its process is killed; None for no limit.
        retry: How often and when it is tried again where it breaks.

    Raises:
        DefinitionError: An option has a value it cannot have, or the function takes other parameters.
    """

    def decorate(fn: Callable[..., Any]) -> Step[..., Score]:
        step_name = author_name(fn, name, "evaluator")
        title = f"evaluator `{step_name}`"
        checked = step_options(title, {"timeout": timeout, "retry": retry})
        definition = StepDefinition("evaluator", step_name, fn, function_site(fn, step_name), checked, result=Score)
        if len(definition.signature.parameters) not in {1, 2}:
            msg = f"{title} takes the result, and maybe the arguments that led to it: one parameter or two"
            raise DefinitionError(msg)
        return Step(definition)

    return decorate if fn is None else decorate(fn)


class LLM(Step[[str], T], Generic[T]):
    """A language model as a step: a prompt goes in, a value of ``output`` comes out."""

    @overload
    def __init__(
        self: "LLM[str]",
        name: str,
        *,
        model: str | Model | None = None,
        instructions: str = "",
        accept: Evaluators = (),
        threshold: float = 0.7,
        on_reject: OnReject = "retry",
        on_evaluator_error: OnEvaluatorError | None = None,
        retry: Retry = DEFAULT_RETRY,
        timeout: Seconds | None = DEFAULT_TIMEOUT,
        settings: Mapping[str, Shown] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        *,
        output: type[T],
        model: str | Model | None = None,
        instructions: str = "",
        accept: Evaluators = (),
        threshold: float = 0.7,
        on_reject: OnReject = "retry",
        on_evaluator_error: OnEvaluatorError | None = None,
        retry: Retry = DEFAULT_RETRY,
        timeout: Seconds | None = DEFAULT_TIMEOUT,
        settings: Mapping[str, Shown] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: "LLM[Any]",
        name: str,
        *,
        output: object,
        model: str | Model | None = None,
        instructions: str = "",
        accept: Evaluators = (),
        threshold: float = 0.7,
        on_reject: OnReject = "retry",
        on_evaluator_error: OnEvaluatorError | None = None,
        retry: Retry = DEFAULT_RETRY,
        timeout: Seconds | None = DEFAULT_TIMEOUT,
        settings: Mapping[str, Shown] = ...,
    ) -> None: ...
    def __init__(  # noqa: PLR0913  the contract's options
        self,
        name: str,
        *,
        output: Any = str,
        model: str | Model | None = None,
        instructions: str = "",
        accept: Evaluators = (),
        threshold: float = 0.7,
        on_reject: OnReject = "retry",
        on_evaluator_error: OnEvaluatorError | None = None,
        retry: Retry = DEFAULT_RETRY,
        timeout: Seconds | None = DEFAULT_TIMEOUT,
        settings: Mapping[str, Shown] | None = None,
    ) -> None:
        """Make the step; like a decorated function it belongs at the top level of a file.

        Args:
            name: What the step is called.
            output: Type of the answer: ``str`` for plain text, anything else is asked for and checked as JSON.
            model: A provider string, a ``MockModel``, or None for the value of ``GREENROOM_MODEL`` (``"mock"``).
            instructions: What the model is told before every prompt.
            accept: Evaluators that must accept the answer.
            threshold: Score from which each of them accepts it.
            on_reject: What becomes of an answer they do not accept: ``"retry"`` feeds back what they said, ``"flag"``
                marks it and goes on, ``"fail"`` ends the step, ``"escalate"`` waits for a person, who takes it,
                replaces it or rejects it (``Orchestrator.decide``).
            on_evaluator_error: What becomes of an answer that none of them refused while one of them failed itself:
                ``"reject"`` it, so that ``on_reject`` holds, ``"flag"`` it and go on, or ``"accept"`` it. By default
                it is rejected with ``on_reject="fail"`` and else flagged.
            retry: How often and when it is tried again.
            timeout: Seconds one attempt may take; None for no limit.
            settings: Handed to the model as they are.

        Raises:
            DefinitionError: An option has a value it cannot have, or no such model is known.
        """
        title = f"LLM `{name}`"
        check_model(model, title)
        options = {
            "timeout": timeout,
            "retry": retry,
            "threshold": threshold,
            "on_reject": on_reject,
            "on_evaluator_error": on_evaluator_error,
        }

        async def ask(prompt: str) -> Any:
            from greenroom.actors.worker.llm import ask_in_place  # noqa: PLC0415  only workers and this rare path need it

            return await ask_in_place(definition, prompt)

        definition = ModelDefinition(
            name,
            ask,
            caller_site(f"LLM.{name}"),
            step_options(title, options, accept),
            output=output,
            instructions=instructions,
            model=model,
            settings=dict(settings or {}),
        )
        super().__init__(definition, accept)
        self.__name__ = name
        self.__doc__ = instructions or None

    def __call__(self, prompt: str) -> Call[T]:
        """Prompt the model; nothing runs before the coroutine is awaited or made a task."""
        return super().__call__(prompt)


@overload
def workflow(fn: Stateful[S, P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(*, name: str | None = None, version: int = 1, budget: Budget | None = None) -> WorkflowDecorator: ...
def workflow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    budget: Budget | None = None,
) -> Any:
    """Make a coroutine function a workflow, which runs in a program process.

    A first parameter named ``state``, annotated with a pydantic model whose fields all have defaults, is the run's
    shared state: callers do not pass it, changes to it are journaled and visible from outside.

    Args:
        fn: The function, ``async``.
        name: What the workflow is called; the function's name by default. One app has each name once in each version.
        version: 1, 2, 3 ... New runs take the newest version that is defined; a run goes on with the one that it was
            started with, for as long as that is defined beside the newer ones.
        budget: What each run may use up, its children included; ``workflow.options(budget=...)`` gives another one.

    Raises:
        DefinitionError: The function is not ``async``, takes ``*args`` or ``**kwargs``, its state has fields without a
            default, or the version is no number above 0.
    """

    def decorate(fn: Callable[..., Any]) -> Workflow[..., Any]:
        workflow_name = author_name(fn, name, "workflow")
        title = f"workflow `{workflow_name}`"
        site = function_site(fn, workflow_name, own_app=True)
        check_coroutine(fn, title)
        parameters = inspect.signature(fn).parameters.values()
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        variadic = [f"{stars[item.kind]}{item.name}" for item in parameters if item.kind in stars]
        if variadic:
            msg = f"{title} takes {' and '.join(variadic)}: name its parameters, so that a run's arguments have names"
            raise DefinitionError(msg)
        _check_version(version, title)
        definition = WorkflowDefinition("workflow", workflow_name, fn, site, version)
        definition.budget = check_budget(title, budget)
        state = fn.__annotations__.get("state")
        if next(iter(inspect.signature(fn).parameters), None) == "state" and is_model(state):
            check_defaults(title, state)  # here already where that is possible; other annotations may come later
        return Workflow(definition)

    return decorate if fn is None else decorate(fn)


async def sleep(seconds: Seconds) -> None:
    """Wait. Inside a workflow the wait is durable: it survives every process and holds none while it lasts.

    Args:
        seconds: How long; nothing for what is below 0. More than 300 years, ``math.inf`` among them, is never.

    Raises:
        ValueError: It is NaN.
    """
    await asyncio.sleep(
        times.seconds(seconds, "what sleep() waits")
    )  # the loop that programs run on makes every timer a journaled one


def _check_version(version: object, title: str) -> None:
    """Refuse what is no version: callers need not be typed."""
    if not isinstance(version, int) or version < 1:
        msg = f"{title} has version {version!r}: versions are 1, 2, 3 ..."
        raise DefinitionError(msg)
