"""A run may be called whatever its starter likes: what is made by the engine is never in its way."""

import pytest

from greenroom import InvalidInput, Orchestrator, RunFailed
from greenroom.journal.interface import Append
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages import commands as c
from greenroom.messages.events import events as ev
from greenroom.workflows.queries.records.run_records import row_of
from greenroom.workflows.state.fold import fold
from tests.acceptance import harness
from tests.acceptance.apps.steering import compensating, running
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.mark.parametrize("taken", ["family.1", "family-1", "family.1.1"])
def test_a_run_that_is_called_as_children_once_were_is_in_nobodys_way(orchestrator, tmp_path, taken):
    (tmp_path / "gate").touch()
    other = orchestrator.start(compensating.trip, str(tmp_path), id=taken)
    assert other.result(60) == "gone"
    parent = orchestrator.start(compensating.parent, str(tmp_path), id="family")
    assert parent.result(60) is None
    assert {run.parent for run in orchestrator.runs()} == {None, "family"}


def test_an_id_or_key_of_a_kind_that_is_made_is_refused_at_every_door(orchestrator, tmp_path):
    app = compensating.trip.definition.app
    for made in ("family~1", "nightly~20261128T030000Z", "desk/k", "@nightly", ""):
        with pytest.raises(ValueError, match="a run id is"):
            orchestrator.start(compensating.trip, str(tmp_path), id=made)
        with pytest.raises(ValueError, match="a run id is"):
            orchestrator.start_app(app, "trip", {"folder": "x"}, id=made)
        reply = orchestrator.send(c.StartRun(run_id=made, app=app, workflow="trip", arguments={"folder": "x"}))
        assert (reply.type, reply.code) == ("refused", "invalid")
    run = orchestrator.start(compensating.asleep, str(tmp_path), id="chosen")
    with pytest.raises(ValueError, match="a run id is"):
        run.fork(id="chosen~1")
    for key in ("redrive/1", "other:tell(chosen)#1"):
        with pytest.raises(InvalidInput, match="choose another one"):
            run.signal(compensating.Go(), key=key)
        with pytest.raises(InvalidInput, match="choose another one"):
            orchestrator.session(compensating.desk, "k").tell(compensating.Go(), key=key)
    assert not orchestrator.sessions()


def older_journal(path, folder, *, taken):
    """Write what an earlier version left: a parent that has asked for its child, under a name that can be chosen."""
    first = ev.RunStarted(
        at=1.0, run_id="p", app=compensating.parent.definition.app, workflow="parent", arguments={"folder": folder}
    )
    child = ev.ChildScheduled(
        at=1.0, key="trip#1", run_id="p.1", app=first.app, workflow="trip", arguments={"folder": folder}
    )
    other = ev.RunStarted(at=1.0, run_id="p.1", app=first.app, workflow="trip", arguments={"folder": folder})
    journal = SqliteJournal(path)
    for events in ([first, child], [other] if taken else []):
        if events:
            state = fold(None, events[0])
            for event in events[1:]:
                fold(state, event)
            written = []
            journal.append(
                Append(run_id=state.run_id, expected=0, events=events, row=row_of(state), done=written.append)
            )
            eventually(lambda done=written: done)
            assert written == [None]
    journal.close()


def test_a_child_of_an_older_journal_keeps_its_name(home, mark, tmp_path):
    (tmp_path / "gate").touch()
    older_journal(tmp_path / "runs.db", str(tmp_path), taken=False)
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        assert orchestrator.get("p").result(60) is None
        assert orchestrator.get("p.1").record.parent == "p"


def test_a_run_that_has_the_name_of_such_a_child_is_a_conflict_and_its_parent_does_not_hang(home, mark, tmp_path):
    (tmp_path / "gate").touch()
    older_journal(tmp_path / "runs.db", str(tmp_path), taken=True)
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        with pytest.raises(RunFailed, match="was not started by run 'p'"):
            orchestrator.get("p").result(60)
        assert orchestrator.get("p.1").result(60) == "gone"


def test_the_questions_of_a_run_are_its_own_and_not_those_of_one_whose_name_begins_with_its_name(orchestrator):
    orchestrator.start(running.halving, 4, id="trip").result(60)
    orchestrator.start(compensating.asks, id="trip.1")
    eventually(lambda: orchestrator.approvals("trip.1"))
    assert orchestrator.approvals("trip") == []
