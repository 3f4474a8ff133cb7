"""Commands over HTTP: a table gives each command a path, and one path takes any command."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, cast, get_args

from fastapi import APIRouter, Body, Header, Request
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from greenroom.dashboard.dependencies import AtDesk, Dependencies
from greenroom.dashboard.paths import Segment
from greenroom.dashboard.responses import problems
from greenroom.dashboard.routes.runs import id_of_key
from greenroom.messages import commands as c
from greenroom.messages.core.message import Message


@dataclass(frozen=True, slots=True)
class Way:
    """The route of one command: which fields are in the path. The other fields are the body."""

    path: str
    command: type[Message]
    reply: type[Message] = c.Accepted
    key: str = "key"
    """The field that makes a command that is sent again the same one. The header ``Idempotency-Key`` gives it too."""

    @property
    def name(self) -> str:
        """Summary of the operation: the command's name in words."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.command.__name__).lower()

    @property
    def tag(self) -> str:
        """Tag of the operation."""
        return self.path.split("/")[1].replace("-", " ")

    @property
    def in_path(self) -> list[str]:
        """The fields in the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


WAYS: Final = (
    Way("/runs/resume", c.ResumeParked, c.Resumed),
    Way("/runs/{run_id}/signal", c.SignalRun),
    Way("/runs/{run_id}/pause", c.PauseRun),
    Way("/runs/{run_id}/resume", c.ResumeRun),
    Way("/runs/{run_id}/cancel", c.CancelRun),
    Way("/runs/{run_id}/retry", c.RetryRun),
    Way("/approvals/{approval}", c.DecideApproval),
    Way("/runs/{run_id}/fork", c.ForkRun, key="id"),
    Way("/schedules/{name}", c.PutSchedule),
    Way("/schedules/{name}/pause", c.PauseSchedule),
    Way("/schedules/{name}/resume", c.ResumeSchedule),
    Way("/schedules/{name}/trigger", c.TriggerSchedule),
    Way("/schedules/{name}/delete", c.DeleteSchedule),
    Way("/sessions/{session}/{session_key}/close", c.CloseSession),
    Way("/sessions/{session}/{session_key}/cancel_turn", c.CancelTurn),
    Way("/dead-letters/{run_id}/{letter}/redrive", c.RedriveDeadLetter),
    Way("/dead-letters/{run_id}/{letter}/drop", c.DropDeadLetter),
    Way("/actors/{worker}/kill", c.KillWorker),
    Way("/actors/{worker}/restart", c.RestartWorker),
)
"""Every command with a path of its own, sent by POST. A path parameter is the field of that name."""

router = APIRouter()

_COMMAND: Final[TypeAdapter[Any]] = TypeAdapter(c.Command)


class _Body(Message):
    """Body of a request. Built at once: FastAPI silences pydantic's warning about its annotations only then."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=False)


def _handler(way: Way) -> Callable[..., Any]:
    """Return the route handler of a command. FastAPI reads its signature; its body is the same for all commands."""
    fields = {name: field for name, field in way.command.model_fields.items() if name not in {"type", *way.in_path}}

    async def handle(
        desk: Dependencies, body: BaseModel | None = None, idempotency_key: str = "", **places: Any
    ) -> Any:
        given = {name: getattr(body, name) for name in body.model_fields_set} if body is not None else {}
        if idempotency_key:
            key = id_of_key(idempotency_key) if way.key == "id" else idempotency_key
            if given.get(way.key) not in {None, key}:
                raise problems.Refusal("conflict", f"give {way.key} or an Idempotency-Key: each of them names the same")
            given[way.key] = key
        return await desk.send(cast("c.Command", way.command(**places, **given)))

    parameters = [inspect.Parameter("desk", inspect.Parameter.KEYWORD_ONLY, annotation=AtDesk)]
    parameters += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Segment) for name in way.in_path]
    if fields:
        model = create_model(
            f"{way.command.__name__}Body",
            __base__=_Body,
            **cast("dict[str, Any]", {name: (field.annotation, field) for name, field in fields.items()}),
        )
        needed = any(field.is_required() for field in fields.values())
        annotation: Any = Annotated[model, Body()] if needed else Annotated[model | None, Body()]
        default = inspect.Parameter.empty if needed else None
        parameters.append(
            inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        )
    if way.key in fields:
        header = Header(max_length=255, description="A request with the key of an earlier one is that request.")
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter("idempotency_key", kind, annotation=Annotated[str, header], default=""))
    handle.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    handle.__name__ = way.name
    handle.__doc__ = way.command.__doc__
    return handle


for _way in WAYS:
    router.post(_way.path, response_model=_way.reply, tags=[_way.tag])(_handler(_way))


@router.post(
    "/messages",
    response_model=c.Reply,
    tags=["messages"],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Command"}}},
        }
    },
)
async def send_message(desk: AtDesk, request: Request) -> Any:
    """Execute any command, given as JSON."""
    try:
        command = _COMMAND.validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        unfit = problems.unfit(found)
        raise problems.Refusal("invalid_request", unfit.detail, errors=unfit.errors) from error
    return await desk.send(command)


def every_command() -> tuple[type[Message], ...]:
    """Return the class of every command."""
    return get_args(get_args(c.Command)[0])
