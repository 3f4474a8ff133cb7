"""Errors over HTTP: ``application/problem+json`` with a code for programs and a fix for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from greenroom.messages.commands import Refused
from greenroom.messages.core import errors
from greenroom.messages.core.failures import Failure, Fault, first_faults, one_line
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.refusals import REFUSED_AS

PREFIX: Final = "/api/v1"
"""Prefix of the API's paths."""
MEDIA_TYPE: Final = "application/problem+json"


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """A stable identifier for programs."""
    fix: str
    """What the caller can do."""
    errors: tuple[Fault, ...] | None = None
    """Every invalid field of the request."""
    run_id: str | None = None
    step: str | None = None
    """Key of the step at which a run failed."""
    attempts: tuple[AttemptRecord, ...] | None = None
    """Attempts of that step."""
    failure: Failure | None = None
    """What the workflow or the session's handler raised, with its traceback."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems with the same code have in common."""

    status: int
    title: str
    fix: str


KINDS: Final[dict[str, Kind]] = {
    "bad_request": Kind(400, "The request cannot be read", "Send it as /openapi.json describes it."),
    "unauthorized": Kind(401, "No valid token", "Send `Authorization: Bearer TOKEN`; the token is in the home's file."),
    "forbidden_host": Kind(403, "Foreign Host", "Use the address that the server was started with."),
    "forbidden_origin": Kind(
        403, "Foreign Origin", "Call from a program, or have the server started with `--allow-origin ORIGIN`."
    ),
    "not_found": Kind(404, "Not found", "Look at the list of what there is, or mend the name."),
    "method_not_allowed": Kind(405, "Method not allowed", "Use a method that /openapi.json lists for this path."),
    "conflict": Kind(409, "Conflict", "Choose another id or key, or repeat exactly what it was first used for."),
    "ended": Kind(409, "The run has ended", "Start a new run; one that has ended takes nothing more."),
    "not_failed": Kind(409, "Nothing to retry", "Look at the run's status, and start a new run where that is wanted."),
    "session_closed": Kind(409, "The session is closed", "Choose another key; a closed session takes nothing more."),
    "parked": Kind(409, "The session waits for a person", "Mend what the detail names, then resume it by its id."),
    "timeout": Kind(408, "No reply in time", "Ask again with the same key: the message is answered in its turn."),
    "busy": Kind(409, "An earlier run goes on", "Wait for its end, or give the schedule another overlap policy."),
    "turn_failed": Kind(409, "The message failed", "It is a dead letter now: mend what failed, then redrive it."),
    "run_failed": Kind(409, "The run failed", "See its steps for what each attempt died of."),
    "run_cancelled": Kind(409, "The run was cancelled", "Start a new run if its result is still wanted."),
    "run_parked": Kind(409, "The run waits for a person", "Mend what the detail names, then resume the run."),
    "too_large": Kind(413, "Body too large", "Send less at once, or the name of a file instead of what it holds."),
    "invalid": Kind(422, "Input that does not fit", "Correct the fields that are named, and send it again."),
    "invalid_request": Kind(
        422, "A request that does not fit", "Correct the fields that are named; see /openapi.json."
    ),
    "full": Kind(429, "The mailbox is full", "Send it again once some messages have been taken."),
    "internal": Kind(
        500, "An error of the server itself", "Look into log.jsonl in the home; nothing accepted is lost."
    ),
    "unavailable": Kind(503, "Not available now", "Try again in a moment."),
    "no_workers": Kind(503, "No worker takes work now", "Send it again when the time in the detail is over."),
    "closed": Kind(503, "The orchestrator has stopped", "Start it again; nothing acknowledged is lost."),
}
"""All codes."""

CODES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (errors.RunParked, "run_parked"),
    (errors.SessionClosed, "session_closed"),
    *((kind, code) for code, kind in REFUSED_AS.items()),
    (errors.WorkerNotFound, "not_found"),
    (errors.ApprovalNotFound, "not_found"),
    (errors.ApprovalClosed, "conflict"),
    (errors.DefinitionError, "invalid"),
    (errors.NotSerializable, "invalid"),
    (errors.RunFailed, "run_failed"),
    (errors.RunCancelled, "run_cancelled"),
    (errors.JournalError, "unavailable"),
)
"""The code of each error class; the first class that fits counts."""


class Refusal(Exception):  # noqa: N818  it is raised to be sent as an answer
    """Raised by route handlers to answer with a problem."""

    def __init__(self, code: str, detail: str, **more: Any) -> None:
        """Create the problem."""
        super().__init__(detail)
        self.problem = problem(code, detail, **more)


def problem(code: str, detail: str, **more: Any) -> Problem:
    """Return a problem with one of the codes in ``KINDS``."""
    kind = KINDS[code]
    return Problem(title=kind.title, status=kind.status, detail=detail, code=code, fix=kind.fix, **more)


def refusal(refused: Refused) -> Refusal:
    """Return the refusal of a command as an exception for route handlers."""
    return Refusal(refused.code, refused.message, errors=refused.faults or None)


def response(found: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return a problem as an HTTP response."""
    body = found.model_dump_json(exclude_none=True)
    return Response(body, found.status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make an app answer every error with a problem."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(errors.GreenroomError, _raised)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _internal)


def _placed(request: Request, found: Problem) -> Problem:
    """Return a problem whose commands work in any folder."""
    detail = request.app.state.desk.orchestrator.home.placed(found.detail, anywhere=True)
    return found if detail == found.detail else found.model_copy(update={"detail": detail})


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return response(_placed(request, error.problem))


def _raised(request: Request, error: Exception) -> Response:
    code = next((code for kind, code in CODES if isinstance(error, kind)), "unavailable")
    if isinstance(error, errors.RunFailed):
        more = {"run_id": error.run_id, "step": error.step, "attempts": tuple(error.attempts), "failure": error.failure}
        return response(problem(code, str(error), **more))
    if isinstance(error, errors.InvalidInput):
        faults = tuple(Fault(field=field, sentence=sentence) for field, sentence in error.errors)
        return response(_placed(request, problem(code, str(error), errors=faults or None)))
    return response(_placed(request, problem(code, str(error))))


def _unfit(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return response(unfit(error.errors()))


def unfit(found: Sequence[Any]) -> Problem:
    """Return the problem for a validation error. It does not repeat the input, which may hold secrets."""
    places = [(".".join(map(str, each["loc"])) or "body", _sentence(each)) for each in found]
    faults = tuple(Fault(field=field, sentence=sentence) for field, sentence in first_faults(places))
    return problem("invalid_request", one_line(faults), errors=faults)


def _sentence(found: Any) -> str:
    """Return a sentence about a validation error, without pydantic's terms for Python types."""
    return _WORDS.get(found["type"]) or str(found["msg"])


_WORDS: Final = {
    "extra_forbidden": "is not a field of this request",
    "missing": "is missing",
    "model_attributes_type": "is not a JSON object",
    "model_type": "is not a JSON object",
    "dict_type": "is not a JSON object",
}


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 400: "bad_request"}
    code = codes.get(error.status_code, "bad_request")
    allowed = _allowed(request)
    details = {
        "not_found": f"there is nothing at this path{_hint(request)}",
        "method_not_allowed": f"this path does not take {request.method}, only {allowed}",
    }
    found = problem(code, details.get(code, error.detail or HTTPStatus(error.status_code).phrase))
    return response(found, {"Allow": allowed} if code == "method_not_allowed" else None)


def _hint(request: Request) -> str:
    """Return a hint at the path that was probably meant."""
    known = {path: path.split("/") for path in request.app.openapi()["paths"]}
    called: str = request.scope["path"]
    for path in (called.rstrip("/"), f"{PREFIX}{called}", f"{PREFIX}{called.rstrip('/')}"):
        if any(_leads_to(path.split("/"), parts) for parts in known.values()):
            return f"; did you mean {path}?"
    close = get_close_matches(called, known, n=1) or get_close_matches(f"{PREFIX}{called}", known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _allowed(request: Request) -> str:
    """Return all methods of a path; the router names only those of the first matching route."""
    described: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    called = request.scope["path"].split("/")
    methods: set[str] = set()
    for path, operations in described.items():
        if _leads_to(called, path.split("/")):
            methods |= operations.keys()
    return ", ".join(sorted(method.upper() for method in methods))


def _leads_to(called: list[str], parts: list[str]) -> bool:
    return len(called) == len(parts) and all(
        part.startswith("{") or part == word for part, word in zip(parts, called, strict=True)
    )


def _internal(_request: Request, _error: Exception) -> Response:
    return response(problem("internal", "the request could not be carried out"))
