"""Policies of steps: retries, limits, evaluation. Plain data, set by authors and applied by runs and pools."""

from collections.abc import Sequence
from inspect import isclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from greenroom.messages.core.fields import Amount, Duration, Factor, Limit, Share, VariableName
from greenroom.messages.core.message import Message

if TYPE_CHECKING:
    from greenroom.messages.core.times import Seconds

StepKind: TypeAlias = Literal["tool", "llm", "evaluator"]
WorkerKind: TypeAlias = Literal["program", "tool", "llm", "evaluator"]
OnReject: TypeAlias = Literal["retry", "flag", "fail", "escalate"]
OnEvaluatorError: TypeAlias = Literal["reject", "flag", "accept"]
"""What happens to a result that no evaluator rejected, if an evaluator itself failed."""
OnFailure: TypeAlias = Literal["continue", "stop"]
"""What a session does after its handler failed on a message."""


def class_name(cls: type[BaseException]) -> str:
    """Return the name of a class as used in failures and retry policies: ``module.qualname``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _names(value: object) -> object:
    items = cast("Sequence[object]", value if isinstance(value, (tuple, list)) else (value,))
    return tuple(_name(item) for item in items)


def _name(item: object) -> object:
    return class_name(item) if isclass(item) and issubclass(item, BaseException) else item


class _NamesInJson:
    """Reads JSON without calling Python: JSON contains no classes, and policies cross processes with every call."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        names = core_schema.tuple_variable_schema(core_schema.str_schema())
        python = core_schema.no_info_before_validator_function(_names, names)
        return core_schema.json_or_python_schema(json_schema=names, python_schema=python)


ExceptionNames = Annotated[tuple[type[BaseException] | str, ...], _NamesInJson()]
"""Exception classes, stored as their names so that a policy can cross processes and be journaled."""


class Retry(Message):
    """How often and when a failed step is attempted again.

    The delay before attempt ``n + 1`` is ``initial * factor ** (n - 1)`` seconds, at most ``max_delay``. It varies at
    random by up to ``jitter`` of itself in either direction. Example: ``Retry(attempts=3, initial=1.0, jitter=0.0)``
    waits 1 s, then 2 s.

    Attributes:
        attempts: Most attempts, including the first.
        initial: Seconds before the second attempt.
        factor: Factor by which the delay grows from one attempt to the next.
        max_delay: Upper bound of the delay in seconds.
        jitter: Share of the delay, 0 to 1, by which it varies at random.
        within: Seconds after the first attempt's start from which on no new one is started; None or ``math.inf`` for no
            limit.
        on: Exception classes after which the step is attempted again.
        never: Exception classes after which it is not, even if ``on`` names one of their bases.
    """

    attempts: int = Field(default=4, ge=1)
    initial: Duration = 1.0
    factor: Factor = 2.0
    max_delay: Duration = 60.0
    jitter: Share = 0.2
    within: Limit = None
    on: ExceptionNames = ("builtins.Exception",)
    never: ExceptionNames = ()

    if TYPE_CHECKING:  # accepted types, which are more than the stored ones

        def __init__(
            self,
            *,
            attempts: int = 4,
            initial: Seconds = 1.0,
            factor: float = 2.0,
            max_delay: Seconds = 60.0,
            jitter: float = 0.2,
            within: Seconds | None = None,
            on: type[BaseException] | str | Sequence[type[BaseException] | str] = (),
            never: type[BaseException] | str | Sequence[type[BaseException] | str] = (),
        ) -> None: ...


class Budget(Message):
    """Limits of what a run and its children use together. Once any of them is reached, no new attempt begins.

    Attributes:
        usd: Cost of model calls, in US dollars.
        tokens: Input and output tokens of model calls, in total.
        wall: Seconds since the run's start on the wall clock, including waits and pauses.
        attempts: Attempts of steps, whatever their outcomes.
    """

    usd: Amount = None
    tokens: int | None = Field(default=None, gt=0)
    wall: Limit = None
    attempts: int | None = Field(default=None, gt=0)

    if TYPE_CHECKING:  # accepted types, which are more than the stored ones

        def __init__(
            self,
            *,
            usd: float | None = None,
            tokens: int | None = None,
            wall: Seconds | None = None,
            attempts: int | None = None,
        ) -> None: ...

    def raised(self, other: "Budget") -> "Budget":
        """Return this budget with the limits that ``other`` names replaced by those of ``other``."""
        return self.model_copy(update=other.model_dump(exclude_none=True))


class SessionPolicy(Message):
    """The policy that the author of a session's handler has set for all its sessions."""

    on_failure: OnFailure = "continue"
    budget: Budget | None = None


class Limits(Message):
    """Limits of one worker process. Enforced by the kernel where possible."""

    memory_mb: int | None = Field(default=None, gt=0, le=2**30)
    """RLIMIT_DATA in MiB, without the stacks of Python's threads. Allocations beyond it raise MemoryError inside the
    worker."""
    cpu: Limit = None
    """CPU seconds of one worker process (RLIMIT_CPU)."""
    open_files: int = Field(default=1024, gt=16)
    env: tuple[VariableName, ...] = ()
    """Names of environment variables that are passed on in addition to the harmless defaults."""
    workdir: str | None = None
    start_timeout: Limit = None
    """Seconds that a worker may take until it is ready; None for the default."""


class StepOptions(Message):
    """Everything that an orchestrator needs to run one call of a step. Journaled with the call."""

    timeout: Limit = 300.0
    """Seconds that one attempt may take. The process is then killed. None for no limit."""
    retry: Retry = Retry()
    crash_attempts: int = Field(default=3, ge=1)
    """Worker deaths counted against this call before it is quarantined."""
    once: bool = False
    """At most once: after a crash the outcome is unknown, and the step is not run again."""
    pool: str = ""
    """Name of the pool that runs it; empty for the pool of its kind."""
    accept: tuple[str, ...] = ()
    """References of the evaluators that judge its result."""
    accept_timeouts: tuple[float | None, ...] = ()
    """Seconds that each of them may take, in the same order; None for no limit."""
    threshold: Share = 0.7
    on_reject: OnReject = "retry"
    on_evaluator_error: OnEvaluatorError | None = None
    """None means ``"reject"`` if a rejected result fails the step, otherwise ``"flag"``."""
    limits: Limits | None = None
    """Limits of that pool's workers, if the step sets its own; otherwise those of the pool."""
