"""A fault of the engine itself stops one run, and nothing of a half-made decision is kept."""

import pytest

from greenroom.messages.core.errors import GreenroomError
from greenroom.testing import assert_state_is_fold
from greenroom.workflows.decisions.messages import mailbox, outbox
from tests.acceptance.apps.steering import mail
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def broken(*_arguments: object) -> None:
    msg = "the engine is broken"
    raise AssertionError(msg)


def test_a_run_is_parked_as_its_journal_has_it_and_goes_on_once_the_fault_is_mended(orchestrator):
    run, other = orchestrator.start(mail.collect, 2), orchestrator.start(mail.collect, 1)
    run.signal(mail.Go(n=1))
    eventually(lambda: any(stored.event.type == "message.taken" for stored in run.events()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mailbox, "_hand_on", broken)  # called once the message has been applied to the state
        with pytest.raises(GreenroomError, match="the engine is broken"):
            run.signal(mail.Go(n=2), key="two")
        eventually(lambda: run.status == "parked")
    types = [stored.event.type for stored in run.events()]
    assert types.count("message.received") == 1
    assert types[-1] == "run.parked"
    assert "a fault of the engine: AssertionError: the engine is broken" in str(run.record.reason)
    assert_state_is_fold(orchestrator)
    other.signal(mail.Go(n=7))
    assert other.result(30) == [7], "other runs do not notice"
    run.resume()
    run.signal(mail.Go(n=2), key="two")
    assert run.result(30) == [1, 2]
    assert_state_is_fold(orchestrator)


def test_a_run_that_cannot_even_be_recovered_is_left_to_its_journal(orchestrator):
    run = orchestrator.start(mail.collect, 1)
    eventually(lambda: any(stored.event.type == "receive.asked" for stored in run.events()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mailbox, "_hand_on", broken)
        patch.setattr(outbox, "deliver_again", broken)  # every recovery calls it
        with pytest.raises(GreenroomError, match="the engine is broken"):
            run.signal(mail.Go(n=1), key="one")
        eventually(lambda: run.status == "parked")
        with pytest.raises(GreenroomError, match="the engine is broken"):
            run.signal(mail.Go(n=1), key="one")
    run.signal(mail.Go(n=1), key="one")
    run.resume()
    assert run.result(30) == [1]
    assert_state_is_fold(orchestrator)
