"""Journals leave out what follows from defaults of events, so those defaults must stay what they are."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.messages.codecs.event_codec import decode_event, encode_event, encode_events
from greenroom.messages.events.events import AnyEvent
from tests.messages.drawing import members, messages

LEFT_OUT = {
    "approval.asked": '"step":null,"ref":"","reason":"","form":""',
    "approval.decided": '"comment":"","by":""',
    "attempt.ended": '"result":null,"failure":null,"charged":true,"usage":{}',
    "attempt.progressed": '"detail":null',
    "attempt.started": '"reserved":null',
    "cancel.requested": '"reason":null',
    "child.ended": '"result":null,"failure":null,"step":null,"attempts":[]',
    "child.scheduled": '"version":1,"fingerprint":"","budget":null',
    "code.adopted": '"version":0',
    "judge.answered": '"usage":{}',
    "message.delivered": '"refused":null',
    "message.received": '"key":null',
    "message.sent": '"on_failure":"continue","budget":null',
    "retry.scheduled": '"solo":false',
    "run.cancelled": '"reason":null',
    "run.completed": '"result":null',
    "run.failed": '"step":null,"calls":[]',
    "run.forked": '"given":false,"result":null,"seed":"","copied":false',
    "run.parked": '"difference":null,"pool":""',
    "run.paused": '"reason":null,"quota":false,"with_parent":false',
    "run.resumed": '"budget":null',
    "run.retried": (
        '"forgotten":[],"reopened":[],"timers":{},"receives":{},"approvals":[],"state":null,"emitted":{},"by":null'
    ),
    "run.started": (
        '"parent":null,"parent_key":null,"seed":"","budget":null,"accounts":[],"origin":null,"begun_at":null,'
        '"version":1,"fingerprint":"","form":0'
    ),
    "schedule.fired": '"manual":false,"next_due":null',
    "schedule.paused": '"reason":null',
    "schedule.queued": '"manual":false,"next_due":null',
    "schedule.skipped": '"run_id":null,"next_due":null',
    "session.opened": '"seed":"","on_failure":"continue","budget":null,"form":0',
    "step.completed": '"flagged":false',
    "step.emitted": '"final":false',
    "step.evaluated": '"settled":{}',
    "step.scheduled": '"transcript":null',
    "turn.cancel_requested": '"reason":null',
    "turn.ended": '"reply":null,"state":null,"received":0,"offsets":{},"form":0,"budget":null,"conversed":false',
    "turn.failed": (
        '"step":null,"state":null,"received":0,"offsets":{},"form":0,"budget":null,"conversed":false,"cancelled":false'
    ),
}
"""What is left out of an event's JSON if all its last members have their defaults. A change changes the past: a journal
that was written before says something else then. A new field may only be added at the end."""


@pytest.mark.parametrize("model", members(AnyEvent))
@settings(max_examples=10)
@given(data=st.data())
def test_the_defaults_that_are_left_out_are_those_of_journals_that_were_written_before(model, data):
    usual = {name: default_of(model, name) for name, field in model.model_fields.items() if not field.is_required()}
    event = data.draw(messages(model)).model_copy(update=usual)
    whole, (short,) = encode_event(event), encode_events([event])
    end = LEFT_OUT.get(event.type)
    assert whole == (short if end is None else short[:-1] + b"," + end.encode() + b"}")
    assert decode_event(short) == decode_event(whole)


@pytest.mark.parametrize("model", members(AnyEvent))
@settings(max_examples=10)
@given(data=st.data())
def test_an_event_with_some_defaults_is_read_as_it_was(model, data):
    optional = [name for name, field in model.model_fields.items() if not field.is_required()]
    usual = data.draw(st.sets(st.sampled_from(optional)))
    event = data.draw(messages(model)).model_copy(update={name: default_of(model, name) for name in usual})
    whole = encode_event(event)
    (short,) = encode_events([event])
    assert len(short) <= len(whole)
    assert decode_event(short) == decode_event(whole)


def default_of(model: Any, name: str) -> Any:
    return model.model_fields[name].get_default(call_default_factory=True)
