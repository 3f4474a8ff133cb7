"""Names that other systems have for the things of this package, each with a hint at the name to use here."""

from collections.abc import Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

C = TypeVar("C")


def _names(*groups: tuple[str, str]) -> dict[str, str]:
    """Return the hint for each name; a group has its names in one text."""
    return {name: hint for names, hint in groups for name in names.split()}


PACKAGE: Final = _names(
    ("activity durable step task", "a function with `@tool` is a step"),
    ("entrypoint flow function", "a coroutine function with `@workflow` is a workflow"),
    (
        "Command Graph StateGraph",
        "a graph is a function with `@workflow`, in plain Python",
    ),
    ("Actor Entity GenServer VirtualObject actor entity service", "a coroutine function with `@session` is an actor"),
    ("Agent agent create_agent", "an `LLM` with `tools` is an agent"),
    ("handoff", "an `LLM` hands over to another `LLM` or a `@workflow` that is among its `tools`"),
    (
        "get_event query search_attributes set_event",
        "a workflow's parameter `state` is seen as `run.state`",
    ),
    ("update", "a message that is answered goes to a session: `orchestrator.session(handler, key).ask(message)`"),
    ("Event Promise awakeable recv wait_condition wait_for_event", "workflow code waits with `receive(Model)`"),
    (
        "send send_event",
        "workflow code sends with `signal(run_id, message)`, other code with `run.signal(message)`",
    ),
    ("interrupt wait_for_approval", "workflow code waits for a person with `approve(action, args)`"),
    ("delay sleep_until start_timer timer", "workflow code waits with `sleep(seconds)`, across restarts"),
    ("continue_as_new", "a workflow may loop; for work that never ends, use a `@session` or `orchestrator.schedule`"),
    ("execute_activity start_activity", "a step is called and awaited like any coroutine function"),
    ("execute_child_workflow spawn start_child", "a workflow that is awaited in another one is a child run"),
    ("Send chain chord gather group map parallel starmap unmapped wait", "use `asyncio.gather` and plain Python"),
    ("Lock Mutex Semaphore lock", "use those of asyncio in one run; what all runs share is a `@session`"),
    ("Queue TaskQueue Worker WorkerPool queue task_queue", "workers start by themselves; `Pool(size=...)` limits them"),
    ("RateLimit rate_limit", "`ModelLimit` limits requests to a model, and `Pool(size=...)` the steps at once"),
    ("Supervisor supervisor", "pools are supervised: `Pool(strategy=..., max_restarts=..., within=...)`"),
    ("RetryPolicy retry", "`Retry` is that: `@tool(retry=Retry(attempts=4))`"),
    ("Timeout timeout", "steps have `@tool(timeout=...)`, and workflow code uses `asyncio.timeout`"),
    ("cron schedule", "an orchestrator has schedules: `orchestrator.schedule(name, workflow, cron=...)`"),
    ("Saga compensate saga", "undo with `try` and `except`: a compensation is a step like any other"),
    ("Context activity_info context get_context info workflow_info", "`current()` is about the running step"),
    ("heartbeat", "a step reports with `current().heartbeat(detail)`"),
    ("idempotency_key", "it is `current().idempotency_key`"),
    ("get_version patch patched", "code that takes another way gets a version of its own: `@workflow(version=2)`"),
    ("side_effect", "`now()`, `uuid4()` and `random()` are recorded; anything else that may differ is a step"),
    ("get_logger get_run_logger log logger", "use `print` and `logging`: `run.logs()` gives what they wrote"),
    ("cache cached memoize", "results are kept in their run: a start with the `id` of a run gives that run again"),
    ("serve", "it is a verb of the command line, serve FILE.py"),
    ("Codec PayloadCodec encrypt", "the journal holds values as they are: encrypt in the steps what it must not show"),
)
"""Hints for names that are imported from the package."""

_ORCHESTRATOR: Final = _names(
    (
        "apply_async delay enqueue execute execute_workflow kickoff run start_run start_workflow submit",
        "`orchestrator.start(workflow, ...)` starts a run, and `run.result()` waits for it",
    ),
    (
        "cancel events fork logs pause result resume retry signal state status steps stream",
        "`orchestrator.get(run_id).{attribute}` is that of one run",
    ),
    ("get_run get_workflow_handle retrieve_workflow", "it is `orchestrator.get(run_id)`"),
    ("query", "`orchestrator.get(run_id).state` is what a run shows"),
    ("list list_runs list_workflows", "it is `orchestrator.runs()`"),
    ("approve reject", "`orchestrator.decide(approval_id, decision)` answers what `orchestrator.approvals()` lists"),
    ("create_schedule cron", "it is `orchestrator.schedule(name, workflow, cron=...)`"),
    ("shutdown stop", "it is `orchestrator.close()`, which leaving its `with` does"),
)

_RUN: Final = _names(
    ("get_state query value values", "what a workflow shows is its shared state, `run.state`"),
    ("ask update", "a run takes messages, `run.signal(message)`; a session answers them"),
    ("send send_event", "it is `run.signal(message)`"),
    ("await_result get get_result join output wait", "it is `run.result(timeout)`"),
    ("done is_done", "it is in `run.status`"),
    ("history", "it is `run.events()`"),
    ("attempts", "each of `run.steps()` has its attempts"),
    ("created_at describe ended_at error exception name parent started_at workflow", "it is in `run.record`"),
    ("kill terminate", "it is `run.cancel(within=0)`"),
    ("abort stop", "it is `run.cancel()`"),
    (
        "reset restart rewind update_state",
        "`run.fork(at=...)` begins anew at a step, and `run.retry()` at a failure",
    ),
    ("children", "they are the entries of `orchestrator.runs()` that have this run as their `parent`"),
)

_SESSION: Final = _names(
    ("cast send signal", "it is `session.tell(message)`"),
    ("call execute invoke request run", "it is `session.ask(message)`"),
    ("get get_state query", "it is `session.state`"),
    ("cancel", "`session.cancel_turn()` ends the running turn, and `session.close()` the session"),
    ("kill stop terminate", "it is `session.close()`"),
    ("events steps turns", "it is `session.history()`"),
)

_SCHEDULE: Final = _names(
    ("fire run start", "it is `schedule.trigger()`"),
    ("next next_run", "it is `schedule.next_times()`"),
    ("last runs", "it is `schedule.last_runs()`"),
    ("cancel stop unschedule", "it is `schedule.delete()`"),
)

_CALLS: Final = "apply apply_async delay execute invoke kickoff remote run send spawn start submit"
_MANY: Final = "batch chunks gather map starmap"

_STEP: Final = _names(
    (_CALLS, "await it, as in `await {name}(...)`"),
    (_MANY, "await many at once, as in `await asyncio.gather(*({name}(item) for item in items))`"),
    ("s si signature", "a call that is not awaited yet is `{name}(...)`"),
    ("with_options", "it is `{name}.options(...)`"),
    ("retry", "it is an option, `retry=Retry(attempts=4)`"),
)

_LLM: Final = _STEP | _names(
    ("acomplete ainvoke ask chat complete create generate prompt run_sync", "await it, as in `await {name}(prompt)`"),
    ("astream run_stream stream", "`LLM(..., stream=channel)` streams its text, and `run.stream(channel)` gives it"),
    ("as_tool", "it may be one of the `tools` of another `LLM` as it is"),
    ("bind_tools with_tools", "it is given `LLM(..., tools=[...])`"),
)

_WORKFLOW: Final = _names(
    (_CALLS, "`orchestrator.start({name}, ...)` starts a run, and in a workflow `await {name}(...)` a child run"),
    (_MANY, "await many at once, as in `await asyncio.gather(*({name}(item) for item in items))`"),
    ("deploy serve", "it is a verb of the command line, serve FILE.py"),
    ("cron schedule", "it is `orchestrator.schedule(name, {name}, cron=...)`"),
    ("query signal", "that is for one run: `orchestrator.start({name}, ...)` and `orchestrator.get(run_id)` give it"),
    ("with_options", "it is `{name}.options(...)`"),
)

_HANDLER: Final = _names(
    (
        "aio ask cancel_turn close history state status stream transcript",
        "`orchestrator.session({name}, key).{attribute}` is that of one session",
    ),
    ("cast send signal", "`await {name}.tell(key, message)` is that of workflow code"),
)

ATTRIBUTES: Final[Mapping[str, Mapping[str, str]]] = {
    "BaseOrchestrator": _ORCHESTRATOR,
    "Run": _RUN,
    "Session": _SESSION,
    "Schedule": _SCHEDULE,
    "Step": _STEP,
    "LLM": _LLM,
    "Workflow": _WORKFLOW,
    "Handler": _HANDLER,
    "RunRecord": _names(
        (
            "cancel fork logs pause result resume retry signal state steps stream transcript usage",
            "it is `orchestrator.get(record.id).{attribute}`",
        )
    ),
    "SessionRecord": _names(
        (
            "ask cancel_turn close history state stream tell transcript",
            "it is `orchestrator.session(handler, record.key).{attribute}`",
        )
    ),
    "ScheduleRecord": _names(
        ("delete last_runs pause resume trigger", "it is `orchestrator.get_schedule(record.name).{attribute}`")
    ),
    "WorkerRecord": _names(("kill restart", "it is `orchestrator.{attribute}(record.id)`")),
    "ApprovalRecord": _names(("approve decide edit reject", "it is `orchestrator.decide(record.id, decision)`")),
}
"""Hints for attributes, by the class whose object was asked for them."""

_RETRIES: Final = (
    "max_attempts max_retries maximum_attempts retries retry_delay retry_policy retry_strategy",
    "it is `retry=Retry(attempts=..., initial=...)`",
)
_TIMEOUTS: Final = (
    "heartbeat_timeout schedule_to_close_timeout soft_time_limit start_to_close_timeout time_limit timeout_seconds",
    "it is `timeout=`, after which its process is killed",
)
_AT_ONCE: Final = (
    "concurrency limit max_concurrency pool priority queue rate_limit task_queue",
    'the orchestrator limits its workers: `Orchestrator(pools={{"tool": Pool(size=...)}})`',
)
_CACHE: Final = (
    "cache cache_key_fn cache_policy persist persist_result",
    "results are kept in their run: a start with the `id` of a run gives that run again",
)
_STARTS: Final = ("id run_id workflow_id", "each start has its own: `orchestrator.start({name}, ..., id=...)`")

OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "tool": _names(
        _RETRIES,
        _TIMEOUTS,
        _AT_ONCE,
        _CACHE,
        ("cpus num_cpus", "it is `cpu=`, in seconds of an attempt"),
        ("memory", "it is `memory_mb=`"),
        ("description", "it is the docstring of the function"),
        ("needs_approval requires_approval", "it is `approve=`"),
    ),
    "evaluator": _names(_RETRIES, _TIMEOUTS),
    "workflow": _names(
        (_RETRIES[0] + " retry", "steps have that option, `@tool(retry=...)`; `run.retry()` retries a failed run"),
        (
            _TIMEOUTS[0] + " execution_timeout run_timeout timeout",
            "it is `budget=Budget(wall=...)`, which parks the run; `asyncio.timeout` is for workflow code",
        ),
        _AT_ONCE,
        _CACHE,
        _STARTS,
        ("state", "it is the workflow's first parameter, `state: Model`"),
        ("log_prints", "what a workflow prints is kept: `run.logs()`"),
        ("cron schedule", "it is `orchestrator.schedule(name, {name}, cron=...)`"),
        ("tools", "tools are those of an `LLM`; a workflow awaits steps"),
    ),
    "session": _names(
        ("id key", "each session has its own: `orchestrator.session({name}, key)`"),
        (_RETRIES[0] + " retry", "steps have that option, `@tool(retry=...)`; a failed message becomes a dead letter"),
        (
            _TIMEOUTS[0] + " timeout",
            "steps have that option, `@tool(timeout=...)`; `asyncio.timeout` is for the handler's code",
        ),
        _AT_ONCE,
    ),
    "LLM": _names(
        (_RETRIES[0] + " output_retries", _RETRIES[1]),
        (_TIMEOUTS[0] + " request_timeout", "it is `timeout=`"),
        ("description prompt system system_message system_prompt", "it is `instructions=`"),
        ("max_output_tokens max_tokens temperature top_p", "it is in `settings={{...}}`"),
        ("output_schema output_type response_format response_model result_type structured_output", "it is `output=`"),
        ("agents handoffs sub_agents", "another `LLM` may be one of its `tools=`"),
        ("history memory message_history", "a call takes it, `await {name}(prompt, history=Conversation())`"),
        ("streaming", "it is `stream=`, the channel that its text goes to"),
        ("max_iterations max_steps recursion_limit", "it is `max_turns=`"),
        ("fallbacks", "it is `fallback=`"),
        ("guardrails output_validator validators", "it is `accept=`, a list of evaluators"),
        ("needs_approval", "its tools have that option: `@tool(approve=True)`"),
    ),
    "Retry": _names(
        ("count max_attempts maximum_attempts tries", "it is `attempts=`, which counts the first"),
        ("max_retries retries", "it is `attempts=`, which counts the first: one more than retries"),
        ("backoff delay initial_delay initial_interval interval min_delay retry_delay wait", "it is `initial=`"),
        ("backoff_coefficient backoff_factor backoff_rate exponential multiplier", "it is `factor=`"),
        ("max_backoff max_interval maximum_interval max_wait", "it is `max_delay=`"),
        ("deadline max_duration max_elapsed_time timeout total_timeout", "it is `within=`"),
        ("exceptions retry_for retry_on retryable retryable_exceptions", "it is `on=`"),
        ("ignore non_retryable non_retryable_error_types non_retryable_errors", "it is `never=`"),
        ("retry_jitter_factor use_jitter", "it is `jitter=`, a share of the delay"),
    ),
    "Budget": _names(
        ("cost cost_usd dollars max_cost max_cost_usd max_usd money", "it is `usd=`"),
        ("max_tokens total_tokens total_tokens_limit", "it is `tokens=`"),
        ("deadline duration max_duration max_time seconds time timeout wall_time", "it is `wall=`"),
        ("calls max_attempts max_steps requests request_limit steps tool_calls", "it is `attempts=`"),
    ),
    "ModelLimit": _names(
        ("requests requests_per_minute rate", "it is `rpm=`"),
        ("tokens tokens_per_minute", "it is `tpm=`"),
        ("limit max_concurrency parallel size", "it is `concurrency=`"),
    ),
    "Breaker": _names(
        ("fail_max failure_threshold threshold", "it is `failures=`"),
        ("interval window", "it is `within=`"),
        ("recovery_timeout reset_timeout timeout", "it is `cooldown=`"),
    ),
    "Pool": _names(
        ("count limit max_size max_workers num_workers processes workers", "it is `size=`"),
        ("threads worker_concurrency worker_prefetch_multiplier", "it is `concurrency=`, the jobs of one worker"),
        ("intensity max_r max_retries restarts", "it is `max_restarts=`"),
        ("max_seconds max_t period window", "it is `within=`"),
        ("restart_strategy supervision", "it is `strategy=`"),
        ("max_memory mem_mb memory memory_limit", "it is `memory_mb=`"),
        ("cpu_seconds cpus num_cpus", "it is `cpu=`, in seconds of an attempt"),
        ("max_calls max_tasks_per_child maxtasksperchild worker_max_tasks_per_child", "it is `max_jobs=`"),
        ("idle_timeout keep_alive ttl", "it is `idle_after=`"),
        ("cwd directory folder working_dir", "it is `workdir=`"),
        ("environ environment env_vars", "it is `env=`, the names of variables"),
        ("timeout", "steps have that option, `@tool(timeout=...)`"),
        ("retry", "steps have that option, `@tool(retry=...)`"),
    ),
    "Orchestrator": _names(
        ("concurrency max_workers pool size workers", 'it is `pools={{"tool": Pool(size=...)}}`'),
        ("checkpointer database db path storage store url", "it is `journal=`, the path of a file"),
        ("base_url host port token", "a server is reached with `Client(url, token)`"),
        ("dir directory folder root", "it is `home=`"),
        ("fsync sync", 'it is `durability=`, "full" or "process"'),
        ("limits rate_limits", 'it is `models={{"NAME": ModelLimit(rpm=...)}}`'),
        ("circuit_breakers", "it is `breakers=`"),
        ("log logger logging verbose", "it is `output=`"),
        ("environment secrets", "it is `env=`"),
        ("cost max_cost usd", "it is `budget=Budget(usd=...)`"),
        ("app apps workflows", "`orchestrator.start(workflow, ...)` takes any, `start_app(file, name)` one of a file"),
        ("retry timeout", "steps have that option, `@tool({attribute}=...)`"),
        ("resume", "it is `recover=`"),
    ),
    "Client": _names(
        ("address base_url endpoint host port server", "it is `url=`"),
        ("api_key auth headers key password", "it is `token=`"),
        ("journal", "a client finds a server by its `url=` or its `home=`"),
    ),
    "Judge": _names(
        ("criteria instructions prompt question system system_prompt", "it is `rubric=`"),
        ("cutoff min_score minimum passing_score", "it is `threshold=`"),
        ("context inputs", "it is `sees=`"),
        ("max_tokens temperature top_p", "it is in `settings={{...}}`"),
        _RETRIES,
    ),
    "Person": _names(("prompt rubric text title", "it is `question=`"), ("deadline", "it is `timeout=`")),
    "mcp": _names(
        ("args cmd", 'it is `command=["NAME", ...]`, the program and its arguments'),
        ("address base_url endpoint server", "it is `url=`"),
        ("api_key auth token", "it is in `headers={{...}}`"),
        ("environment environ", "it is `env=`, the names of variables"),
        ("folder workdir working_dir", "it is `cwd=`"),
        ("require_approval", "it is `approve=`"),
        _RETRIES,
    ),
}
"""Hints for options, by the function or class that they were given to."""


def refuse_options(of: str, unknown: Iterable[str], known: Iterable[str] | None, name: str) -> None:
    """Raise ``TypeError`` for an unknown option, as Python does, with a hint at the option to use if one is known.

    Args:
        of: The function or class that was called, such as ``tool``.
        unknown: Names of the options that it does not have.
        known: Names of those that it has.
        name: Name of the step, workflow or session.
    """
    for option in unknown:
        from difflib import get_close_matches  # noqa: PLC0415  few processes meet one

        close = get_close_matches(option, [*(known or ())], 1)
        hint = OPTIONS.get(of, {}).get(option) or (f"did you mean {close[0]!r}?" if close else "")
        said = f": {hint.format(name=name, attribute=option)}" if hint else ""
        msg = f"{of}() got an unexpected keyword argument {option!r}{said}"
        raise TypeError(msg)


def with_hints(called: C, /) -> C:
    """Decorate a function or class that is called with options, so that an unknown one is refused with a hint.

    What is returned raises ``TypeError`` for such an option, as Python does, before it looks at the others.
    """
    target: Any = called
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]  # of the class
    code, of = function.__code__, target.__name__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not options.keys() <= set(known):
            refuse_options(of, [option for option in options if option not in known], known, of)
        return function(*args, **options)

    if not isinstance(target, type):
        return cast("C", call)
    target.__init__ = call  # type: ignore[misc]  # the same
    return called


class OtherNames:
    """Base of classes whose ``AttributeError`` names what to use instead of another system's name."""

    if not TYPE_CHECKING:  # a type checker must report unknown attributes

        def __getattr__(self, name: str) -> Any:
            """Raise ``AttributeError``, with the name to use here if there is a hint."""
            for cls in type(self).__mro__:
                if name in (hints := ATTRIBUTES.get(cls.__name__.removeprefix("Async"), {})):
                    hint = hints[name].format(name=self.__dict__.get("name"), attribute=name)
                    raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}: {hint}")  # noqa: EM102
            for cls in type(self).__mro__:
                if name in cls.__dict__:
                    # A property that raised AttributeError itself: it is asked again, so that its own error is shown.
                    return cls.__dict__[name].__get__(self)
            above = getattr(super(), "__getattr__", None)
            if above is not None:  # that of pydantic
                return above(name)
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=self)
