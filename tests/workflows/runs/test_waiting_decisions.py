"""Which decisions of people wait for a program that was started again and has said nothing yet."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.messages.events.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalWithdrawn,
    RunParked,
    RunStarted,
    TimerFired,
    TimerSet,
)
from greenroom.workflows.decisions.inputs import Confirmed, Decide
from greenroom.workflows.runs.jobs.program import ProgramJob, WaitingDecisions
from greenroom.workflows.state.fold import fold_all

STARTED = RunStarted(at=1.0, run_id="r", app="app.py", workflow="flow", arguments={})
EARLIER = (TimerSet(at=1.0, key="timer#1", due=2.0), TimerFired(at=2.0, key="timer#1"))
ASKED = (
    ApprovalAsked(at=3.0, key="approve#1", action="deploy", args=None),
    TimerSet(at=3.0, key="timer#2", due=9.0),
)
LATE = TimerFired(at=9.0, key="timer#2")
WITHDRAWN = ApprovalWithdrawn(at=9.0, key="approve#1")
PARKED = RunParked(at=9.0, reason="its app is broken")


@pytest.mark.parametrize(
    ("events", "waits"),
    [
        (ASKED, False),
        ((*EARLIER, *ASKED), False),
        ((*ASKED, LATE), True),
        ((*ASKED, LATE, WITHDRAWN), False),
        ((*ASKED, LATE, PARKED), False),
    ],
    ids=["asked", "asked after a timer", "its time is over", "withdrawn", "parked"],
)
def test_a_decision_waits_only_if_the_question_may_be_about_to_be_withdrawn(
    events: Sequence[AnyEvent], waits: bool
) -> None:
    state = fold_all([STARTED, *events])
    dependencies: Any = SimpleNamespace()
    decisions = WaitingDecisions(state, ProgramJob(dependencies, "r", lambda _happened: None))
    decision = Confirmed(Decide("approve#1", "approve", None, "", "ada"), lambda _error, _number: None)
    decisions.add(decision)
    assert decisions.take(unread=False, dozes=False) is (None if waits else decision)
    assert decisions.take(unread=False, dozes=True) is (decision if waits else None)
