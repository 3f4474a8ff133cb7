"""What goes on while the disk is slow, and what waits for it."""

import os
from pathlib import Path

import apsw

from greenroom import Orchestrator
from tests.support import eventually
from tests.workflows.apps.pace import pace


def test_nothing_follows_from_an_outcome_that_is_not_on_the_disk(tmp_path: Path) -> None:
    log, gate, journal = tmp_path / "log", tmp_path / "gate", tmp_path / "runs.db"
    os.mkfifo(gate)
    with Orchestrator(journal) as orchestrator:
        run = orchestrator.start(pace, str(log), str(gate))
        eventually(lambda: log.exists() and len(run.steps()) == 1 and run.steps()[0].attempts)
        other = apsw.Connection(str(journal))
        other.execute("BEGIN IMMEDIATE")  # nobody else can write now
        try:
            os.close(os.open(gate, os.O_WRONLY))
            eventually(lambda: "told that first is done" in log.read_text(), what="hearing of what is being written")
            for _ in range(200):
                orchestrator.workers()  # each is a trip through the thread that takes a program's word
            assert log.read_text().splitlines() == ["first begins", "told that first is done"]
            assert run.steps()[0].status != "completed"
        finally:
            other.execute("ROLLBACK")
            other.close()
        run.result(30)
        assert log.read_text().splitlines() == ["first begins", "told that first is done", "second begins"]
