"""Which runs nobody awaits any more when an orchestrator starts."""

from collections.abc import Iterator

import pytest

from greenroom.journal.memory import MemoryJournal
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.runs.append import append_of
from greenroom.workflows.runs.starts.recovery import Stray, find_strays
from greenroom.workflows.state.fold import fold_all
from tests.support import eventually

GONE = Failure(outcome="cancelled", message="no longer awaited")


@pytest.fixture
def journal() -> Iterator[MemoryJournal]:
    made = MemoryJournal()
    yield made
    made.close()


def write(journal: MemoryJournal, run_id: str, *events: AnyEvent, parent: str | None = None) -> None:
    first = ev.RunStarted(at=1.0, run_id=run_id, app="app", workflow="w", arguments={}, parent=parent, parent_key="c#1")
    append = append_of(fold_all([first, *events]), [first, *events], lambda _error: None)
    journal.append(append)
    eventually(lambda: journal.run(run_id))


def scheduled(run_id: str) -> ev.ChildScheduled:
    return ev.ChildScheduled(at=1.0, key="c#1", run_id=run_id, app="app", workflow="w", arguments={})


def left(run_id: str) -> ev.ChildEnded:
    return ev.ChildEnded(at=2.0, key="c#1", run_id=run_id, failure=GONE)


def test_a_run_whose_parent_has_ended_is_a_stray_and_one_that_is_awaited_is_none(journal: MemoryJournal) -> None:
    write(journal, "a", scheduled("a~1"), left("a~1"), ev.RunCompleted(at=2.0, result=None))
    write(journal, "a~1", parent="a")
    write(journal, "b", scheduled("b~1"))
    write(journal, "b~1", parent="b")
    assert find_strays(journal) == [Stray("a~1", "run a no longer awaits it", None)]


def test_a_run_whose_parent_had_no_time_left_to_clean_up_has_none_either(journal: MemoryJournal) -> None:
    asked = ev.CancelRequested(at=1.5), ev.CleanupLimited(at=1.5, due=2.0)
    write(journal, "a", scheduled("a~1"), *asked, left("a~1"), ev.RunCancelled(at=2.0))
    write(journal, "a~1", parent="a")
    assert [stray.within for stray in find_strays(journal)] == [0.0]


@pytest.mark.parametrize(("by", "strays"), [(None, []), ("order", ["a~1"])])
def test_a_run_that_a_person_has_retried_goes_on_without_its_parent(
    by: str | None, strays: list[str], journal: MemoryJournal
) -> None:
    write(journal, "a", scheduled("a~1"), left("a~1"), ev.RunCompleted(at=2.0, result=None))
    failed = ev.RunFailed(at=3.0, failure=Failure(outcome="error", message="no"))
    write(journal, "a~1", failed, ev.RunRetried(at=4.0, cut=1, by=by), parent="a")
    assert [stray.run_id for stray in find_strays(journal)] == strays
