"""Homes, journals and settings that were made under the package's former name are used as they are."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import apsw
import pytest

from greenroom import Client
from greenroom.actors.models import default_name
from greenroom.cli.app import main
from greenroom.dashboard.access.token import given_token
from greenroom.messages.advice import placed
from greenroom.messages.core.failures import Failure
from greenroom.workflows.control.setup.app_options import read_apps
from greenroom.workflows.home import former_name
from greenroom.workflows.home.home import Home
from greenroom.workflows.home.project import read_project
from tests.support import ROOT

DATA = ROOT / "tests" / "data" / "former_name"

SCRIPT = """
import json
from datetime import UTC, datetime
from greenroom import GreenroomError, Orchestrator
from greenroom.testing.clock import VirtualClock
from shop import orders

def outcome(run):
    try:
        return run.result(timeout=30)
    except GreenroomError as error:
        return [type(error).__name__, type(error.cause).__name__, str(error)]

if __name__ == "__main__":
    found = {}
    later = VirtualClock(datetime(2030, 1, 1, 12, tzinfo=UTC))  # when everything that sleeps is due
    with Orchestrator(output=False, clock=later) as orchestrator:
        found["listed"] = {run.id: run.status for run in orchestrator.runs() if "~" not in run.id}
        found["schedules"] = [schedule.name for schedule in orchestrator.schedules()]
        found["turn"] = orchestrator.session(orders.counter, "ada").ask(orders.Note(text="third"), timeout=30)
        (asked,) = orchestrator.approvals()
        orchestrator.decide(asked.id, "approve")
        for name in ("noted", "careful", "parent~1"):
            orchestrator.get(name).signal(orders.Note(text="hi"))
        orchestrator.get("frugal").resume(budget=orders.Budget(attempts=5))
        found["results"] = {name: outcome(orchestrator.get(name)) for name in found["listed"]}
        found["adopted"] = [
            name
            for name in found["listed"]
            if any(stored.event.type == "code.adopted" for stored in orchestrator.get(name).events())
        ]
    print(json.dumps(found))
"""


@pytest.fixture(autouse=True)
def nothing_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a new process does: in a folder of its own, without a variable of either name, with nothing reported."""
    for name in [name for name in os.environ if name.startswith(("GREENROOM_", "UNDERSTUDY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(former_name, "_told", set())
    monkeypatch.setattr(former_name, "report", former_name._warn)


def test_the_former_variable_names_the_default_model_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_name() == "mock"
    monkeypatch.setenv("UNDERSTUDY_MODEL", "openai-chat:local")
    with pytest.warns(FutureWarning, match="UNDERSTUDY_MODEL is used, because GREENROOM_MODEL is not set"):
        read_apps((), None, {})
    assert default_name() == "openai-chat:local"
    monkeypatch.setenv("GREENROOM_MODEL", "mock")
    assert default_name() == "mock"


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """Give a folder with an app and the home that it left under the former name."""
    home = tmp_path / ".understudy"
    home.mkdir(mode=0o700)
    connection = apsw.Connection(str(home / "journal.db"))
    connection.execute((DATA / "journal.sql").read_text())
    connection.close()
    (home / "journal.db").chmod(0o600)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "orders.py").write_text((DATA / "orders.py").read_text())
    (tmp_path / "go.py").write_text(SCRIPT)
    return tmp_path


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(ROOT), str(folder)])
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_runs_of_the_former_release_are_shown_and_go_on_to_their_results(former: Path) -> None:
    done = python(former, "go.py")
    found = json.loads(done.stdout)
    assert found["listed"] == {
        "finished": "completed",
        "failing": "failed",
        "fatal": "failed",
        "approved": "waiting",
        "noted": "waiting",
        "sleeper": "waiting",
        "parent": "running",
        "careful": "waiting",
        "frugal": "parked",
    }
    assert sorted(found["schedules"]) == ["nightly", "yearly"]
    assert found["turn"] == "3 third"
    refused = "step refused#1 failed after 1 attempt: Fatal: no lamp"
    broken = "step broken#1 failed after 2 attempts: OutOfStock: lamp"
    assert found["results"] == {
        "finished": "lamp 4.0 True",
        "failing": [
            "RunFailed",
            "StepFailed",
            f"run failing failed: StepFailed: {broken} (/srv/app/shop/orders.py:40)",
        ],
        "fatal": ["RunFailed", "StepFailed", f"run fatal failed: StepFailed: {refused} (/srv/app/shop/orders.py:45)"],
        "approved": "lamp approve 6.0",
        "noted": "lamp hi",
        "sleeper": "lamp",
        "parent": "child said lamp hi",
        "careful": f"Fatal: ('no lamp',) StepFailed {broken} hi",
        "frugal": 12.0,
    }
    if sys.version_info[:2] == (3, 11):  # that made the journal: another version's syntax trees are other ones
        assert found["adopted"] == []
    assert done.stderr.count("the home .understudy is used") == 1
    assert not (former / ".greenroom").exists()


def test_the_command_line_says_so_once_and_on_stderr_alone(former: Path) -> None:
    done = python(former, "-m", "greenroom", "runs", "show", "frugal", "-o", "json")
    assert "`greenroom runs resume frugal --budget attempts=2" in json.loads(done.stdout)["reason"]
    assert done.stderr.count("greenroom: the home .understudy is used, because there is no .greenroom") == 1
    shown = python(former, "-m", "greenroom", "runs", "show", "fatal")
    assert "Fatal: no lamp" in shown.stdout
    assert "whole" in python(former, "-m", "greenroom", "db", "verify").stdout


def test_a_home_of_the_present_name_goes_before_the_former_one(former: Path) -> None:
    (former / ".greenroom").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Home().path == former / ".greenroom"
        assert Home("elsewhere").path == former / "elsewhere"


def test_a_variable_of_the_former_name_is_used_and_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "old"))
    with pytest.warns(FutureWarning, match="^UNDERSTUDY_HOME is used, because GREENROOM_HOME is not set") as found:
        assert Home().path == Home().path == tmp_path / "old"
    assert len(found) == 1
    monkeypatch.setenv("GREENROOM_HOME", str(tmp_path / "new"))
    assert Home().path == tmp_path / "new"


def test_a_journal_named_by_the_former_variable_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_JOURNAL", str(tmp_path / "runs.db"))
    with pytest.warns(FutureWarning, match="^UNDERSTUDY_JOURNAL is used"):
        assert Home.find().journal == tmp_path / "runs.db"


def test_a_token_in_the_former_variable_is_asked_for_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_TOKEN", "0123456789abcdef" * 2)
    with pytest.warns(FutureWarning, match="^UNDERSTUDY_TOKEN is used"):
        token = given_token(Home(tmp_path))
    assert token is not None
    assert token.value == "0123456789abcdef" * 2
    with Client("http://127.0.0.1:9", home=tmp_path):  # which raises where there is no token
        pass


def test_a_table_of_the_former_name_is_read_where_there_is_no_present_one(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.understudy]\nenv = ["OLD=1"]\n')
    with pytest.warns(FutureWarning, match=r"^\[tool.understudy\] in .*pyproject.toml is used: rename it"):
        assert read_project().env == ["OLD=1"]
    project.write_text(project.read_text() + '[tool.greenroom]\nenv = ["NEW=1"]\n')
    assert read_project().env == ["NEW=1"]


def test_the_command_line_reports_a_former_table_beside_its_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.understudy]\nenv = ["OLD=1"]\n')
    (tmp_path / ".greenroom").mkdir(mode=0o700)
    main(["doctor", "-o", "json"])
    told = capsys.readouterr()
    assert json.loads(told.out)
    assert told.err.count("greenroom: [tool.understudy] in ") == 1


def test_advice_that_was_recorded_under_the_former_name_is_given_under_the_present_one() -> None:
    text = "raise it with `understudy runs resume r --budget attempts=2`"
    assert placed(text, ()) == "raise it with `greenroom runs resume r --budget attempts=2`"


def test_classes_of_ours_that_a_journal_names_as_before_are_named_as_they_are_now() -> None:
    names = ["understudy.messages.errors.Fatal", "understudy.messages.errors.UnderstudyError", "shop.Understudy"]
    failure = Failure.model_validate_json(json.dumps({"outcome": "error", "classes": names}))
    assert failure.classes == (
        "greenroom.messages.core.errors.Fatal",
        "greenroom.messages.core.errors.GreenroomError",
        "shop.Understudy",
    )
