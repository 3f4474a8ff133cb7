"""The engine: each of the library's durable operations is a step, found in workers by the reference of its agent."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

from pydantic_ai._utils import disable_threads  # no public name does the same
from pydantic_ai.durable_exec import (
    BoundDurableOperation,
    CapabilityOperationId,
    DurableOperation,
    DurableOperationConfig,
    DurableOperationId,
    EventStreamHandlerId,
    JournalOperationNamer,
    ModelCancelSuspendedResponseId,
    ModelCompactMessagesId,
    ModelRequestId,
    OperationConfigRole,
    ParameterTransports,
    RegisteredOperationBackend,
    ToolsetCallToolId,
    ToolsetGetInstructionsId,
    ToolsetGetToolsId,
    ToolsetValidateToolArgumentsId,
    durable_unit_scope,
)
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.tools import RunContext
from typing_extensions import override

from greenroom.actors.context import program
from greenroom.actors.definitions.definition_site import Site
from greenroom.actors.definitions.definitions import StepDefinition
from greenroom.actors.models.characters import make_whole
from greenroom.actors.models.measured import Measured, asked
from greenroom.integrations.pydantic_ai import places
from greenroom.integrations.pydantic_ai.contexts import Wire
from greenroom.integrations.pydantic_ai.conversations import stored_with_outcome, take_messages
from greenroom.integrations.pydantic_ai.failures import failed_model, failed_tool, falls_back, marked_for_retry
from greenroom.integrations.pydantic_ai.prices import call_of
from greenroom.integrations.pydantic_ai.usage import usage_of
from greenroom.messages.options.policy import ModelCall, Price, StepOptions
from greenroom.messages.transcript import TranscriptUse

P = TypeVar("P")
W = TypeVar("W")
R = TypeVar("R")

FindModel: TypeAlias = Callable[[str], Model | None]


class AgentOptions(DurableOperationConfig[StepOptions]):
    """Options of an agent's steps.

    Attributes:
        model: Options of model requests.
        tool: Options of everything else.
        tools: Options of single tools, by name; False for one that runs in the workflow itself.
        price: Price of its models, where the library knows none.
    """

    def __init__(
        self,
        model: StepOptions,
        tool: StepOptions,
        tools: Mapping[str, StepOptions | Literal[False]],
        price: Price | None,
    ) -> None:
        """Keep checked options."""
        self.model = model
        self.tool = tool
        self.tools = tools
        self.price = price

    @override
    def base(self, role: OperationConfigRole, *, operation_id: DurableOperationId) -> StepOptions:
        return self.model if role == "model" else self.tool

    @override
    def for_tool(
        self, role: OperationConfigRole, *, operation_id: DurableOperationId, tool: object | None, tool_name: str
    ) -> StepOptions | Literal[False]:
        return self.tools.get(tool_name, self.tool)


class StepOperations(RegisteredOperationBackend[StepOptions]):
    """Makes a step of each durable operation of one agent.

    Args:
        agent: Name of the agent.
        site: Where its author's code creates it.
        options: Options of its steps.
        transports: How parameters reach workers.
        find_model: Returns the model that a request names by its id; None if a program cannot know it.
    """

    def __init__(
        self,
        agent: str,
        site: Site,
        options: AgentOptions,
        transports: ParameterTransports,
        find_model: FindModel,
    ) -> None:
        """Begin without operations. The library registers them while the agent is created."""
        super().__init__(namer=JournalOperationNamer(agent), config=options, parameter_transports=transports)
        self._agent = agent
        self._site = site
        self._price = options.price
        self._find_model = find_model

    @override
    def register(
        self, operation: DurableOperation[P, W, R], *, name: str, config: StepOptions
    ) -> tuple[BoundDurableOperation[P, W, R], Sequence[Callable[..., object]]]:
        kind: Literal["llm", "tool"] = "llm" if operation.config_role == "model" else "tool"

        async def run(params: Any) -> Any:
            """Run one operation in a worker."""
            wire: Any = _as_asked(params) if kind == "llm" else params
            given = operation.parameter_transport.load(wire, runtime=None)
            with marked_for_retry() if kind == "llm" else disable_threads(), durable_unit_scope():
                result = await operation.handler(given)
            if isinstance(result, ModelResponse):
                make_whole(result)
            written = operation.result_codec.dump(result)
            return Measured(written, usage_of(result, self._price)) if kind == "llm" else written

        called = f"{self._agent}.{_reference(operation.operation_id)}"
        definition = StepDefinition(kind, called, run, replace(self._site, qualname=called), config)
        return _StepOperation(operation, definition, self._call_of), ()

    def _call_of(self, wire: Wire, context: RunContext[Any]) -> ModelCall:
        """Return what is to be reserved for a model request. In programs."""
        name = wire["model"]
        model = context.model if name is None else self._find_model(name)
        return call_of(model, name, wire, self._price)


def _as_asked(params: Wire) -> Wire:
    """Return the parameters of a model step with the messages that it names, and the limit that a budget sets."""
    more = asked.get()
    if more.messages is not None:
        params = {**params, "messages": more.messages}
    if more.max_tokens is not None:  # which is not above what the author has set
        params = {**params, "settings": {**(params["settings"] or {}), "max_tokens": more.max_tokens}}
    return params


class _StepOperation(BoundDurableOperation[P, W, R], Generic[P, W, R]):
    """One durable operation: in a program, a call is a step."""

    def __init__(
        self,
        operation: DurableOperation[P, W, R],
        definition: StepDefinition,
        call_of: Callable[[Wire, RunContext[Any]], ModelCall],
    ) -> None:
        self._operation = operation
        self._definition = definition
        self._call_of = call_of

    @property
    @override
    def operation(self) -> DurableOperation[P, W, R]:
        return self._operation

    @override
    async def __call__(self, params: P, *, config: object | None = None) -> R:
        port, definition = program.get(), self._definition
        assert port is not None, "outside of workflows the library runs operations in place"
        _ = definition.app  # raises if workers cannot find the agent
        wire: Any = self._operation.parameter_transport.dump(params)
        context: Any = getattr(params, "ctx", None) or getattr(params, "run_context", None)
        name, label = _call_name(self._operation.operation_id, params, context)
        options = cast("StepOptions | None", config) or definition.options
        transcript: TranscriptUse | None = None
        if isinstance(self._operation.operation_id, (ModelRequestId, ModelCompactMessagesId)):
            more = {"model": self._call_of(wire, context), "has_fallback": falls_back(context)}
            options = options.model_copy(update=more)
            transcript = take_messages(port, wire)
        translated = _translated(self._operation.operation_id)
        with translated, places.steps_of(context.run_id), stored_with_outcome(port, transcript):
            payload = await port.call_step(
                name=name,
                kind=definition.step_kind,
                step=definition.ref,
                arguments=definition.signature.encode_call((wire,), {}),
                options=options,
                key=label,
                transcript=transcript,
            )
        return self._operation.result_codec.load(definition.decode_result(payload))


_NAMES: Final[dict[type, str]] = {
    ModelRequestId: "model",
    ModelCompactMessagesId: "compact",
    ModelCancelSuspendedResponseId: "cancel",
    EventStreamHandlerId: "event",
    ToolsetCallToolId: "tools",
    ToolsetValidateToolArgumentsId: "validate",
    ToolsetGetToolsId: "list",
    ToolsetGetInstructionsId: "instructions",
}
"""Names of operations in the references of steps. Journals hold them, so they must not change."""


def _translated(operation_id: DurableOperationId) -> AbstractContextManager[None]:
    if isinstance(operation_id, (ModelRequestId, ModelCompactMessagesId, ModelCancelSuspendedResponseId)):
        return failed_model()
    return failed_tool() if isinstance(operation_id, ToolsetCallToolId) else nullcontext()


def _reference(operation_id: DurableOperationId) -> str:
    """Return the last part of the reference of an operation's step."""
    if isinstance(operation_id, CapabilityOperationId):
        return f"{operation_id.capability_id}.{operation_id.operation}"
    if isinstance(operation_id, ModelRequestId) and operation_id.streaming:
        return "model_stream"
    toolset = getattr(operation_id, "toolset_id", None)
    name = _NAMES.get(type(operation_id), type(operation_id).__name__)
    return name if toolset is None else f"{name}[{toolset}]"


def _call_name(operation_id: DurableOperationId, params: object, context: Any) -> tuple[str, str | None]:
    """Return the name and the label of one call, which make its key: ``model``, or ``search`` with the call's id."""
    match operation_id:
        case ModelRequestId():
            return "model", None
        case ToolsetCallToolId():
            return str(getattr(params, "name", "tool")), context.tool_call_id
        case ToolsetValidateToolArgumentsId():
            return f"{getattr(params, 'name', 'tool')}.validate", context.tool_call_id
        case ToolsetGetToolsId(toolset_id=toolset):
            return "list", toolset
        case ToolsetGetInstructionsId(toolset_id=toolset):
            return "instructions", toolset
        case _:
            return _reference(operation_id), None
