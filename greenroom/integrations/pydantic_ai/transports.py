"""Parameters of an agent's steps as JSON and back. A replay must write the same JSON as the first time.

So what differs from process to process is left out: the times at which messages were built, and the ids that the
library makes up for capabilities without one. Members of sets are sorted. The library's run ids are derived from the
keys of agent runs; see ``places``.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar, cast

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    CapabilityMethodDeclaration,
    CapabilityOperationParams,
    DurabilityEngineSpec,
    DynamicToolsetCallToolParams,
    EventStreamHandlerParams,
    ModelCancelSuspendedResponseParams,
    ModelCompactMessagesParams,
    ModelRequestParams,
    ParameterTransport,
    ParameterTransports,
    ToolsetCallToolParams,
    ToolsetGetToolsParams,
    WorkspaceCall,
    WorkspaceCallParams,
    revalidate_function_call,
)
from pydantic_ai.messages import AgentStreamEvent, ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestContext, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, DynamicToolset, FunctionToolset
from pydantic_ai.workspaces import WorkspaceRef
from typing_extensions import override

from greenroom.actors.values.canonical import sort_sets
from greenroom.integrations.pydantic_ai.contexts import Contexts, Wire, without_made_up

P = TypeVar("P")


_SETTINGS: Final = dict[str, Any] | None


def _dump_messages(messages: list[ModelMessage]) -> list[Wire]:
    """Return a conversation as JSON values, without the times at which its messages were built."""
    written: list[Wire] = JSON_CODEC.dump(list[ModelMessage], messages)
    for message in written:
        message.pop("timestamp", None)
        for part in message["parts"]:
            part.pop("timestamp", None)
    return written


def _dump_parameters(parameters: ModelRequestParameters) -> Any:
    return without_made_up(sort_sets(parameters, JSON_CODEC.dump(ModelRequestParameters, parameters)))


def _dump_settings(settings: Mapping[str, Any] | None) -> Any:
    return JSON_CODEC.dump(_SETTINGS, settings)


class _Transport(ParameterTransport[P, Wire], Generic[P]):
    """Writes one kind of parameters: their context, and beside it their own fields."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts

    @abstractmethod
    def _context(self, params: P) -> RunContext[Any]: ...

    @abstractmethod
    def _write(self, params: P) -> Wire: ...

    @abstractmethod
    def _read(self, wire: Wire, context: RunContext[Any]) -> P: ...

    @override
    def dump(self, params: P) -> Wire:
        return {**self._write(params), **self._contexts.dump(self._context(params))}

    @override
    def load(self, payload: Wire, *, runtime: object) -> P:
        return self._read(payload, self._contexts.load(payload))


class _ModelRequest(_Transport[ModelRequestParams]):
    @override
    def _context(self, params: ModelRequestParams) -> RunContext[Any]:
        return params.run_context

    @override
    def _write(self, params: ModelRequestParams) -> Wire:
        return {
            "model": params.model_id,
            "messages": _dump_messages(params.messages),
            "settings": _dump_settings(params.model_settings),
            "parameters": _dump_parameters(params.model_request_parameters),
        }

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> ModelRequestParams:
        return ModelRequestParams(
            wire["model"],
            messages=JSON_CODEC.load(list[ModelMessage], wire["messages"]),
            model_settings=cast("ModelSettings | None", wire["settings"]),
            model_request_parameters=JSON_CODEC.load(ModelRequestParameters, wire["parameters"]),
            run_context=context,
        )


class _Compaction(_Transport[ModelCompactMessagesParams]):
    @override
    def _context(self, params: ModelCompactMessagesParams) -> RunContext[Any]:
        return params.run_context

    @override
    def _write(self, params: ModelCompactMessagesParams) -> Wire:
        request = params.request_context
        return {
            "model": params.model_id,
            "messages": _dump_messages(request.messages),
            "settings": _dump_settings(request.model_settings),
            "parameters": _dump_parameters(request.model_request_parameters),
            "streaming": request.streaming,
            "instructions": params.instructions,
        }

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> ModelCompactMessagesParams:
        request = ModelRequestContext(
            model=cast("Any", None),  # the library sets it to the model that it finds by its id
            messages=JSON_CODEC.load(list[ModelMessage], wire["messages"]),
            model_settings=cast("ModelSettings | None", wire["settings"]),
            model_request_parameters=JSON_CODEC.load(ModelRequestParameters, wire["parameters"]),
        )
        request.model_id = wire["model"]
        request.streaming = wire["streaming"]
        return ModelCompactMessagesParams(
            wire["model"], request_context=request, instructions=wire["instructions"], run_context=context
        )


class _Cancellation(_Transport[ModelCancelSuspendedResponseParams]):
    @override
    def _context(self, params: ModelCancelSuspendedResponseParams) -> RunContext[Any]:
        assert params.run_context is not None, "the library cancels responses of a run"
        return params.run_context

    @override
    def _write(self, params: ModelCancelSuspendedResponseParams) -> Wire:
        return {"model": params.model_id, "response": JSON_CODEC.dump(ModelResponse, params.response)}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> ModelCancelSuspendedResponseParams:
        response = JSON_CODEC.load(ModelResponse, wire["response"])
        return ModelCancelSuspendedResponseParams(wire["model"], response=response, run_context=context)


class _Event(_Transport[EventStreamHandlerParams]):
    @override
    def _context(self, params: EventStreamHandlerParams) -> RunContext[Any]:
        return params.run_context

    @override
    def _write(self, params: EventStreamHandlerParams) -> Wire:
        return {"event": _without_times(JSON_CODEC.dump(AgentStreamEvent, params.event))}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> EventStreamHandlerParams:
        return EventStreamHandlerParams(JSON_CODEC.load(AgentStreamEvent, wire["event"]), run_context=context)


def _without_times(json: Any) -> Any:
    if isinstance(json, dict):
        kept = {name: value for name, value in cast("dict[str, Any]", json).items() if name != "timestamp"}
        return {name: value if name == "content" else _without_times(value) for name, value in kept.items()}
    return json


class _Capability(_Transport[CapabilityOperationParams]):
    @override
    def _context(self, params: CapabilityOperationParams) -> RunContext[Any]:
        return params.run_context

    @override
    def _write(self, params: CapabilityOperationParams) -> Wire:
        arguments = sort_sets(params.arguments, JSON_CODEC.dump(dict[str, Any], params.arguments))
        return {"model": params.model_id, "arguments": without_made_up(arguments)}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> CapabilityOperationParams:
        return CapabilityOperationParams(context, arguments=wire["arguments"], model_id=wire["model"])


class _Workspace(_Transport[WorkspaceCallParams]):
    @override
    def _context(self, params: WorkspaceCallParams) -> RunContext[Any]:
        return params.run_context

    @override
    def _write(self, params: WorkspaceCallParams) -> Wire:
        ref = JSON_CODEC.dump(WorkspaceRef | None, params.ref)
        return {"ref": ref, "call": JSON_CODEC.dump(WorkspaceCall, params.call)}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> WorkspaceCallParams:
        ref = JSON_CODEC.load(WorkspaceRef | None, wire["ref"])
        return WorkspaceCallParams(run_context=context, ref=ref, call=JSON_CODEC.load(WorkspaceCall, wire["call"]))


class _Discovery(_Transport[ToolsetGetToolsParams]):
    @override
    def _context(self, params: ToolsetGetToolsParams) -> RunContext[Any]:
        return params.ctx

    @override
    def _write(self, params: ToolsetGetToolsParams) -> Wire:
        return {}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> ToolsetGetToolsParams:
        return ToolsetGetToolsParams(context)


class _ToolCall(_Transport[ToolsetCallToolParams]):
    """A call of a tool of a known toolset. The worker looks the tool up by its name."""

    @override
    def _context(self, params: ToolsetCallToolParams) -> RunContext[Any]:
        return params.ctx

    @override
    def _write(self, params: ToolsetCallToolParams) -> Wire:
        arguments = sort_sets(params.tool_args, JSON_CODEC.dump(dict[str, Any], params.tool_args))
        return {"tool": params.name, "arguments": arguments}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> ToolsetCallToolParams:
        return ToolsetCallToolParams(wire["tool"], tool_args=wire["arguments"], ctx=context, tool=None)


class _ServerCall(_ToolCall):
    """A call of a tool of an MCP server, which was listed in a step of its own."""

    def __init__(self, contexts: Contexts, toolset: AbstractToolset[Any]) -> None:
        super().__init__(contexts)
        self._toolset: Any = toolset  # its class is there with another extra only

    @override
    def _write(self, params: ToolsetCallToolParams) -> Wire:
        assert params.tool is not None, "the workflow has listed the server's tools"
        return {**super()._write(params), "definition": _dump_definition(params.tool.tool_def)}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> ToolsetCallToolParams:
        definition = JSON_CODEC.load(ToolDefinition, wire["definition"])
        tool = self._toolset.tool_for_tool_def(definition, ctx=context)
        return ToolsetCallToolParams(wire["tool"], tool_args=wire["arguments"], ctx=context, tool=tool)


class _DynamicCall(_Transport[DynamicToolsetCallToolParams]):
    """A call of a tool that a function of the author chose for this run."""

    @override
    def _context(self, params: DynamicToolsetCallToolParams) -> RunContext[Any]:
        return params.ctx

    @override
    def _write(self, params: DynamicToolsetCallToolParams) -> Wire:
        arguments = sort_sets(params.tool_args, JSON_CODEC.dump(dict[str, Any], params.tool_args))
        definition = None if params.tool_def is None else _dump_definition(params.tool_def)
        return {"tool": params.name, "arguments": arguments, "definition": definition}

    @override
    def _read(self, wire: Wire, context: RunContext[Any]) -> DynamicToolsetCallToolParams:
        definition = JSON_CODEC.load(ToolDefinition | None, wire["definition"])
        return DynamicToolsetCallToolParams(wire["tool"], tool_args=wire["arguments"], ctx=context, tool_def=definition)


def _dump_definition(definition: ToolDefinition) -> Any:
    return without_made_up(sort_sets(definition, JSON_CODEC.dump(ToolDefinition, definition)))


class JsonTransports(ParameterTransports):
    """Carry the parameters of every kind of step to a worker."""

    def __init__(self, agent: AbstractAgent[Any, Any], spec: DurabilityEngineSpec) -> None:
        """Make the transports of one agent."""
        self._contexts = Contexts(agent, spec)

    @override
    def model_request(self, result_type: object) -> ParameterTransport[ModelRequestParams, Any]:
        return _ModelRequest(self._contexts)

    @override
    def compact_messages(self) -> ParameterTransport[ModelCompactMessagesParams, Any]:
        return _Compaction(self._contexts)

    @override
    def cancel_suspended_response(self) -> ParameterTransport[ModelCancelSuspendedResponseParams, Any]:
        return _Cancellation(self._contexts)

    @override
    def event_stream_handler(self) -> ParameterTransport[EventStreamHandlerParams, Any]:
        return _Event(self._contexts)

    @override
    def capability_operation(
        self, declaration: CapabilityMethodDeclaration
    ) -> ParameterTransport[CapabilityOperationParams, Any]:
        return _Capability(self._contexts)

    @override
    def workspace_call(self) -> ParameterTransport[WorkspaceCallParams, Any]:
        return _Workspace(self._contexts)

    @override
    def function_call(self, toolset: FunctionToolset[Any]) -> ParameterTransport[ToolsetCallToolParams, Any]:
        return _ToolCall(self._contexts)

    @override
    async def prepare_function_call(
        self, toolset: FunctionToolset[Any], params: ToolsetCallToolParams
    ) -> ToolsetCallToolParams:
        return await revalidate_function_call(toolset, params, engine_spec=self._contexts.spec)

    @override
    def mcp_call(self, toolset: AbstractToolset[Any]) -> ParameterTransport[ToolsetCallToolParams, Any]:
        return _ServerCall(self._contexts, toolset)

    @override
    def get_tools(self, toolset: AbstractToolset[Any]) -> ParameterTransport[ToolsetGetToolsParams, Any]:
        return _Discovery(self._contexts)

    @override
    def get_instructions(self, toolset: AbstractToolset[Any]) -> ParameterTransport[ToolsetGetToolsParams, Any]:
        return _Discovery(self._contexts)

    @override
    def dynamic_get_tools(self, toolset: DynamicToolset[Any]) -> ParameterTransport[ToolsetGetToolsParams, Any]:
        return _Discovery(self._contexts)

    @override
    def dynamic_call(self, toolset: DynamicToolset[Any]) -> ParameterTransport[DynamicToolsetCallToolParams, Any]:
        return _DynamicCall(self._contexts)
