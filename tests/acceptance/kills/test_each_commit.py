"""The orchestrator dies after each of its commits: the next one gives the orders that this one could not give any more."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import pytest

from greenroom import Orchestrator
from greenroom.journal.interface import Append
from greenroom.journal.sqlite.group_commit import Answer
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.journal.sqlite.writer import Writer
from greenroom.messages.events.events import MessageReceived, ValueEmitted
from greenroom.messages.records.records import ENDED
from tests.acceptance.apps.kills import orders
from tests.support import eventually

pytestmark = pytest.mark.slow

Action = Callable[[Orchestrator], object]
"""What a person or client does. It is done again if it was not acknowledged before the death."""


class Cuts:
    """Copies of a journal as it is after each commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged = 0
        """Number of actions that were acknowledged."""
        self.kept: list[tuple[Path, int]] | None = None
        """The copies, each with the number of actions that were acknowledged before; None while none are made."""

    def keep(self, connection: apsw.Connection) -> None:
        if self.kept is None:
            return
        path = self.folder / f"{len(self.kept)}.db"
        copy = apsw.Connection(str(path))
        with copy.backup("main", connection, "main") as backup:
            backup.step()
        copy.close()
        self.kept.append((path, self.acknowledged))


@pytest.fixture
def cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cuts:
    """Copy the journal after each commit, in the writer's thread, before anything follows from that commit."""
    made = Cuts(tmp_path)
    commit = Writer.commit

    def commit_and_keep(self: Writer, group: Sequence[Append]) -> Sequence[Answer]:
        answers = commit(self, group)
        made.keep(self._connection)
        return answers

    monkeypatch.setattr(Writer, "commit", commit_and_keep)
    return made


def status(run_id: str, wanted: str) -> Action:
    """Wait until a run has a status, or has ended."""

    def wait(orchestrator: Orchestrator) -> None:
        def there() -> bool:
            row = next((row for row in orchestrator.runs(limit=None) if row.id == run_id), None)
            return row is not None and row.status in {wanted, *ENDED}

        eventually(there, 20, what=f"{run_id} {wanted}")

    return wait


def told(run_id: str) -> Action:
    return lambda orchestrator: orchestrator.get(run_id).signal(orders.Note(text="go"), key="go")


def put(text: str) -> Action:
    return lambda orchestrator: orchestrator.session(orders.asking, "k").tell(orders.Note(text=text), key=text)


def closed_to_questions(orchestrator: Orchestrator) -> None:
    orchestrator.session(orders.asking, "k").close()


def approved(turns: int) -> Action:
    """Approve what a session asks until it has handled so many messages."""

    def approve(orchestrator: Orchestrator) -> None:
        def handled() -> bool:
            for question in orchestrator.approvals():
                orchestrator.decide(question.id, "approve")
            return orchestrator.session(orders.asking, "k").state.turns >= turns

        eventually(handled, 20, what="the decisions")

    return approve


WORK: dict[str, Sequence[Action]] = {
    "pause": [
        lambda orchestrator: orchestrator.start(orders.tree, id="tree"),
        status("tree~1~1", "waiting"),
        lambda orchestrator: orchestrator.get("tree").pause(),
        status("tree~1~1", "paused"),
        lambda orchestrator: orchestrator.get("tree").resume(),
        told("tree~1~1"),
    ],
    "return": [
        lambda orchestrator: orchestrator.start(orders.leaver, fails=False, id="leaver"),
        status("leaver~1", "waiting"),
        told("leaver"),
    ],
    "fail": [
        lambda orchestrator: orchestrator.start(orders.leaver, fails=True, id="leaver"),
        status("leaver~1", "waiting"),
        told("leaver"),
    ],
    "cancel": [
        lambda orchestrator: orchestrator.start(orders.tree, id="tree"),
        status("tree~1~1", "waiting"),
        lambda orchestrator: orchestrator.get("tree").cancel(within=0),
    ],
    "close": [put("one"), put("two"), closed_to_questions, approved(2)],
    "emit": [lambda orchestrator: orchestrator.start(orders.talker, id="talker")],
}
"""What is done, by name. Each run and session in it ends."""


def statuses(orchestrator: Orchestrator) -> dict[str, str]:
    """Return how each run and session is."""
    runs: dict[str, str] = {row.id: row.status for row in orchestrator.runs(limit=None)}
    return runs | {f"{row.name}/{row.key}": row.status for row in orchestrator.sessions()}


def ends(orchestrator: Orchestrator, actions: Sequence[Action], cuts: Cuts) -> dict[str, str]:
    """Do what is left to do, wait until every run and session has ended, and say how."""
    for action in actions[cuts.acknowledged :]:
        action(orchestrator)
        cuts.acknowledged += 1

    def ended() -> bool:
        return all(status in ENDED for status in statuses(orchestrator).values())

    eventually(ended, 20, what="the end of every run")
    return statuses(orchestrator)


@pytest.mark.parametrize("work", WORK)
def test_whatever_commit_was_the_last_every_run_ends_as_without_the_death(
    work: str, tmp_path: Path, cuts: Cuts, mark: str
) -> None:
    actions = WORK[work]
    cuts.kept = kept = []
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home") as orchestrator:
        undisturbed = ends(orchestrator, actions, cuts)
        cuts.kept = None
    assert len(kept) >= len(undisturbed)
    for number, (journal, acknowledged) in enumerate(kept):
        cuts.acknowledged = acknowledged
        with Orchestrator(journal, home=tmp_path / f"home-{number}") as orchestrator:
            assert ends(orchestrator, actions, cuts) == undisturbed, number


def test_a_message_that_comes_while_a_program_waits_for_a_commit_does_not_let_that_be_forgotten(
    tmp_path: Path, cuts: Cuts, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted, received = threading.Event(), threading.Event()
    commit, append = Writer.commit, SqliteJournal.append

    def commit_late(self: Writer, group: Sequence[Append]) -> Sequence[Answer]:
        if any(isinstance(event, ValueEmitted) for each in group for event in each.events):
            emitted.set()
            assert received.wait(20)
        return commit(self, group)

    def append_and_tell(self: SqliteJournal, append_: Append) -> None:
        append(self, append_)
        if any(isinstance(event, MessageReceived) for event in append_.events):
            received.set()

    monkeypatch.setattr(Writer, "commit", commit_late)
    monkeypatch.setattr(SqliteJournal, "append", append_and_tell)
    cuts.kept = kept = []
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home") as orchestrator:
        run = orchestrator.start(orders.talker, id="talker")
        assert emitted.wait(20)
        told("talker")(orchestrator)
        run.result(20)
        cuts.kept = None
    for number, (journal, _) in enumerate(kept[1:4]):  # the emitted values, the message, and what follows
        with Orchestrator(journal, home=tmp_path / f"home-{number}") as orchestrator:
            assert orchestrator.get("talker").result(20) == "said"
