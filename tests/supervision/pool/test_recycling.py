"""Processes that are replaced between two jobs: when, what that costs nobody, and where a retry goes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.frames.worker import Completed, Failed
from greenroom.supervision.jobs import Answered
from greenroom.supervision.policy.recycling import Wear, worn_out
from tests.supervision.memory import World, asleep

SEGFAULT = Exit(kind="signaled", signal="SIGSEGV")


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        world = World(*arguments, **options)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()


def fail(world: World, token: str) -> None:
    world.life(token).say(Failed(token=token, failure=Failure(outcome="error"), duration=0.0))
    world.wait()


def succeed(world: World, token: str, spoilt: str = "") -> None:
    world.life(token).say(Completed(token=token, result=None, duration=0.0, spoilt=spoilt))
    world.wait()


def test_a_process_in_which_three_jobs_in_a_row_failed_is_replaced_and_that_is_no_restart(
    make: Callable[..., World],
) -> None:
    world = make(size=1, max_restarts=0)
    for number in range(9):
        world.submit(f"j{number}")
        fail(world, f"j{number}")
    assert world.starts() == ["tool-1/1", "tool-1/2", "tool-1/3", "tool-1/4"]
    assert not world.pool.dispatcher.refusal()
    (record,) = world.pool.workers()
    assert (record.restarts, record.replacements) == (0, 3)
    replaced = [event for event in world.events if event.kind == "replaced"]
    assert [event.detail for event in replaced] == ["3 jobs in a row failed in it"] * 3
    assert "restarting" not in world.kinds()
    assert "3 planned replacements" in world.pool.record().detail


def test_a_success_ends_the_row(make: Callable[..., World]) -> None:
    world = make(size=1)
    for number in range(12):
        world.submit(f"j{number}")
        (succeed if number % 3 == 2 else fail)(world, f"j{number}")
    assert world.starts() == ["tool-1/1"]


def test_a_spoilt_worker_gets_no_further_job_and_the_others_make_nobody_wait(make: Callable[..., World]) -> None:
    world = make(size=2)
    for token in "ab":
        world.submit(token)
    succeed(world, "b")
    world.backend.on_spawn = asleep
    succeed(world, "a", spoilt="it changed its nice value")  # the last one used, which idle jobs are given to
    for number in range(5):
        world.submit(f"j{number}")
        assert world.life(f"j{number}") is world.life("b")
        succeed(world, f"j{number}")
    assert [life.work for life in world.backend.lives][2:] == [[]], "its replacement was begun meanwhile"


def test_a_pool_never_has_more_processes_than_its_size_while_it_replaces_them(make: Callable[..., World]) -> None:
    world = make(size=2, max_jobs=1)
    most = 0

    def count(worker: Any) -> None:
        nonlocal most
        most = max(most, len(world.backend.alive))
        worker.become_ready()

    world.backend.on_spawn = count
    for number in range(10):
        world.submit(f"j{number}")
    for number in range(10):
        world.wait(0.1)
        succeed(world, f"j{number}")
    assert most == 2
    assert all(len(life.work) <= 1 for life in world.backend.lives)


def test_a_shared_worker_keeps_the_jobs_it_has_and_another_takes_the_next_ones(make: Callable[..., World]) -> None:
    world = make("llm", size=1, concurrency=4, max_jobs=3)
    for token in "abcd":
        world.submit(token)
    first, second = world.backend.lives
    assert (first.work, second.work) == (["a", "b", "c"], ["d"])
    for token in "abc":
        assert first.alive
        succeed(world, token)
    assert not first.alive
    assert isinstance(world.owner.end("c"), Answered)
    assert [record.replacements for record in world.pool.workers()] == [0]
    assert world.pool.supervisor.replacements == 1


def test_each_attempt_has_a_process_of_its_own_where_that_is_asked_for(make: Callable[..., World]) -> None:
    world = make(size=3, fresh=True)
    for number in range(6):
        world.submit(f"j{number}")
        succeed(world, f"j{number}")
    assert [life.work for life in world.backend.lives if life.work] == [[f"j{number}"] for number in range(6)]
    ready = [life for life in world.backend.alive if not life.work]
    assert ready, "one more is always there before it is needed"


def test_a_worker_that_was_to_go_and_dies_of_itself_is_restarted_as_after_any_death(make: Callable[..., World]) -> None:
    world = make(size=1, max_jobs=1)
    world.submit("a")
    life = world.life("a")
    life.obedient = False
    succeed(world, "a")
    life.die(SEGFAULT)
    world.wait(1.0)
    (record,) = world.pool.workers()
    assert (record.restarts, record.replacements, record.incarnation) == (1, 0, 2)


def test_a_worker_that_does_not_go_is_ended(make: Callable[..., World]) -> None:
    world = make(size=1, max_jobs=1)
    world.submit("a")
    life = world.life("a")
    life.obedient = False
    succeed(world, "a")
    world.submit("b")
    world.wait(10.0)
    assert [signal for _, signal in life.kills] == [15, 9]
    assert world.life("b").spec.incarnation == 2


def test_a_pool_that_closes_while_a_worker_goes_waits_for_it(make: Callable[..., World]) -> None:
    world = make(size=1, max_jobs=1)
    world.submit("a")
    world.life("a").obedient = False
    succeed(world, "a")  # the fixture closes


# ---------------------------------------------------------------- retries


def test_a_retry_runs_in_another_process_than_the_one_it_failed_in(make: Callable[..., World]) -> None:
    world = make(size=2)
    for token in "ab":
        world.submit(token)
    succeed(world, "a")
    fail(world, "b")  # the last one used
    world.submit("b2", avoid=world.life("b").pid)
    assert world.life("b2") is world.life("a")


def test_a_retry_has_another_worker_begun_where_there_is_but_the_one_it_failed_in(make: Callable[..., World]) -> None:
    world = make(size=2)
    world.submit("a")
    fail(world, "a")
    world.submit("a2", avoid=world.life("a").pid)
    assert world.life("a2").spec.worker == "tool-2"


def test_a_retry_takes_the_worker_it_failed_in_rather_than_to_wait_long(make: Callable[..., World]) -> None:
    world = make(size=2)
    world.submit("a")
    world.backend.on_spawn = asleep
    fail(world, "a")
    world.submit("a2", avoid=world.life("a").pid)
    world.submit("b")
    assert world.life("b") is world.life("a"), "whoever has nothing to avoid does not wait behind it"
    assert not [life for life in world.backend.lives if "a2" in life.work]
    succeed(world, "b")
    world.wait(2.0)
    assert world.life("a2") is world.life("a")


def test_a_retry_in_a_pool_of_one_takes_that_one_at_once(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("a")
    fail(world, "a")
    world.submit("a2", avoid=world.life("a").pid)
    assert world.life("a2") is world.life("a")


# ---------------------------------------------------------------- any order of all of that


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.sampled_from(["ok", "error", "spoilt", "crash"]), st.booleans()), max_size=25),
    size=st.integers(1, 3),
    fresh=st.booleans(),
    max_jobs=st.none() | st.integers(1, 3),
)
def test_every_job_is_run_once_and_by_no_process_that_was_to_go(
    jobs: list[tuple[str, bool]], size: int, fresh: bool, max_jobs: int | None
) -> None:
    world = World(size=size, fresh=fresh, max_jobs=max_jobs, max_restarts=1000)
    avoided = None
    for number, (how, retried) in enumerate(jobs):
        token = f"j{number}"
        world.submit(token, avoid=avoided if retried else None)
        world.wait(40.0)
        life = world.life(token)
        match how:
            case "ok":
                succeed(world, token)
            case "error":
                fail(world, token)
                avoided = life.pid
            case "spoilt":
                succeed(world, token, spoilt="by hand")
            case _:
                life.die(SEGFAULT)
                world.wait()
        assert len(world.owner.ends(token)) == 1
    told: dict[str, list[str]] = {}
    for life in world.backend.lives:
        outcomes = [jobs[int(token[1:])][0] for token in life.work]
        told[f"{life.spec.worker}/{life.spec.incarnation}"] = outcomes
        assert "spoilt" not in outcomes[:-1]
        assert len(outcomes) <= (1 if fresh else max_jobs or len(outcomes))
        assert ["error"] * 3 not in [outcomes[at : at + 3] for at in range(len(outcomes) - 3)]
    world.close()


def test_worn_out_says_why() -> None:
    def why(wear: Wear, **options: Any) -> str:
        return worn_out(wear, **{"capacity": 1, "max_jobs": None, "fresh": False, **options})

    assert why(Wear(jobs=10_000, errors=2)) == ""
    assert why(Wear(errors=3)) == "3 jobs in a row failed in it"
    assert why(Wear(errors=63), capacity=64) == ""
    assert why(Wear(jobs=1), max_jobs=1) == "it has had 1 job"
    assert why(Wear(), fresh=True) == ""
    assert why(Wear(jobs=1), fresh=True) == "each attempt has a process of its own"
    assert why(Wear(spoilt="it changed its user")) == "it changed its user"
