"""Values of users pass as text: what is long is checked and cut without becoming a value on the way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from greenroom.messages.codecs.codec import FROM_WORKER, HEADER, SCHEMA_VERSION
from greenroom.messages.codecs.event_codec import decode_event, encode_event
from greenroom.messages.core.errors import UnknownMessage
from greenroom.messages.core.json_scanner import normal
from greenroom.messages.core.json_text import JsonText, plain, shown
from greenroom.messages.events.events import AttemptEnded, RunCompleted, RunStarted, TurnEnded
from greenroom.messages.frames.worker import Completed
from tests.messages.drawing import JSON

LONG = " " * 20_000
"""Makes a text too long to be read for a check."""


def frame(*texts: bytes) -> bytes:
    """Give the body of a frame whose value is the first of these texts."""
    return b"\0".join([b'{"message":{"type":"completed","token":"t","result":0,"duration":0.0}}', *texts])


FAULTY = {
    "not a number": b"NaN",
    "infinity": b"[Infinity]",
    "a number that becomes infinite": b"1e999",
    "a number that becomes infinite without an exponent": b"9" * 400 + b".0",
    "a long way to infinity": b"[1.5e+300, 18.0e+307]",
    "5,000 digits": b"[" + b"9" * 5000 + b"]",
    "a lone high surrogate": rb'"\ud800"',
    "a lone low surrogate": rb'"a\\\udc00"',
    "surrogates in the wrong order": rb'["\udc00\ud800"]',
    "200 levels": b"[" * 200 + b"]" * 200,
    "two values that close a bracket": b"1],[2",
    "two values": b"1 2",
    "nothing": b"",
    "no UTF-8": b'"\xff"',
    "a trailing comma": b"[1,]",
    "JSON5": b"{a:1}",
    "hexadecimal": b"0x10",
}


@pytest.mark.parametrize("text", FAULTY.values(), ids=FAULTY.keys())
@pytest.mark.parametrize("padding", ["", LONG], ids=["short", "long"])
def test_a_value_that_not_every_reader_takes_is_refused(text: bytes, padding: str) -> None:
    with pytest.raises(UnknownMessage):
        FROM_WORKER.decode(frame(text + padding.encode()))


BEFORE = {
    "a long text": b'"' + b"x" * 100_000 + b'"',
    "a text of many escapes": b'"' + rb"\n\"" * 50_000 + b'"',
    "a long text of digits": b'"' + b"0" * 3_000_000 + b'"',
    "surrogate pairs": b'"' + rb"\ud83d\ude00" * 50_000 + b'"',
    "many texts": b",".join([b'"1e999"'] * 20_000),
    "many numbers": b",".join([b"1e+300, 0e0001"] * 20_000),
    "much space": b"0" + b" " * 100_000,
}
"""What is looked through in pieces."""


@pytest.mark.parametrize("text", [b"1", b'"NaN 1e999"', rb'"\ud83d\ude00"', b"9" * 4300])
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
def test_what_is_fair_is_taken_wherever_it_stands(before: bytes, text: bytes) -> None:
    whole = b"[" + before + b"," + text + b"," + before + b"]"
    message: Any = FROM_WORKER.decode(frame(whole)).message
    assert from_json(message.result.text) == from_json(whole)


@pytest.mark.parametrize(
    "text", [b"1e999", b"[18.0e+307]", b"9" * 400 + b".0", b"9" * 5000, rb'"\ud800"', rb'"\udc00"']
)
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
def test_what_is_faulty_is_refused_wherever_it_stands(before: bytes, text: bytes) -> None:
    for whole in (b"[" + before + b"," + text + b"," + before + b"]", b"[" + before + b"," + text + b"]"):
        with pytest.raises(UnknownMessage):
            FROM_WORKER.decode(frame(whole))


FAIR = {
    "words": b'["NaN", "1e999", "Infinity", "0e1234567"]',
    "a pair of surrogates": rb'"\ud83d\ude00 \\ud800"',
    "large and small numbers": b"[1.7e+308, 1e-999, -0.0, 1E5]",
    "4,300 digits": b"9" * 4300,
    "180 levels": b"[" * 180 + b"]" * 180,
    "brackets in a text": b'"' + b"[" * 500 + b'"',
}


@pytest.mark.parametrize("text", FAIR.values(), ids=FAIR.keys())
@pytest.mark.parametrize("padding", ["", LONG], ids=["short", "long"])
def test_a_value_that_is_only_odd_is_taken(text: bytes, padding: str) -> None:
    message: Any = FROM_WORKER.decode(frame(text + padding.encode())).message
    assert message.result.read() == json.loads(text)


@given(JSON)
def test_short_and_long_texts_of_a_value_are_taken_alike(value: Any) -> None:
    text = json.dumps(value).encode()
    assert JsonText(normal(text)).read() == JsonText(normal(text + LONG.encode())).read() == value


def test_a_value_that_is_not_behind_its_message_is_refused() -> None:
    for body in (frame(), frame(b"1").replace(b":0,", b":1,"), frame(b"1").replace(b'"result":0', b'"result":{}')):
        with pytest.raises(UnknownMessage):
            FROM_WORKER.decode(body)


def test_a_message_of_countless_parts_is_refused_before_it_is_read() -> None:
    with pytest.raises(UnknownMessage, match="more than 500000 parts"):
        FROM_WORKER.decode(b'{"message":' + b"[{}," * 600_000)


@given(JSON, st.sampled_from(["", "x" * 100_000]))
def test_events_are_plain_json_however_long(value: Any, more: str) -> None:
    """Whoever reads the journal's file with other tools finds the values where they belong."""
    for event in (
        RunStarted(at=1.0, run_id="r", app="a", workflow="w", arguments={"a": [value, more], "b": value, "ö": more}),
        AttemptEnded(at=1.0, key="k", attempt=1, token="t", outcome="ok", result={"v": value, "more": more}),
        TurnEnded(at=1.0, number=1, reply=None, state=[value, more]),
    ):
        body = encode_event(event)
        assert json.loads(body) == json.loads(json.dumps(event.model_dump()))
        back = decode_event(body)
        assert back == event
        assert shown(back).model_dump() == event.model_dump()


def test_a_text_is_never_taken_for_the_value_that_it_spells() -> None:
    for value in ('{"a":1}', "0", "null", "[1]"):
        event = RunCompleted(at=1.0, result=value)
        assert plain(decode_event(encode_event(event)).result) == value  # type: ignore[union-attr]
        sent = FROM_WORKER.encode(Completed(token="t", result=value, duration=0.0))
        assert sent.startswith(HEADER.pack(len(sent) - HEADER.size, SCHEMA_VERSION))
        assert plain(FROM_WORKER.decode_frame(sent).message.result) == value
