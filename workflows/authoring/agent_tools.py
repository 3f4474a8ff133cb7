"""What an agent may use as a tool: steps, other LLMs, workflows, and tools of MCP servers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, cast

from greenroom.actors.agent.tool import AgentTool
from greenroom.actors.definitions.definitions import Definition, StepDefinition
from greenroom.actors.definitions.json_schema import tool_schema
from greenroom.actors.mcp.content import without_bytes
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import ToolSchema
from greenroom.workflows.authoring.mcp import McpServer, McpTool
from greenroom.workflows.authoring.step import Step
from greenroom.workflows.authoring.workflow import Workflow

_BAD: Final = re.compile(r"[^A-Za-z0-9_-]")
"""Characters that providers do not accept in a tool's name."""
_LONGEST: Final = 64
"""Longest name of a tool that providers accept."""


@dataclass(frozen=True)
class CallableTool:
    """A step, an LLM or a workflow as a tool of an agent."""

    callee: "Step[..., Any] | Workflow[..., Any]"

    @property
    def name(self) -> str:
        """Name that the model sees."""
        return tool_name(self.callee.name)

    @property
    def schema(self) -> ToolSchema:
        """See ``AgentTool``."""
        return _schema(self._definition, self.name)

    def read(self, arguments: dict[str, Any]) -> dict[str, Json]:
        """See ``AgentTool``."""
        return self._definition.signature.bind_json(arguments)

    def asks_approval(self, arguments: dict[str, Json]) -> bool:
        """See ``AgentTool``."""
        asks = self._definition.approve if isinstance(self._definition, StepDefinition) else False
        if isinstance(asks, bool):
            return asks
        args, kwargs = self._definition.signature.decode(arguments)
        return bool(asks(*args, **kwargs))

    async def call(self, label: str, arguments: dict[str, Json]) -> Json:
        """See ``AgentTool``."""
        args, kwargs = self._definition.signature.decode(arguments)
        callee = self.callee.options(key=label) if isinstance(self.callee, Step) else self.callee
        return self._definition.encode_result(await callee(*args, **kwargs))

    @property
    def _definition(self) -> Definition:
        return self.callee.definition


_schema: Final = cache(tool_schema)


@dataclass(frozen=True)
class ServerTool:
    """A tool of an MCP server as a tool of an agent. The server checks the arguments.

    Attributes:
        tool: The tool.
        qualified: Whether the model sees the server's name before that of the tool, as another tool has the same.
    """

    tool: McpTool
    qualified: bool = False

    @property
    def schema(self) -> ToolSchema:
        """See ``AgentTool``."""
        name = f"{self.tool.server.name}_{self.tool.name}" if self.qualified else self.tool.name
        return self.tool.schema.model_copy(update={"name": tool_name(name)})

    def read(self, arguments: dict[str, Any]) -> dict[str, Json]:
        """See ``AgentTool``."""
        return arguments

    def asks_approval(self, arguments: dict[str, Json]) -> bool:  # noqa: ARG002  the same for each call
        """See ``AgentTool``."""
        return self.tool.server.asks_approval(self.tool.name)

    async def call(self, label: str, arguments: dict[str, Json]) -> Json:
        """See ``AgentTool``."""
        result: Any = await self.tool.server.call_labelled(self.tool.name, label, arguments)
        if isinstance(result, dict) and list(cast("dict[str, Any]", result)) == ["result"]:
            return cast("Json", result["result"])  # how servers wrap what is not an object
        if isinstance(result, list):
            return cast("Json", without_bytes(cast("Sequence[Any]", result)))
        return cast("Json", result)


def check_tools(title: str, tools: object) -> tuple[Any, ...]:
    """Return the tools of an agent.

    Raises:
        DefinitionError: One is not a tool, or two have the same name.
    """
    given: tuple[Any, ...] = tuple(cast("Sequence[Any]", tools)) if isinstance(tools, (list, tuple)) else (tools,)
    names: set[str] = set()
    servers: set[str] = set()
    for tool in given:
        if not isinstance(tool, (Step, Workflow, McpServer)):
            msg = (
                f"{title} has among its tools {tool!r:.200}: a tool is a function with @tool or @workflow, another "
                f"LLM, or an MCP server"
            )
            raise DefinitionError(msg)
        if isinstance(tool, McpServer):  # whose name a model sees at most before that of a tool
            if tool.name in servers:
                msg = f"{title} has the MCP server `{tool.name}` twice among its tools: leave one of them out"
                raise DefinitionError(msg)
            servers.add(tool.name)
            continue
        name = tool_name(tool.name)
        if name in names:
            msg = f"{title} has two tools of the name `{name}`: give one of them another name with options(name=...)"
            raise DefinitionError(msg)
        names.add(name)
    return given


async def agent_tools(given: Sequence[Any], title: str) -> list[AgentTool]:
    """Return the tools as an agent calls them, those of servers included.

    A server's tool that has the name of another tool gets the server's name before its own.

    Raises:
        DefinitionError: Two tools have the same name even so, such as two of one server.
    """
    found: list[CallableTool | ServerTool] = []
    for each in given:
        found += map(ServerTool, await each.tools()) if isinstance(each, McpServer) else [CallableTool(each)]
    twice = _twice(found)
    told = [
        replace(each, qualified=each.schema.name in twice) if isinstance(each, ServerTool) else each for each in found
    ]
    if _twice(told):
        listed = [each.tool for each in found if isinstance(each, ServerTool) and each.schema.name in twice]
        those = [f"`{each.name}` of {each.server.definition.title}" for each in listed]
        msg = (
            f"{title} has more than one tool of the name {', '.join(map(repr, twice))}, as a model would see them: "
            f"leave one of them out. From servers come {', '.join(those)}"
        )
        raise DefinitionError(msg)
    return list(told)


def _twice(tools: Sequence[AgentTool]) -> list[str]:
    """Return the names that several tools have."""
    return sorted(name for name, number in Counter(tool.schema.name for tool in tools).items() if number > 1)


def tool_name(name: str) -> str:
    """Return a name that providers accept."""
    return _BAD.sub("_", name)[:_LONGEST]
