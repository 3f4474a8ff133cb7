"""The orchestrator dies between a recorded outcome and what the program makes of it: the program still hears of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import Orchestrator
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.workflows.queries.reindex import line_of
from tests.acceptance import harness
from tests.support import eventually

pytestmark = pytest.mark.slow

OUTCOMES = {
    "timer": "timer.fired",
    "step": "step.completed",
    "child": "child.ended",
    "message": "message.taken",
    "approval": "approval.decided",
}
"""By what the program awaits: the event that records its outcome."""
OWNER = """
import sys
from greenroom import Orchestrator
from tests.acceptance.apps.kills.held import Note, held

folder, kind = sys.argv[1:]
with Orchestrator(f"{folder}/runs.db", home=f"{folder}/home") as orchestrator:
    run = orchestrator.start(held, kind, f"{folder}/gate", id="held")
    if kind == "message":
        run.signal(Note(text="now"))
    while kind == "approval" and not orchestrator.approvals():
        pass
    for question in orchestrator.approvals():
        orchestrator.decide(question.id, "approve")
    run.result()
"""


def marks(path: Path) -> tuple[bool, bool]:
    """Say whether the run is marked, and whether it would be if the tables were made anew from its events."""
    journal = SqliteJournal(path, read_only=True)
    try:
        anew = line_of("held", journal.chain("held")).marks_set
        return bool(journal.marks("unheard")), any(mark.kind == "unheard" for mark in anew)
    finally:
        journal.close()


@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_outcome_that_the_program_has_not_answered_is_heard_in_the_next_life(
    kind: str, tmp_path: Path, mark: str
) -> None:
    journal, gate = tmp_path / "runs.db", tmp_path / "gate"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path), kind])
    try:
        eventually((tmp_path / "gate.reached").exists, 30)
        eventually(lambda: harness.read_journal(journal)["held"].of(OUTCOMES[kind]), 10)
    finally:
        owner.kill()
        owner.wait()
    eventually(lambda: not harness.census(mark), 10, what="the end of its processes")
    assert harness.query(journal, "SELECT status FROM runs WHERE id = 'held'")[0][0] == "waiting"
    assert marks(journal) == (True, True)
    gate.touch()
    with Orchestrator(journal, home=tmp_path / "home") as orchestrator:
        assert orchestrator.get("held").result(timeout=30) == f"{kind} and 1"
    assert marks(journal) == (False, False)
