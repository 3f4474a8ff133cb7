"""Requests to an orchestrator that is served over HTTP, and the errors its responses stand for."""

import ipaddress
import json
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, cast

from pydantic import TypeAdapter
from typing_extensions import override

from greenroom.actors.failures.reconstruction import with_location
from greenroom.messages.advice import install, serve
from greenroom.messages.core import errors
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import shown
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.refusals import REFUSED_AS

try:
    import httpx
except ModuleNotFoundError as missing:
    msg = f"Client needs httpx: {install('client')}"
    raise ModuleNotFoundError(msg, name=missing.name) from missing

PREFIX: Final = "/api/v1"
ANSWER_TIMEOUT: Final = 70.0
"""Seconds that a response may take; a start has to load the app first."""
SILENCE_TIMEOUT: Final = 45.0
"""Seconds without data after which a stream is broken; a server sends something every 15 s."""

ERRORS: Final[dict[str, type[Exception]]] = {
    **REFUSED_AS,
    "invalid_request": errors.InvalidInput,
    "run_cancelled": errors.RunCancelled,
    "run_parked": errors.RunParked,
    "unavailable": errors.JournalError,
    "unauthorized": errors.NotAuthorized,
    "forbidden_host": errors.NotAuthorized,
    "forbidden_origin": errors.NotAuthorized,
}
"""The exception for each code of a problem; a ``GreenroomError`` for any other."""

_ATTEMPTS: Final = TypeAdapter(tuple[AttemptRecord, ...])


class Wire:
    """Connections to one server. Thread-safe.

    Args:
        url: URL of the server, such as ``"http://127.0.0.1:7878"``.
        token: Bearer token of its requests.
    """

    def __init__(self, url: str, token: str) -> None:
        """Connect to nothing yet."""
        self.url: Final = url.rstrip("/")
        self._options: Final[dict[str, Any]] = {
            "base_url": self.url + PREFIX,
            "headers": {"Authorization": f"Bearer {token}"},
            "timeout": ANSWER_TIMEOUT,
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
            "trust_env": not _is_loopback(self.url),  # no proxy stands between this machine and itself
        }
        self._context: Final = httpx.create_ssl_context(trust_env=self._options["trust_env"])
        """The part of a client that takes longest to make."""
        self.http: Final = httpx.Client(**self._options, verify=self._context)
        self.close: Final = weakref.finalize(self, self.http.close)
        """Closes all connections; also called when this object is garbage-collected."""

    @override
    def __repr__(self) -> str:
        """Name the server, and not the token."""
        return f"<Wire to {self.url}>"

    def get(self, path: str, **where: Any) -> httpx.Response:
        """Return the successful response to a request; parameters that are None are left out.

        Raises:
            GreenroomError: The server reports a problem; see ``ERRORS``.
            OrchestratorUnreachable: No server responds.
        """
        params = {name: value for name, value in where.items() if value is not None}
        with self.reaching():
            return good(self.http.get(path, params=params))

    def asynchronous(self) -> httpx.AsyncClient:
        """Return a client for an event loop, which has to close it."""
        return httpx.AsyncClient(**self._options, verify=self._context)

    @contextmanager
    def reaching(self) -> Generator[None]:
        """Raise ``OrchestratorUnreachable`` for an error of the connection."""
        try:
            yield
        except httpx.TransportError as error:
            if isinstance(error, httpx.ReadTimeout):
                rest = "what it was asked may have been taken: ask again, with the same id or key"
                msg = f"the orchestrator at {self.url} has not answered in time; {rest}"
            else:
                msg = f"the orchestrator at {self.url} cannot be reached; start it with {serve()}, and look at its url"
            raise errors.OrchestratorUnreachable(msg) from error


def good(response: httpx.Response) -> httpx.Response:
    """Return a successful response, or raise the error that another one stands for."""
    if response.is_success:
        return response
    found = problem_of(response)
    code, detail = str(found.get("code", "")), str(found.get("detail", f"status {response.status_code}"))
    if code == "run_failed":
        attempts = shown(_ATTEMPTS.validate_json(json.dumps(found.get("attempts") or [])))
        error = errors.RunFailed(detail, run_id=str(found.get("run_id")), step=found.get("step"), attempts=attempts)
        failure = found.get("failure")
        raise error if failure is None else with_location(error, Failure.model_validate_json(json.dumps(failure)))
    kind: Callable[[str], Exception] = ERRORS.get(code, errors.GreenroomError)
    raise kind(detail)


def next_cursor(response: httpx.Response) -> str | None:
    """Return the cursor of the page after a response; None if it is the last."""
    link = response.links.get("next")
    return None if link is None else httpx.URL(link["url"]).params["cursor"]


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """Return the problem in a response; empty if it is not from a greenroom server."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
