"""Random histories: the journal on the disk answers everything as the journal in memory does, also after reopening."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from greenroom.journal.interface import Mark, Timer
from greenroom.journal.memory import MemoryJournal
from greenroom.journal.sqlite.journal import SqliteJournal
from tests.journal.appends import Client, changed, row

pytestmark = pytest.mark.slow

RUN_IDS = st.sampled_from(["a", "b", "ü", "a b"])
KINDS = st.sampled_from(["run", "session"])
MARKS = st.tuples(st.sampled_from(["message", "dead_letter"]), st.sampled_from(["m1", "m2"]))
STATUSES = st.sampled_from(["pending", "running", "waiting", "parked", "completed", "failed"])
KEYS = st.sampled_from(["t1", "t2"])
MOMENTS = st.floats(0, 100)
TEXTS = st.text(st.characters(codec="utf-8") | st.just("\ud800"), max_size=20)
VALUES = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
LARGE = st.integers(60_000, 70_000).map("x".__mul__)
STATES = VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(st.text("ab", max_size=2), VALUES, max_size=3) | LARGE


class Journals(RuleBasedStateMachine):
    """Does the same to both journals."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="greenroom-model-"))
        self.epoch = 1
        self.memory = MemoryJournal()
        self.sqlite = SqliteJournal(self.home / "journal.db", durability="process")

    @rule(
        run_id=RUN_IDS,
        lag=st.sampled_from([0, 0, 0, 0, -1, 1]),
        states=st.lists(STATES, max_size=4),
        status=STATUSES,
        reason=TEXTS | st.none(),
        at=MOMENTS,
        cleared=st.lists(KEYS, max_size=2),
        set_=st.lists(st.tuples(KEYS, MOMENTS), max_size=2),
        kind=KINDS,
        erased=st.lists(MARKS, max_size=2),
        marked=st.lists(MARKS, max_size=2),
    )
    def append(  # noqa: PLR0913  everything that an append can hold
        self, *, run_id: str, lag: int, states: list[Any], status, reason, at, cleared, set_, kind, erased, marked
    ) -> None:
        known = self.memory.run(run_id)
        expected = (known.last_seq if known else 0) + lag
        line = row(run_id, status=status, reason=reason, updated_at=at, kind=kind, wake_seq=expected)
        timers = [Timer(run_id, key, due) for key, due in set_]
        answers = [
            Client(journal).append(
                run_id,
                expected,
                *(changed(state, at) for state in states),
                row=line,
                timers_set=timers,
                timers_cleared=cleared,
                marks_set=[Mark(run_id, kind, name, expected) for kind, name in marked],
                marks_cleared=erased,
            )
            for journal in (self.memory, self.sqlite)
        ]
        assert type(answers[0]) is type(answers[1])
        assert str(answers[0]) == str(answers[1])

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.epoch += 1
        self.sqlite = SqliteJournal(self.home / "journal.db", durability="process")
        assert self.sqlite.epoch == self.epoch

    @rule(run_id=RUN_IDS, after=st.integers(0, 10), limit=st.none() | st.integers(0, 10))
    def read(self, run_id: str, after: int, limit: int | None) -> None:
        assert self.sqlite.events(run_id, after, limit) == self.memory.events(run_id, after, limit)

    @rule(
        statuses=st.none() | st.lists(STATUSES, max_size=3),
        kind=st.none() | KINDS,
        limit=st.none() | st.integers(0, 3),
    )
    def list_runs(self, statuses, kind, limit: int | None) -> None:
        chosen = {"status": statuses, "kind": kind, "limit": limit}
        assert self.sqlite.runs(**chosen) == self.memory.runs(**chosen)

    @rule(before=MOMENTS, waiting=st.booleans())
    def list_timers(self, before: float, *, waiting: bool) -> None:
        assert self.sqlite.timers(before, waiting=waiting) == self.memory.timers(before, waiting=waiting)

    @rule(mark=MARKS, run_id=st.none() | RUN_IDS)
    def find_marks(self, mark, run_id) -> None:
        kind, name = mark
        assert self.sqlite.marks(kind, run_id, name) == self.memory.marks(kind, run_id, name)

    @invariant()
    def agree(self) -> None:
        assert self.sqlite.runs(limit=None) == self.memory.runs(limit=None)
        assert self.sqlite.timers() == self.memory.timers()
        assert self.sqlite.marks("message") == self.memory.marks("message")
        assert self.sqlite.marks("dead_letter") == self.memory.marks("dead_letter")
        assert self.sqlite.verify() == self.memory.verify() == []

    def teardown(self) -> None:
        self.sqlite.close()
        self.memory.close()
        shutil.rmtree(self.home)


TestJournals = Journals.TestCase
TestJournals.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
