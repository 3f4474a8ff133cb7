"""Fan-outs of long values: a turn that no single frame holds is recorded as a whole, and replays like any other."""

import pytest

from greenroom import Orchestrator, RunFailed
from greenroom.testing import assert_state_is_fold, kill, wait_for
from tests.acceptance import harness
from tests.acceptance.apps.kills import long_turns

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
DOCUMENTS, SIZE = 4, 6_000_000


def test_steps_called_at_once_may_have_more_than_a_frame_of_arguments_together(home, tmp_path):
    options = {"pools": harness.pools()}
    with Orchestrator(home=home, **options) as orchestrator:
        run = orchestrator.start(long_turns.book, DOCUMENTS, SIZE, str(tmp_path), id="book")
        wait_for(run, status="waiting", timeout=60)
        kill(run)
        assert len(run.state.text) == SIZE
        started = [event.seq for event in run.events() if event.type == "step.scheduled"]
        assert len(started) == DOCUMENTS
        assert started[-1] - started[0] < DOCUMENTS + 1, "their calls are recorded together"
    with Orchestrator(home=home, **options) as orchestrator:
        run = orchestrator.get("book")
        run.signal(long_turns.Go())
        assert run.result(60) == (2 * DOCUMENTS + 1) * SIZE
        assert len((tmp_path / "read").read_text().splitlines()) == 2 * DOCUMENTS + 1
        assert_state_is_fold(run)


@pytest.mark.parametrize(("what", "said"), [("call", "the call of length#1 is"), ("result", "the result is")])
def test_one_value_that_is_too_long_is_named_with_what_to_do(home, what, said):
    sentence = f"{said} too long, .*: leave what is long in a file, and give its path"
    with Orchestrator(home=home, pools=harness.pools()) as orchestrator, pytest.raises(RunFailed, match=sentence):
        orchestrator.start(long_turns.too_long, what, 17_000_000).result(60)
