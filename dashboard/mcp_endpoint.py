"""The path ``/mcp``: the orchestrator as an MCP server over streamable HTTP, behind the same gate as the API."""

import asyncio
from typing import Final

import httpx
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from greenroom.dashboard.responses.problems import PREFIX
from greenroom.workflows.api.client.mcp_tools import mcp_server

PATH: Final = "/mcp"


class McpEndpoint:
    """ASGI app that answers MCP clients at one path, and passes all other requests on. Used on the server's loop.

    Each request is complete in itself: there are no sessions, so a restart of the server interrupts no client.

    Args:
        api: The app behind the gate. Tools are requests to it.
    """

    def __init__(self, api: ASGIApp) -> None:
        """Make the server. Nothing runs before the first request."""
        self._api = api
        server = mcp_server(self._client)
        self._app = server.streamable_http_app(
            streamable_http_path=PATH,
            stateless_http=True,
            json_response=True,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the gate does that
        )
        self._manager = server.session_manager
        self._begun = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self._api), base_url=f"http://mcp{PREFIX}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] != PATH:
            await self._api(scope, receive, send)
            return
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await self._begun.wait()
        await self._app(scope, receive, send)

    async def _run(self) -> None:
        """Hold what requests need, until the loop ends and cancels this."""
        async with self._manager.run():
            self._begun.set()
            await asyncio.Event().wait()
