"""Ids that are made lie where nobody can choose them, and those of older journals are looked at twice."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.commands import StartRun
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import ScheduleChild, SendMessage
from greenroom.messages.ids import (
    child_id,
    id_fault,
    message_key_fault,
    run_id,
    scheduled_id,
    sent_key,
    turn_child_id,
)
from greenroom.workflows.runs.starts.start import attach, find_open
from greenroom.workflows.state.fold import fold
from tests.workflows.decisions.test_decide import Case

CHOSEN = st.from_regex(re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII), fullmatch=True)


@given(CHOSEN, st.integers(1, 10**6), st.integers(1, 10**6))
def test_no_id_that_is_made_of_others_can_be_chosen(name: str, turn: int, number: int) -> None:
    assert id_fault(name) is None
    made = {child_id(name, number), scheduled_id(name, "20261128T030000Z"), turn_child_id(f"{name}/key", turn, number)}
    made |= {child_id(each, number) for each in made}
    assert all(id_fault(each) for each in made)


def test_a_refused_id_says_what_its_sign_stands_for() -> None:
    with pytest.raises(ValueError, match="'~' stands in the ids of children and of scheduled runs"):
        run_id("trip~1", "trip")


def test_new_ids_differ_however_many_there_are() -> None:
    made = {run_id(None, "w") for _ in range(20_000)}
    assert len(made) == 20_000
    assert all(id_fault(each) is None for each in made)


@pytest.mark.parametrize("to", ["r", "s/a key: of tell(x)#1"])
def test_the_key_of_a_message_that_a_program_sends_cannot_be_chosen(to: str) -> None:
    for scope in ("", "1/", "2.1/"):
        key = sent_key("s/k~1", f"{scope}tell({to})#3")
        assert "choose another one" in str(message_key_fault(key))
    assert message_key_fault("redrive/7") is not None


@pytest.mark.parametrize("key", [None, "", "order-7", "a:b", "tell(x)", "2026-11-28T10:00:00/tell me#1"])
def test_any_other_key_can(key: str | None) -> None:
    assert message_key_fault(key) is None


def test_a_message_of_a_program_is_sent_under_a_key_of_that_kind() -> None:
    case = Case()
    case.turn(SendMessage(key="tell(x)#1", to="x", name="Go", value={}))
    (call,) = case.state.outgoing
    assert message_key_fault(sent_key(case.state.run_id, call)) is not None


def test_children_are_numbered_and_a_replay_finds_them_on_record() -> None:
    case = Case()
    ask = [ScheduleChild(key=f"c#{n}", workflow="c", arguments={}) for n in (1, 2)]
    case.turn(*ask)
    assert [child.run_id for child in case.state.children.values()] == ["r~1", "r~2"]
    assert case.turn(*ask).events == []


def started(parent: str | None, key: str | None) -> ev.RunStarted:
    return ev.RunStarted(
        at=1.0, run_id="p.1", app="app", workflow="c", arguments={}, parent=parent, parent_key=key, seed=""
    )


@pytest.mark.parametrize(
    ("parent", "key", "ours"), [("p", "c#1", True), (None, None, False), ("q", "c#1", False), ("p", "c#2", False)]
)
def test_a_run_of_a_childs_id_is_the_child_only_where_that_call_of_that_parent_started_it(
    parent: str | None, key: str | None, ours: bool
) -> None:
    command = StartRun(run_id="p.1", app="app", workflow="c", arguments={})
    answer = attach(command, fold(None, started(parent, key)), "p", "c#1")
    assert answer.type == ("accepted" if ours else "refused")


def test_a_session_is_opened_by_one_app_only() -> None:
    first = ev.SessionOpened(at=1.0, run_id="s/k", app="a.py", session="s", key="k")
    stored = fold(None, first)
    assert find_open(first, stored).type == "accepted"
    assert find_open(first.model_copy(update={"app": "b.py"}), stored).type == "refused"
