"""A run that waits for its app to be imported says so."""

import os
import re
from pathlib import Path

import pytest

from greenroom import Orchestrator, Pool
from tests.support import eventually
from tests.workflows.apps import blocked

SENTENCE = r"waits for its app to be imported, since \d+ s, at \S+blocked\.py:9"


@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_the_record_of_a_run_says_that_it_waits_for_its_import_and_where_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv("BLOCKED_GATE", str(gate))
    heard: list[str] = []
    pools = {"program": Pool(size=1, backend=backend)}  # type: ignore[arg-type]
    with Orchestrator(":memory:", home=tmp_path / "home", pools=pools) as orchestrator:
        orchestrator.on_delay(heard.append)
        run = orchestrator.start(blocked.after)
        eventually(lambda: re.fullmatch(SENTENCE, orchestrator.runs()[0].reason or ""), 30, what="the run's reason")
        assert orchestrator.reads.run(run.id).reason is not None
        assert re.fullmatch(SENTENCE, orchestrator.tree().children[0].detail)
        assert re.fullmatch(f"{re.escape(blocked.after.definition.app)} {SENTENCE}", heard[-1])
        monkeypatch.delenv("BLOCKED_GATE")  # where each worker imports the app by itself, the others go on
        gate.write_text("open")
        assert run.result(timeout=60) == 7
        assert orchestrator.runs()[0].reason is None
        assert orchestrator.tree().children[0].status == "running"
