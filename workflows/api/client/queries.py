"""Reads over HTTP: which path of the server answers each of them."""

import inspect
from collections.abc import Callable
from functools import cache, wraps
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, get_type_hints
from urllib.parse import quote

from pydantic import TypeAdapter
from pydantic_core import to_json
from typing_extensions import override

from greenroom.journal.interface import Stored
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import RunNotFound
from greenroom.messages.core.message import Json, Shown
from greenroom.messages.ids import text_given
from greenroom.messages.records.pages import Page, check_limit
from greenroom.messages.records.records import RunRecord, SessionDetail, SessionRecord, check_status
from greenroom.workflows.api.client.http import Wire, next_cursor, understood
from greenroom.workflows.queries.interface import Queries

if TYPE_CHECKING:
    import httpx

    from greenroom.metrics.figure_records import Metrics

EVENTS: Final = 1000
"""Most events that one request asks for."""
MOST: Final = 10_000
"""Most items of any other list that one request asks for."""
GOES_ON: Final = 202
"""Status of the response about the result of a run that has not ended."""
RUN: Final = "/runs/{}"
RESULT: Final = f"{RUN}/result"
SESSION: Final = "/sessions/{}"

F = TypeVar("F", bound=Callable[..., list[Any]])

_OBJECT: Final = TypeAdapter(dict[str, Shown])
_OBJECTS: Final = TypeAdapter(list[dict[str, Shown]])


def segment(name: str) -> str:
    """Return a name as one part of a path. Dots are escaped where ``.`` and ``..`` would be resolved on the way."""
    return name.replace(".", "%2E") if name in {".", ".."} else quote(name, safe="")


def path_of(path: str, entry: str) -> str:
    """Return a path with the id of a run, which is one part of it, or of a session, which is two: ``NAME/KEY``.

    Raises:
        RunNotFound: The id is empty.
        TypeError: It is no text.
        ValueError: No text in a journal is like it.
    """
    text_given("the id of a run", entry)
    if not entry:  # which would be no part of a path
        msg = f"there is no run {entry!r}"
        raise RunNotFound(msg)
    names = entry.split("/") if path.startswith("/sessions/") else [entry]
    return path.format("/".join(map(segment, names)))


def read_event(item: dict[str, Shown]) -> Stored:
    """Return the event that an object of the server stands for."""
    seq = item.pop("seq")
    del item["time"]  # the event's own ``at``, as text
    assert isinstance(seq, int)
    return Stored(seq, decode_event(to_json(item)))


def read_result(answer: "httpx.Response") -> Json:
    """Return the result in a response."""
    with understood(answer):
        return _OBJECT.validate_json(answer.content)["result"]


def _state(body: bytes) -> Json:
    return _OBJECT.validate_json(body)["state"]


def _events(body: bytes) -> list[Stored]:
    return [read_event(item) for item in _OBJECTS.validate_json(body)]


def _listed(query: F, path: str) -> F:
    """Return the method that answers a query for a list by the pages of a path.

    An id fills in the path if that has a place for one. All other arguments are parameters of the request.
    """
    signature = inspect.signature(query)

    @cache
    def items() -> TypeAdapter[list[Any]]:
        kind: Any = GenericAlias(list, get_args(get_type_hints(query)["return"]))
        return TypeAdapter(kind)

    @wraps(query, updated=())  # without its mark of being abstract
    def call(self: "HttpQueries", /, *args: Any, **kwargs: Any) -> Page[Any]:
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        where = dict(given.arguments)
        del where["self"]
        place = path_of(path, where.pop("run_id")) if "{}" in path else path
        return self.pages(items(), place, where)

    return cast("F", call)


class HttpQueries(Queries):
    """Reads of an orchestrator that is served over HTTP. Thread-safe."""

    def __init__(self, wire: Wire) -> None:
        """Read from the server at the other end."""
        self._wire = wire

    runs = _listed(Queries.runs, "/runs")
    steps = _listed(Queries.steps, f"{RUN}/steps")
    transcript = _listed(Queries.transcript, f"{RUN}/transcript")
    logs = _listed(Queries.logs, f"{RUN}/logs")
    approvals = _listed(Queries.approvals, "/approvals")
    sessions = _listed(Queries.sessions, "/sessions")
    history = _listed(Queries.history, f"{SESSION}/history")
    dead_letters = _listed(Queries.dead_letters, "/dead-letters")

    def pages(self, items: TypeAdapter[list[Any]], path: str, where: dict[str, Any]) -> Page[Any]:
        """Return a list of at most ``limit`` items, or of all, in as many requests as that takes."""
        limit, cursor = where.pop("limit", None), where.pop("cursor", None)
        check_limit(limit)
        check_status(where.get("status"))
        found: list[Any] = []
        while True:
            size = MOST if limit is None else min(MOST, limit - len(found))
            answer = self._wire.get(path, limit=size, cursor=cursor, **where)
            with understood(answer):
                found += items.validate_json(answer.content)
            cursor = next_cursor(answer)
            if cursor is None or (limit is not None and len(found) >= limit):
                return Page(found, cursor)

    @override
    def run(self, run_id: str) -> RunRecord:
        return self._wire.read(RunRecord.model_validate_json, path_of(RUN, run_id))

    @override
    def session(self, run_id: str) -> SessionRecord:
        detail = self._wire.read(SessionDetail.model_validate_json, path_of(SESSION, run_id))
        return SessionRecord(**{name: getattr(detail, name) for name in SessionRecord.model_fields})

    @override
    def state(self, run_id: str) -> Json:
        return self._wire.read(_state, path_of(f"{RUN}/state", run_id))

    @override
    def session_state(self, run_id: str) -> Json:
        return self._wire.read(_state, path_of(f"{SESSION}/state", run_id))

    @override
    def metrics(self) -> "Metrics":
        from greenroom.metrics.figure_records import Metrics  # noqa: PLC0415  rarely needed

        return self._wire.read(Metrics.model_validate_json, "/metrics")

    @override
    def result(self, run_id: str) -> Json:
        answer = self._wire.get(path_of(RESULT, run_id))
        if answer.status_code == GOES_ON:
            msg = f"run {run_id} has not ended: it is {answer.json()['status']}"
            raise TimeoutError(msg)
        return read_result(answer)

    @override
    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        found: list[Stored] = []
        while limit is None or len(found) < limit:  # the server bounds the bytes of a page
            size = EVENTS if limit is None else min(EVENTS, limit - len(found))
            page = self._wire.read(_events, path_of(f"{RUN}/events", run_id), after=after, limit=size)
            found += page
            if len(page) < size:
                break
            after = found[-1].seq
        return found
