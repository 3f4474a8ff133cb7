"""A limit for what a provider may answer: an answer without end would fill the memory before its time is over."""

from collections.abc import AsyncIterator
from typing import Any, Final, cast

MOST_BYTES: Final = 128 * 1024 * 1024
"""Longest answer that is read, as it is sent. A stream of the longest answers of models has a third of it."""


class AnswerTooLong(Exception):  # noqa: N818  its name is a part of the sentence that people read
    """A provider has sent more than is read."""


def limit_answers(provider: object) -> None:
    """Limit the answers that the HTTP client of a provider reads. A provider that makes no client is left as it is.

    Args:
        provider: A provider of Pydantic AI that was just made.
    """
    client: Any = getattr(provider, "_own_http_client", None)
    if client is None:
        return

    async def limit(response: Any) -> None:
        response.stream = _limited(response.stream)

    client.event_hooks["response"].append(limit)


def _limited(stream: Any) -> Any:
    """Return a stream that gives the bytes of another one, and raises once they are too many."""
    kind = next(base for base in type(stream).__mro__ if base.__name__ == "AsyncByteStream")

    async def pieces(_: object) -> AsyncIterator[bytes]:
        left = MOST_BYTES
        async for piece in stream:
            left -= len(piece)
            if left < 0:
                msg = f"it sent more than {MOST_BYTES // 2**20} MiB"
                raise AnswerTooLong(msg)
            yield cast("bytes", piece)

    async def aclose(_: object) -> None:
        await stream.aclose()

    # Clients accept only streams of their own library, of which there are two.
    return type("LimitedStream", (kind,), {"__aiter__": pieces, "aclose": aclose})()
