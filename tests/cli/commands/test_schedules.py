"""Schedules from a command line, with an orchestrator in another process."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import CommandLine, Gate
from tests.support import eventually

pytestmark = pytest.mark.slow

TOTAL = ("app.py:total", "-i", "a=2", "-i", "b=3")
YEARLY = ("--cron", "0 0 1 1 *")


@pytest.fixture
def served(greenroom: CommandLine, gate: Gate) -> Iterator[CommandLine]:
    """Give a command line whose home has an orchestrator, which ends with the run it follows."""
    process = greenroom.start("run", *gate.inputs)
    gate.reached()
    yield greenroom
    gate.open()
    assert process.wait(30) == 0


def test_a_schedule_is_made_shown_triggered_paused_resumed_and_deleted(served: CommandLine) -> None:
    made = served.result_of("schedules", "create", "nightly", *TOTAL, *YEARLY, "--overlap", "queue", "-o", "json")
    assert made == {"name": "nightly", "created": True}
    again = served("schedules", "create", "nightly", *TOTAL, *YEARLY, "--overlap", "queue").out
    assert "was there" in again
    run_id = served("schedules", "trigger", "nightly").out.strip()
    assert served.result_of("runs", "result", run_id, "--timeout", "30") == 5

    def shown(*more: str) -> dict[str, object]:
        found: dict[str, object] = served.result_of("schedules", "show", "nightly", "-o", "json", *more)
        return found

    def firings() -> list[dict[str, object]]:
        found = shown()["firings"]
        assert isinstance(found, list)
        return found

    assert eventually(lambda: [(each["run_id"], each["status"]) for each in firings()] == [(run_id, "completed")])
    assert shown("--next", "2")["arguments"] == {"a": 2, "b": 3}
    assert len(shown("--next", "2")["next_times"]) == 2  # type: ignore[arg-type]
    assert "is paused" in served("schedules", "pause", "nightly", "--reason", "for now").out
    table = served("schedules", "list").out.splitlines()
    assert table[0].split() == ["SCHEDULE", "WORKFLOW", "WHEN", "STATUS", "NEXT", "RUNS", "LAST"]
    assert table[1].split() == ["nightly", "total", "0", "0", "1", "1", "*", "UTC", "paused", "1", "completed"]
    assert "for now" in served("schedules", "show", "nightly").out
    assert "goes on" in served("schedules", "resume", "nightly").out
    assert "is deleted" in served("schedules", "delete", "nightly").out
    assert served.result_of("schedules", "list", "-o", "json") == []
    types = [event["type"] for event in served.result_of("runs", "events", "@nightly", "-o", "json")]
    assert types[0] == "schedule.created"
    assert types[-1] == "schedule.deleted"


def test_what_cannot_be_a_schedule_is_refused_with_the_reason(served: CommandLine) -> None:
    def refused(*arguments: str, code: int) -> str:
        return served("schedules", *arguments, code=code).err

    assert "either cron" in refused("create", "x", *TOTAL, code=2)
    assert "bad hour" in refused("create", "x", *TOTAL, "--cron", "0 25 * * *", code=2)
    assert "a: is missing" in refused("create", "x", "app.py:total", *YEARLY, code=2)
    assert "did you mean 'total'" in refused("create", "x", "app.py:totl", *YEARLY, code=3)
    assert "there is no schedule" in refused("trigger", "x", code=3)
    assert "there is no schedule" in refused("show", "x", code=3)


def test_looking_needs_no_orchestrator_and_changing_does(greenroom: CommandLine) -> None:
    assert json.loads(greenroom("schedules", "list", "-o", "json").out) == []
    assert "no orchestrator is running" in greenroom("schedules", "create", "x", *TOTAL, *YEARLY, code=4).err


def test_schedules_that_nobody_attends_to_say_so_unless_they_are_paused(greenroom: CommandLine, gate: Gate) -> None:
    process = greenroom.start("run", *gate.inputs)
    gate.reached()
    greenroom("schedules", "create", "nightly", *TOTAL, *YEARLY)
    looks = (("schedules", "list"), ("schedules", "show", "nightly"))
    assert [greenroom(*look).err for look in looks] == ["", ""]
    gate.open()
    assert process.wait(30) == 0
    for look in looks:
        assert "no run starts when it is due" in greenroom(*look).err
    serving = greenroom.start("serve", "app.py", "--port", "0")
    assert serving.stdout is not None
    assert serving.stdout.readline().startswith("serving on ")
    assert greenroom("schedules", "list").err == ""
    greenroom("schedules", "pause", "nightly")
    serving.terminate()
    assert serving.wait(30) == 0
    assert [greenroom(*look).err for look in looks] == ["", ""]
