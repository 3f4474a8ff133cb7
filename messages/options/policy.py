"""Policies of steps: retries, limits, evaluation. Plain data, set by authors and applied by runs and pools."""

from collections.abc import Sequence
from inspect import isclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from greenroom.messages.core.fields import Amount, Duration, Factor, Limit, OwnShare, PriceAmount, Share, VariableName
from greenroom.messages.core.message import Message
from greenroom.messages.options.from_python import FromPython

if TYPE_CHECKING:
    from greenroom.messages.core.times import Seconds

StepKind: TypeAlias = Literal["tool", "llm", "evaluator"]
WorkerKind: TypeAlias = Literal["program", "tool", "llm", "evaluator"]
OnReject: TypeAlias = Literal["retry", "flag", "fail", "escalate"]
OnEvaluatorError: TypeAlias = Literal["reject", "flag", "accept"]
"""What happens to a result that no evaluator rejected, if an evaluator itself failed."""
Combine: TypeAlias = Literal["mean", "majority", "min"]
"""How the scores of a panel's members become one: their weighted mean, the weighted share of the members that accept
the result, which has to be more than half, or the lowest."""
OnFailure: TypeAlias = Literal["continue", "stop"]
"""What a session does after its handler failed on a message."""


UnknownPrice: TypeAlias = Literal["refuse", "allow"]
"""Whether a budget in US dollars allows calls of models whose price is not known."""


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


MAX_DELAY: Final = 60.0
"""Seconds: the longest delay between two attempts of a step whose author has not thought of it."""


class Retry(Message, metaclass=FromPython):
    """How often and when a failed step is attempted again.

    The delay before attempt ``n + 1`` is ``initial * factor ** (n - 1)`` seconds, at most ``max_delay``. It varies at
    random by up to ``jitter`` of itself in either direction. Example: ``Retry(attempts=3, initial=1.0, jitter=0.0)``
    waits 1 s, then 2 s.

    Attributes:
        attempts: Most attempts, including the first.
        initial: Seconds before the second attempt.
        factor: Factor by which the delay grows from one attempt to the next.
        max_delay: Upper bound of the delay in seconds. An ``initial`` above the default is its own upper bound.
        jitter: Share of the delay, 0 to 1, by which it varies at random.
        within: Seconds after the first attempt's start from which on no new one is started; None or ``math.inf`` for no
            limit.
        on: Exception classes after which the step is attempted again.
        never: Exception classes after which it is not, even if ``on`` names one of their bases.
    """

    attempts: int = Field(default=4, ge=1)
    initial: Duration = 1.0
    factor: Factor = 2.0
    max_delay: Duration = MAX_DELAY
    jitter: Share = 0.2
    within: Limit = None
    on: ExceptionNames = ("builtins.Exception",)
    never: ExceptionNames = ()

    if TYPE_CHECKING:  # accepted types, which are more than the stored ones

        def __init__(
            self,
            attempts: int = 4,
            initial: Seconds = 1.0,
            factor: float = 2.0,
            max_delay: Seconds = 60.0,
            jitter: float = 0.2,
            within: Seconds | None = None,
            on: type[BaseException] | str | Sequence[type[BaseException] | str] = (),
            never: type[BaseException] | str | Sequence[type[BaseException] | str] = (),
        ) -> None: ...


class Budget(Message, metaclass=FromPython):
    """Limits of what a run and its children use together. Once any of them is reached, no new attempt begins.

    Before a model is called, the most that the call may use is reserved. What it has used is settled afterwards.

    Attributes:
        usd: Cost of model calls, in US dollars.
        tokens: Input and output tokens of model calls, in total.
        wall: Seconds since the run's start on the wall clock, including waits and pauses.
        attempts: Attempts of steps, whatever their outcomes.
        unknown_price: Whether ``usd`` allows calls of models whose price is not known, which then cost nothing:
            ``"refuse"`` or ``"allow"``. None means ``"refuse"``.
    """

    usd: Amount = None
    tokens: int | None = Field(default=None, gt=0)
    wall: Limit = None
    attempts: int | None = Field(default=None, gt=0)
    unknown_price: UnknownPrice | None = None

    if TYPE_CHECKING:  # accepted types, which are more than the stored ones

        def __init__(
            self,
            usd: float | None = None,
            tokens: int | None = None,
            wall: Seconds | None = None,
            attempts: int | None = None,
            unknown_price: UnknownPrice | None = None,
        ) -> None: ...

    @property
    def needs_prices(self) -> bool:
        """Whether models without a known price may not be called."""
        return self.usd is not None and self.unknown_price != "allow"

    def check_for_all_runs(self, option: str) -> None:
        """Raise if this limits what only a single run has.

        Args:
            option: What the budget was given as, for the message.

        Raises:
            ValueError: It does.
        """
        wrong = [name for name in ("wall", "attempts") if getattr(self, name) is not None]
        if wrong:
            msg = f"{option} limits `usd` and `tokens` of all runs; give `{wrong[0]}` to a workflow, session or start"
            raise ValueError(msg)

    def raised(self, other: "Budget") -> "Budget":
        """Return this budget with the limits that ``other`` names replaced by those of ``other``."""
        return self.model_copy(update=other.model_dump(exclude_none=True))


class SessionPolicy(Message):
    """The policy that the author of a session's handler has set for all its sessions."""

    on_failure: OnFailure = "continue"
    budget: Budget | None = None


class Price(Message):
    """Price of a model in US dollars per million tokens."""

    input: PriceAmount = 0.0
    output: PriceAmount = 0.0

    @classmethod
    def of(cls, given: object) -> "Price | None":
        """Return a price that was given as such, or as US dollars per million input and output tokens.

        Raises:
            ValueError: It is neither, nor None.
        """
        if given is None or isinstance(given, Price):
            return given
        if isinstance(given, (tuple, list)) and len(cast("Sequence[object]", given)) == 2:  # noqa: PLR2004  in, out
            usd_in, usd_out = cast("Sequence[float]", given)
            return cls(input=float(usd_in), output=float(usd_out))
        msg = f"a price is (USD per million input tokens, USD per million output tokens), not {given!r}"
        raise ValueError(msg)

    def usd(self, input_tokens: float, output_tokens: float) -> float:
        """Return the price of a call."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


class ModelCall(Message):
    """What an orchestrator needs to know of the model that a step calls."""

    model: str
    """Name of the model, by which it is limited."""
    price: Price | None = None
    """None if it is not known, which is not 0."""
    extra_bytes: int = 0
    """Bytes of every request besides the step's arguments: instructions, schema of the answer, tools. All bytes of the
    request of another library's agent, whose arguments name a transcript."""
    max_tokens: int | None = None
    """Most output tokens of one answer, if the author has set them."""


class Limits(Message):
    """Limits of one worker process. Enforced by the kernel where possible."""

    memory_mb: int | None = Field(default=None, gt=0, le=2**30)
    """RLIMIT_DATA in MiB, without the stacks of Python's threads. Allocations beyond it raise MemoryError inside the
    worker."""
    cpu: Limit = None
    """CPU seconds of one attempt (RLIMIT_CPU), rounded up to whole seconds. Each process that it starts has as many."""
    open_files: int | None = Field(default=None, gt=16, le=2**20)
    """Descriptors that each process may have open at once (RLIMIT_NOFILE); None for the default, 1024."""
    processes: int | None = Field(default=None, ge=0, le=2**20)
    """Processes that an attempt may have at once besides its worker. Checked by the supervisor, see
    ``supervision/pool/workers/process_limit.py``."""
    network: bool = True
    """If False, the worker is in a network namespace without interfaces."""
    env: tuple[VariableName, ...] = ()
    """Names of environment variables that are passed on in addition to the harmless defaults."""
    workdir: str | None = None
    """Absolute path of the folder that the worker works in; None for the orchestrator's."""
    start_timeout: Limit = None
    """Seconds that a worker may take until it is ready; None for the default."""


class EvaluatorOptions(Message):
    """How one evaluator of a step's results is asked."""

    name: str = ""
    """Its name in evaluations; empty for the name in its reference."""
    kind: Literal["evaluator", "llm"] = "evaluator"
    """Kind of the workers that it runs in: a judge is a model call."""
    threshold: OwnShare = None
    """Lowest score with which it accepts a result; None for that of the step."""
    retry: Retry | None = None
    """How often and when it is asked again after a failure; None if a failure is final. Deaths of its process are no
    failures of the evaluator: it is asked again in either case."""
    rule: str = ""
    """What a rule checks, as JSON text; empty for all other evaluators."""
    panel: int | None = None
    """Position in ``StepOptions.panels`` of the panel that it belongs to."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Its weight in that panel."""
    model: ModelCall | None = None
    """The model of a judge. Set when a workflow calls the step."""


class PanelOptions(Message):
    """Several evaluators that give one score together."""

    name: str
    combine: Combine = "mean"
    threshold: OwnShare = None
    """Lowest score with which the panel accepts a result; None for that of the step."""


class SampledEvaluator(Message):
    """One evaluator that rates a share of the answers in the background."""

    ref: str
    share: float = Field(gt=0, le=1)
    """Share of the answers that it rates."""
    timeout: Limit = None
    """Seconds that it may take for one answer; None for no limit."""
    options: EvaluatorOptions = EvaluatorOptions()


class Sampling(Message):
    """Evaluators that rate a share of the answers in the background, after they were used."""

    evaluators: tuple[SampledEvaluator, ...] = ()
    panels: tuple[PanelOptions, ...] = ()
    """Panels that ``EvaluatorOptions.panel`` refers to."""


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
    evaluators: tuple[EvaluatorOptions, ...] = ()
    """More about each of them, in the same order; empty if all are plain evaluators."""
    panels: tuple[PanelOptions, ...] = ()
    threshold: Share = 0.7
    on_reject: OnReject = "retry"
    on_evaluator_error: OnEvaluatorError | None = None
    """None means ``"reject"`` if a rejected result fails the step, otherwise ``"flag"``."""
    sample: Sampling | None = None
    """The evaluators that rate a share of its results in the background; None if there are none."""
    limits: Limits | None = None
    """Limits of that pool's workers, if the step sets its own; otherwise those of the pool."""
    stream: str | None = None
    """For model steps: channel of the run's stream that gets the text as it arrives, and the result at the end."""
    model: ModelCall | None = None
    """The model of an ``LLM``. Set when a workflow calls the step."""
    has_fallback: bool = False
    """Whether another model is asked if this one fails, so that the run need not wait for this one's quota."""
