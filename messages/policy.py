"""What a step asks for: retry policy, limits, evaluation. Plain data, set by authors, obeyed by supervisors."""

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
"""What becomes of a result that no evaluator refused while one of them failed itself."""
OnFailure: TypeAlias = Literal["continue", "stop"]
"""What a session does once it has set aside a message that its handler could not deal with."""


def class_name(cls: type[BaseException]) -> str:
    """Name a class the way failures and retry policies compare them: ``module.qualname``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _names(value: object) -> object:
    items = cast("Sequence[object]", value if isinstance(value, (tuple, list)) else (value,))
    return tuple(_name(item) for item in items)


def _name(item: object) -> object:
    return class_name(item) if isclass(item) and issubclass(item, BaseException) else item


class _NamesInJson:
    """Reads JSON without calling Python, since there are no classes in it: policies cross processes with every call."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        names = core_schema.tuple_variable_schema(core_schema.str_schema())
        python = core_schema.no_info_before_validator_function(_names, names)
        return core_schema.json_or_python_schema(json_schema=names, python_schema=python)


ExceptionNames = Annotated[tuple[type[BaseException] | str, ...], _NamesInJson()]
"""Exception classes, kept as their names so that a policy can cross processes and be journaled."""


class Retry(Message):
    """How often and when a failed step is tried again.

    The delay before attempt ``n + 1`` is ``initial * factor ** (n - 1)`` seconds, at most ``max_delay``, moved by up to
    ``jitter`` of itself either way. Example: ``Retry(attempts=3, initial=1.0, jitter=0.0)`` waits 1 s, then 2 s.

    Attributes:
        attempts: How many attempts there may be, the first included.
        initial: Seconds before the second attempt.
        factor: Growth of the delay from one attempt to the next.
        max_delay: Upper bound of the delay in seconds.
        jitter: Share of the delay, 0 to 1, by which it is varied at random.
        within: Seconds since the first attempt after which no new one is started; None or ``math.inf`` for no bound.
        on: Exception classes that are tried again.
        never: Exception classes that are not, even where ``on`` names a base of theirs.
    """

    attempts: int = Field(default=4, ge=1)
    initial: Duration = 1.0
    factor: Factor = 2.0
    max_delay: Duration = 60.0
    jitter: Share = 0.2
    within: Limit = None
    on: ExceptionNames = ("builtins.Exception",)
    never: ExceptionNames = ()

    if TYPE_CHECKING:  # what may be given, which is more than what is kept

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
    """What a run and its children may use up together. Once any of it is, no new attempt begins.

    Attributes:
        usd: Dollars that model calls may cost.
        tokens: Input and output tokens of model calls, added up.
        wall: Seconds since the run's start, on the wall clock, waits and pauses included.
        attempts: Attempts of steps, each of which counts, whatever came of it.
    """

    usd: Amount = None
    tokens: int | None = Field(default=None, gt=0)
    wall: Limit = None
    attempts: int | None = Field(default=None, gt=0)

    if TYPE_CHECKING:  # what may be given, which is more than what is kept

        def __init__(
            self,
            *,
            usd: float | None = None,
            tokens: int | None = None,
            wall: Seconds | None = None,
            attempts: int | None = None,
        ) -> None: ...

    def raised(self, other: "Budget") -> "Budget":
        """Give this budget with what ``other`` names in place of what it had."""
        return self.model_copy(update=other.model_dump(exclude_none=True))


class SessionPolicy(Message):
    """What the author of a session's handler has set for all of its sessions."""

    on_failure: OnFailure = "continue"
    budget: Budget | None = None


class Limits(Message):
    """What one worker process may use. Enforced by the kernel where it can."""

    memory_mb: int | None = Field(default=None, gt=0, le=2**30)
    """RLIMIT_DATA in MiB, the stacks of Python's threads left out: allocations past it fail with MemoryError inside the
    worker."""
    cpu: Limit = None
    """CPU seconds of one worker life (RLIMIT_CPU)."""
    open_files: int = Field(default=1024, gt=16)
    env: tuple[VariableName, ...] = ()
    """Names of environment variables passed on besides the harmless defaults."""
    workdir: str | None = None


class StepOptions(Message):
    """Everything a supervisor must know to run one call of a step. Journaled with the call."""

    timeout: Limit = 300.0
    """Seconds one attempt may take; the process is killed at the end of them. None means no limit."""
    retry: Retry = Retry()
    crash_attempts: int = Field(default=3, ge=1)
    """Deaths of a worker charged to this call before it is quarantined."""
    once: bool = False
    """At most once: after a crash the outcome is unknown and the step is not run again."""
    pool: str = ""
    """Name of the pool that runs it; empty means the pool of its kind."""
    accept: tuple[str, ...] = ()
    """References of the evaluators that judge its result."""
    accept_timeouts: tuple[float | None, ...] = ()
    """Seconds that each of them may take, in the same order; None means no limit."""
    threshold: Share = 0.7
    on_reject: OnReject = "retry"
    on_evaluator_error: OnEvaluatorError | None = None
    """None means ``"reject"`` where a rejected result fails the step, else ``"flag"``."""
    limits: Limits | None = None
    """Limits of that pool's workers where the step sets its own, else those of the pool."""
