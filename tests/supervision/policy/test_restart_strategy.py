"""Which workers are restarted when one dies."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.core.failures import Exit
from greenroom.supervision.policy.restart_strategy import Child, Plan, Restart, StrategyName, is_restarted, plan

KILLED = Exit(kind="signaled", signal="SIGKILL")
DONE = Exit(kind="exited", code=0)
THREE = (Child("a"), Child("b"), Child("c"))

EXITS = st.sampled_from([KILLED, DONE, Exit(kind="exited", code=3), Exit(kind="stopped"), Exit(kind="hung")])
TYPES = st.sampled_from(get_args(Restart))
CHILDREN = st.lists(TYPES, min_size=1, max_size=6).map(
    lambda types: [Child(f"w{index}", restart) for index, restart in enumerate(types)]
)


def test_one_for_one_begins_the_dead_one_again() -> None:
    assert plan("one_for_one", THREE, "b", KILLED) == Plan(start=("b",))


def test_one_for_all_ends_the_others_in_reverse_and_begins_all_in_order() -> None:
    assert plan("one_for_all", THREE, "b", KILLED) == Plan(stop=("c", "a"), start=("a", "b", "c"))


def test_rest_for_one_spares_those_started_before() -> None:
    assert plan("rest_for_one", THREE, "b", KILLED) == Plan(stop=("c",), start=("b", "c"))


@pytest.mark.parametrize(
    ("restart", "exit_", "again"),
    [
        ("permanent", DONE, True),
        ("permanent", KILLED, True),
        ("transient", DONE, False),
        ("transient", Exit(kind="stopped"), False),
        ("transient", Exit(kind="exited", code=1), True),
        ("transient", KILLED, True),
        ("temporary", KILLED, False),
    ],
)
def test_restart_types_are_those_of_otp(restart: Restart, exit_: Exit, again: bool) -> None:
    assert is_restarted(restart, exit_) is again


def test_a_temporary_sibling_that_falls_with_the_others_does_not_come_back() -> None:
    children = (Child("a"), Child("b", "temporary"), Child("c"))
    assert plan("one_for_all", children, "a", KILLED) == Plan(stop=("c", "b"), start=("a", "c"))


@given(st.sampled_from(get_args(StrategyName)), CHILDREN, st.data(), EXITS)
def test_plans_keep_the_rules(strategy: StrategyName, children: list[Child], data: st.DataObject, exit_: Exit) -> None:
    place = data.draw(st.integers(0, len(children) - 1))
    dead, ids = children[place], [child.id for child in children]
    made = plan(strategy, children, dead.id, exit_)
    assert dead.id not in made.stop, "what is dead is not ended again"
    assert list(made.stop) == sorted(made.stop, key=ids.index, reverse=True)
    assert list(made.start) == sorted(made.start, key=ids.index)
    assert (dead.id in made.start) == is_restarted(dead.restart, exit_)
    if not is_restarted(dead.restart, exit_):
        assert made == Plan(), "an end without a restart leaves the siblings alone"
    temporary = {child.id for child in children if child.restart == "temporary"}
    assert set(made.start) - {dead.id} == set(made.stop) - temporary
    if strategy == "rest_for_one":
        assert all(ids.index(id_) >= place for id_ in (*made.stop, *made.start))
