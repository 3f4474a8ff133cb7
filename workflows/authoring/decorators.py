"""What authors write: ``@tool``, ``@evaluator``, ``@workflow`` and ``sleep``."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from pydantic import BaseModel

from greenroom.actors.definitions.definition_site import function_site
from greenroom.actors.definitions.definitions import (
    StepDefinition,
    WorkflowDefinition,
    check_defaults,
    is_model,
)
from greenroom.messages.core import times
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.other_names import refuse_options
from greenroom.messages.core.times import Seconds
from greenroom.messages.options.policy import Budget, Limits, OnEvaluatorError, OnReject, Retry
from greenroom.messages.records.evaluation import Score
from greenroom.workflows.authoring.step import (
    DEFAULT_RETRY,
    DEFAULT_TIMEOUT,
    Evaluators,
    Shares,
    Step,
    author_name,
    check_coroutine,
    sampling_of,
    step_options,
)
from greenroom.workflows.authoring.workflow import Workflow, check_budget

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S", bound=BaseModel)
S_contra = TypeVar("S_contra", bound=BaseModel, contravariant=True)

Judgement: TypeAlias = Score | bool | float
"""What an evaluator may return: ``True`` is 1.0, ``False`` 0.0."""


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
        """Run the workflow with its state."""
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
    cpu: Seconds | None = None,
    open_files: int | None = None,
    processes: int | None = None,
    network: bool = True,
    workdir: str | os.PathLike[str] | None = None,
    env: Sequence[str] = (),
    approve: bool | Callable[..., bool] = False,
    accept: Evaluators = (),
    threshold: float = 0.7,
    on_reject: OnReject = "retry",
    on_evaluator_error: OnEvaluatorError | None = None,
    sample: Shares | None = None,
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
    cpu: Seconds | None = None,
    open_files: int | None = None,
    processes: int | None = None,
    network: bool = True,
    workdir: str | os.PathLike[str] | None = None,
    env: Sequence[str] = (),
    approve: bool | Callable[..., bool] = False,
    accept: Evaluators = (),
    threshold: float = 0.7,
    on_reject: OnReject = "retry",
    on_evaluator_error: OnEvaluatorError | None = None,
    sample: Shares | None = None,
    **unknown: object,
) -> Any:
    """Make a function a step that runs in a tool process.

    Args:
        fn: The function, plain or ``async``. A generator, of either kind, returns the list of all it yields.
        name: Name of the step; the function's name by default.
        timeout: Seconds one attempt may take before its process is killed; None for no limit.
        retry: How often and when it is tried again after it raised, timed out or its process died.
        crash_attempts: Deaths of its process before the call is quarantined.
        once: At most once: after a crash ``OutcomeUnknown`` is raised in the workflow instead of another attempt.
        memory_mb: Data limit of its process in MiB. A tool with a limit of its own has its own processes.
        cpu: CPU seconds that one attempt may use, rounded up to whole seconds. The kernel then kills its process. Each
            program that it starts may use as many.
        open_files: Descriptors that its process may have open at once, more than 16.
        processes: Processes that one attempt may have at once besides its own. Above that all of them are killed. They
            are counted every 0.1 s, so there may be more for so long.
        network: False keeps its process, and the programs that it starts, from every network, loopback included. Where
            the kernel does not allow that, no attempt begins and the run is parked.
        workdir: Folder that its process works in; the orchestrator's by default.
        env: Names of environment variables that it may see. A tool with such variables has its own processes.
        approve: Whether a person must approve each call that an agent makes. A function takes the arguments of the
            call and returns whether that one must be approved; it runs in the program and must always decide alike.
        accept: Evaluators that must accept its result.
        threshold: Lowest score with which an evaluator accepts it.
        on_reject: What to do with a rejected result: ``"retry"``, ``"flag"`` it and continue, ``"fail"``, or
            ``"escalate"`` to a person, who accepts it, replaces it or rejects it (``Orchestrator.decide``).
        on_evaluator_error: What to do with a result if an evaluator failed and no other rejected it: ``"reject"`` it,
            so that ``on_reject`` applies, ``"flag"`` it and continue, or ``"accept"`` it. The default is ``"reject"``
            with ``on_reject="fail"``, else ``"flag"``.
        sample: Evaluators that rate a share of its results in the background, after they were used, such as
            ``{judge: 0.1}``. Their scores change nothing.
        unknown: Options that do not exist. They are refused.

    Raises:
        DefinitionError: Options have invalid values; all of them are named.
        TypeError: There is no such option.
    """
    refuse_options("tool", unknown, tool.__kwdefaults__, name or "step")

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
        limits: dict[str, Any] = {
            "memory_mb": memory_mb,
            "cpu": cpu,
            "open_files": open_files,
            "processes": processes,
            "network": network,
            # What is not a path is left to the check of all options.
            "workdir": os.path.abspath(workdir) if isinstance(workdir, (str, os.PathLike)) else workdir,  # noqa: PTH100
            "env": _listed(env),
        }
        if env or any(limit != Limits.model_fields[name].default for name, limit in limits.items() if name != "env"):
            options |= {"pool": f"tool:{step_name}", "limits": limits}
        checked = step_options(f"tool `{step_name}`", options, accept, sample)
        definition = StepDefinition("tool", step_name, fn, function_site(fn, step_name), checked)
        given: object = approve  # a caller need not be typed
        if not (isinstance(given, bool) or callable(given)):
            msg = f"{definition.title} has approve={approve!r:.100}: it is True, False, or a function of the arguments"
            raise DefinitionError(msg)
        definition.approve = approve
        return Step(definition, accept, sample)

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
    **unknown: object,
) -> Any:
    """Make a function an evaluator of results, which runs in an evaluator process.

    It takes the result and, as an optional second parameter, the arguments of the call that returned it:
    ``{"args": [...], "kwargs": {...}}``. It returns a ``Score``, a number from 0 to 1, or a bool.

    Args:
        fn: The function, plain or ``async``.
        name: Name of the evaluator; the function's name by default.
        timeout: Seconds one attempt may take before its process is killed; None for no limit.
        retry: How often and when it is tried again if it fails. Where it judges the results of a step, it is tried
            again only if another policy than the default is given here; its process may die three times in any case.
        unknown: Options that do not exist. They are refused.

    Raises:
        DefinitionError: An option has an invalid value, or the function takes other parameters.
        TypeError: There is no such option.
    """
    refuse_options("evaluator", unknown, evaluator.__kwdefaults__, name or "evaluator")

    def decorate(fn: Callable[..., Any]) -> Step[..., Score]:
        step_name = author_name(fn, name, "evaluator")
        title = f"evaluator `{step_name}`"
        _provide_evaluation()
        checked = step_options(title, {"timeout": timeout, "retry": retry})
        definition = StepDefinition("evaluator", step_name, fn, function_site(fn, step_name), checked, result=Score)
        if len(definition.signature.parameters) not in {1, 2}:
            msg = f"{title} takes the result, and maybe the arguments that led to it: one parameter or two"
            raise DefinitionError(msg)
        return Step(definition)

    return decorate if fn is None else decorate(fn)


@overload
def workflow(fn: Stateful[S, P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *, name: str | None = None, version: int = 1, budget: Budget | None = None, sample: Shares | None = None
) -> WorkflowDecorator: ...
def workflow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    budget: Budget | None = None,
    sample: Shares | None = None,
    **unknown: object,
) -> Any:
    """Make a coroutine function a workflow, which runs in a program process.

    A first parameter named ``state``, annotated with a pydantic model whose fields all have defaults, is the run's
    shared state. Callers do not pass it; changes to it are journaled and visible from outside.

    Args:
        fn: The function, ``async``.
        name: Name of the workflow; the function's name by default. It is unique in an app for each version.
        version: 1, 2, 3 ... New runs use the newest version. A run continues with the version it was started with,
            as long as that is defined beside the newer ones.
        budget: Budget of each run, its children included; ``workflow.options(budget=...)`` sets another one.
        sample: Evaluators that rate a share of the results of runs in the background, such as ``{judge: 0.1}``.
        unknown: Options that do not exist. They are refused.

    Raises:
        DefinitionError: The function is not ``async``, takes ``*args`` or ``**kwargs``, its state has fields without a
            default, or the version is not an integer above 0.
        TypeError: There is no such option.
    """
    refuse_options("workflow", unknown, workflow.__kwdefaults__, name or "workflow")

    def decorate(fn: Callable[..., Any]) -> Workflow[..., Any]:
        workflow_name = author_name(fn, name, "workflow")
        _provide_evaluation()
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
        definition.sampling = sampling_of(title, sample)
        state = fn.__annotations__.get("state")
        if next(iter(inspect.signature(fn).parameters), None) == "state" and is_model(state):
            check_defaults(title, state)  # others are checked at first use
        return Workflow(definition)

    return decorate if fn is None else decorate(fn)


async def sleep(seconds: Seconds) -> None:
    """Wait. Inside a workflow the wait is durable: it survives every process and occupies none.

    Args:
        seconds: Seconds to wait; negative ones count as 0. More than 300 years, such as ``math.inf``, never ends.

    Raises:
        ValueError: ``seconds`` is NaN.
    """
    await asyncio.sleep(
        times.seconds(seconds, "what sleep() waits")
    )  # the loop that programs run on makes every timer a journaled one


def _provide_evaluation() -> None:
    """Make sure that the app can be evaluated."""
    from greenroom.workflows.authoring.evaluators.evaluation_run import provide  # noqa: PLC0415  builds on workflows

    provide()


def _listed(env: object) -> object:
    """Return names of variables as a tuple. What is not a collection of names is left to the check of all options.

    A str is one name, not one per letter; a mapping would put values into the source file, and is refused.
    """
    given: object = env
    if isinstance(env, Iterable) and not isinstance(env, (str, Mapping)):
        return tuple(cast("Iterable[object]", env))
    return given


def _check_version(version: object, title: str) -> None:
    """Raise ``DefinitionError`` for an invalid version."""
    if not isinstance(version, int) or version < 1:
        msg = f"{title} has version {version!r}: versions are 1, 2, 3 ..."
        raise DefinitionError(msg)
