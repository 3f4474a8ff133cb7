"""The HTTP client of a server that is reached by its URL: bounds what the server may send, and keeps how it answered.

The ``mcp`` package reads a response as a whole, however long it is, and decompresses it. Here a response ends the
connection once it is longer than any message may be, and compressed ones are not asked for and not read.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from httpx2 import AsyncByteStream, AsyncClient, Response
from mcp.shared._httpx_utils import create_mcp_http_client
from typing_extensions import override

from greenroom.actors.mcp.process import LONGEST_MESSAGE, ServerLost

_EVENTS: Final = "text/event-stream"
_JSON: Final = "application/json"
_TAIL: Final = 16 * 1024
"""Bytes at the end of a response that are kept."""


@dataclass
class LastAnswer:
    """How a server has answered the last message.

    Attributes:
        status: HTTP status; 0 if it has not answered.
        content_type: What it sent.
        in_session: Whether the message belonged to a session that the server had opened.
        tail: The end of what it sent. Tells errors of the server from those that the ``mcp`` package makes up for a
            connection that has ended, which have the same code.
    """

    status: int = 0
    content_type: str = ""
    in_session: bool = False
    tail: bytes = b""

    @property
    def is_error(self) -> bool:
        """Whether the status is that of an error."""
        return self.status >= HTTPStatus.BAD_REQUEST

    @property
    def is_foreign(self) -> bool:
        """Whether it sent something else than messages with a status of success."""
        foreign = not self.content_type.startswith((_EVENTS, _JSON))
        return self.status == HTTPStatus.OK and foreign


def http_client(title: str, headers: Mapping[str, str], last: LastAnswer) -> AsyncClient:
    """Return a client that sends a server's headers, and keeps in ``last`` how it has answered.

    Args:
        title: Name of the server, for sentences.
        headers: HTTP headers of each request.
        last: Is changed with each response to a message.
    """
    http = create_mcp_http_client(headers={"Accept-Encoding": "identity", **headers})

    async def note(response: Response) -> None:
        content_type = response.headers.get("Content-Type", "").lower()
        if response.request.method == "POST":  # others are about streams, which a server need not have
            last.status = response.status_code
            last.content_type = content_type
            last.in_session = "Mcp-Session-Id" in response.request.headers
            last.tail = b""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            msg = f"{title} answered with a body compressed by {encoding}, which was not asked for"
            raise ServerLost(msg, final=True)
        limit = None if content_type.startswith(_EVENTS) else LONGEST_MESSAGE  # the package bounds each event
        assert isinstance(response.stream, AsyncByteStream)
        response.stream = _Read(response.stream, title, limit, last)

    http.event_hooks["response"].append(note)
    return http


class _Read(AsyncByteStream):
    """The body of a response, up to the longest message, whose end is kept."""

    def __init__(self, stream: AsyncByteStream, title: str, limit: int | None, last: LastAnswer) -> None:
        self._stream = stream
        self._title = title
        self._limit = limit
        self._last = last

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for piece in self._stream:
            read += len(piece)
            if self._limit is not None and read > self._limit:
                msg = f"{self._title} answered with more than {self._limit // 2**20} MiB"
                raise ServerLost(msg, final=True)
            self._last.tail = (self._last.tail + piece)[-_TAIL:]
            yield piece

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()
