"""Fakes of MCP servers: functions of the test answer in place of the tools of a server, which is not started."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from greenroom.actors.mcp.definition import McpDefinition
from greenroom.messages.core.errors import Fatal, GreenroomError


class FakeServer:
    """The tools of one server. Called with a request of the protocol, in a thread of the test's process."""

    def __init__(
        self, definition: McpDefinition, tools: Mapping[str, Callable[..., Any]], read_only: Collection[str]
    ) -> None:
        """Keep the functions; see ``ToolFakes.replace_server``."""
        self.definition = definition
        self.tools = dict(tools)
        self.read_only = frozenset(read_only)

    def __call__(self, method: str, params: dict[str, Any]) -> Any:
        """Answer ``tools/list``, or ``tools/call`` with ``name`` and ``arguments``.

        Raises:
            Fatal: There is no such tool, or the fake raised.
        """
        if method == "tools/list":
            return [self._described(name, fake) for name, fake in self.tools.items()]
        name = params["name"]
        if name not in self.tools:
            msg = f"{self.definition.title} has no tool `{name}`; its fake has {', '.join(self.tools) or 'none'}"
            raise Fatal(msg)
        try:
            value = self.tools[name](**params["arguments"])
            return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value
        except GreenroomError:
            raise
        except Exception as error:  # a server answers with the text of an error, and the call is not made again
            raise Fatal(str(error) or type(error).__name__) from error

    def _described(self, name: str, fake: Callable[..., Any]) -> dict[str, Any]:
        read_only = name in self.read_only
        return {
            "name": name,
            "description": inspect.getdoc(fake) or "" if inspect.isroutine(fake) else "",
            "parameters": _parameters(fake),
            "title": "",
            "read_only": read_only,
            "idempotent": False,
            "destructive": not read_only,
        }


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _parameters(fake: Callable[..., Any]) -> dict[str, Any]:
    """Return the JSON Schema of a fake's arguments; of any object, where it has no signature that says more."""
    if not inspect.isroutine(fake):  # such as a mock, which takes anything
        return {"type": "object"}
    try:
        schema = TypeAdapter(cast("type[Any]", fake)).json_schema()
    except PydanticUserError:
        schema = {}
    return schema if schema.get("type") == "object" else {"type": "object"}
