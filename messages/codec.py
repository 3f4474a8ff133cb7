"""Messages to bytes and back: a length, a schema version, and JSON made and checked by pydantic.

A frame is five bytes of header, big-endian: four for the length of what follows the header, one for the schema version;
then the envelope as JSON. Nothing is ever unpickled, evaluated or imported because of what bytes say: types come from a
closed union. Whatever is wrong with bytes is a ``CodecError`` before any of them means something.
"""

import struct
from collections.abc import Iterator
from json import dumps
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from understudy.messages.base import Message
from understudy.messages.commands import Command, Reply
from understudy.messages.envelope import Envelope
from understudy.messages.errors import CodecError, FrameTooLarge, FrameTruncated, UnknownMessage, UnknownVersion
from understudy.messages.events import AnyEvent
from understudy.messages.frames import FromWorker, ToWorker

SCHEMA_VERSION: Final = 1
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
HEADER: Final = struct.Struct(">IB")
_SHORT_BYTES: Final = 4000
"""A body no longer than this cannot hold a number that is too long to be read."""
_SHALLOW: Final = 150
"""A body with no more brackets than this cannot be too deep."""
_OUTLINE: Final = bytes(ord("0") if byte in b"0123456789" else ord("e") if byte in b"eE" else 0 for byte in range(256))
"""Turns a body into where its digits and exponents are."""
_LONGEST_FINITE: Final = 300
"""A number of no more digits than this, and without an exponent, is finite."""

M = TypeVar("M", bound=Message)


class Codec(Generic[M]):
    """Encodes and decodes the messages of one closed union.

    Args:
        union: The tagged union, as ``Annotated[A | B, Field(discriminator="type")]``.
        max_bytes: Largest body in bytes, header left out.
    """

    def __init__(self, union: Any, max_bytes: int = MAX_FRAME_BYTES) -> None:
        """Build the validator once; it is used for every frame."""
        self._adapter: TypeAdapter[Envelope[M]] = TypeAdapter(Envelope[union])  # pyright: ignore[reportInvalidTypeForm]  made at run time
        self.max_bytes = max_bytes

    def encode(self, message: M, **envelope: Any) -> bytes:
        """Give the frame for ``message``; ``envelope`` fills the envelope's other fields.

        Raises:
            FrameTooLarge: The frame would be longer than the limit.
            CodecError: A value in the message cannot be written as JSON.
        """
        try:
            # Not Envelope[M], which is looked up anew each time; the adapter knows the message's type by its union.
            body = self._adapter.serializer.to_json(Envelope(message=message, **envelope))
        except (PydanticSerializationError, UnicodeEncodeError) as error:
            msg = f"a message cannot be written as JSON: {error}"
            raise CodecError(msg) from error
        _check_written(body)
        if len(body) > self.max_bytes:
            msg = f"a message of {len(body)} bytes is over the limit of {self.max_bytes} bytes"
            raise FrameTooLarge(msg)
        return HEADER.pack(len(body), SCHEMA_VERSION) + body

    def decode(self, body: bytes) -> Envelope[M]:
        """Give the envelope that ``body``, a frame without its header, holds.

        Raises:
            UnknownMessage: The bytes are no JSON, of no known type, or do not fit the type they name.
        """
        _check_received(body)
        try:
            return self._adapter.validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            msg = f"{error.error_count()} fault(s) in a message, the first at {place or 'its start'}: {first['msg']}"
            raise UnknownMessage(msg) from error

    def decode_frame(self, frame: bytes) -> Envelope[M]:
        """Decode exactly one whole frame, header included.

        Raises:
            CodecError: See ``FrameDecoder`` and ``decode``.
        """
        decoder = FrameDecoder(self.max_bytes)
        bodies = list(decoder.feed(frame))
        decoder.finish()
        if len(bodies) != 1:
            msg = f"expected one message, found {len(bodies)}"
            raise CodecError(msg)
        return self.decode(bodies[0])


def _check_written(body: bytes) -> None:
    """Refuse to let out what could not be read again: NaN, infinities, 4,301 digits, 201 levels.

    A value that can be written and not read would make a run's journal unreadable for ever. Most bodies are too short
    to hold any of it, and are seen to in a microsecond.

    Raises:
        CodecError: ``body`` holds such a value.
    """
    suspect = b"NaN" in body or b"Infinity" in body or len(body) > _SHORT_BYTES
    if suspect or body.count(b"[") + body.count(b"{") > _SHALLOW:
        try:
            from_json(body, allow_inf_nan=False)
        except ValueError as error:
            msg = f"a message holds a value that JSON cannot carry: {error}"
            raise CodecError(msg) from error


def _check_received(body: bytes) -> None:
    """Refuse numbers that are not finite, which JSON does not know and pydantic reads all the same.

    Raises:
        UnknownMessage: ``body`` spells one out, or holds one such as ``1e999`` that only becomes infinite when read.
    """
    outline = body.translate(_OUTLINE)
    numbers_are_plain = b"0e" not in outline and b"0" * _LONGEST_FINITE not in outline
    if numbers_are_plain and b"NaN" not in body and b"Infinity" not in body:
        return  # as nearly all are; what is no JSON at all is found out by whoever reads it
    try:
        value = from_json(body, allow_inf_nan=False)
        if b"Infinity" in to_json(value, inf_nan_mode="constants"):  # in a text or a number: the slow look tells
            dumps(value, allow_nan=False)
    except ValueError as error:
        msg = f"a message is no JSON: {error}"
        raise UnknownMessage(msg) from error


class FrameDecoder:
    """Cuts a stream of bytes into frame bodies, whatever pieces it arrives in.

    Args:
        max_bytes: Largest body in bytes. A header that announces more is refused before anything is kept for it.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        """Start with nothing received."""
        self.max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take ``data`` and yield every body that is whole now.

        Raises:
            FrameTooLarge: A header announces more than the limit.
            UnknownVersion: A header names a schema version that this code does not read.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER.size:
            length, version = HEADER.unpack_from(buffer, start)
            if version != SCHEMA_VERSION:
                msg = f"a message has schema version {version}; this code reads version {SCHEMA_VERSION}"
                raise UnknownVersion(msg)
            if length > self.max_bytes:
                msg = f"a message announces {length} bytes; the limit is {self.max_bytes}"
                raise FrameTooLarge(msg)
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            yield bytes(buffer[start + HEADER.size : end])
            start = end
        del buffer[:start]

    def finish(self) -> None:
        """Say that no more bytes will come.

        Raises:
            FrameTruncated: They ended in the middle of a frame.
        """
        if self._buffer:
            msg = f"the bytes end {len(self._buffer)} bytes into a message"
            raise FrameTruncated(msg)


TO_WORKER: Final[Codec[Any]] = Codec(ToWorker)
FROM_WORKER: Final[Codec[Any]] = Codec(FromWorker)
COMMANDS: Final[Codec[Any]] = Codec(Command)
REPLIES: Final[Codec[Any]] = Codec(Reply)

_EVENTS: Final[TypeAdapter[Any]] = TypeAdapter(AnyEvent)


def encode_event(event: Message) -> bytes:
    """Give an event as the JSON the journal holds.

    Raises:
        CodecError: A value in it cannot be written as JSON.
    """
    try:
        body = event.__pydantic_serializer__.to_json(event)  # the union's serializer gives the same at thrice the cost
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        msg = f"an event cannot be written as JSON: {error}"
        raise CodecError(msg) from error
    _check_written(body)
    return body


def decode_event(body: bytes) -> AnyEvent:
    """Give the event that the journal's JSON holds.

    Raises:
        UnknownMessage: It is no event of this version.
    """
    _check_received(body)
    try:
        event: AnyEvent = _EVENTS.validate_json(body)
    except ValidationError as error:
        msg = f"an event of the journal does not fit: {error.errors(include_url=False)[0]['msg']}"
        raise UnknownMessage(msg) from error
    return event
