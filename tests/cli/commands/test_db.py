"""``greenroom db``: what is wrong with a journal, and how to go on with it."""

import json
from pathlib import Path

import apsw
import pytest

from greenroom import Orchestrator
from greenroom.cli.app import main
from greenroom.journal.sqlite.journal import SqliteJournal
from tests.journal.appends import Client, changed, row, started

pytestmark = pytest.mark.slow


@pytest.fixture
def path(tmp_path) -> Path:
    journal = SqliteJournal(tmp_path / "runs.db")
    client = Client(journal)
    for run_id in ("r", "s"):
        line = row(run_id, status="pending")
        assert client.append(run_id, 0, started(run_id), row=line) is None
        assert client.append(run_id, 1, changed("second"), row=line) is None
    journal.close()
    return journal.path


def edit(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def verify(path: Path, capfd) -> tuple[int, dict]:
    capfd.readouterr()
    code = main(["db", "verify", str(path), "-o", "json"])
    return code, json.loads(capfd.readouterr().out)


def test_a_whole_journal_is_said_to_be_whole(path, capfd):
    assert verify(path, capfd) == (0, {"journal": str(path), "whole": True, "faults": []})
    assert main(["db", "verify", str(path)]) == 0
    assert capfd.readouterr().out == f"the journal {path} is whole\n"


def test_a_live_journal_can_be_verified_and_not_reindexed(path, tmp_path, capfd):
    with Orchestrator(path, home=tmp_path / "home", recover=False):
        assert verify(path, capfd)[0] == 0
        assert main(["db", "reindex", str(path)]) == 2
        assert "in use by another orchestrator" in capfd.readouterr().err
        assert main(["db", "accept-loss", str(path)]) == 2


def test_damage_is_named_with_its_kind_run_and_event(path, capfd):
    edit(path, "UPDATE event_lines SET body = replace(body, 'second', 'secone') WHERE run_id = 's'")
    code, found = verify(path, capfd)
    assert code == 1
    (fault,) = [each for each in found["faults"] if each["kind"] == "event"]
    assert (fault["run_id"], fault["event"]) == ("s", 2)
    assert main(["db", "verify", str(path)]) == 1
    assert "event 2 is not what was written" in capfd.readouterr().out


def test_an_index_that_is_not_what_the_events_lead_to_is_found_and_made_anew(path, capfd):
    edit(path, "UPDATE runs SET status = 'completee'; INSERT INTO timers VALUES ('r', 'k', 5.0)")
    code, found = verify(path, capfd)
    assert code == 1
    assert {each["kind"] for each in found["faults"]} >= {"index", "timers"}
    assert main(["db", "reindex", str(path)]) == 0
    assert "2 runs" in capfd.readouterr().out
    assert verify(path, capfd)[0] == 0


def test_a_whole_index_that_differs_from_the_fold_is_found(path, capfd):
    journal = SqliteJournal(path)
    assert Client(journal).append("r", 2, row=row("r", status="completed")) is None
    journal.close()
    code, found = verify(path, capfd)
    assert code == 1
    assert {each["kind"] for each in found["faults"]} == {"state"}


def test_a_run_whose_events_are_damaged_is_set_aside_when_the_index_is_made_anew(path, capfd):
    edit(path, "UPDATE event_lines SET body = replace(body, 'second', 'secone') WHERE run_id = 's'; DELETE FROM runs")
    assert main(["db", "reindex", str(path)]) == 0
    journal = SqliteJournal(path, read_only=True)
    found = {each.id: each for each in journal.runs()}
    journal.close()
    assert found["r"].status == "pending"
    assert found["s"].status == "parked"
    assert "event 2 of run s" in (found["s"].reason or "")


def test_a_loss_is_named_and_can_be_accepted(path, capfd):
    edit(path, "DELETE FROM event_lines WHERE run_id = 's'; DELETE FROM runs WHERE id = 's'")
    code, found = verify(path, capfd)
    assert code == 1
    assert found["faults"][0]["kind"] == "end"
    assert "its events end at line 2, and line 4 had been acknowledged" in found["faults"][0]["sentence"]
    assert main(["db", "accept-loss", str(path)]) == 0
    assert main(["db", "reindex", str(path)]) == 0
    assert verify(path, capfd)[0] == 0


def test_a_journal_that_is_not_there_is_a_sentence(tmp_path, capfd):
    assert main(["db", "verify", str(tmp_path / "none.db")]) == 1
    assert "there is no journal at" in capfd.readouterr().err


def test_lists_say_on_stderr_that_the_journal_is_damaged(tmp_path, path, capfd):
    edit(path, "UPDATE runs SET workflow = CAST(x'ff' AS TEXT) WHERE id = 's'")
    home = tmp_path / "home"
    home.mkdir()
    (home / "orchestrator.json").write_text(json.dumps({"journal": str(path)}))
    assert main(["--home", str(home), "runs", "list", "-o", "json"]) == 0
    captured = capfd.readouterr()
    assert {each["id"]: each["status"] for each in json.loads(captured.out)} == {"r": "pending", "s": "parked"}
    command = f"greenroom db verify --journal {path} --home {home}"
    assert f"greenroom: the journal is damaged, see `{command}`: run s: its line" in captured.err
