"""Sessions are many and grow old: what idle ones cost, what those on the disk cost, and what age costs."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom import Orchestrator
from greenroom.journal.sqlite.journal import SqliteJournal
from tests.acceptance import crowd
from tests.acceptance.ageing import fill, shape
from tests.acceptance.apps.sessions import talk
from tests.acceptance.harness import pools
from tests.support import eventually

IDLE = 10_000
STORED = 100_000
SAMPLE = 2_000
"""Of those on the disk, how many become so by being asked."""
OLD, YOUNG = 10_000, 10
HELLO = talk.Say(text="hello")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_ten_thousand_idle_sessions_hold_next_to_nothing_and_answer_at_once(tmp_path, mark, figure):
    command = [sys.executable, crowd.__file__, str(tmp_path), str(IDLE)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    figure("memory of an idle session, as growth of the resident size", found["rss_bytes"], "bytes", "2,000")
    figure("  and of what would be free if the process ended", found["uss_bytes"], "bytes")
    figure("threads that came with 10,000 sessions", found["threads"])
    figure("sessions opened and answered a second", found["asks_per_second"])
    figure("answer of one that had left memory, p50", min(found["wake_ms"]), "ms", "20")
    assert found["rss_bytes"] < 2_000
    assert found["threads"] < 20
    assert min(found["wake_ms"]) <= 20, found["wake_ms"]


def start_s(journal: Path) -> float:
    """Start an orchestrator; give the time until a session that is new and one that is not have answered."""
    started = time.perf_counter()
    with Orchestrator(journal, pools=pools()) as orchestrator:
        for key in ("new", "k0"):
            assert orchestrator.session(talk.plain, key).ask(HELLO, 60) == len("hello")
        return time.perf_counter() - started


def test_a_hundred_thousand_sessions_on_the_disk_do_not_delay_the_start(tmp_path, home, mark, figure):
    full, empty = tmp_path / "full.db", tmp_path / "empty.db"
    with Orchestrator(full, pools=pools(), durability="process") as orchestrator:

        def ask(key: str) -> None:
            orchestrator.session(talk.plain, key).ask(HELLO, 60, key="message-1")

        crowd.at_once(ask, (f"k{number}" for number in range(SAMPLE)))
    fill(full, talk.plain, (f"k{number}" for number in range(SAMPLE, STORED)), HELLO, reply=len("hello"))
    journal = SqliteJournal(full, read_only=True)
    assert shape(journal, "plain/k1") == shape(journal, f"plain/k{STORED - 1}")
    assert len(journal.runs(kind="session", limit=None)) == STORED
    journal.close()
    starts = [(start_s(empty), start_s(full)) for _ in range(3)]
    without, with_them = (min(column) for column in zip(*starts, strict=True))
    figure("start to the first answers, no session in the journal", without, "s")
    figure("start to the first answers, 100,000 sessions in the journal", with_them, "s", "1 s more")
    assert with_them - without < 1.0


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a journal with an old session and a young one."""
    path = tmp_path_factory.mktemp("aged") / "runs.db"
    for key, turns in (("old", OLD), ("young", YOUNG)):
        fill(path, talk.plain, [key], HELLO, reply=len("hello"), turns=turns)
    return path


def compared(look: Callable[[str, int], float], times: int) -> tuple[float, float]:
    """Look at both sessions in turn; give the medians. What a busy machine does to them is looked at again."""
    spent: dict[str, list[float]] = {"old": [], "young": []}
    for number in range(3 * times):
        for key, found in spent.items():
            found.append(look(key, number))
        old, young = (statistics.median(found) * 1000 for found in spent.values())
        if (number + 1) % times == 0 and old / young < 1.5:
            break
    return old, young


def test_an_old_session_wakes_as_fast_as_a_young_one(aged, home, mark, figure):
    with Orchestrator(aged, pools=pools()) as orchestrator:

        def wake(key: str, number: int) -> float:
            session = orchestrator.session(talk.plain, key)
            eventually(lambda: orchestrator._engine.runs.statistics()["live"] == 0, 30, what="leaving memory")
            started = time.perf_counter()
            assert session.ask(HELLO, 30, key=f"wake-{number}") == len("hello")
            return time.perf_counter() - started

        wake("old", -1), wake("young", -1)
        old, young = compared(wake, 40)
        assert len(orchestrator.session(talk.plain, "old").state.said) == 10
    figure("answer of a session of 10,000 turns that had left memory, p50", old, "ms")
    figure("answer of a session of 10 turns that had left memory, p50", young, "ms")
    figure("ratio", old / young, "", "1.5")
    assert old / young < 1.5


def test_the_state_of_an_old_session_is_read_as_fast_as_that_of_a_young_one(aged, home, mark, figure):
    with Orchestrator(aged, pools=pools()) as orchestrator:

        def read(key: str, _number: int) -> float:
            session = orchestrator.session(talk.plain, key)
            started = time.perf_counter()
            assert isinstance(session.state, talk.Memory)
            return time.perf_counter() - started

        old, young = compared(read, 300)
    figure("reading the state of a session of 10,000 turns, p50", old, "ms")
    figure("ratio to that of one of 10 turns", old / young, "", "1.5")
    assert old / young < 1.5


def test_a_session_that_was_written_in_bulk_is_like_one_that_lived(aged, orchestrator):
    session = orchestrator.session(talk.plain, "young")
    for number in range(1, YOUNG + 1):
        session.ask(HELLO, 30, key=f"message-{number}")
    journal = SqliteJournal(aged, read_only=True)
    lived, written = (shape(book, "plain/young") for book in (orchestrator._engine.journal, journal))
    journal.close()
    for part in ("events", "fields", "messages"):
        assert written[part][: len(lived[part])] == lived[part]
