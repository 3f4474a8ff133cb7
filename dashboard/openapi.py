"""/openapi.json: the descriptions of the routes, the meaning of every field, and the form of every error."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from greenroom.dashboard.responses import problems
from greenroom.dashboard.routes.commands import every_command
from greenroom.dashboard.routes.results import StreamEnd
from greenroom.messages.commands import Command

ALWAYS: Final = (400, 401, 403, 413, 422, 503)
"""Errors that every request may get: those of the gate, and that of a stopped orchestrator."""
SOMETIMES: Final = (404, 408, 409, 429)
"""Further errors of requests that name a run, a session or the like."""
REF: Final = "#/components/schemas/{model}"
INTRODUCTION: Final = (
    "Runs, sessions and everything else of one orchestrator. Every request but `/healthz` shows the token: "
    "`Authorization: Bearer TOKEN`. Bodies and answers are JSON. Lists come a page at a time: the header `Link` leads "
    "to the next one. Times are UTC by ISO 8601, durations seconds. Errors are `application/problem+json` with a "
    "`code` for programs and a `fix` for people. Names in paths are percent-encoded, a slash in one as `%2F`."
)
TAGS: Final = {
    "runs": "Start workflows, look at their runs, wait for them, follow them, and steer them.",
    "workflows": "What may be started and talked to here.",
    "sessions": "Durable actors, each known by its handler's name and a key.",
    "approvals": "AppQueries to people, and their answers.",
    "schedules": "Workflows that are started again and again.",
    "dead letters": "Messages and steps that were set aside because nothing could deal with them.",
    "actors": "The supervision tree and its worker processes.",
    "messages": "Any command as it is.",
    "health": "Whether it works, and its figures.",
}
PARAMETERS: Final = {
    "run_id": "Id of the run; where it may be a session, `NAME/KEY` with the slash as `%2F`.",
    "name": "The name it was made with.",
    "key": "Which of the handler's sessions.",
    "session": "Name of the session's handler.",
    "session_key": "Which of the handler's sessions.",
    "approval": "Id of the question, as the list gives it.",
    "letter": "Number of the message, or key of the step, as the list gives it.",
    "worker": "Id of the worker, as `/actors` gives it.",
}
"""Descriptions of path parameters."""
FIELDS: Final = {
    "type": "What kind of message this is.",
    "id": "Its identity.",
    "run_id": "Id of the run; of a session it is `NAME/KEY`.",
    "workflow": "Name of the workflow.",
    "app": "Path of the file, or name of the module, that defines it.",
    "name": "What it is called.",
    "key": "What it is known by: within a run for a step, within its handler for a session.",
    "session": "Name of the session's handler.",
    "session_key": "Which of the handler's sessions.",
    "kind": "What kind it is of.",
    "status": "Where it stands.",
    "reason": "Why, in a sentence; null where there is nothing to say.",
    "error": "What went wrong, in a sentence; null where nothing did.",
    "detail": "More about it, in a sentence.",
    "at": "When, in UTC by ISO 8601.",
    "started_at": "When it began, in UTC by ISO 8601.",
    "scheduled_at": "When it was asked for, in UTC by ISO 8601.",
    "ended_at": "When it ended, in UTC by ISO 8601; null while it has not.",
    "updated_at": "When something last happened to it, in UTC by ISO 8601.",
    "opened_at": "When its first message came, in UTC by ISO 8601.",
    "asked_at": "When it was asked, in UTC by ISO 8601.",
    "received_at": "When it came, in UTC by ISO 8601.",
    "retry_at": "When the next attempt is due, in UTC by ISO 8601; null where none is.",
    "number": "Its number, from 1 on.",
    "value": "The value, as JSON.",
    "arguments": "Arguments by parameter name.",
    "result": "What it gave, as JSON; null before that.",
    "evaluations": "What the evaluators said of the result.",
    "flagged": "Whether evaluators rejected the result and the run went on with it, marked for review.",
    "charged": "Whether the attempt counts against the step's retries.",
    "usage": "What it used up, by name, such as tokens and usd.",
    "reserved": "What was reserved of budgets before it began; null where no budget limits it.",
    "exit": "How its process ended, where that is what ended it.",
    "worker": "Id of the worker.",
    "workers": "The worker processes.",
    "workflows": "The workflows.",
    "schedules": "The schedules.",
    "attempts": "Every try, in order.",
    "steps": "The steps that it took, in order.",
    "events": "How many events it has so far.",
    "parent": "What started it; null where somebody from outside did.",
    "pid": "Number of the process; null while there is none.",
    "pool": "Name of the pool.",
    "incarnation": "Which life of the worker this is, from 1 on.",
    "step": "Key of the step; null where it is about none.",
    "strategy": "Who begins again when one dies: `one_for_one`, `one_for_all` or `rest_for_one`.",
    "restarts": "Lives begun after a death.",
    "rss_bytes": "Memory that it holds at this moment, in bytes.",
    "children": "What is below it.",
    "tree": "The supervision tree.",
    "root": "The top of the tree.",
    "message": "The message, as JSON.",
    "message_type": "Name of the message's type.",
    "reply": "The reply, as JSON; null where there is none.",
    "failure": "How it failed.",
    "title": "What happened, in a few words.",
    "field": "Which field; its parts are separated by dots.",
    "sentence": "What is wrong with it.",
    "plan": "What to start, and when.",
    "decision": "Yes, no, or yes with other arguments.",
    "comment": "Why.",
    "budget": "What it may use up.",
    "signal": "Number of the signal, such as 9.",
    "created": "Whether it is new: false where the id or key was known already.",
    "passed": "Whether the score reaches the threshold.",
    "threshold": "The score that is needed.",
    "label": "A word of the evaluator's; null where it gave none.",
    "core_dumped": "Whether the process left a core dump.",
    "outcome": "How it ended.",
    "classes": "The exception's class and those that it derives from.",
    "due": "When it was due, in UTC by ISO 8601.",
    "manual": "Whether somebody ordered it.",
    "count": "How many they are.",
    "totals": "The figures of everything together.",
    "overlap": "What is done when a run is due while an earlier one goes on.",
    "code": "Why, in one word for programs.",
    "run_ids": "Ids of those that go on.",
    "cron": "When: minute, hour, day, month, weekday; null where it is by `every`.",
    "every": "When: so many seconds after one another; null where it is by `cron`.",
    "timezone": "Time zone of `cron`, such as Europe/Berlin.",
    "catch_up": "Seconds for which a moment that was missed is made up for.",
    "created_at": "When it was made, in UTC by ISO 8601.",
    "fired": "How many runs it has started.",
    "skipped": "How many moments it has let pass.",
    "p50": "The median.",
    "p95": "What 95 of 100 stay below.",
    "p99": "What 99 of 100 stay below.",
    "completed": "How many have ended well.",
    "failed": "How many have failed.",
    "runs": "How many runs.",
    "statuses": "How many of each status.",
    "success_rate": "Which part of those that have ended ended well, from 0 to 1.",
    "failure_rate": "Which part of those that have ended failed, from 0 to 1.",
    "retries": "How many attempts followed another one.",
    "crashes": "How many attempts ended with their process.",
    "timeouts": "How many attempts took too long.",
    "invalid": "How many attempts gave something that is not a result.",
    "rejections": "How many results evaluators rejected.",
    "letter": "Number of the message, or key of the step.",
    "attempt": "Number of the attempt, from 1 on.",
    "stream": "`stdout` or `stderr`.",
    "action": "What was to be done, in words.",
    "by": "Who decided.",
    "decided_at": "When, in UTC by ISO 8601.",
}
"""Descriptions of fields by name, for fields whose class has none."""
_BUILDING: Final = Lock()
_HEADING: Final = re.compile(r"^ {4}(\w+): (.*)$")


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document. Built once, whichever threads ask."""
    with _BUILDING:
        return _built(app)


def _built(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title, version=app.version, description=INTRODUCTION, routes=app.routes, tags=_tags()
        )
        schemas = described["components"]["schemas"]
        schemas |= _definitions()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"]["properties"]["code"]["enum"] = list(problems.KINDS)
        for name, schema in schemas.items():
            _describe_fields(name, schema)
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
        for methods in described["paths"].values():
            for operation in methods.values():
                _describe_operation(operation)
        app.openapi_schema = described
    return app.openapi_schema


def _tags() -> list[dict[str, Any]]:
    return [{"name": name, "description": text} for name, text in TAGS.items()]


def _describe_operation(operation: dict[str, Any]) -> None:
    first = operation["description"].partition("\n\n")[0].replace("\n", " ")
    operation["summary"] = re.split(r"\.(?= |$)", first)[0]
    for parameter in operation.get("parameters", ()):
        if "description" not in parameter:
            parameter["description"] = PARAMETERS[parameter["name"]]
    about_something = bool(operation.get("parameters")) or "requestBody" in operation
    for status in (*ALWAYS, *(SOMETIMES if about_something else ())):
        _describe_problem(operation, status)
    for answer in operation["responses"].values():
        if answer["description"] == "Successful Response":
            answer["description"] = "It is done." if "requestBody" in operation else "What was asked for."


def _describe_problem(operation: dict[str, Any], status: int) -> None:
    codes = sorted(code for code, kind in problems.KINDS.items() if kind.status == status)
    known = operation["responses"].get(str(status), {})
    text = known.get("description", "")
    operation["responses"][str(status)] = {
        "description": text if text and text != "Validation Error" else f"Problem: {', '.join(codes)}.",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
    }


def _definitions() -> dict[str, Any]:
    """Return the schemas that no route refers to: problems, the end of a stream, and the union of all commands."""
    _, found = models_json_schema([(problems.Problem, "serialization"), (StreamEnd, "serialization")], ref_template=REF)
    union = TypeAdapter[Any](Command).json_schema(ref_template=REF)
    definitions = union.pop("$defs")
    for command in every_command():
        definition = definitions[command.__name__]
        definition["required"] = ["type", *definition.get("required", ())]  # the discriminator
    return {**found["$defs"], **definitions, "Command": union}


# ---------------------------------------------------------------- fields


def _describe_fields(name: str, schema: dict[str, Any]) -> None:
    """Add a description to every field of a schema: the one of its class, else the one for its name."""
    said = _docs().get(name.removesuffix("-Input").removesuffix("-Output"), {})
    for field, described in schema.get("properties", {}).items():
        if "description" not in described and (text := said.get(field) or FIELDS.get(field)):
            described["description"] = text


@cache
def _docs() -> dict[str, dict[str, str]]:
    """Return the descriptions of fields of message classes, by the names of their schemas."""
    found = {model.__name__: _field_docs(model) for model in _models(BaseModel)}
    for command in every_command():
        found[f"{command.__name__}Body"] = found[command.__name__]
    return found


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if model.__module__.startswith("greenroom."):
            yield model
        yield from _models(model)


def _field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Read the docstrings below the fields of a class and its bases, or the attributes in its docstring."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each.__module__.startswith("greenroom."):
            found |= _listed(each) | _written(each)
    return found


def _listed(model: type[BaseModel]) -> dict[str, str]:
    lines = (model.__doc__ or "").splitlines()
    return {found[1]: found[2] for line in lines if (found := _HEADING.match(f"    {line.strip()}"))}


def _written(model: type[BaseModel]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    except (OSError, TypeError, SyntaxError):  # created by a function, or its file is missing
        return {}
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = " ".join(inspect.cleandoc(text.value.value).split())
    return found
