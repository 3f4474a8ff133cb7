"""An orchestrator as an MCP server: tools for runs, sessions and approvals, each a request to its HTTP API."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import httpx
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult, Tool, ToolAnnotations
from pydantic import Field
from typing_extensions import override

from greenroom.messages.core.errors import GreenroomError
from greenroom.messages.records.records import RunStatus
from greenroom.version import VERSION
from greenroom.workflows.api.client.http import PREFIX, good, not_reached
from greenroom.workflows.api.client.queries import GOES_ON, segment

LONGEST_WAIT: Final = 60.0
"""Longest wait of one tool call for a result, in seconds. Many clients give a call no more time."""
MOST: Final = 200
"""Most items of a list."""

_READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_REPEATABLE: Final = ToolAnnotations(idempotent_hint=True, destructive_hint=False, open_world_hint=False)
_STARTS: Final = ToolAnnotations(destructive_hint=False, open_world_hint=False)
_DECIDES: Final = ToolAnnotations(idempotent_hint=True, open_world_hint=False)

_INSTRUCTIONS: Final = (
    "Runs of workflows on a greenroom orchestrator. Start a run by the name of its workflow (see list_workflows), then "
    "ask for its result until it has ended. A run that waits for a decision is in list_approvals. Runs survive every "
    "process, so asking again later is always possible."
)

Wait = Annotated[float, Field(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the end.")]
Limit = Annotated[int, Field(ge=1, le=MOST, description="Most items, the newest first.")]
RunId = Annotated[str, Field(description="Id of the run.")]


class _Api:
    """The HTTP API, whose problems become errors of tools."""

    def __init__(self, connect: Callable[[], httpx.AsyncClient]) -> None:
        self._connect = connect

    async def get(self, path: str, *places: str, **where: Any) -> Any:
        return (await self._ask("GET", path, places, params={k: v for k, v in where.items() if v is not None})).json()

    async def post(self, path: str, *places: str, **body: Any) -> Any:
        return (await self._ask("POST", path, places, json={k: v for k, v in body.items() if v is not None})).json()

    async def outcome(self, run_id: str, wait: float) -> dict[str, Any]:
        """Return the result of a run, or how far it is.

        Raises:
            ToolError: It failed, was cancelled, or waits for a person; the message says so.
        """
        answer = await self._ask("GET", "/runs/{}/result", (run_id,), params={"wait": wait})
        found: dict[str, Any] = answer.json()
        if answer.status_code == GOES_ON:
            return {"run_id": run_id, "status": found["status"], "reason": found["reason"]}
        return found

    async def _ask(self, method: str, path: str, places: tuple[str, ...], **what: Any) -> httpx.Response:
        filled = path.format(*map(segment, places))
        try:
            async with self._connect() as http:
                try:
                    return good(await http.request(method, filled, **what))
                except httpx.TransportError as error:
                    raise ToolError(not_reached(error, str(http.base_url).partition(PREFIX)[0])) from error
        except GreenroomError as error:
            raise ToolError(str(error)) from error


class _Server(MCPServer):
    """Refuses arguments that a tool does not have. The base class drops them, and a model would not notice."""

    @override
    async def list_tools(self) -> list[Tool]:
        return [
            tool.model_copy(update={"input_schema": {**tool.input_schema, "additionalProperties": False}})
            for tool in await super().list_tools()
        ]

    @override
    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        known = {tool.name: list(tool.input_schema["properties"]) for tool in await self.list_tools()}.get(name)
        if known is not None and (unknown := [given for given in arguments if given not in known]):
            msg = f"tool {name} has no argument {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            raise ToolError(msg)
        return await super().call_tool(name, arguments, context)


def mcp_server(connect: Callable[[], httpx.AsyncClient], *, decisions: bool = True) -> MCPServer:
    """Return an MCP server whose tools drive an orchestrator.

    Args:
        connect: Returns a client of the orchestrator's HTTP API, whose base URL ends with the API's prefix.
        decisions: Whether its clients may decide approvals.
    """
    server = _Server("greenroom", version=VERSION, instructions=_INSTRUCTIONS, log_level="ERROR")
    api = _Api(connect)
    _add_runs(server, api)
    _add_sessions(server, api)
    _add_approvals(server, api, decisions=decisions)
    return server


def _add_runs(server: MCPServer, api: _Api) -> None:
    @server.tool(annotations=_READS)
    async def list_workflows() -> list[dict[str, Any]]:
        """List the workflows that can be started, with JSON Schemas of their arguments and results."""
        return await api.get("/workflows")  # type: ignore[no-any-return]

    @server.tool(annotations=_STARTS)
    async def start_run(
        workflow: Annotated[str, Field(description="NAME, or FILE.py:NAME if several apps have one of that name.")],
        arguments: Annotated[dict[str, Any] | None, Field(description="By parameter name.")] = None,
        run_id: Annotated[
            str | None, Field(description="Identity of the run. Starting twice with the same id starts one run.")
        ] = None,
        wait: Wait = 0.0,
    ) -> dict[str, Any]:
        """Start a run of a workflow. It goes on by itself. Returns its id, and its result if it has ended by then."""
        run = await api.post("/runs", workflow=workflow, input=arguments or {}, id=run_id)
        return await api.outcome(run["id"], wait)

    @server.tool(annotations=_READS)
    async def run_result(run_id: RunId, wait: Wait = 30.0) -> dict[str, Any]:
        """Return the result of a run, or its status if it has not ended. An error says that and why it failed."""
        return await api.outcome(run_id, wait)

    @server.tool(annotations=_READS)
    async def list_runs(
        status: RunStatus | None = None, workflow: str | None = None, limit: Limit = 20
    ) -> list[dict[str, Any]]:
        """List runs, newest first."""
        return await api.get("/runs", status=status, name=workflow, limit=limit)  # type: ignore[no-any-return]

    @server.tool(annotations=_READS)
    async def show_run(run_id: RunId) -> dict[str, Any]:
        """Return a run's status, times, and the reason if it failed or waits."""
        return await api.get("/runs/{}", run_id)  # type: ignore[no-any-return]

    @server.tool(annotations=_READS)
    async def list_steps(run_id: RunId) -> list[dict[str, Any]]:
        """List the steps of a run with their attempts, in the order in which they were scheduled."""
        return await api.get("/runs/{}/steps", run_id)  # type: ignore[no-any-return]

    @server.tool(annotations=_DECIDES)
    async def cancel_run(run_id: RunId, reason: str | None = None) -> dict[str, Any]:
        """Cancel a run. Its workflow may clean up before it ends."""
        await api.post("/runs/{}/cancel", run_id, reason=reason)
        return await api.get("/runs/{}", run_id)  # type: ignore[no-any-return]


def _add_sessions(server: MCPServer, api: _Api) -> None:
    @server.tool(annotations=_READS)
    async def list_handlers() -> list[dict[str, Any]]:
        """List the handlers of sessions, with JSON Schemas of the messages they take and their replies."""
        return await api.get("/handlers")  # type: ignore[no-any-return]

    @server.tool(annotations=_READS)
    async def list_sessions(handler: str | None = None, limit: Limit = 20) -> list[dict[str, Any]]:
        """List sessions, the one opened last first."""
        return await api.get("/sessions", name=handler, limit=limit)  # type: ignore[no-any-return]

    @server.tool(annotations=_STARTS)
    async def ask_session(
        handler: Annotated[str, Field(description="Name of the session's handler.")],
        key: Annotated[str, Field(description="Key of the session. The first message opens it.")],
        message: Annotated[Any, Field(description="The message, as one of the types that the handler takes.")],
        type: Annotated[str, Field(description="Type of the message, if the message alone does not tell it.")] = "",  # noqa: A002
        wait: Annotated[float, Field(gt=0, le=LONGEST_WAIT, description="Seconds to wait for the reply.")] = 60.0,
    ) -> Any:
        """Send a message to a session, and return its reply."""
        answered = await api.post("/sessions/{}/{}", handler, key, message=message, type=type, timeout=wait)
        return answered["reply"]


def _add_approvals(server: MCPServer, api: _Api, *, decisions: bool) -> None:
    @server.tool(annotations=_READS)
    async def list_approvals(run_id: str | None = None) -> list[dict[str, Any]]:
        """List what runs ask people, oldest first."""
        return await api.get("/approvals", run_id=run_id)  # type: ignore[no-any-return]

    if not decisions:
        return

    @server.tool(annotations=_DECIDES)
    async def decide_approval(
        approval: Annotated[str, Field(description="Id of the approval.")],
        decision: Literal["approve", "reject", "edit"],
        args: Annotated[Any, Field(description="For an edit: the arguments to use instead.")] = None,
        comment: str = "",
    ) -> dict[str, Any]:
        """Decide what a run asks. Only a person's wish is a reason to call this."""
        await api.post(
            "/approvals/{}", approval, decision=decision, args=args, comment=comment, by="a client of the MCP server"
        )
        return {"approval": approval, "decision": decision}
