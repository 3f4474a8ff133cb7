"""The options of a step cross processes and enter the journal as a text that is made once per definition."""

import json
import math
from typing import Any

import pytest

from greenroom.messages.codecs.codec import FROM_WORKER, HEADER
from greenroom.messages.codecs.event_codec import decode_event, encode_event
from greenroom.messages.core.errors import CodecError
from greenroom.messages.events.steps import StepScheduled
from greenroom.messages.frames.worker import ScheduleStep, Turn
from greenroom.messages.options.policy import Limits, Retry, StepOptions

OPTIONS = (
    StepOptions(),
    StepOptions(timeout=None, once=True),
    StepOptions(retry=Retry(attempts=9, on=("app.Busy",)), accept=("app:judge",), accept_timeouts=(None,)),
    StepOptions(limits=Limits(memory_mb=64, env=("HOME",)), on_reject="escalate", threshold=0.25, pool="gpu"),
    StepOptions(retry=Retry(on=tuple(f"app.Error{number}" for number in range(1000)))),  # too long to be kept
)

RECORDED: dict[str, Any] = {
    "timeout": 300.0,
    "retry": {
        "attempts": 4,
        "initial": 1.0,
        "factor": 2.0,
        "max_delay": 60.0,
        "jitter": 0.2,
        "within": None,
        "on": ["builtins.Exception"],
        "never": [],
    },
    "crash_attempts": 3,
    "once": False,
    "pool": "",
    "accept": [],
    "accept_timeouts": [],
    "evaluators": [],
    "panels": [],
    "threshold": 0.7,
    "on_reject": "retry",
    "on_evaluator_error": None,
    "sample": None,
    "limits": None,
    "stream": None,
    "model": None,
    "has_fallback": False,
}
"""What journals mean by options of which nothing is written."""


def scheduled(options: StepOptions, arguments: Any = None) -> StepScheduled:
    """Give an event with these options."""
    return StepScheduled(at=1.0, key="k", name="n", kind="tool", step="m:n", arguments=arguments, options=options)


def turn(options: StepOptions) -> Turn:
    """Give a frame with these options, twice."""
    asked = ScheduleStep(key="k", name="n", kind="tool", step="m:n", arguments={"args": [1]}, options=options)
    return Turn(run_id="r", commands=(asked, asked.model_copy(update={"key": "l"})))


@pytest.mark.parametrize("options", OPTIONS)
def test_options_come_back_as_they_were(options):
    sent = FROM_WORKER.decode(FROM_WORKER.encode(turn(options))[HEADER.size :]).message
    assert [command.options for command in sent.commands] == [options, options]
    event = scheduled(options, {"args": ["x" * 100_000]})
    assert decode_event(encode_event(event)) == event
    assert decode_event(encode_event(scheduled(options))).options == options


def test_equal_texts_are_read_once():
    frame = FROM_WORKER.encode(turn(StepOptions(timeout=17.5)))
    first, second = FROM_WORKER.decode(frame[HEADER.size :]).message.commands
    assert first.options is second.options


def test_what_equals_the_default_is_not_written():
    assert json.loads(encode_event(scheduled(StepOptions(once=True))))["options"] == {"once": True}


def test_the_defaults_are_a_part_of_the_journal_and_never_change():
    """A new default belongs where options are made. What is not written in old journals must keep its meaning."""
    assert StepOptions().model_dump(mode="json") == RECORDED
    assert decode_event(encode_event(scheduled(StepOptions()))).options.model_dump(mode="json") == RECORDED


def test_an_event_of_an_earlier_version_has_its_options_in_full():
    body = json.loads(encode_event(scheduled(StepOptions())))
    for options in (RECORDED, RECORDED | {"timeout": 5.0, "retry": RECORDED["retry"] | {"attempts": 1}}):
        found = decode_event(json.dumps(body | {"options": options}).encode())
        assert found.options.model_dump(mode="json") == options


def test_people_see_the_options_in_full():
    assert scheduled(StepOptions()).model_dump(mode="json")["options"] == RECORDED
    assert json.loads(scheduled(StepOptions()).model_dump_json())["options"] == RECORDED


@pytest.mark.parametrize("number", ["0", "-1", "7", "true"])
def test_a_number_that_refers_to_no_options_is_refused(number):
    """The frame has one value, the arguments, which are not options."""
    body = FROM_WORKER.encode(turn(StepOptions()))[HEADER.size :]
    head, *values = body.split(b"\0")
    forged = head.replace(b'"options":1', b'"options":' + number.encode())
    assert forged != head
    with pytest.raises(CodecError):
        FROM_WORKER.decode(b"\0".join([forged, *values]))


def test_options_that_json_cannot_carry_are_not_written():
    far = StepOptions.model_construct(**{**StepOptions().__dict__, "threshold": math.inf})
    with pytest.raises(CodecError, match="JSON cannot carry"):
        encode_event(scheduled(far))
