"""An orchestrator on a damaged journal: it refuses it, or mends what can be mended, and sets one bad run aside."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from greenroom import Orchestrator
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalCorrupt, JournalError
from tests.support import ROOT, eventually

pytestmark = pytest.mark.timeout(240)

SCRIPT = """
import sys
import time

from greenroom import Orchestrator, receive, sleep, tool, workflow
from pydantic import BaseModel

class Word(BaseModel):
    text: str

@tool
def double(n: int) -> int:
    return 2 * n

@workflow
async def doubled(n: int) -> int:
    return await double(n)

@workflow
async def asleep(n: int) -> int:
    await sleep(1.0)
    await sleep(100_000)
    return n

@workflow
async def waiting(n: int) -> str:
    return (await receive(Word)).text

if __name__ == "__main__":
    with Orchestrator(sys.argv[1]) as orchestrator:
        for n in range(3):
            assert orchestrator.start(doubled, n, id=f"done-{n}").result(timeout=60) == 2 * n
        run = orchestrator.start(asleep, 1, id="asleep")
        orchestrator.start(waiting, 1, id="waits")
        while len([event for event in run.events() if event.type == "timer.set"]) < 2:
            time.sleep(0.01)
        print("ready", flush=True)
        time.sleep(600)
"""
SUFFIXES = ("", "-wal", "-shm", ".reach")


class Crashed:
    """The files of an orchestrator that was killed, restored before each damage."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runs.db"
        script = folder / "script.py"
        script.write_text(SCRIPT)
        with subprocess.Popen(
            [sys.executable, str(script), str(self.path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            os.kill(process.pid, signal.SIGKILL)
            process.wait(30)
        self.bytes = {each: Path(f"{self.path}{each}").read_bytes() for each in SUFFIXES}

    def restore(self) -> Path:
        for each, content in self.bytes.items():
            Path(f"{self.path}{each}").write_bytes(content)
        return self.path


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    return Crashed(tmp_path_factory.mktemp("crashed"))


def edit(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def stands(path: Path, home: Path) -> dict[str, object]:
    """Open an orchestrator, let it recover, and say where every run stands."""
    with Orchestrator(path, home=home) as orchestrator:
        found: dict[str, object] = {}
        for number in range(3):
            try:
                found[f"done-{number}"] = orchestrator.reads.result(f"done-{number}")
            except JournalError as error:
                found[f"done-{number}"] = type(error)
        alarms = eventually(
            lambda: (seen := orchestrator._engine.runs.statistics())["loading"] == 0 and seen["alarms"] + seen["live"],
            30,
            what="what recovery takes up",
        )
        return found | {"taken up": alarms}


WHOLE = {"done-0": 0, "done-1": 2, "done-2": 4}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE runs SET status = 'runnhng' WHERE id = 'asleep'",
        "UPDATE runs SET status = 'completed' WHERE id = 'waits'; UPDATE runs SET last_seq = last_seq - 1 WHERE id = 'waits'",
        "DELETE FROM runs WHERE id = 'asleep'",
        "UPDATE timers SET due = 9e15",
        "UPDATE timers SET run_id = 'asleeq'",
        "DELETE FROM timers",
    ],
)
def test_damaged_tables_are_made_anew_and_every_run_is_taken_up(crashed, tmp_path, sql):
    path = crashed.restore()
    edit(path, sql)
    Path(f"{path}.reach").unlink(missing_ok=True)
    Path(f"{path}.reach").write_bytes(crashed.bytes[".reach"])
    found = stands(path, tmp_path / "home")
    assert found.pop("taken up")
    assert found == WHOLE
    journal = SqliteJournal(path, read_only=True)
    assert journal.verify() == []
    assert {each.id: each.status for each in journal.runs()}["asleep"] in {"waiting", "running"}
    assert [timer.run_id for timer in journal.timers()] == ["asleep"]
    journal.close()


def test_one_bad_run_is_set_aside_while_the_rest_recovers(crashed, tmp_path):
    path = crashed.restore()
    edit(path, "UPDATE event_lines SET body = replace(body, 'double', 'doublf') WHERE run_id = 'done-1'")
    found = stands(path, tmp_path / "home")
    assert found.pop("taken up")
    assert (found["done-0"], found["done-2"]) == (0, 4)


def test_flipped_bits_in_the_log_of_a_killed_orchestrator_never_change_a_result(crashed, tmp_path):
    chance = random.Random(23)
    refused = 0
    for number in range(8):
        path = crashed.restore()
        log = bytearray(crashed.bytes["-wal"])
        log[chance.randrange(len(log))] ^= 1 << chance.randrange(8)
        Path(f"{path}-wal").write_bytes(log)
        try:
            found = stands(path, tmp_path / f"home-{number}")
        except JournalCorrupt as error:
            assert "greenroom db accept-loss" in str(error)  # noqa: PT017  most are refused, some are harmless
            refused += 1
            continue
        assert found.pop("taken up")
        assert found == WHOLE
    assert refused >= 4
