"""Conversion of messages to bytes and back: a length, a schema version, and JSON written and checked by pydantic.

A frame begins with five bytes of header, big-endian: four for the length of the rest, one for the schema version. Then
follows the envelope as JSON, and after it the message's user values, each after a NUL byte, which JSON never contains.
The envelope refers to the values by number, from 0. So values pass unread, and only code that needs them parses them.

Nothing is ever unpickled, evaluated or imported because of received bytes: types come from a closed union. Invalid
bytes raise ``CodecError`` before any of them is used.
"""

import struct
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from greenroom.messages.core.errors import CodecError, FrameTooLarge, FrameTruncated, UnknownMessage, UnknownVersion
from greenroom.messages.core.json_scanner import check_numbers, check_written, normal
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import Message, MessageValues
from greenroom.messages.frames.envelope import MAX_FRAME_BYTES, Envelope
from greenroom.messages.frames.worker import FromWorker, ToWorker

SCHEMA_VERSION: Final = 2
HEADER: Final = struct.Struct(">IB")
_BETWEEN: Final = b"\0"
_MOST_BRACKETS: Final = 500_000
"""Most brackets in an envelope, which is parsed as a whole."""

M = TypeVar("M", bound=Message)


class Codec(Generic[M]):
    """Encodes and decodes the messages of one closed union.

    Args:
        union: The tagged union, as ``Annotated[A | B, Field(discriminator="type")]``.
        max_bytes: Largest body in bytes, without the header.
        check_values: Whether received numbers and values are checked. The orchestrator has checked what goes to
            workers.
        finite: Whether the messages themselves refuse numbers that are not finite.
    """

    def __init__(
        self, union: Any, max_bytes: int = MAX_FRAME_BYTES, *, check_values: bool = True, finite: bool = False
    ) -> None:
        """Build nothing yet: most processes only encode the messages of one union, and only decode those of another."""
        self._union = union
        self._check_values = check_values
        self._check_numbers = check_values and not finite
        self.max_bytes = max_bytes

    @cached_property
    def _validator(self) -> Any:
        """Validator of frames that are received. Built when the first one is."""
        envelope: Any = Envelope[self._union]  # type: ignore[name-defined]  # pyright: ignore[reportInvalidTypeForm]  made at run time
        envelope.model_rebuild()
        return envelope.__pydantic_validator__

    def encode(self, message: M, **envelope: Any) -> bytes:
        """Return the frame for ``message``. ``envelope`` sets other fields of the envelope.

        Raises:
            FrameTooLarge: The frame would be longer than the limit.
            CodecError: A value in the message cannot be written as JSON.
        """
        values = MessageValues()
        try:
            # The serializer of the model. That of the union has the same result at three times the cost.
            text = message.__pydantic_serializer__.to_json(message, context=values)
            body = b"%b%b}" % (_opening(**envelope), text)
            check_written(body)
            if values:
                for value in values:
                    if not value.checked:
                        check_value(value)
                body = _BETWEEN.join([body, *[value.text for value in values]])
        except (PydanticSerializationError, UnicodeEncodeError, CodecError) as error:
            msg = f"a message cannot be written as JSON: {error}"
            raise CodecError(msg) from error
        except ValueError as error:
            msg = f"a message holds a value that JSON cannot carry: {error}"
            raise CodecError(msg) from error
        if len(body) > self.max_bytes:
            msg = f"a message of {len(body)} bytes is over the limit of {self.max_bytes} bytes"
            raise FrameTooLarge(msg)
        return HEADER.pack(len(body), SCHEMA_VERSION) + body

    def decode(self, body: bytes) -> Envelope[M]:
        """Return the envelope in ``body``, a frame without its header.

        Raises:
            UnknownMessage: The bytes are not JSON, have no known type, or do not fit the type that they name.
        """
        head, found, rest = body.partition(_BETWEEN)
        # A search for one byte is twenty times as fast as a split, and most messages have one value or none.
        texts = rest.split(_BETWEEN) if _BETWEEN in rest else [rest] if found else []
        if len(head) > _MOST_BRACKETS and head.count(b"[") + head.count(b"{") > _MOST_BRACKETS:
            msg = f"a message has more than {_MOST_BRACKETS} parts beside its values"
            raise UnknownMessage(msg)
        try:
            if self._check_numbers:
                check_numbers(head)
            values = MessageValues(
                [JsonText(normal(text) if self._check_values else text, checked=True) for text in texts]
            )
        except ValueError as error:
            msg = f"a message is not JSON: {error}"
            raise UnknownMessage(msg) from error
        try:
            return self._validator.validate_json(head, context=values)  # type: ignore[no-any-return]
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            msg = f"{error.error_count()} fault(s) in a message, the first at {place or 'its start'}: {first['msg']}"
            raise UnknownMessage(msg) from error

    def decode_frame(self, frame: bytes) -> Envelope[M]:
        """Decode exactly one complete frame, header included.

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


@lru_cache(typed=True)
def _opening(**envelope: Any) -> bytes:
    """Return an envelope's JSON up to its message, the last field. Cached, as most envelopes repeat the one before."""
    written = Envelope(message=Message(), **envelope).model_dump_json(exclude_defaults=True)
    return written.encode().removesuffix(b"{}}")


def check_value(value: JsonText) -> None:
    """Check a value that was not checked yet.

    Raises:
        ValueError: The value is not JSON, or some readers reject it.
    """
    check_written(value.text)
    value.checked = True


class FrameDecoder:
    """Splits a stream of bytes, received in pieces of any size, into frame bodies.

    Args:
        max_bytes: Largest body in bytes. A larger length in a header is refused before any memory is used for it.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        """Begin with an empty buffer."""
        self.max_bytes = max_bytes
        self.buffer = bytearray()
        """The beginning of a frame whose end has not arrived; not to be changed."""

    def add(self, data: bytes) -> bool:
        """Add ``data`` if it lies inside one body. Return False, and leave it to ``feed``, if it does not."""
        buffer = self.buffer
        if len(buffer) < HEADER.size or len(buffer) + len(data) >= HEADER.size + HEADER.unpack_from(buffer)[0]:
            return False
        buffer += data
        return True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add ``data`` and yield every body that is complete now.

        Raises:
            FrameTooLarge: A header announces more than the limit.
            UnknownVersion: A header names a schema version that this code cannot read.
        """
        buffer = self.buffer
        source: bytes | bytearray = data  # nearly always whole bodies, which then are copied once
        if buffer:
            buffer += data
            source = buffer
        start = 0
        while len(source) - start >= HEADER.size:
            length, version = HEADER.unpack_from(source, start)
            if version != SCHEMA_VERSION:
                msg = f"a message has schema version {version}; this code reads version {SCHEMA_VERSION}"
                raise UnknownVersion(msg)
            if length > self.max_bytes:
                msg = f"a message announces {length} bytes; the limit is {self.max_bytes}"
                raise FrameTooLarge(msg)
            end = start + HEADER.size + length
            if len(source) < end:
                break
            yield bytes(memoryview(source)[start + HEADER.size : end])
            start = end
        if source is buffer:
            del buffer[:start]
        else:
            buffer += data[start:]

    def finish(self) -> None:
        """Check that the stream ended after a complete frame.

        Raises:
            FrameTruncated: It ended inside a frame.
        """
        if self.buffer:
            msg = f"the bytes end {len(self.buffer)} bytes into a message"
            raise FrameTruncated(msg)


TO_WORKER: Final[Codec[Any]] = Codec(ToWorker, check_values=False)
FROM_WORKER: Final[Codec[Any]] = Codec(FromWorker, finite=True)
