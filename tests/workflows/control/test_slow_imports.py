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
    heard: list[tuple[str, str]] = []
    pools = {"program": Pool(size=1, backend=backend)}  # type: ignore[arg-type]
    with Orchestrator(":memory:", home=tmp_path / "home", pools=pools) as orchestrator:
        orchestrator.on_slow_import(lambda app, sentence: heard.append((app, sentence)))
        run = orchestrator.start(blocked.after)
        eventually(lambda: re.fullmatch(SENTENCE, orchestrator.runs()[0].reason or ""), 30, what="the run's reason")
        assert orchestrator.reads.run(run.id).reason is not None
        assert re.fullmatch(SENTENCE, orchestrator.tree().children[0].detail)
        app, sentence = heard[-1]
        assert app == blocked.after.definition.app
        assert re.fullmatch(SENTENCE, sentence)
        monkeypatch.delenv("BLOCKED_GATE")  # where each worker imports the app by itself, the others go on
        gate.write_text("open")
        assert run.result(timeout=60) == 7
        assert orchestrator.runs()[0].reason is None
        assert orchestrator.tree().children[0].status == "running"
