"""Every message survives the wire; whatever is wrong with bytes is a typed error before any of them means something."""

import json
import struct
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from greenroom.messages.codecs.codec import FROM_WORKER, HEADER, SCHEMA_VERSION, TO_WORKER, Codec, FrameDecoder
from greenroom.messages.codecs.command_codec import COMMANDS, REPLIES
from greenroom.messages.codecs.event_codec import decode_event, encode_event
from greenroom.messages.commands import CancelRun, Command, Reply, StartRun
from greenroom.messages.core.errors import CodecError, FrameTooLarge, FrameTruncated, UnknownMessage, UnknownVersion
from greenroom.messages.events.events import AnyEvent, RunCompleted, StepCompleted, StepScheduled
from greenroom.messages.frames.envelope import MAX_FRAME_BYTES
from greenroom.messages.frames.worker import Completed, FromWorker, Heartbeat, ToWorker
from greenroom.messages.options.policy import StepOptions
from greenroom.messages.transcript import Entry, TranscriptUse
from tests.messages.drawing import members, messages

UNIONS = [(COMMANDS, Command), (REPLIES, Reply), (TO_WORKER, ToWorker), (FROM_WORKER, FromWorker)]
ON_THE_WIRE = [pytest.param(codec, model, id=model.__name__) for codec, union in UNIONS for model in members(union)]


def frame(body: bytes, version: int = SCHEMA_VERSION) -> bytes:
    return HEADER.pack(len(body), version) + body


def wrapped(message: str) -> bytes:
    """Give the body of an envelope around ``message``, written as JSON by hand."""
    return b'{"message":' + message.encode() + b"}"


# ---------------------------------------------------------------- what fits


@pytest.mark.parametrize(("codec", "model"), ON_THE_WIRE)
@settings(max_examples=20)  # times the number of classes
@given(data=st.data())
def test_every_message_comes_back_equal_with_its_envelope(codec: Codec[Any], model: type[BaseModel], data: Any) -> None:
    message = data.draw(messages(model))
    envelope = codec.decode_frame(codec.encode(message, id="m1", cause="m0", attempt=2, incarnation=3, deadline=1.5))
    assert envelope.message == message
    assert type(envelope.message) is model
    assert (envelope.id, envelope.cause, envelope.attempt, envelope.incarnation) == ("m1", "m0", 2, 3)


def test_the_fields_of_an_envelope_are_checked_when_it_is_written() -> None:
    COMMANDS.encode(CancelRun(run_id="r"), incarnation=1)
    for wrong in (True, 1.0, "1"):
        with pytest.raises(CodecError, match="incarnation"):
            COMMANDS.encode(CancelRun(run_id="r"), incarnation=wrong)


@pytest.mark.parametrize("model", members(AnyEvent), ids=lambda model: model.__name__)
@settings(max_examples=20)  # times the number of classes
@given(data=st.data())
def test_every_event_comes_back_equal_from_the_journals_json(model: type[BaseModel], data: Any) -> None:
    event = data.draw(messages(model))
    body = encode_event(event)
    assert decode_event(body) == event
    assert decode_event(body[:-1] + b" " * 2**16 + b"}") == event, "values of long events are read in another way"


def test_a_long_conversation_comes_back_equal_from_the_journals_json() -> None:
    """Its messages are values deep in an event whose arguments are a value too. One is a number, as cut ones have."""
    entries = tuple(Entry(message=message) for message in (0, {"role": "user", "text": "a" * 2**17}))
    event = StepScheduled(
        at=1.0,
        key="desk#1/model#1",
        name="model",
        kind="llm",
        step="app:desk",
        arguments={"prompt": "b"},
        options=StepOptions(),
        transcript=TranscriptUse(tip="t", new=entries),
    )
    assert decode_event(encode_event(event)) == event


@given(
    frames=st.lists(messages(Completed), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    inside=st.booleans(),
)
def test_frames_come_out_whole_whatever_pieces_they_arrive_in(
    frames: list[Completed], cuts: list[int], inside: bool
) -> None:
    stream = b"".join(FROM_WORKER.encode(message) for message in frames)
    decoder, bodies, at, turn = FrameDecoder(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        piece = stream[at : at + size]
        if not inside or not decoder.add(piece):
            bodies += decoder.feed(piece)
        at, turn = at + size, turn + 1
    decoder.finish()
    assert [FROM_WORKER.decode(body).message for body in bodies] == frames


def test_two_envelopes_of_one_message_differ_only_where_they_were_told_to() -> None:
    first, second = COMMANDS.encode(CancelRun(run_id="r"), id="a"), COMMANDS.encode(CancelRun(run_id="r"), id="b")
    assert first.replace(b'"a"', b'"b"') == second


def test_a_number_past_64_bits_and_a_nul_in_a_text_are_ordinary_values() -> None:
    message = Completed(token="1:1", result={"n": 2**70, "text": "a\0b"}, duration=0.0)
    assert FROM_WORKER.decode_frame(FROM_WORKER.encode(message)).message == message


# ---------------------------------------------------------------- what does not


@given(data=st.data())
def test_a_frame_cut_anywhere_is_truncated(data: Any) -> None:
    whole = COMMANDS.encode(data.draw(messages(StartRun)))
    with pytest.raises(FrameTruncated):
        COMMANDS.decode_frame(whole[: data.draw(st.integers(1, len(whole) - 1))])


def test_no_bytes_at_all_are_no_message() -> None:
    with pytest.raises(CodecError):
        COMMANDS.decode_frame(b"")


def test_two_frames_are_not_one() -> None:
    with pytest.raises(CodecError, match="found 2"):
        FROM_WORKER.decode_frame(FROM_WORKER.encode(Heartbeat()) * 2)


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 2**31, 2**32 - 1])
def test_a_length_over_the_limit_is_refused_from_its_header_alone(length: int) -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameTooLarge, match=str(length)):
        list(decoder.feed(struct.pack(">IB", length, SCHEMA_VERSION)))


def test_a_length_at_the_limit_is_taken() -> None:
    decoder = FrameDecoder(max_bytes=4)
    assert list(decoder.feed(frame(b"1234"))) == [b"1234"]


def test_a_message_over_the_limit_is_never_sent() -> None:
    codec: Codec[Any] = Codec(FromWorker, max_bytes=1000)
    with pytest.raises(FrameTooLarge, match="limit of 1000"):
        codec.encode(Completed(token="1:1", result="x" * 1000, duration=0.0))


@given(version=st.integers(0, 255).filter(lambda version: version != SCHEMA_VERSION))
def test_another_schema_version_is_refused_by_name(version: int) -> None:
    with pytest.raises(UnknownVersion, match=f"version {version}"):
        list(FrameDecoder().feed(frame(b"{}", version)))


@given(st.binary(max_size=200))
def test_random_bytes_on_the_wire_are_a_typed_error_or_wait_for_more(garbage: bytes) -> None:
    decoder = FrameDecoder()
    try:
        for body in decoder.feed(garbage):
            FROM_WORKER.decode(body)
        decoder.finish()
    except CodecError:
        return
    assert not garbage


@given(st.binary(max_size=200))
def test_random_bytes_in_a_frame_are_no_message(garbage: bytes) -> None:
    with pytest.raises(UnknownMessage):
        FROM_WORKER.decode(garbage)


@given(data=st.data())
def test_a_flipped_byte_is_a_typed_error_or_another_valid_message(data: Any) -> None:
    whole = bytearray(FROM_WORKER.encode(Completed(token="7:12", result=["otter", 3], duration=0.25)))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        envelope = FROM_WORKER.decode_frame(bytes(whole))
    except CodecError:
        return
    assert FROM_WORKER.decode_frame(FROM_WORKER.encode(envelope.message)).message == envelope.message


BEAT = '"type":"heartbeat"'
FAULTY = {
    "an unknown type": '{"type":"heartbeet"}',
    "no type": '{"busy":0.0}',
    "a type that is not text": '{"type":7}',
    "a type of another union": '{"type":"run.cancel","run_id":"r"}',
    "an extra field": f'{{{BEAT},"spare":1}}',
    "a missing field": '{"type":"progress"}',
    "text for a number": f'{{{BEAT},"busy":"0.5"}}',
    "a number for a text": f'{{{BEAT},"run_id":5}}',
    "a truth for a number": f'{{{BEAT},"busy":true}}',
    "null where a value must be": f'{{{BEAT},"busy":null}}',
    "no object": "[]",
    "null": "null",
    "an integer of 5,000 digits": f'{{"type":"progress","token":"t","detail":{"9" * 5000}}}',
    "not a number": '{"type":"progress","token":"t","detail":NaN}',
    "infinity": '{"type":"progress","token":"t","detail":[Infinity]}',
    "minus infinity": '{"type":"progress","token":"t","detail":{"a":-Infinity}}',
    "a number that becomes infinite": '{"type":"progress","token":"t","detail":1e999}',
    "an infinite duration": '{"type":"completed","token":"t","result":null,"duration":1e999,"usage":{}}',
    "an infinite amount": '{"type":"completed","token":"t","result":null,"duration":1.0,"usage":{"tokens":1e999}}',
    "what a model said, with an infinite number": '{"type":"failed","token":"t","duration":1.0,"usage":{},'
    '"failure":{"outcome":"error","message":"","raw":{"logprob":-1e999}}}',
    "an infinite field": f'{{{BEAT},"busy":1e999}}',
    "an infinite pause": '{"type":"failed","token":"t","duration":1.0,"failure":{"outcome":"error","retry_after":1e999}}',
    "a duration below 0": '{"type":"completed","token":"t","result":null,"duration":-1.0}',
    "a use below 0": '{"type":"completed","token":"t","result":null,"duration":1.0,"usage":{"usd":-1.0}}',
    "more used than there is": '{"type":"failed","token":"t","duration":1.0,"failure":{"outcome":"error"},'
    '"usage":{"usd":1e300}}',
    "a score above 1": '{"type":"judged","token":"t","score":7.0}',
    "a score below 0": '{"type":"judged","token":"t","score":-0.5}',
    **{
        f"a failure that is {outcome}": f'{{"type":"failed","token":"t","duration":1.0,"failure":{{"outcome":"{outcome}"}}}}'
        for outcome in ("ok", "crash", "rejected")
    },
    "the end of a process that lives": '{"type":"failed","token":"t","duration":1.0,'
    '"failure":{"outcome":"error","exit":{"kind":"orchestrator_lost","injected":true}}}',
    "a lone high surrogate": '{"type":"progress","token":"t","detail":"\\ud800"}',
    "a lone low surrogate": '{"type":"progress","token":"\\udc00"}',
    "a raw NUL in a text": '{"type":"progress","token":"t\0"}',
    "arrays 200,000 deep": f'{{"type":"progress","token":"t","detail":{"[" * 200_000}{"]" * 200_000}}}',
    "objects 200,000 deep": '{"type":"progress","token":"t","detail":' + '{"a":' * 200_000 + "1" + "}" * 200_001,
    "trailing bytes": f"{{{BEAT}}} 1",
}


@pytest.mark.parametrize("message", FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_message_is_refused(message: str) -> None:
    with pytest.raises(UnknownMessage) as raised:
        FROM_WORKER.decode(wrapped(message))
    assert len(str(raised.value)) < 400  # the sentence goes to a person and to the journal, the bytes do not


@pytest.mark.parametrize(
    "body",
    [b'{"message":{"type":"heartbeat"},"spare":1}', b'{"type":"heartbeat"}', b"{}", b'{"message":{"type":"heartbeat"'],
)
def test_a_faulty_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(UnknownMessage):
        FROM_WORKER.decode(body)


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(UnknownMessage):
        FROM_WORKER.decode(b'{"message":{"type":"progress","token":"\xff\xfe"}}')


@pytest.mark.parametrize("text", ["NaN", "Infinity and -Infinity", "NaN, 1e999"])
def test_words_that_look_like_such_numbers_are_ordinary_text(text: str) -> None:
    message = Completed(token="1:1", result={text: [text]}, duration=0.0)
    assert FROM_WORKER.decode_frame(FROM_WORKER.encode(message)).message == message


UNWRITABLE = {
    "not a number": float("nan"),
    "infinity": float("inf"),
    "a lone surrogate": "\ud800",
    "an integer of 5,000 digits": 10**5000,
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_could_not_be_read_again_is_never_sent(value: Any) -> None:
    with pytest.raises(CodecError):
        FROM_WORKER.encode(Completed.model_construct(token="1:1", result=[value], duration=0.0))


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_could_not_be_read_again_is_never_journaled(value: Any) -> None:
    with pytest.raises(CodecError):
        encode_event(RunCompleted.model_construct(at=0.0, type="run.completed", result={"a": value}))


def test_a_value_nested_past_what_can_be_read_is_never_sent_nor_journaled() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    with pytest.raises(CodecError):
        FROM_WORKER.encode(Completed.model_construct(token="1:1", result=deep, duration=0.0))
    with pytest.raises(CodecError):
        encode_event(RunCompleted.model_construct(at=0.0, type="run.completed", result=deep))


@given(depth=st.integers(0, 300))
def test_what_is_written_can_be_read_however_deep_it_is(depth: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = {"a": deep}
    event = RunCompleted.model_construct(at=0.0, type="run.completed", result=deep)
    try:
        body = encode_event(event)
    except CodecError:
        assert depth > 100  # no honest value is refused
        return
    assert decode_event(body) == event


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"type":"run.exploded","at":1.0}',
        b'{"type":"run.completed","at":1.0,"spare":1}',
        b'{"type":"run.completed","at":NaN}',
        b'{"type":"run.completed","at":1.0,"result":1e999}',
        b'{"type":"run.completed","at":"1"}',
    ],
)
def test_a_faulty_event_of_the_journal_is_refused(body: bytes) -> None:
    with pytest.raises(UnknownMessage):
        decode_event(body)


def test_nothing_keeps_the_texts_of_what_was_read() -> None:
    frame = FROM_WORKER.encode(Completed(token="1:1", result=None, duration=0.1))
    assert FROM_WORKER.decode_frame(frame).message.token is not FROM_WORKER.decode_frame(frame).message.token
    event = encode_event(StepCompleted(at=1.0, key="a key", attempt=1))
    first, second = decode_event(event), decode_event(event)
    assert isinstance(first, StepCompleted)
    assert isinstance(second, StepCompleted)
    assert first.key is not second.key


def test_a_message_is_frozen_and_closed() -> None:
    command = CancelRun(run_id="r")
    with pytest.raises(ValueError, match="frozen"):
        command.run_id = "s"  # type: ignore[misc]
    with pytest.raises(ValueError, match="Extra inputs"):
        CancelRun(run_id="r", spare=1)  # type: ignore[call-arg]


def test_the_body_of_a_frame_is_plain_json() -> None:
    body = COMMANDS.encode(CancelRun(run_id="r"))[HEADER.size :]
    assert json.loads(body)["message"] == {"type": "run.cancel", "run_id": "r", "reason": None, "within": None}


def test_an_infinite_number_is_refused_however_deep_in_a_message_it_is() -> None:
    step = {"type": "schedule.step", "key": "k", "name": "n", "kind": "tool", "step": "m:n", "arguments": None}
    options = {"retry": {"initial": 1.0, "max_delay": "FAR"}}
    turn = json.dumps({"type": "program.turn", "run_id": "r", "commands": [{**step, "options": options}]})
    assert FROM_WORKER.decode(wrapped(turn.replace('"FAR"', "1e9")))
    with pytest.raises(UnknownMessage):
        FROM_WORKER.decode(wrapped(turn.replace('"FAR"', "1e999")))


def parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Give a model and all models that its fields may hold."""
    found, left = set(), [model]
    while left:
        each: Any = left.pop()
        left += get_args(each)
        if isinstance(each, type) and issubclass(each, BaseModel) and each not in found:
            found.add(each)
            left += [field.annotation for field in each.model_fields.values()]
    yield from found


def test_no_part_of_a_message_of_a_worker_takes_an_infinite_number() -> None:
    models = {part for message in members(FromWorker) for part in parts(message)}
    assert len(models) > len(members(FromWorker))
    assert [model.__name__ for model in models if model.model_config.get("allow_inf_nan") is not False] == []
