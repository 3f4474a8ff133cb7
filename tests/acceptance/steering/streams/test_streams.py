"""What a run emits can be read while it goes on and long afterwards, each value once, whatever is killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from greenroom import Orchestrator, RunNotFound, emit
from greenroom.testing import assert_state_is_fold
from tests.acceptance import harness
from tests.acceptance.apps.steering import telling
from tests.acceptance.harness import reached
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def test_values_are_read_by_channel_and_from_any_offset(orchestrator):
    run = orchestrator.start(telling.words, "otters swim well")
    assert run.result(30) == 3
    items = list(run.stream())
    assert [(item.offset, item.value) for item in items] == [
        (0, {"word": "otters", "size": 6}),
        (1, {"word": "swim", "size": 4}),
        (2, {"word": "well", "size": 4}),
    ]
    assert [item.value for item in run.stream("sizes")] == [6, 4, 4]
    assert [item.offset for item in run.stream("sizes", after=0)] == [1, 2]
    assert list(run.stream("sizes", after=2)) == list(run.stream("silence")) == []
    assert items[0].at <= items[-1].at


def test_a_follower_sees_a_value_before_the_run_goes_on_and_leaves_with_its_end(orchestrator, tmp_path):
    run = orchestrator.start(telling.between_gates, str(tmp_path))
    seen: list[object] = []
    follower = threading.Thread(target=lambda: seen.extend(item.value for item in run.stream(follow=True)))
    follower.start()
    values = run.stream(follow=True)
    assert next(values).value == "before"
    reached(tmp_path, "first")
    (tmp_path / "first").touch()
    assert next(values).value == "between"
    (tmp_path / "second").touch()
    assert [item.value for item in values] == ["after"]
    follower.join(30)
    assert seen == ["before", "between", "after"]


def test_values_are_emitted_once_though_everything_is_killed_in_between(home: Path, mark: str, tmp_path: Path):
    log, journal = tmp_path / "effects.log", tmp_path / "runs.db"
    script = tmp_path / "teller.py"
    script.write_text(
        "import sys, time\n"
        "from tests.acceptance.apps.steering import telling\n"
        "from greenroom import Orchestrator\n"
        "with Orchestrator(sys.argv[1]) as orchestrator:\n"
        "    run = orchestrator.start(telling.noting, sys.argv[2], 60, id='noting')\n"
        "    for item in run.stream(follow=True):\n"
        "        print(item.offset, flush=True)\n"
    )
    for last in ("10", "25", "40"):
        with subprocess.Popen(
            [sys.executable, str(script), str(journal), str(log)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as teller:
            assert teller.stdout is not None
            assert last in (line.strip() for line in teller.stdout)
            teller.send_signal(signal.SIGKILL)
    with Orchestrator(journal, pools=harness.pools()) as orchestrator:
        run = orchestrator.get("noting")
        assert run.result(60) == 60
        assert [(item.offset, item.value) for item in run.stream()] == [(n, n) for n in range(60)]
        assert [item.value for item in run.stream("negative")] == [-n for n in range(60)]
        assert_state_is_fold(run)


def test_more_than_a_message_between_processes_holds_can_be_emitted_without_a_pause(orchestrator):
    run = orchestrator.start(telling.flood, 40, 1_000_000)
    assert run.result(60) == 40
    assert [item.offset for item in run.stream()] == list(range(40))


def test_what_cannot_be_emitted_is_an_error_that_the_workflow_can_handle(orchestrator):
    run = orchestrator.start(telling.unfit)
    unwritable, long, unnamed, no_name = run.result(30)
    assert unwritable.startswith("NotSerializable: an emitted value cannot be written as JSON")
    assert long.startswith("NotSerializable: an emitted value may have 8388608 bytes")
    assert unnamed == "ValueError: a channel's name has 1 to 200 characters, not 0"
    assert no_name == "TypeError: a channel is a name such as 'default', not 7"
    assert list(run.stream()) == []
    with pytest.raises(RuntimeError, match="workflow code"):
        asyncio.run(emit(1))
    with pytest.raises(TypeError, match="a channel is a name"):
        next(run.stream(7))
    run.id = "nobody"
    with pytest.raises(RunNotFound, match="nobody"):
        next(run.stream())


def test_the_command_line_prints_what_a_run_in_another_process_emits(orchestrator, home, tmp_path):
    def stream(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "greenroom", "--home", str(place), "runs", "stream", run.id, *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    place = tmp_path / "home of its own"
    with Orchestrator(home=place, pools=harness.pools()) as other:
        run = other.start(telling.between_gates, str(tmp_path))
        reached(tmp_path, "first")
        with stream("--follow") as following:
            assert following.stdout is not None
            assert following.stdout.readline() == '"before"\n'
            (tmp_path / "first").touch()
            (tmp_path / "second").touch()
            assert following.stdout.read() == '"between"\n"after"\n'
        assert following.returncode == 0
        eventually(lambda: run.status == "completed")
        with stream("--after", "0", "-o", "json") as reading:
            items = json.loads(reading.communicate()[0])
        assert [(item["offset"], item["value"]) for item in items] == [(1, "between"), (2, "after")]
