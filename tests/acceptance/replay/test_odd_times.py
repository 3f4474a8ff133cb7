"""Times that no clock can show, in workflow code and in waits for a run."""

import math

import pytest

from greenroom import RunFailed
from tests.acceptance.apps.steering import compensating
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
WAYS = ["sleep", "asyncio.sleep", "receive", "approve", "timeout"]


@pytest.mark.parametrize("how", WAYS)
def test_a_wait_without_an_end_waits_and_one_that_is_no_number_fails(orchestrator, how):
    for_ever = [orchestrator.start(compensating.waits_for_ever, number, how) for number in ("inf", "1e300")]
    for run in for_ever:
        eventually(lambda run=run: run.status == "waiting", 60)
    past = orchestrator.start(compensating.waits_for_ever, "-5", how)
    assert past.result(60) == ("done" if "sleep" in how else "over")
    with pytest.raises(RunFailed, match="NaN|nan"):
        orchestrator.start(compensating.waits_for_ever, "nan", how).result(60)
    for run in for_ever:
        assert run.status == "waiting"
        run.cancel(within=math.inf)
        eventually(lambda run=run: run.status == "cancelled", 60)


def test_a_result_may_be_awaited_without_a_limit_and_not_for_what_is_no_number(orchestrator, tmp_path):
    run = orchestrator.start(compensating.measures, "abc")
    assert run.result(math.inf) == 3
    assert run.result(1e300) == 3
    other = orchestrator.start(compensating.asks)
    with pytest.raises(TimeoutError):
        other.result(-1)
    with pytest.raises(ValueError, match="NaN"):
        other.result(math.nan)
    with pytest.raises(TypeError, match="number of seconds"):
        other.result("soon")
    other.cancel()
