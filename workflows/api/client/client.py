"""The client: an orchestrator in another process, over HTTP, with the methods of one in this process."""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, get_args
from urllib.parse import quote

from pydantic import TypeAdapter
from pydantic_core import to_json
from typing_extensions import override

from greenroom.journal.interface import Stored
from greenroom.messages.advice import serve
from greenroom.messages.codec import decode_event
from greenroom.messages.commands import AskSession, Command, Refused, Reply
from greenroom.messages.core.errors import JournalError, NotAuthorized, OrchestratorUnreachable
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json, Shown
from greenroom.messages.pages import Page, check_limit
from greenroom.messages.policy import SessionPolicy
from greenroom.messages.records import (
    ENDED,
    ApprovalRecord,
    DeadLetterRecord,
    LogLine,
    RunRecord,
    RunStatus,
    SessionDetail,
    SessionRecord,
    StepRecord,
    TurnRecord,
)
from greenroom.metrics.figure_records import Metrics
from greenroom.workflows.api.async_orchestrator import AsyncClient
from greenroom.workflows.api.base import BaseOrchestrator
from greenroom.workflows.api.client.http import SILENCE_TIMEOUT, Wire, good, next_cursor, problem_of
from greenroom.workflows.api.waiting import is_over, not_in_time
from greenroom.workflows.home import former_name
from greenroom.workflows.home.home import TOKEN_VARIABLE, Home
from greenroom.workflows.queries.interface import Queries

if TYPE_CHECKING:
    import httpx

POLL: Final = 30.0
"""Seconds for which one request waits for a result."""
PAGE: Final = 1000
"""Events that one request asks for."""
MOST: Final = 10_000
"""Items of any other list that one request asks for."""
T = TypeVar("T")

GOES_ON: Final = 202
"""Status of an answer about the result of a run that has none yet."""
END: Final = "end"
"""Name of what a stream ends with once the run has."""
NOTHING: Final = 204
"""Status of a stream that has nothing more to say."""

_JSON: Final = {"Content-Type": "application/json"}

_FAULTS: Final = TypeAdapter(tuple[Fault, ...])
_APPROVALS: Final = TypeAdapter(list[ApprovalRecord])
_OBJECT: Final = TypeAdapter(dict[str, Shown])
_PAGE: Final = TypeAdapter(list[dict[str, Shown]])
_REPLY: Final[TypeAdapter[Reply]] = TypeAdapter(Reply)
_LETTERS: Final = TypeAdapter(list[DeadLetterRecord])
_LINES: Final = TypeAdapter(list[LogLine])
_RUNS: Final = TypeAdapter(list[RunRecord])
_SESSIONS: Final = TypeAdapter(list[SessionRecord])
_STEPS: Final = TypeAdapter(list[StepRecord])
_TURNS: Final = TypeAdapter(list[TurnRecord])
_REFUSALS: Final = frozenset(get_args(Refused.model_fields["code"].annotation))


class Client(BaseOrchestrator):
    """Starts runs, looks at them and steers them in an orchestrator that ``greenroom serve`` runs.

    It has the methods of ``Orchestrator``. Handles of runs work the same, and so do errors; all of them may raise
    ``OrchestratorUnreachable`` and ``NotAuthorized`` besides. May be used from any thread. Needs the extra ``client``.

    Args:
        url: Where it is served; None means where the orchestrator of the home says that it is.
        token: What it asks for; None means ``GREENROOM_TOKEN``, else the one in the home.
        home: The home that is meant; None means ``GREENROOM_HOME`` or ``.greenroom``.

    Raises:
        OrchestratorUnreachable: No ``url`` is given, and no orchestrator is served on the home.
        NotAuthorized: There is no token.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, home: str | os.PathLike[str] | None = None
    ) -> None:
        """Find out where to ask; nothing is sent yet."""
        place = Home(home)
        self._wire = Wire(url or _recorded_url(place), token or _kept_token(place))
        self._reads = _Reads(self._wire)

    def __repr__(self) -> str:
        """Say where it asks."""
        return f"<Client of {self._wire.url}>"

    def close(self) -> None:
        """Let go of all connections; runs go on. May be repeated."""
        self._wire.close()
        self.threads.close()

    @cached_property
    def aio(self) -> AsyncClient:
        """Its twin for asynchronous code: everything that blocks here is awaited there."""
        return AsyncClient(self)

    async def __aenter__(self) -> AsyncClient:
        """Give its asynchronous twin."""
        return self.aio

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aio.close()

    def __enter__(self) -> Self:
        """Use it as a context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    @override
    def reads(self) -> Queries:
        return self._reads

    @override
    def send(self, command: Command) -> Reply:
        with self._wire.reaching():
            return _reply(self._wire.http.post("/messages", content=to_json(command), headers=_JSON))

    @override
    async def until_answered(self, command: AskSession, policy: SessionPolicy) -> Reply:
        return await self.until_sent(command)

    async def until_sent(self, command: Command) -> Reply:
        """Carry out a command like ``send``, without holding the caller's loop or a thread."""
        with self._wire.reaching():
            async with self._wire.asynchronous() as http:
                return _reply(await http.post("/messages", content=to_json(command), headers=_JSON))

    @override
    def _place(self, app: str) -> str:
        """Give a file of this machine by its path, and any other app as it was named: the server knows its own."""
        return str(Path(app).absolute()) if app.endswith(".py") and Path(app).is_file() else app

    # ------------------------------------------------------------ waiting

    @override
    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            wait = POLL if deadline is None else min(POLL, max(0.0, deadline - time.monotonic()))
            answer = self._wire.answer("GET", _path(run_id, "result"), params={"wait": wait})
            if answer.status_code != GOES_ON:
                return _result(answer.content)
            if deadline is not None and time.monotonic() >= deadline:
                raise not_in_time(run_id, timeout, answer.json()["status"])

    @override
    async def until_result(self, run_id: str) -> Json:
        async with self._wire.asynchronous() as http:
            while True:
                with self._wire.reaching():
                    answer = good(await http.get(_path(run_id, "result"), params={"wait": POLL}))
                if answer.status_code != GOES_ON:
                    return _result(answer.content)

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
                if stored.type == "run.parked" and is_over(self._reads, run_id):
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
                if stored.type == "run.parked" and await call(is_over, self._reads, run_id):
                    return

    async def _until_streamed(self, run_id: str, after: int) -> AsyncGenerator[Stored]:
        """Give what ``_stream`` gives."""
        from httpx_sse import EventSource  # noqa: PLC0415  only who follows needs it

        headers = {"Last-Event-ID": str(after)}
        path = _path(run_id, "stream")
        with self._wire.reaching():
            async with (
                self._wire.asynchronous() as http,
                http.stream("GET", path, headers=headers, timeout=SILENCE_TIMEOUT) as answer,
            ):
                if not answer.is_success:
                    await answer.aread()
                good(answer)
                if answer.status_code != NOTHING:
                    async for event in EventSource(answer).aiter_sse():
                        if event.event == END:
                            return
                        yield _stored(event.json())

    def _stream(self, run_id: str, after: int) -> Iterator[Stored]:
        """Give events until the server ends the stream: the run has ended, or the server is about to."""
        from httpx_sse import EventSource  # noqa: PLC0415  only who follows needs it

        headers = {"Last-Event-ID": str(after)}
        with (
            self._wire.reaching(),
            self._wire.http.stream("GET", _path(run_id, "stream"), headers=headers, timeout=SILENCE_TIMEOUT) as answer,
        ):
            if not answer.is_success:
                answer.read()
            good(answer)
            if answer.status_code != NOTHING:
                for event in EventSource(answer).iter_sse():
                    if event.event == END:
                        return
                    yield _stored(event.json())


class _Reads:
    """Looks at runs over the wire; see ``Queries``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def run(self, run_id: str) -> RunRecord:
        return RunRecord.model_validate_json(self._wire.get(_path(run_id)))

    def runs(
        self,
        status: RunStatus | Sequence[RunStatus] | None = None,
        name: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
    ) -> Page[RunRecord]:
        statuses = [status] if isinstance(status, str) else status
        return self._page(_RUNS, "/runs", limit, cursor, status=statuses, name=name)

    def _page(
        self, items: TypeAdapter[list[T]], path: str, limit: int | None = None, cursor: str | None = None, **where: Any
    ) -> Page[T]:
        """Give as many items of a list as are wanted, all without a limit, in as many requests as that takes."""
        check_limit(limit)
        found: list[T] = []
        while True:
            size = MOST if limit is None else min(MOST, limit - len(found))
            params = {name: value for name, value in where.items() if value is not None}
            params |= {"limit": size} if cursor is None else {"limit": size, "cursor": cursor}
            answer = self._wire.answer("GET", path, params=params)
            found += items.validate_json(answer.content)
            cursor = next_cursor(answer)
            if cursor is None or (limit is not None and len(found) >= limit):
                return Page(found, cursor)

    def steps(self, run_id: str) -> list[StepRecord]:
        return self._page(_STEPS, _path(run_id, "steps"))

    def events(
        self,
        run_id: str,
        after: int = 0,
        limit: int | None = None,
        most_bytes: int | None = None,  # noqa: ARG002  the server bounds what it holds
    ) -> list[Stored]:
        found: list[Stored] = []
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = _PAGE.validate_json(self._wire.get(_path(run_id, "events"), after=after, limit=size))
            found += map(_stored, page)
            if len(page) < size:
                break
            after = found[-1].seq
        return found

    def logs(self, run_id: str, after: int = 0, limit: int | None = None, step: str | None = None) -> list[LogLine]:
        return self._page(_LINES, _path(run_id, "logs"), limit, after=after, step=step)

    def session(self, run_id: str) -> SessionRecord:
        detail = SessionDetail.model_validate_json(self._wire.get(_session_path(run_id)))
        return SessionRecord(**{name: getattr(detail, name) for name in SessionRecord.model_fields})

    def sessions(
        self,
        name: str | None = None,
        limit: int | None = 100,
        status: RunStatus | Sequence[RunStatus] | None = None,
        cursor: str | None = None,
    ) -> Page[SessionRecord]:
        statuses = [status] if isinstance(status, str) else status
        return self._page(_SESSIONS, "/sessions", limit, cursor, name=name, status=statuses)

    def session_state(self, run_id: str) -> Json:
        return _OBJECT.validate_json(self._wire.get(_session_path(run_id, "state")))["state"]

    def history(self, run_id: str) -> list[TurnRecord]:
        return self._page(_TURNS, _session_path(run_id, "history"))

    def dead_letters(self) -> list[DeadLetterRecord]:
        return self._page(_LETTERS, "/dead-letters")

    def approvals(self, run_id: str | None = None) -> list[ApprovalRecord]:
        return self._page(_APPROVALS, "/approvals", run_id=run_id)

    def state(self, run_id: str) -> Json:
        return _OBJECT.validate_json(self._wire.get(_path(run_id, "state")))["state"]

    def result(self, run_id: str) -> Json:
        answer = self._wire.answer("GET", _path(run_id, "result"))
        if answer.status_code == GOES_ON:
            msg = f"run {run_id} has not ended: it is {answer.json()['status']}"
            raise TimeoutError(msg)
        return _result(answer.content)

    def metrics(self) -> Metrics:
        return Metrics.model_validate_json(self._wire.get("/metrics"))


def _path(run_id: str, what: str = "") -> str:
    return f"/runs/{quote(run_id, safe='')}" + (f"/{what}" if what else "")


def _session_path(run_id: str, what: str = "") -> str:
    name, _, key = run_id.partition("/")
    return f"/sessions/{quote(name, safe='')}/{quote(key, safe='')}" + (f"/{what}" if what else "")


def _reply(answer: "httpx.Response") -> Reply:
    """Read what the server says to a command."""
    if not answer.is_success and (found := problem_of(answer)).get("code") in _REFUSALS:
        faults = _FAULTS.validate_json(to_json(found.get("errors", ())))
        return Refused(code=found["code"], message=str(found.get("detail", "")), faults=faults)
    return _REPLY.validate_json(good(answer).content)


def _result(body: bytes) -> Json:
    return _OBJECT.validate_json(body)["result"]


def _stored(item: dict[str, Shown]) -> Stored:
    seq = item.pop("seq")
    del item["time"]  # once more, as people read it
    assert isinstance(seq, int)
    return Stored(seq, decode_event(to_json(item)))


def _recorded_url(home: Home) -> str:
    found = home.read_record()
    url, pid = found.get("url"), found.get("pid")
    if not isinstance(url, str) or not isinstance(pid, int) or not Path(f"/proc/{pid}").exists():
        msg = f"no orchestrator is served on the home {home.path}; start one with {serve()}"
        raise OrchestratorUnreachable(msg)
    return url


def _kept_token(home: Home) -> str:
    given = former_name.variable(TOKEN_VARIABLE)
    if given:
        return given
    try:
        kept = home.read_token()
    except (JournalError, OSError) as error:
        msg = f"the token in {home.token} cannot be used: {error}"
        raise NotAuthorized(msg) from error
    if kept is None:
        msg = f"there is no token in {home.token}: give one, or set {TOKEN_VARIABLE}"
        raise NotAuthorized(msg)
    return kept
