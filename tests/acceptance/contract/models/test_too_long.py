"""What no worker could be sent is refused where it is given, with a sentence, through every door."""

import pytest

from greenroom import InvalidInput, RunFailed
from greenroom.messages import commands as c
from greenroom.messages.refusals import LONGEST_ARGUMENTS
from tests.acceptance.apps.steering import compensating
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
HUGE = "x" * (17 * 1024 * 1024)
NEARLY = "x" * (LONGEST_ARGUMENTS + 1)


@pytest.mark.parametrize("text", [HUGE, NEARLY], ids=["huge", "nearly"])
def test_arguments_that_are_too_long_are_refused(orchestrator, text):
    app = compensating.trip.definition.app
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        orchestrator.start(compensating.trip, text)
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        orchestrator.start_app(app, "trip", {"folder": text})
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        orchestrator.schedule("s", compensating.trip, text, every=60)
    assert orchestrator.runs() == []
    assert orchestrator.schedules() == []


def test_whatever_else_a_run_is_given_is_refused_where_it_is_too_long(orchestrator, tmp_path):
    run = orchestrator.start(compensating.asks)
    question = eventually(run.approvals, 60)[0]
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        run.signal(compensating.Go(word=HUGE))
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        orchestrator.session(compensating.desk, "k").tell(compensating.Go(word=HUGE))
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        orchestrator.decide(question.id, "edit", HUGE)
    for changes in ({"input": {"folder": HUGE}}, {"at": "approve#1", "result": HUGE}):
        reply = orchestrator.send(c.ForkRun(run_id=run.id, **changes))
        assert (reply.type, reply.code) == ("refused", "invalid")
        assert "bytes as JSON" in reply.message
    orchestrator.decide(question.id, "approve")
    assert run.result(60) == "approve"


def test_the_longest_arguments_that_are_taken_reach_their_workflow(orchestrator):
    text = "x" * (LONGEST_ARGUMENTS - 100)
    assert orchestrator.start(compensating.measures, text).result(60) == len(text)


def test_a_child_that_is_given_too_much_fails_where_it_is_called(orchestrator):
    with pytest.raises(RunFailed, match="bytes as JSON"):
        orchestrator.start(compensating.passes_on, LONGEST_ARGUMENTS + 1).result(60)
