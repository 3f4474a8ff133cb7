"""Who is to blame for a worker's death."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.core.failures import Exit, ExitKind
from greenroom.supervision.policy.crash_attribution import NOBODYS_FAULT, Blame, blame, blame_for_backend

TOKENS = st.lists(st.sampled_from("abcde"), unique=True)
EXITS = st.builds(Exit, kind=st.sampled_from(get_args(ExitKind)), injected=st.booleans())
SEGFAULT = Exit(kind="signaled", signal="SIGSEGV")


@given(EXITS, TOKENS, st.data(), st.booleans(), st.sampled_from([None, "a", "z"]))
def test_every_death_is_put_down_to_somebody_exactly_once(
    end: Exit,
    running: list[str],
    data: st.DataObject,
    turns: bool,
    holder: str | None,
) -> None:
    culprits = data.draw(st.lists(st.sampled_from(running), unique=True)) if running else []
    verdict = blame(end, running, culprits=culprits, turns=turns, holder=holder)
    assert verdict.charged | verdict.suspects <= set(running)
    assert bool(verdict.charged) + bool(verdict.suspects) + verdict.counted <= 1
    if end.injected or end.kind in NOBODYS_FAULT:
        assert verdict == Blame()
    else:
        assert verdict != Blame()


def test_the_only_job_is_charged() -> None:
    assert blame(SEGFAULT, ["a"]) == Blame(charged=frozenset("a"))


def test_several_jobs_are_suspects() -> None:
    assert blame(SEGFAULT, ["a", "b"]) == Blame(suspects=frozenset("ab"))


def test_bystanders_of_a_kill_are_not_even_suspects() -> None:
    assert blame(Exit(kind="timeout"), ["a", "b"], culprits=["b"]) == Blame(charged=frozenset("b"))


def test_among_programs_only_the_holder_of_the_loop_is_charged() -> None:
    assert blame(SEGFAULT, ["a", "b"], turns=True, holder="b") == Blame(charged=frozenset("b"))
    assert blame(SEGFAULT, ["a"], turns=True, holder=None) == Blame(counted=True)


@given(TOKENS, st.booleans(), st.sampled_from([None, "a", "z"]))
def test_for_a_zygote_those_who_ran_are_suspects_until_one_ran_apart(
    running: list[str], turns: bool, holder: str | None
) -> None:
    near = frozenset({holder} if holder is not None else set()) & {*running} if turns else frozenset(running)
    assert blame_for_backend(running, turns=turns, holder=holder) == Blame(suspects=near)
    assert blame_for_backend(running, turns=turns, holder=holder, isolated=True) == Blame(charged=near)


def test_an_idle_worker_that_dies_counts_against_its_pool() -> None:
    assert blame(SEGFAULT, []) == Blame(counted=True)
