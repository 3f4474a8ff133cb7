"""The client: the methods of ``Orchestrator`` for an orchestrator in another process, over HTTP."""

import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import override

from greenroom.journal.interface import Stored
from greenroom.messages.advice import serve
from greenroom.messages.commands import AskSession, Command, Refused, Reply
from greenroom.messages.core.errors import InvalidInput, JournalError, NotAuthorized, OrchestratorUnreachable
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json
from greenroom.messages.core.other_names import with_hints
from greenroom.messages.options.policy import SessionPolicy
from greenroom.messages.records.records import ENDED
from greenroom.messages.refusals import check_command
from greenroom.workflows.api.base import BaseOrchestrator
from greenroom.workflows.api.client.http import (
    LATE,
    NOTHING,
    SILENCE_TIMEOUT,
    Waiting,
    Wire,
    check_installed,
    good,
    problem_of,
    understood,
)
from greenroom.workflows.api.client.queries import RESULT, RUN, HttpQueries, path_of, read_event, read_result
from greenroom.workflows.api.client.rounds import ResultRounds, Rounds, longest_wait
from greenroom.workflows.home import former_name
from greenroom.workflows.home.home import TOKEN_VARIABLE, Home, began

if TYPE_CHECKING:
    import httpx

    from greenroom.workflows.api.async_orchestrator import AsyncClient

STREAM: Final = f"{RUN}/stream"
END: Final = "end"
"""Name of the last event of a stream, once the run has ended."""
_JSON: Final = {"Content-Type": "application/json"}

_FAULTS: Final = TypeAdapter(tuple[Fault, ...])
_REPLY: Final[TypeAdapter[Reply]] = TypeAdapter(Reply)
_REFUSALS: Final = frozenset(get_args(Refused.model_fields["code"].annotation))


@with_hints
class Client(BaseOrchestrator):
    """Starts, reads and controls runs of an orchestrator that ``greenroom serve`` runs.

    It has the methods of ``Orchestrator``, with the same handles and errors. Each of them may also raise
    ``OrchestratorUnreachable`` and ``NotAuthorized``. Waits for results and events go on with another connection where
    theirs breaks off while the server is there. Thread-safe, and works in forks of its process as well. Needs the extra
    ``client``.

    Args:
        url: URL of the server; None means the one that the orchestrator recorded in the home. It is looked up again
            when no server responds.
        token: Token of the server; None means ``GREENROOM_TOKEN``, else the one in the home.
        home: The home; None means ``GREENROOM_HOME`` or ``.greenroom``.

    Raises:
        ModuleNotFoundError: The extra ``client`` is not installed.
        OrchestratorUnreachable: No ``url`` is given, and the home has no orchestrator that is served.
        NotAuthorized: No token is given or found, or no server has such a one.
        InvalidInput: ``url`` is not an address of a server.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, home: str | os.PathLike[str] | None = None
    ) -> None:
        """Find the server and the token; nothing is sent yet."""
        self._wire = find_wire(url, token, home)
        self._reads = HttpQueries(self._wire)

    def __repr__(self) -> str:
        """Name the server."""
        return f"<Client of {self._wire.url}>"

    @override
    def close(self) -> None:
        """Close all connections; runs go on. May be repeated.

        Whoever follows a run meanwhile, or awaits anything, gets ``OrchestratorClosed`` at once. A thread in
        ``result()`` or ``ask()`` gets it once its request is answered, within 30 seconds.
        """
        self._wire.close()
        self.threads.close()

    @property
    @override
    def aio(self) -> "AsyncClient":
        return self._aio

    @cached_property
    def _aio(self) -> "AsyncClient":
        from greenroom.workflows.api.async_orchestrator import AsyncClient  # noqa: PLC0415  for asyncio alone

        return AsyncClient(self)

    async def __aenter__(self) -> "AsyncClient":
        """Return its twin for asynchronous code."""
        return self.aio

    @property
    @override
    def reads(self) -> HttpQueries:
        return self._reads

    @override
    def send(self, command: Command) -> Reply:
        check_command(command)
        asking = Rounds(command)
        for request in asking:
            with asking.patience(), self._wire.reaching():
                asking.take(_reply(self._wire.http.post("/messages", **_posted(request))))
        return asking.reply

    @override
    async def until_answered(self, command: AskSession, policy: SessionPolicy) -> Reply:
        return await self.until_sent(command)

    async def until_sent(self, command: Command) -> Reply:
        """Execute a command like ``send``, without blocking the caller's loop or a thread."""
        check_command(command)
        asking = Rounds(command)
        async with self._wire.asynchronous() as http:
            for request in asking:
                with asking.patience(), self._wire.reaching():
                    answer = http.post("/messages", **_posted(request))
                    asking.take(_reply(await self._wire.waits.until(answer)))
        return asking.reply

    @override
    def _place(self, app: str | os.PathLike[str]) -> str:
        """Return the path of a file on this machine; any other app by its name, which the server knows."""
        path = Path(app)
        return str(path.absolute() if path.suffix == ".py" and path.is_file() else app)

    # ------------------------------------------------------------ waiting

    @override
    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        rounds = ResultRounds(run_id, timeout)
        while True:
            answer = None
            with Waiting():
                answer = self._wire.get(path_of(RESULT, run_id), wait=rounds.wait())
            if answer is not None and rounds.is_over(answer):
                return read_result(answer)

    @override
    async def until_result(self, run_id: str, timeout: float | None) -> Json:
        rounds = ResultRounds(run_id, timeout)
        async with self._wire.asynchronous() as http:
            while True:
                answer, wait = None, rounds.wait()
                with Waiting(), self._wire.reaching():
                    asked = http.get(path_of(RESULT, run_id), params={"wait": wait}, timeout=wait + LATE)
                    answer = good(await self._wire.waits.until(asked))
                if answer is not None and rounds.is_over(answer):
                    return read_result(answer)

    @override
    def follow(self, run_id: str, after: int) -> Iterator[Stored]:
        while True:
            run = self._reads.run(run_id)
            if run.status in ENDED and run.events <= after:
                return
            if run.status == "parked":
                yield from self._reads.events(run_id, after)
                return
            for stored in self._stream(run_id, after):
                after = stored.seq
                yield stored
                if stored.type == "run.parked" and self._reads.is_over(run_id):
                    return

    @override
    async def until_followed(self, run_id: str, after: int) -> AsyncIterator[Stored]:
        call = self.threads.call
        while True:
            run = await call(self._reads.run, run_id)
            if run.status in ENDED and run.events <= after:
                return
            if run.status == "parked":
                for stored in await call(self._reads.events, run_id, after):
                    yield stored
                return
            async for stored in self._until_streamed(run_id, after):
                after = stored.seq
                yield stored
                if stored.type == "run.parked" and await call(self._reads.is_over, run_id):
                    return

    async def _until_streamed(self, run_id: str, after: int) -> AsyncGenerator[Stored]:
        """Yield the same events as ``_stream``."""
        from httpx_sse import EventSource  # noqa: PLC0415  only needed to follow

        headers = {"Last-Event-ID": str(after)}
        path = path_of(STREAM, run_id)
        with Waiting(), self._wire.reaching():
            async with (
                self._wire.asynchronous() as http,
                http.stream("GET", path, headers=headers, timeout=SILENCE_TIMEOUT) as answer,
            ):
                if not answer.is_success:
                    await answer.aread()
                good(answer)
                if answer.status_code != NOTHING:
                    events = EventSource(answer).aiter_sse()
                    while (event := await self._wire.waits.until(anext(events, None))) is not None:
                        if event.event == END:
                            return
                        if event.data:  # after a comment, which keeps the connection open, comes one without data
                            yield read_event(event.json())

    def _stream(self, run_id: str, after: int) -> Iterator[Stored]:
        """Yield events until the stream ends: the run has ended, the server stops, or the connection breaks off."""
        from httpx_sse import EventSource  # noqa: PLC0415  only needed to follow

        headers = {"Last-Event-ID": str(after)}
        with (
            Waiting(),
            self._wire.reaching(),
            self._wire.http.stream("GET", path_of(STREAM, run_id), headers=headers, timeout=SILENCE_TIMEOUT) as answer,
        ):
            if not answer.is_success:
                answer.read()
            good(answer)
            if answer.status_code != NOTHING:
                connection: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
                with self._wire.waits.ended_by(lambda: connection.shutdown(socket.SHUT_RDWR)):
                    for event in EventSource(answer).iter_sse():
                        if event.event == END:
                            return
                        if event.data:  # as in ``_until_streamed``
                            yield read_event(event.json())


def _posted(command: Command) -> dict[str, Any]:
    """Return what a request with a command consists of.

    Raises:
        InvalidInput: A value in it cannot be written as JSON.
    """
    try:
        return {"content": to_json(command), "headers": _JSON, "timeout": longest_wait(command)}
    except PydanticSerializationError as error:
        msg = f"a value cannot be written as JSON: {error}"
        raise InvalidInput(msg) from None


def _reply(answer: "httpx.Response") -> Reply:
    """Return the reply to a command that a response holds."""
    if not answer.is_success and (found := problem_of(answer)).get("code") in _REFUSALS:
        faults = _FAULTS.validate_json(to_json(found.get("errors", ())))
        return Refused(code=found["code"], message=str(found.get("detail", "")), faults=faults)
    with understood(good(answer)):
        return _REPLY.validate_json(answer.content)


def find_wire(url: str | None, token: str | None, home: str | os.PathLike[str] | None) -> Wire:
    """Return the connections to a server; see ``Client`` for the arguments and the errors."""
    check_installed()
    place = Home(home)
    if url:
        return Wire(url, token or _kept_token(place))
    return Wire(_recorded_url(place), token or _kept_token(place), lambda: _recorded_url(place))


def _recorded_url(home: Home) -> str:
    found = home.read_record()
    url, pid = found.get("url"), found.get("pid")
    since = began(pid) if isinstance(pid, int) else None
    # The token goes to that URL, so a later process with the same pid must not be taken for the orchestrator.
    if not isinstance(url, str) or since is None or found.get("began", since) != since:
        msg = f"no orchestrator is served on the home {home.path}; start one with {serve()}"
        raise OrchestratorUnreachable(msg)
    return url


def _kept_token(home: Home) -> str:
    given = former_name.variable(TOKEN_VARIABLE)
    if given:
        return given
    try:
        kept = home.read_token()
    except JournalError as error:
        msg = f"the token in {home.token} cannot be used: {error}"
        raise NotAuthorized(msg) from error
    if kept is None:
        msg = f"there is no token in {home.token}: give one, or set {TOKEN_VARIABLE}"
        raise NotAuthorized(msg)
    return kept
