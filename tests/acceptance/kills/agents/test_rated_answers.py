"""The orchestrator is killed between an answer and its background score: the next one has the answer rated, once."""

import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import Orchestrator
from greenroom.testing import assert_state_is_fold
from tests.acceptance.apps.judges import sampled
from tests.acceptance.harness import census, pools
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.mark.parametrize("which", ["finished", "going on"])
@pytest.mark.parametrize("moment", ["while the judge thinks", "while the score is on its way"])
def test_what_was_not_rated_is_rated_after_the_orchestrators_death(
    which: str, moment: str, tmp_path: Path, home: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPLED_FOLDER", str(tmp_path))
    process = subprocess.Popen([sys.executable, "-m", "tests.acceptance.apps.judges.sampled", str(tmp_path), which])
    try:
        eventually((tmp_path / "used").exists, 30)
        eventually(lambda: len(sampled.asked()) == 1, 30)
        if moment == "while the score is on its way":
            sampled.release()
    finally:
        process.kill()
        process.wait()
    eventually(lambda: not census(mark), 10.0)
    before = len(sampled.asked())
    sampled.release()
    with Orchestrator(tmp_path / "runs.db", home=home, pools=pools(), env=("SAMPLED_FOLDER",)) as orchestrator:
        run = orchestrator.get("r")
        eventually(lambda: run.steps()[0].evaluations, 30)
        assert [each.score for each in run.steps()[0].evaluations] == [0.4]
        assert len([stored for stored in run.events() if stored.type == "answer.rated"]) == 1
        if which == "finished":
            assert run.status == "completed"
        else:
            run.signal(sampled.Go())
            assert run.result(30) == "an answeran answer"
        assert len(run.steps()[0].attempts) == 1
        assert_state_is_fold(orchestrator)
    assert len(sampled.asked()) - before in {0, 1}
