"""The ASGI app: all routes, with the gate in front."""

from collections.abc import Collection

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from greenroom.dashboard.access.gate import Gate
from greenroom.dashboard.access.origins import Origins
from greenroom.dashboard.access.unknown_parameters import Strict
from greenroom.dashboard.dependencies import Dependencies
from greenroom.dashboard.openapi import describe
from greenroom.dashboard.pages import files
from greenroom.dashboard.responses import problems
from greenroom.dashboard.routes import actors, approvals, commands, health, logs, results, runs, schedules, sessions
from greenroom.version import VERSION


def make_app(desk: Dependencies, token: str, hosts: Collection[str], origins: Origins, *, mcp: bool = False) -> ASGIApp:
    """Return the ASGI app that the server serves; see ``Gate`` for ``token``, ``hosts`` and ``origins``.

    With ``mcp`` it also answers MCP clients.
    """
    app = FastAPI(
        title="greenroom",
        version=VERSION,
        docs_url=None,  # FastAPI's own pages load scripts from another server; ours is in ``pages``
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.desk = desk
    api = APIRouter(prefix=problems.PREFIX, dependencies=[Strict])
    for part in (commands, results, runs, logs, approvals, sessions, schedules, actors):
        api.include_router(part.router)
    api.include_router(sessions.letters)
    api.include_router(actors.workflows)
    api.include_router(health.figures)
    app.include_router(health.router)
    app.include_router(files.router)
    app.include_router(api)
    problems.install(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    if not mcp:
        return Gate(app, token, hosts, origins)
    from greenroom.dashboard.mcp_endpoint import McpEndpoint  # noqa: PLC0415  needs an extra

    return Gate(McpEndpoint(app), token, hosts, origins)
