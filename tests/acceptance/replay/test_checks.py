"""What an app's own validators do is the answer of whoever asked, and of nobody else."""

import inspect
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from greenroom import InvalidInput, Orchestrator, Pool
from greenroom.messages.commands import Accepted, Refused, Reply, StartRun, TellSession
from tests.acceptance.apps.replay import checked

APP = checked.plain.definition.app
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def start(value: Any) -> StartRun:
    return StartRun(run_id=f"run-{time.monotonic_ns()}", app=APP, workflow="plain", arguments={"value": value})


def tell(value: Any) -> TellSession:
    return TellSession(app=APP, session="counting", session_key="one", name="Message", value={"value": value})


COMMANDS = {"a start": start, "a message": tell}


def line_of(text: str) -> str:
    """Give file and line of a line of the app."""
    lines, first = inspect.getsourcelines(checked.look)
    return f"{checked.__file__}:{first + next(number for number, line in enumerate(lines) if text in line)}"


def message(reply: Reply) -> str:
    assert isinstance(reply, Refused)
    assert reply.code == "invalid"
    return reply.message


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_check_that_raises_is_refused_with_what_it_raised_and_where(orchestrator, command):
    assert isinstance(orchestrator.send(command(1)), Accepted)
    assert "the app's own code raised KeyError: 'colour'" in message(orchestrator.send(command("raise")))
    assert f"({line_of('KeyError')})" in message(orchestrator.send(command("raise")))
    assert f"SystemExit: 3 ({line_of('sys.exit')})" in message(orchestrator.send(command("exit")))
    assert isinstance(orchestrator.send(command(2)), Accepted)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_value_of_any_depth_is_accepted_or_refused(orchestrator, command):
    for depth in (*range(160, 210), 250, 260, 900):
        reply = orchestrator.send(command(nested(depth)))
        assert isinstance(reply, Accepted) or "JSON" in message(reply)
    assert isinstance(orchestrator.send(command(1)), Accepted)


def test_checks_that_kill_their_workers_are_refused_and_cost_the_pool_nothing(orchestrator):
    waiting = [orchestrator.start(checked.waiting) for _ in range(3)]
    for _ in range(4):  # each costs three workers, and more than five in a minute would be the pool's end
        for command in COMMANDS.values():
            assert "exited with code 9" in message(orchestrator.send(command("die")))
    assert isinstance(orchestrator.send(start(1)), Accepted)
    for run in waiting:
        run.signal(checked.Go())
    assert [run.result(60) for run in waiting] == ["gone on"] * 3
    deaths = [event.event for run in waiting for event in run.events() if event.type == "program.ended"]
    assert not any(event.charged for event in deaths)


def test_checks_that_never_end_are_refused_once_with_the_line_where_they_hang(orchestrator):
    waiting = orchestrator.start(checked.waiting)
    orchestrator.send(start(1))
    began = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        asked = {
            (what, value): threads.submit(orchestrator.send, COMMANDS[what](value))
            for what, value in [("a start", "sleep"), ("a message", "compute")]
        }
        replies = {key: message(future.result(100)) for key, future in asked.items()}
    assert time.monotonic() - began < 45
    assert f"took too long to check this and was stopped, at {line_of('time.sleep')}" in replies["a start", "sleep"]
    assert f"took too long to check this and was stopped, at {line_of('re.match')}" in replies["a message", "compute"]
    waiting.signal(checked.Go())
    assert waiting.result(60) == "gone on"
    assert not any(event.event.charged for event in waiting.events() if event.type == "program.ended")
    assert isinstance(orchestrator.send(tell(1)), Accepted)


def test_a_check_needs_no_room_beside_programs_that_wait(tmp_path, home, mark):
    pools = {"program": Pool(size=1, concurrency=1)}
    with Orchestrator(tmp_path / "runs.db", pools=pools) as orchestrator:
        first, second = (orchestrator.start(checked.waiting) for _ in range(2))
        reply = orchestrator.send(start("raise"))
        assert "KeyError" in message(reply)
        with pytest.raises(InvalidInput, match="KeyError"):
            orchestrator.start_app(APP, "plain", {"value": "raise"})
        for run in (first, second):
            run.signal(checked.Go())
            assert run.result(60) == "gone on"
