"""Requests to an orchestrator that is served over HTTP, and the errors its responses stand for."""

import ipaddress
import json
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from greenroom.actors.failures.reconstruction import with_location
from greenroom.messages.advice import install, serve
from greenroom.messages.core import errors
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import shown
from greenroom.messages.ids import text_given
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.refusals import REFUSED_AS
from greenroom.workflows.api.client.waits import Waits
from greenroom.workflows.api.forks import renew_in_forks
from greenroom.workflows.home.home import TOKEN_VARIABLE

if TYPE_CHECKING:
    import httpx
else:
    with suppress(ModuleNotFoundError):  # ``check_installed`` says so when a client is made
        import httpx

T = TypeVar("T")
PREFIX: Final = "/api/v1"
ANSWER_TIMEOUT: Final = 70.0
"""Seconds that a response may take; a start has to load the app first."""
LATE: Final = 20.0
"""Seconds by which the response to a wait may be late; a server that has none by then is stopped or out of reach."""
SILENCE_TIMEOUT: Final = 45.0
"""Seconds without data after which a stream is broken; a server sends something every 15 s."""
BRIEF: Final = 1.0
"""Seconds after which a wait whose connection broke off goes on with another connection."""

MAY_BE_TAKEN: Final = "what it was asked may have been taken: ask again, with the same id or key"

ERRORS: Final[dict[str, type[Exception]]] = {
    **REFUSED_AS,
    "invalid_request": errors.InvalidInput,
    "run_cancelled": errors.RunCancelled,
    "run_parked": errors.RunParked,
    "unavailable": errors.JournalError,
    "too_large": errors.InvalidInput,
    "unauthorized": errors.NotAuthorized,
    "forbidden_host": errors.NotAuthorized,
    "forbidden_origin": errors.NotAuthorized,
}
"""The exception for each code of a problem; a ``GreenroomError`` for any other."""

GATEWAY: Final = frozenset({502, 503, 504, 524})
"""Statuses by which a proxy says that it did not reach its server, or did not wait for it any longer."""
NOTHING: Final = 204
"""Status of a stream without any more events."""

_TYPES: Final = ("application/json", "text/event-stream")
_ATTEMPTS: Final = TypeAdapter(tuple[AttemptRecord, ...])


class Wire:
    """Connections to one server. Thread-safe.

    Args:
        url: URL of the server, such as ``"http://127.0.0.1:7878"``.
        token: Bearer token of its requests.
        find: Returns the URL that the server has now, which is asked once it cannot be reached at the one it had; it
            may raise ``OrchestratorUnreachable``.

    Raises:
        InvalidInput: It is no such URL.
        NotAuthorized: No server has such a token.
    """

    def __init__(self, url: str, token: str, find: Callable[[], str] | None = None) -> None:
        """Connect to nothing yet."""
        self.url = _checked_url(url)
        self._find: Final = find
        token = _checked_token(token)
        self._options: Final[dict[str, Any]] = {
            "base_url": self.url + PREFIX,
            "headers": {"Authorization": f"Bearer {token}"},
            "timeout": ANSWER_TIMEOUT,
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
            "trust_env": not _is_loopback(self.url),  # no proxy stands between this machine and itself
        }
        self._context: Final = httpx.create_ssl_context(trust_env=self._options["trust_env"])
        """The part of a client that takes longest to make."""
        self._shared: Final[list[httpx.Client]] = []
        """Of the processes that this one is a fork of."""
        self._connect()
        renew_in_forks(self)

    def _connect(self) -> None:
        self.http = httpx.Client(**self._options, verify=self._context)
        self.waits = Waits()
        self.close = weakref.finalize(self, _close, self.http, self.waits)
        """Closes all connections; also called when this object is garbage-collected."""

    def renew(self) -> None:
        """Leave all connections to the process that this one is a fork of; both would read each other's responses."""
        if self.close.detach() is not None:  # this end is not closed
            self._shared.append(self.http)
            self._connect()

    @override
    def __repr__(self) -> str:
        """Name the server, and not the token."""
        return f"<Wire to {self.url}>"

    def get(self, path: str, **where: Any) -> "httpx.Response":
        """Return the successful response to a request; parameters that are None are left out.

        If its connection breaks off, the request is sent once more with another one: a server or proxy may end a
        connection that is kept open at the moment at which it is used again. ``Waiting`` repeats requests that wait.

        Raises:
            GreenroomError: The server reports a problem; see ``ERRORS``.
            OrchestratorUnreachable: No server of greenroom responds.
            ValueError: No text in a journal is like a parameter.
        """
        params = {
            name: text_given(name, value) if isinstance(value, str) else value
            for name, value in where.items()
            if value is not None
        }
        within = where["wait"] + LATE if "wait" in where else ANSWER_TIMEOUT
        with self.reaching():
            try:
                answer = self.http.get(path, params=params, timeout=within)
            except httpx.TransportError as error:
                if "wait" in where or not _breaks(error):
                    raise
                answer = self.http.get(path, params=params, timeout=within)
            return good(answer)

    def read(self, parse: Callable[[bytes], T], path: str, **where: Any) -> T:
        """Return what the successful response to a request means; see ``get``."""
        answer = self.get(path, **where)
        with understood(answer):
            return parse(answer.content)

    def asynchronous(self) -> "httpx.AsyncClient":
        """Return a client for an event loop, which has to close it."""
        return httpx.AsyncClient(**self._options, verify=self._context)

    @contextmanager
    def reaching(self) -> Generator[None]:
        """Raise ``OrchestratorUnreachable`` for an error of the connection.

        Raises:
            OrchestratorClosed: This end has closed its connections.
        """
        self._check_open()
        try:
            yield
        except errors.OrchestratorUnreachable:
            self._look_again()
            raise
        except errors.NotAuthorized as error:  # by another server, which has got the port
            if not self._look_again():
                raise
            msg = f"another server is where the orchestrator was, and refused the token; {self._elsewhere()}"
            raise errors.OrchestratorUnreachable(msg) from error
        except httpx.TransportError as error:
            self._check_open()
            msg = not_reached(error, self.url)
            if self._look_again():
                msg = f"{msg.partition(';')[0]}; {self._elsewhere()}"
            raise errors.OrchestratorUnreachable(msg) from error

    def _check_open(self) -> None:
        if not self.close.alive:
            msg = f"this client of {self.url} was closed"
            raise errors.OrchestratorClosed(msg)

    def _elsewhere(self) -> str:
        return f"it is served at {self.url} now: ask again, with the same id or key"

    def _look_again(self) -> bool:
        """Return whether the server has another URL now, and take that."""
        try:
            url = self._find() if self._find is not None else self.url
        except errors.OrchestratorUnreachable:
            return False
        if url == self.url:
            return False
        self.url = url
        self._options["base_url"] = self.http.base_url = url + PREFIX
        return True


def _close(http: "httpx.Client", waits: Waits) -> None:
    waits.end()
    http.close()


class Waiting:
    """Ends a wait in silence whose connection broke off after a while, as proxies do it; the caller asks again.

    A proxy may also answer in the place of its server then, see ``GATEWAY``. Where that was at once, asking again would
    do the same without end: the error is raised.
    """

    def __init__(self) -> None:
        """Take the time."""
        self._begun: Final = time.monotonic()

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Return whether the error is dropped."""
        broke = isinstance(error, errors.OrchestratorUnreachable) and _breaks(error.__cause__)
        return broke and time.monotonic() - self._begun >= BRIEF


def check_installed() -> None:
    """Check that the package that connections need is there.

    Raises:
        ModuleNotFoundError: The extra ``client`` is not installed.
    """
    if "httpx" not in globals():
        msg = f"Client needs httpx: {install('client')}"
        raise ModuleNotFoundError(msg, name="httpx")


def _breaks(error: BaseException | None) -> bool:
    """Return whether an error says that a connection broke off, or that a proxy gave up on it."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in GATEWAY
    return isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError))


def not_reached(error: "httpx.TransportError", url: str) -> str:
    """Return the sentence about a request that was not answered, which says whether it may have been taken."""
    if isinstance(error, httpx.ReadTimeout):
        return f"the orchestrator at {url} has not answered in time; {MAY_BE_TAKEN}"
    if _breaks(error):
        return f"the connection to the orchestrator at {url} broke off before it had answered; {MAY_BE_TAKEN}"
    return f"the orchestrator at {url} cannot be reached; start it with {serve()}, and look at its url"


def good(response: "httpx.Response") -> "httpx.Response":
    """Return a successful response, or raise the error that another one stands for."""
    if response.is_success:
        if response.status_code == NOTHING or response.headers.get("content-type", "").startswith(_TYPES):
            return response
        raise _foreign(response)
    found = problem_of(response)
    if "code" not in found:
        raise _foreign(response)
    code, detail = str(found["code"]), str(found.get("detail", f"status {response.status_code}"))
    if code == "run_failed":
        attempts = shown(_ATTEMPTS.validate_json(json.dumps(found.get("attempts") or [])))
        error = errors.RunFailed(detail, run_id=str(found.get("run_id")), step=found.get("step"), attempts=attempts)
        failure = found.get("failure")
        raise error if failure is None else with_location(error, Failure.model_validate_json(json.dumps(failure)))
    kind = ERRORS.get(code, errors.GreenroomError)
    if kind is errors.InvalidInput:
        faults = found.get("errors") or ()
        raise errors.InvalidInput(detail, tuple((fault["field"], fault["sentence"]) for fault in faults))
    if code == "unauthorized":
        detail = f"{detail}: give the one that it was started with as token=, or set {TOKEN_VARIABLE}"
    raise kind(detail)


@contextmanager
def understood(response: "httpx.Response") -> Generator[None]:
    """Raise ``OrchestratorUnreachable`` for a response that says something else than this version of greenroom does."""
    try:
        yield
    except (ValidationError, KeyError) as error:
        raise _foreign(response) from error


def _foreign(response: "httpx.Response") -> errors.OrchestratorUnreachable:
    """Return the error for a response that is not from a greenroom server, but from a proxy or another program."""
    kind = response.headers.get("content-type", "nothing").partition(";")[0]
    status = f"{response.status_code} {response.reason_phrase}".strip()
    url = response.request.url.copy_with(query=None)
    if response.status_code in GATEWAY:
        advice = f"a proxy may have given up on the server, and {MAY_BE_TAKEN}"
    else:
        advice = "check the URL, and proxies on the way"
    found = f"what answers at {url} is not a greenroom server of this version: status {status}, {kind}; {advice}"
    error = errors.OrchestratorUnreachable(found)
    error.__cause__ = httpx.HTTPStatusError(status, request=response.request, response=response)
    return error


def next_cursor(response: "httpx.Response") -> str | None:
    """Return the cursor of the page after a response; None if it is the last."""
    link = response.links.get("next")
    return None if link is None else httpx.URL(link["url"]).params["cursor"]


def problem_of(response: "httpx.Response") -> dict[str, Any]:
    """Return the problem in a response; empty if it is not from a greenroom server."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _checked_url(url: str) -> str:
    """Return the URL of a server as its requests begin with it."""
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        found = httpx.URL()
    if found.userinfo:  # which may be secret, and would be sent in the place of the token
        sentence = "holds a name or a password: leave them out, and give what the server takes as token="
        msg = f"url: {sentence}"
        raise errors.InvalidInput(msg, (("url", sentence),))
    if found.scheme not in {"http", "https"} or not found.host or found.query or found.fragment:
        sentence = f"is not an address of a server, such as http://127.0.0.1:7878: {url!r}"
        msg = f"url: {sentence}"
        raise errors.InvalidInput(msg, (("url", sentence),))
    return url.rstrip("/").removesuffix(PREFIX)


def _checked_token(token: str) -> str:
    """Return a token without the spaces and line ends around it, as files have them."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        msg = "the token is no server's: a token has visible ASCII characters, and no others"
        raise errors.NotAuthorized(msg)
    return token


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
