"""The cases of OTP's and Elixir's supervisors that apply to pools, and pools against a model of what OTP would do."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenroom.messages.core.failures import Exit
from greenroom.supervision.policy.restart_intensity import RestartIntensity
from greenroom.supervision.policy.restart_strategy import Child, is_restarted, plan
from tests.supervision.memory import MemoryWorker, World, asleep

CRASH = Exit(kind="signaled", signal="SIGSEGV")
NORMAL = Exit(kind="exited", code=0)
STOPPED = Exit(kind="stopped")


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        worlds.append(World(*arguments, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def filled(world: World, size: int) -> list[MemoryWorker]:
    """Have the pool begin all of its workers, and leave them idle."""
    for number in range(size):
        world.submit(f"fill{number}")
    for worker in list(world.backend.alive):
        for token in worker.work:
            worker.answer(token)
    world.wait()
    return list(world.backend.alive)


# ---------------------------------------------------------------- restart types


@pytest.mark.parametrize(
    ("restart", "end", "again"),
    [
        ("permanent", NORMAL, True),
        ("permanent", STOPPED, True),
        ("permanent", CRASH, True),
        ("transient", NORMAL, False),
        ("transient", STOPPED, False),
        ("transient", Exit(kind="exited", code=1), True),
        ("transient", CRASH, True),
        ("temporary", NORMAL, False),
        ("temporary", CRASH, False),
    ],
)
def test_who_begins_again_after_which_end(restart: Any, end: Exit, again: bool) -> None:
    assert is_restarted(restart, end) is again
    for strategy in ("one_for_one", "one_for_all", "rest_for_one"):
        made = plan(strategy, [Child("a"), Child("b", restart), Child("c")], "b", end)
        assert ("b" in made.start) is again
        assert bool(made.stop) is (again and strategy != "one_for_one"), "nobody falls with one that does not return"


def test_a_temporary_sibling_falls_with_the_others_and_does_not_return() -> None:
    children = [Child("a"), Child("t", "temporary"), Child("b")]
    made = plan("one_for_all", children, "b", CRASH)
    assert made.stop == ("t", "a")
    assert made.start == ("a", "b")


def test_rest_for_one_spares_those_before_and_ends_the_others_last_first() -> None:
    made = plan("rest_for_one", [Child(name) for name in "abcd"], "b", CRASH)
    assert (made.stop, made.start) == (("d", "c"), ("b", "c", "d"))


# ---------------------------------------------------------------- intensity at its borders


@pytest.mark.parametrize("within", [1.0, 60.0])
@pytest.mark.parametrize("most", [0, 1, 5])
def test_as_many_restarts_as_allowed_are_allowed_and_one_more_is_not(most: int, within: float) -> None:
    intensity = RestartIntensity(most, within)
    for number in range(most):
        intensity = intensity.died(within * number / max(1, most))
        assert not intensity.exceeded
    assert intensity.died(within * 0.99).exceeded


def test_a_death_at_the_windows_edge_counts_and_one_before_it_does_not() -> None:
    intensity = RestartIntensity(1, 10.0).died(0.0)
    assert intensity.died(10.0).exceeded
    assert not intensity.died(10.001).exceeded


def test_restarts_that_are_spread_out_never_exceed() -> None:
    intensity = RestartIntensity(3, 10.0)
    for number in range(1000):
        intensity = intensity.died(number * 3.4)
        assert not intensity.exceeded
        assert len(intensity.restarts) <= 3


@pytest.mark.parametrize("most", [0, 1, 4])
def test_a_pool_gives_up_with_the_death_that_is_one_too_many(make: Callable[..., World], most: int) -> None:
    world = make(size=1, max_restarts=most, within=60.0)
    filled(world, 1)
    for _ in range(most):
        world.backend.alive[0].die(CRASH)
        world.wait(35.0 / max(1, most))
        assert world.pool.record().status == "running"
        assert len(world.backend.alive) == 1
    world.backend.alive[0].die(CRASH)
    assert world.pool.record().status == "degraded"


def test_an_idle_worker_that_leaves_as_it_was_meant_to_counts_too(make: Callable[..., World]) -> None:
    """Permanent children are restarted after a normal end, and that is counted."""
    world = make(size=1, max_restarts=1)
    filled(world, 1)
    for _ in range(2):
        world.backend.alive[0].die(NORMAL)
        world.wait(1.0)
    assert world.pool.record().status == "degraded"


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("strategy", "fallen"), [("one_for_one", {1}), ("one_for_all", {0, 1, 2}), ("rest_for_one", {1, 2})]
)
def test_a_death_takes_along_exactly_those_of_its_strategy(
    make: Callable[..., World], strategy: str, fallen: set[int]
) -> None:
    world = make(size=3, strategy=strategy)
    before = filled(world, 3)
    before[1].die(CRASH)
    world.wait(2.0)
    assert {number for number, worker in enumerate(before) if not worker.alive} == fallen
    assert len(world.backend.alive) == 3
    lives = [worker.spec.worker for worker in world.backend.lives[3:]]
    assert lives == [f"tool-{number + 1}" for number in sorted(fallen)], "in start order"


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_restart_that_fails_is_tried_again_until_it_is_given_up(make: Callable[..., World], strategy: str) -> None:
    world = make(size=2, strategy=strategy, max_restarts=3)
    first, _ = filled(world, 2)
    world.backend.on_spawn = lambda worker: worker.die(CRASH)
    first.die(CRASH)
    world.wait(40.0)
    assert world.pool.record().status == "degraded"
    assert len(world.backend.lives) <= 2 + 2 * 4


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_restart_that_fails_once_is_made_good(make: Callable[..., World], strategy: str) -> None:
    world = make(size=2, strategy=strategy)
    first, _ = filled(world, 2)
    failed: list[str] = []

    def once(worker: MemoryWorker) -> None:
        if not failed:
            failed.append(worker.spec.worker)
            worker.die(CRASH)
        else:
            worker.become_ready()

    world.backend.on_spawn = once
    first.die(CRASH)
    world.wait(5.0)
    assert len(world.backend.alive) == 2
    assert all(slot.state == "ready" for slot in world.pool.supervisor.slots.values())


def test_a_worker_that_dies_while_its_siblings_are_ended_is_part_of_the_same_restart(
    make: Callable[..., World],
) -> None:
    world = make(size=3, strategy="one_for_all")
    first, second, third = filled(world, 3)
    third.obedient = third.prompt = False
    first.die(CRASH)
    world.wait()
    second.die(CRASH)
    assert len(world.backend.lives) == 3, "nobody begins before the last one is dead"
    third.die(CRASH)
    world.wait(2.0)
    assert len(world.backend.alive) == 3
    assert len(world.backend.lives) == 6


# ---------------------------------------------------------------- against a model


class Model:
    """What a pool of workers that die idle must do: OTP's intensity, and that a pool that serves is never given up."""

    def __init__(self, most: int, within: float) -> None:
        self.most, self.within = most, within
        self.deaths: list[float] = []
        self.row = 0
        self.counted_at = -1.0
        self.given_up_at: float | None = None

    def died(self, now: float) -> None:
        self._count(now)

    def failed(self, now: float, begun: float) -> None:
        if begun >= self.counted_at:
            self.row += 1
            self.counted_at = now
            self._count(now)

    def ready(self) -> None:
        self.row = 0

    def _count(self, now: float) -> None:
        self.deaths = [at for at in self.deaths if at >= now - self.within] + [now]
        if len(self.deaths) > self.most or self.row > self.most:
            self.given_up_at = now

    def takes_work(self, now: float) -> bool:
        if self.given_up_at is not None and now >= self.given_up_at + self.within:
            self.given_up_at, self.deaths, self.row, self.counted_at = None, [], 0, -1.0
        return self.given_up_at is None


class Play:
    """A pool and its model under the same accidents, drawn from a seed; time is the loop's own and jumps."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.size = self.random.choice([1, 1, 2, 4])
        most, within = self.random.choice([0, 1, 3]), self.random.choice([5.0, 20.0])
        self.world = World(size=self.size, max_restarts=most, within=within)
        self.world.backend.on_spawn = asleep
        self.model = Model(most, within)
        self.count = 0
        self.begun: dict[int, float] = {}
        self.lost: set[str] = set()

    def now(self) -> float:
        return self.world.loop.time()

    def serves(self, but: MemoryWorker) -> bool:
        slots = self.world.pool.supervisor.slots.values()
        return any(slot.state == "ready" and slot.id != but.spec.worker for slot in slots)

    def note_begun(self) -> None:
        for worker in self.world.backend.lives:
            self.begun.setdefault(id(worker), self.now())

    def step(self) -> None:  # noqa: C901, PLR0912  one case per accident
        world = self.world
        ready = [worker for worker in world.backend.alive if worker.pid is not None]
        starting = [worker for worker in world.backend.alive if worker.pid is None]
        idle = [worker for worker in ready if not self.at_work(worker)]
        busy = [worker for worker in ready if self.at_work(worker)]
        takes = self.model.takes_work(self.now())
        match self.random.randrange(8):
            case 0 | 1:
                self.count += 1
                token = f"j{self.count}"
                world.submit(token)
                if not takes:
                    assert world.owner.refusal(token)
            case 2 if starting:
                self.random.choice(starting).become_ready()
                self.model.ready()
            case 3 if starting:
                worker = self.random.choice(starting)
                if takes and not self.serves(worker):
                    self.model.failed(self.now(), self.begun[id(worker)])
                worker.die(CRASH)
            case 4 if busy:
                worker = self.random.choice(busy)
                worker.answer(self.at_work(worker)[0])
            case 5 if busy:
                worker = self.random.choice(busy)
                (token,) = self.at_work(worker)
                end = self.random.choice(
                    [CRASH, CRASH.model_copy(update={"injected": True}), Exit(kind="backend_lost")]
                )
                worker.die(end)
                assert world.owner.lost(token).charged is (end is CRASH)
            case 6 if idle:
                if takes:
                    self.model.died(self.now())
                self.random.choice(idle).die(CRASH)
            case _:
                seconds = self.random.choice([0.3, 1.0, 4.0])
                for _ in range(round(seconds * 10)):
                    for worker in ready:
                        if worker.alive:
                            worker.beat()
                    world.wait(0.1)
                    self.note_begun()
        world.wait()
        self.note_begun()
        self.check()

    def at_work(self, worker: MemoryWorker) -> list[str]:
        return [token for token in worker.work if not self.world.owner.ends(token)]

    def check(self) -> None:
        world, supervisor = self.world, self.world.pool.supervisor
        takes = self.model.takes_work(self.now())
        assert (world.pool.dispatcher.refusal() is None) is takes
        assert supervisor.permanent <= self.size
        if not takes:
            assert not world.pool.dispatcher.waiting
        lives = [worker.spec.worker for worker in world.backend.alive]
        assert len(lives) == len(set(lives)), "a place has one life at a time"
        sent = [token for worker in world.backend.lives for token in worker.work]
        assert len(sent) == len(set(sent)), "no job begins twice"

    def finish(self) -> None:
        """After the last accident everything ends, once the pool takes work again."""
        self.world.backend.on_spawn = MemoryWorker.become_ready
        for worker in list(self.world.backend.alive):
            worker.become_ready()
        for _ in range(400):
            for worker in list(self.world.backend.alive):
                worker.beat()
                for token in self.at_work(worker):
                    worker.answer(token)
            self.world.wait(0.2)
            if not self.world.pool.dispatcher.unfinished:
                break
        assert not self.world.pool.dispatcher.unfinished
        for token in self.world.owner.heard:
            assert len(self.world.owner.ends(token)) == 1
        self.world.close()


@pytest.mark.parametrize("block", range(6))
def test_any_order_of_exits_failed_starts_and_growth_is_as_the_model_says(block: int) -> None:
    given_up = 0
    for seed in range(block * 12, block * 12 + 12):
        play = Play(seed)
        try:
            for _ in range(60):
                play.step()
            play.finish()
            given_up += "degraded" in play.world.kinds()
        except AssertionError as error:
            msg = f"seed {seed}: {error}"
            raise AssertionError(msg) from error
    assert given_up, "the model is of use only where pools give up"
