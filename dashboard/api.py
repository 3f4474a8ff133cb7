"""The app: all routes together, what they say of themselves, and the gate in front."""

from collections.abc import Collection
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp

from understudy.dashboard import actors, approvals, commands, health, logs, problems, results, runs, schedules, sessions
from understudy.dashboard.commands import every_command
from understudy.dashboard.desk import Desk
from understudy.dashboard.gate import Gate
from understudy.messages.commands import Command
from understudy.version import VERSION

PREFIX: Final = "/api/v1"
ALWAYS: Final = (400, 401, 403, 413, 422, 503)
"""What every request may be answered with: the gate, and an orchestrator that has stopped."""
SOMETIMES: Final = (404, 408, 409, 429)
"""What a request about something may be answered with besides."""
REF: Final = "#/components/schemas/{model}"


def make_app(desk: Desk, token: str, hosts: Collection[str]) -> ASGIApp:
    """Make the whole of what is served; see ``Gate`` for ``token`` and ``hosts``."""
    app = FastAPI(
        title="understudy",
        version=VERSION,
        docs_url=None,  # their pages load scripts from other people's servers
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    api = APIRouter(prefix=PREFIX)
    for part in (commands, results, runs, logs, approvals, sessions, schedules, actors):
        api.include_router(part.router)
    api.include_router(health.figures)
    app.include_router(health.router)
    app.include_router(api)
    problems.install(app)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return Gate(app, token, hosts)


def _described(app: FastAPI) -> dict[str, Any]:
    """Describe the API, once: its errors are problems, and all of it but the health needs the token."""
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = described["components"]["schemas"]
        schemas |= _definitions()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
        for methods in described["paths"].values():
            for operation in methods.values():
                _describe_problems(operation, (*ALWAYS, *(SOMETIMES if _names_something(operation) else ())))
        app.openapi_schema = described
    return app.openapi_schema


def _names_something(operation: dict[str, Any]) -> bool:
    """Say whether a request holds a name that may be nobody's."""
    return bool(operation.get("parameters")) or "requestBody" in operation


def _describe_problems(operation: dict[str, Any], statuses: tuple[int, ...]) -> None:
    for status in statuses:
        codes = sorted(code for code, kind in problems.KINDS.items() if kind.status == status)
        known = operation["responses"].get(str(status), {})
        text = known.get("description", "")
        operation["responses"][str(status)] = {
            "description": text if text and text != "Validation Error" else f"Problem: {', '.join(codes)}.",
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
        }


def _definitions() -> dict[str, Any]:
    """Give the schemas that no route names by itself: problems, and the union of all commands."""
    _, found = models_json_schema([(problems.Problem, "serialization")], ref_template=REF)
    union = TypeAdapter[Any](Command).json_schema(ref_template=REF)
    definitions = union.pop("$defs")
    for command in every_command():
        definition = definitions[command.__name__]
        definition["required"] = ["type", *definition.get("required", ())]  # what tells them from one another
    return {**found["$defs"], **definitions, "Command": union}
