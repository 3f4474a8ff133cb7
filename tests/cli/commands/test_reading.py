"""Reading works when no orchestrator runs; what needs one says so."""

import json
import re
import resource
import signal
from pathlib import Path
from typing import Any

import apsw
import pytest

from greenroom.cli.display.values import emit
from greenroom.messages.codecs.event_codec import encode_event
from greenroom.messages.core.times import moment
from greenroom.messages.events.events import ChildEnded
from greenroom.messages.records.attempts import AttemptRecord
from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")


@pytest.fixture
def ended(greenroom: CommandLine) -> CommandLine:
    greenroom("run", "app.py:total", "-i", "a=2", "--id", "good")
    greenroom("run", "app.py:broken", "--id", "bad", code=1)
    return greenroom


def test_runs_are_listed_newest_first_and_by_status_and_name(ended: CommandLine) -> None:
    def ids(*arguments: str) -> list[str]:
        return [run["id"] for run in ended.result_of("runs", "list", "-o", "json", *arguments)]

    assert ids() == ["bad", "good"]
    assert ids("--status", "failed") == ["bad"]
    assert ids("--name", "total") == ["good"]
    assert ids("--limit", "1") == ["bad"]
    table = ended("runs", "list").out.splitlines()
    assert table[0].split()[:3] == ["RUN", "WORKFLOW", "STATUS"]
    assert len(table) == 3


def test_a_run_is_shown_with_its_steps_and_attempts(ended: CommandLine) -> None:
    shown: dict[str, Any] = ended.result_of("runs", "show", "bad", "-o", "json")
    assert shown["status"] == "failed"
    (step,) = shown["steps"]
    assert step["name"] == "explode"
    assert [attempt["outcome"] for attempt in step["attempts"]] == ["error"]
    assert step["attempts"][0]["pid"] > 0
    assert "no luck" in ended("runs", "show", "bad").out


def test_times_are_written_as_iso_8601_to_the_millisecond_wherever_they_are_written(ended: CommandLine) -> None:
    shown: dict[str, Any] = ended.result_of("runs", "show", "bad", "-o", "json")
    (listed, _) = ended.result_of("runs", "list", "-o", "json")
    (step,) = shown["steps"]
    (attempt,) = step["attempts"]
    times = [each[name] for each in (shown, listed) for name in ("started_at", "updated_at", "ended_at")]
    times += [step["scheduled_at"], step["ended_at"], attempt["started_at"], attempt["ended_at"]]
    assert [time for time in times if not TIME.fullmatch(time)] == []
    assert step["retry_at"] is None
    assert shown["started_at"] in ended("runs", "show", "bad").out
    rows = ended("runs", "events", "bad").out.split("\n\n")[0].splitlines()[1:]  # what stands below is a traceback
    assert len(rows) == len(ended.result_of("runs", "events", "bad", "-o", "json"))
    assert all(TIME.search(row) for row in rows)


def test_an_event_is_emitted_as_the_journal_holds_it(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    attempt = AttemptRecord(number=1, worker="tool-1", pid=7, started_at=moment(1.5), ended_at=moment(2.0))
    event = ChildEnded(at=3.0, key="k", run_id="c", result={"a": [1, None]}, attempts=(attempt,))
    emit([{"seq": 1, **dict(event)}])
    (written,) = json.loads(capsysbinary.readouterr().out)
    assert written == {"seq": 1, **json.loads(encode_event(event))}
    assert written["attempts"][0]["started_at"] == "1970-01-01T00:00:01.500+00:00"


def test_the_events_of_a_run_are_numbered_without_gaps(ended: CommandLine) -> None:
    events = ended.result_of("runs", "events", "good", "-o", "json")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "run.started"
    assert events[-1]["type"] == "run.completed"
    assert ended.result_of("runs", "events", "good", "--after", str(len(events) - 1), "-o", "json") == events[-1:]


def test_the_result_of_a_run_has_its_exit_code(ended: CommandLine) -> None:
    assert ended.result_of("runs", "result", "good") == 3
    assert "no luck" in ended("runs", "result", "bad", code=1).err


def test_retrying_needs_an_orchestrator(ended: CommandLine) -> None:
    assert "no orchestrator is running" in ended("runs", "retry", "bad", code=4).err
    assert "there is no run" in ended("runs", "retry", "nobody", code=3).err


def test_a_budget_that_is_none_says_what_may_be_limited(ended: CommandLine) -> None:
    for wrong in ("cents=3", "usd", "usd=-1", "attempts=1.5"):
        assert (
            "usd=N or tokens=N or wall=N or attempts=N" in ended("runs", "resume", "bad", "--budget", wrong, code=2).err
        )
    assert "is failed already" in ended("runs", "resume", "bad", "--budget", "usd=3", "--budget", "wall=60.5").out


def test_cancelling_what_has_ended_changes_nothing(ended: CommandLine) -> None:
    assert "completed already" in ended("runs", "cancel", "good").out


@pytest.mark.parametrize("verb", ["show", "events", "result", "cancel"])
def test_an_unknown_run_is_answered_with_the_one_that_was_meant(ended: CommandLine, verb: str) -> None:
    assert "did you mean 'good'?" in ended("runs", verb, "goood", code=3).err


@pytest.mark.parametrize("arguments", [("actors", "list"), ("actors", "tree"), ("actors", "kill", "tool-1")])
def test_what_needs_an_orchestrator_says_that_none_runs(greenroom: CommandLine, arguments: tuple[str, ...]) -> None:
    assert "no orchestrator" in greenroom(*arguments, code=4).err


def test_a_home_without_runs_is_an_empty_list_and_a_hint(greenroom: CommandLine) -> None:
    answer = greenroom("runs", "list", "-o", "json")
    assert json.loads(answer.out) == []
    assert "greenroom run" in answer.err
    assert not greenroom.home.exists()


def test_a_file_that_is_no_journal_is_one_sentence(greenroom: CommandLine) -> None:
    greenroom.home.mkdir(mode=0o700)
    (greenroom.home / "journal.db").write_bytes(b"this is not a journal at all\n" * 400)
    for arguments in [("runs", "list"), ("run", "app.py:total", "-i", "a=1")]:
        assert "journal" in greenroom(*arguments, code=1).err


def test_a_journal_of_a_newer_version_is_left_as_it_is(ended: CommandLine) -> None:
    journal = ended.home / "journal.db"
    connection = apsw.Connection(str(journal))
    connection.pragma("user_version", 99)
    connection.close()
    before = journal.read_bytes()
    for arguments in [("runs", "list"), ("run", "app.py:total", "-i", "a=1")]:
        assert "newer" in ended(*arguments, code=1).err
    assert journal.read_bytes() == before


def test_a_disk_without_room_is_one_sentence(greenroom: CommandLine) -> None:
    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    process = greenroom.start("run", "app.py:total", "-i", "a=1", preexec_fn=no_room)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "no room" in err
    assert "Traceback" not in err


def test_answers_survive_a_terminal_without_utf8(ended: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    ended("run", "app.py:greet", "-i", "name=Zoë", "--id", "accent")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert ended.result_of("runs", "result", "accent") == {"hello": "Zoë", "tags": []}
    ended("runs", "show", "accent")


def test_metrics_count_what_the_journal_holds(ended: CommandLine) -> None:
    figures = ended.result_of("metrics", "-o", "json")
    assert "explode" in json.dumps(figures)
    assert "explode" in ended("metrics").out


def test_doctor_finds_this_machine_fit_and_starts_a_real_worker(greenroom: CommandLine) -> None:
    answer = greenroom("doctor", "-o", "json")
    findings = {finding["check"]: finding for finding in json.loads(answer.out)}
    assert {"python", "pidfd", "death signal", "sqlite", "home", "worker", "keys"} <= set(findings)
    assert all(finding["state"] != "bad" for finding in findings.values())
    assert "ms" in findings["worker"]["found"]


def test_doctor_names_keys_and_never_shows_them(greenroom: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-secret")
    answer = greenroom("doctor")
    assert "OPENAI_API_KEY" in answer.out
    assert "planted" not in answer.out + answer.err


def test_doctor_refuses_a_home_that_cannot_be_made(greenroom: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = str(tmp_path / "file" / "home")
    findings = json.loads(greenroom("doctor", "--home", home, "-o", "json", code=1).out)
    (found,) = (finding for finding in findings if finding["check"] == "home")
    assert (found["state"], found["found"]) == ("bad", f"{home} cannot be made in {tmp_path / 'file'}")
