"""The capability that makes an agent durable."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, TypedDict
from uuid import NAMESPACE_URL, uuid5

from pydantic_ai._utils import disable_threads  # no public name does the same
from pydantic_ai.agent import AbstractAgent, EventStreamHandler
from pydantic_ai.capabilities import WrapRunHandler, WrapToolExecuteHandler
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationBackend,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelRequest, ToolCallPart
from pydantic_ai.models import Model, ModelResolutionContext, infer_model
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import AgentDepsT, DeferredToolRequests, DeferredToolResults, RunContext, ToolDefinition
from typing_extensions import override

from greenroom.actors.api.step_context import running
from greenroom.actors.definitions.definition_site import caller_site
from greenroom.integrations.pydantic_ai import places
from greenroom.integrations.pydantic_ai.approvals import ask_approvals
from greenroom.integrations.pydantic_ai.failures import RETRY
from greenroom.integrations.pydantic_ai.operations import AgentOptions, StepOperations
from greenroom.integrations.pydantic_ai.stand_ins import stand_in
from greenroom.integrations.pydantic_ai.transports import JsonTransports
from greenroom.messages.core.times import Seconds
from greenroom.messages.options.policy import Retry, StepOptions
from greenroom.workflows.authoring.step import given_price, step_options


class ModelOptions(TypedDict, total=False):
    """Options of an agent's model requests.

    Attributes:
        timeout: Seconds one attempt may take, 300 by default; None for no limit.
        retry: How often and when it is tried again. By default, rejected requests and exhausted credit are not.
        price: US dollars per million input tokens and per million output tokens, for models whose price is not known.
    """

    timeout: Seconds | None
    retry: Retry
    price: tuple[float, float] | None


class ToolOptions(TypedDict, total=False):
    """Options of one tool of an agent, as those of ``greenroom.tool``.

    Attributes:
        timeout: Seconds one attempt may take, 300 by default; None for no limit.
        retry: How often and when it is tried again.
        crash_attempts: Deaths of its process before a call is quarantined.
        once: At most once: after a crash the model is told that the outcome is unknown.
        memory_mb: Data limit of its process in MiB. A tool with its own limit has its own processes.
        env: Names of environment variables that it may see. A tool with such variables has its own processes.
    """

    timeout: Seconds | None
    retry: Retry
    crash_attempts: int
    once: bool
    memory_mb: int | None
    env: tuple[str, ...]


_ENGINE: Final = DurabilityEngineSpec(
    engine_name="Greenroom",
    durable_unit_noun="step",
    durable_container_noun="workflow",
    codec=JSON_CODEC,
    toolset_lifecycles={
        "function": "enter-outside-durable",
        "mcp": "enter-outside-durable",
        "dynamic": "enter-never",
    },
    unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
    tool_config_key="greenroom",
)


class GreenroomDurability(BaseDurabilityCapability[AgentDepsT]):
    """Makes an agent durable: ``Agent(..., name="support", capabilities=[GreenroomDurability()])``.

    Awaited inside a ``@workflow``, each model request of the agent is a step in an LLM worker, and each tool call one
    in a tool worker. What has completed is not run again after a crash of any process. Awaited anywhere else, the agent
    runs in place as it does without this capability.

    The agent needs a name and is created at the top level of a file, as steps are. Its ``deps`` cross processes as
    JSON, so ``deps_type`` is a pydantic model, a dataclass or another type that pydantic can write.

    A tool that raised, hung or was killed is described to the model, once its attempts are used up. A tool that runs in
    the workflow itself (``tools={"delegate": False}``) may await steps, ``approve`` and other durable agents.
    """

    engine_spec: ClassVar[DurabilityEngineSpec] = _ENGINE

    def __init__(
        self,
        *,
        name: str | None = None,
        model: ModelOptions | None = None,
        tools: Mapping[str, ToolOptions | Literal[False]] | None = None,
        models: Mapping[str, Model] | None = None,
        event_stream_handler: EventStreamHandler[AgentDepsT] | None = None,
        ask: bool = True,
    ) -> None:
        """Create the capability, at the top level of a file.

        Args:
            name: Name of the agent in keys and records; its own name by default.
            model: Options of model requests.
            tools: Options of single tools by name; False for a tool that runs in the workflow itself.
            models: Further models that a run may name, by id. A string that names a provider's model needs no entry.
            event_stream_handler: Receives the agent's events, in LLM workers and in steps of its own.
            ask: Whether tools that need an approval ask for it through ``approve`` while the run waits. If False, the
                run returns ``DeferredToolRequests`` as the library documents; see ``ask_approvals``.

        Raises:
            DefinitionError: An option has an invalid value; all of them are named.
        """
        super().__init__(models=models, event_stream_handler=event_stream_handler, name=name)
        title = "GreenroomDurability()" if name is None else f"the durability of agent `{name}`"
        given: dict[str, Any] = {"retry": RETRY, **(model or {})}
        price = given_price(title, given.pop("price", None))
        self._options = AgentOptions(
            step_options(f"{title}, model", given),
            StepOptions(retry=RETRY),
            {tool: _tool_options(f"{title}, tool `{tool}`", tool, given) for tool, given in (tools or {}).items()},
            price,
        )
        self._ask = ask
        self._site = caller_site("GreenroomDurability")
        self._operations: tuple[object, StepOperations] | None = None
        """The operations of the agent that this copy is bound to, with that agent."""

    # ------------------------------------------------------------ what the library asks of an engine

    @property
    @override
    def in_durable_context(self) -> bool:
        return places.in_program()

    @override
    def get_durable_operation_backend(self) -> DurableOperationBackend[Any]:
        agent = self._bound_agent()
        if self._operations is None or self._operations[0] is not agent:
            transports = JsonTransports(agent, self.engine_spec)
            self._operations = agent, StepOperations(self.name, self._site, self._options, transports, self._find_model)
        return self._operations[1]

    @override
    def _bind_to_agent(self, agent: AbstractAgent[AgentDepsT, Any]) -> None:
        """Register the steps of toolsets, and that of events, which the library would bind at its first use."""
        super()._bind_to_agent(agent)
        if self._event_stream_handler is not None:
            self._bound_event_operation = self._bind_event_operation(self.get_durable_operation_backend())

    def _bound_agent(self) -> AbstractAgent[Any, Any]:
        assert self.agent is not None, "the library binds a capability before it uses it"
        return self.agent

    # ------------------------------------------------------------ one run of the agent, in a program

    @override
    def get_default_run_id(self) -> str | None:
        """Begin a run in the task that awaits it."""
        return places.begin(self.name) if self.in_durable_context else None

    @override
    def get_default_conversation_id(self, run_id: str) -> str | None:
        if not self.in_durable_context:
            return None
        places.begin_named(self.name, run_id)
        return str(uuid5(NAMESPACE_URL, run_id))

    @override
    def get_run_clock(self) -> Callable[[], datetime] | None:
        return places.clock if self.in_durable_context else None

    @override
    async def wrap_run(self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Keep the run's callbacks off threads, and end the run's place in the program."""
        if not self.in_durable_context:
            return await handler()
        try:
            with disable_threads():
                result = await super().wrap_run(ctx, handler=handler)
        finally:
            places.end(ctx.run_id)
        _date(result, places.clock())
        return result

    @override
    async def wrap_tool_execute(
        self,
        ctx: RunContext[AgentDepsT],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """Name what a tool that runs in the workflow awaits below the call."""
        if not self.in_durable_context:
            return await handler(args)
        with places.inside_call(ctx.run_id, call.tool_name, call.tool_call_id):
            return await handler(args)

    @override
    async def handle_deferred_tool_calls(
        self, ctx: RunContext[AgentDepsT], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Ask a person about the calls that need an approval."""
        if not (self._ask and requests.approvals and self.in_durable_context):
            return None
        return await ask_approvals(
            requests, place=lambda call: places.inside_call(ctx.run_id, call.tool_name, call.tool_call_id)
        )

    @override
    async def resolve_model_id(self, ctx: ModelResolutionContext[AgentDepsT], *, model_id: str) -> Model | None:
        """Find a model by its name. A program sends no requests, so it needs no key."""
        known = await super().resolve_model_id(ctx, model_id=model_id)
        if known is not None:
            return known
        if self.in_durable_context:
            return stand_in(model_id)
        if running.get() is None:
            return None  # the library builds it for this run, in place
        # In a worker it is kept, with its connections: the library leaves registered models open.
        return self._models_by_id.setdefault(model_id, infer_model(model_id))

    def _find_model(self, model_id: str) -> Model | None:
        """Return the model that a request names by its id; None if only LLM workers can find it."""
        known = self._models_by_id.get(model_id)
        if known is not None:
            return known
        try:
            return stand_in(model_id)
        except UserError:  # a capability of the author's finds it
            return None


def _tool_options(title: str, tool: str, given: ToolOptions | Literal[False]) -> StepOptions | Literal[False]:
    if given is False:
        return False
    options: dict[str, Any] = {"retry": RETRY, **given}
    memory_mb, env = options.pop("memory_mb", None), options.pop("env", ())
    if memory_mb is not None or env:
        options |= {"pool": f"tool:{tool}", "limits": {"memory_mb": memory_mb, "env": env}}
    return step_options(title, options)


def _date(result: AgentRunResult[Any], now: datetime) -> None:
    """Give the requests of a run the same time on every replay. A workflow may pass them on to other steps."""
    for message in result.new_messages():
        if isinstance(message, ModelRequest):
            message.timestamp = now
            for part in message.parts:
                if hasattr(part, "timestamp"):
                    part.timestamp = now  # pyright: ignore[reportAttributeAccessIssue]  every part that has one
