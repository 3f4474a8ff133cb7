"""Pools of every strategy against a reference model of what Erlang's supervisors do, under accidents in any order.

The model follows the documentation of OTP: https://www.erlang.org/doc/apps/stdlib/supervisor.html and
https://www.erlang.org/doc/system/sup_princ.html. It knows children in start order, and what a strategy, a restart and
the intensity are, and nothing of slots, timers or frames. Four rules are the pools' own, and stand in it as such:

- A death that a job is charged with, or that was injected, is not counted against the intensity.
- Starts that fail in a row are counted as well, and those begun before the last failure was known count once.
- A child that is added while others serve and does not come up is dropped, as ``start_child`` answers with an error.
- A pool that gives up lets those go on that live, and takes work again after its period, as its supervisor would have
  it do.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import pytest

from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import Stop, WorkerSpec
from greenroom.supervision.jobs import Lost
from greenroom.supervision.policy.restart_strategy import StrategyName
from tests.supervision.memory import MemoryWorker, World, asleep

CRASH = Exit(kind="signaled", signal="SIGSEGV")
NORMAL = Exit(kind="exited", code=0)
INJECTED = CRASH.model_copy(update={"injected": True})


class Supervisor:
    """What OTP's supervisor does about its permanent children. Pure: told what happens and when, it says what follows.

    Attributes:
        children: Those that there are to be, in start order.
        due: Those of them that were struck and have not begun again.
        ending: Those that were struck and will not begin again, as it has given up meanwhile.
    """

    def __init__(self, strategy: StrategyName, intensity: int, period: float) -> None:
        self.strategy, self.intensity, self.period = strategy, intensity, period
        self.children: list[str] = []
        self.due: list[str] = []
        self.ending: list[str] = []
        self.gave_up_at: float | None = None
        self._alone: set[str] = set()
        """Children that are due by themselves, with no order among them."""
        self._forget()

    def _forget(self) -> None:
        self._restarts: list[float] = []
        self._failures = 0
        self._failed_at = -1.0

    def is_up(self, now: float) -> bool:
        """Say whether it has not given up, or its own supervisor has begun it again."""
        if self.gave_up_at is not None and now >= self.gave_up_at + self.period:
            self.gave_up_at = None
            self._forget()
        return self.gave_up_at is None

    def begins(self, child: str) -> None:
        """A child begins: for the first time, as the last one in order, or again."""
        if child not in self.children:
            self.children.append(child)
            return
        assert child in self.due, f"{child} begins again though nothing has ended it"
        first = next((each for each in self.due if each not in self._alone), child)
        assert child in self._alone or child == first, f"{child} begins before {first}"
        self.due.remove(child)

    def comes_up(self) -> None:
        self._failures = 0

    def exits(self, child: str, now: float, *, counted: bool = True) -> None:
        """A child that was up has ended by itself."""
        self._restart(child, now, counted=counted, alone=self.strategy == "one_for_one")

    def fails_to_start(self, child: str, now: float, begun: float, *, is_new: bool, serves: bool) -> None:
        """A child has ended before it was up.

        Args:
            child: Which one.
            now: When.
            begun: When it was begun.
            is_new: Whether it has never been up.
            serves: Whether others are.
        """
        alone = is_new or self.strategy == "one_for_one"
        if self.is_up(now) and serves and alone:
            self.children.remove(child)
            return
        shares_cause = begun < self._failed_at
        if self.is_up(now) and not shares_cause:
            self._failures += 1
            self._failed_at = now
        self._restart(child, now, counted=not shares_cause, alone=alone)

    def is_terminated(self, child: str) -> None:
        """``terminate_child`` and ``delete_child``: it ends for good, and nobody falls with it."""
        self.children.remove(child)
        self.due = [each for each in self.due if each != child]

    def _restart(self, child: str, now: float, *, counted: bool, alone: bool) -> None:
        if not self.is_up(now):
            self.children.remove(child)
            return
        if counted:
            self._restarts = [at for at in self._restarts if at >= now - self.period] + [now]
        if len(self._restarts) > self.intensity or self._failures > self.intensity:
            self.gave_up_at = now
            self.ending, self.due = self.due, []
            self.children = [each for each in self.children if each != child and each not in self.ending]
            return
        place = 0 if self.strategy == "one_for_all" else self.children.index(child)
        struck = {child} if alone else set(self.children[place:])
        self._alone = self._alone | struck if alone else self._alone - struck
        self.due = [each for each in self.children if each in struck or each in self.due]


class Play:
    """A pool and its model under the same accidents, drawn from a seed, on a clock that only the play sets forward."""

    def __init__(self, strategy: StrategyName, seed: int) -> None:
        self.random = random.Random(f"{strategy} {seed}")
        self.size = self.random.choice([2, 4, 5])
        most, within = self.random.choice([0, 1, 2, 4]), self.random.choice([5.0, 20.0])
        self.world = World(size=self.size, strategy=strategy, max_restarts=most, within=within, idle_after=1e6)
        self.model = Supervisor(strategy, most, within)
        self.world.loop.look = 1e-9
        self.world.backend.on_spawn = asleep
        self.spawn, self.world.backend.spawn = self.world.backend.spawn, self.begins  # type: ignore[method-assign]
        self.faults: list[AssertionError] = []
        """What was found in the midst of the pool's own work, whose callers must not hear of it."""
        self.count = 0
        self.begun: dict[MemoryWorker, float] = {}
        self.out: set[MemoryWorker] = set()
        """Lives that were told to end for good, or for another one of their own."""
        self.planned = ""
        """The child whose life is replaced at this moment."""
        self.came_up: set[str] = set()
        """Children that have been up at least once."""
        self.blamed: set[str] = set()
        """Jobs that have killed their worker."""
        self.seen: Counter[str] = Counter()

    # ------------------------------------------------------------ what the pool does, held against the model

    def begins(self, spec: WorkerSpec, listener: Any) -> MemoryWorker:
        """Be the backend's ``spawn``."""
        self.hold(self.model_begins, spec.worker)
        worker = self.spawn(spec, listener)
        self.begun[worker] = self.now()
        send = worker.send

        def sending(message: Any) -> int:
            if isinstance(message, Stop) and worker not in self.out:
                self.hold(self.is_told, spec.worker)
            return send(message)

        worker.send = sending  # type: ignore[method-assign]
        return worker

    def hold(self, look: Callable[[str], None], child: str) -> None:
        try:
            look(child)
        except AssertionError as error:
            self.faults.append(error)

    def model_begins(self, child: str) -> None:
        """A life begins: nobody who is to end still lives, and it is its child's turn."""
        if child == self.planned:
            self.planned = ""
            return
        living = [worker.spec.worker for worker in self.struck()]
        assert not living or self.model.strategy == "one_for_one", f"{child} begins, and {living} have not ended yet"
        assert child not in self.model.ending, f"{child} begins again though its pool has given up"
        if child not in self.model.children:
            self.came_up.discard(child)
        self.seen["restarts" if child in self.model.due else "additions"] += 1
        self.model.begins(child)

    def is_told(self, child: str) -> None:
        """A child is told to end: those that began after it are dead by now."""
        order = self.model.due or self.model.ending
        assert child in order, f"{child} is told to end, and {order} are to"
        later = order[order.index(child) + 1 :]
        living = [worker.spec.worker for worker in self.struck() if worker.spec.worker in later]
        assert not living, f"{child} is told to end before {living}"
        self.seen["told"] += 1

    # ------------------------------------------------------------ who is what

    def now(self) -> float:
        return self.world.loop.time()

    def struck(self) -> list[MemoryWorker]:
        """Lives that are to end because of a sibling's end."""
        struck = {*self.model.due, *self.model.ending}
        alive = self.world.backend.alive
        return [worker for worker in alive if worker.spec.worker in struck and worker not in self.out]

    def kept(self) -> list[MemoryWorker]:
        """Lives that are to go on."""
        out = {*self.struck(), *self.out}
        return [worker for worker in self.world.backend.alive if worker not in out]

    def at_work(self, worker: MemoryWorker) -> list[str]:
        return [token for token in worker.work if not self.world.owner.ends(token)]

    # ------------------------------------------------------------ accidents

    def step(self) -> None:
        """Have one accident, maybe while the last one is still being dealt with."""
        self.submit()
        kept = self.kept()
        ready, starting = [each for each in kept if each.pid], [each for each in kept if not each.pid]
        idle, busy = [], []
        for worker in ready:
            (busy if self.at_work(worker) else idle).append(worker)
        choices: list[tuple[int, Callable[[MemoryWorker], None], list[MemoryWorker]]] = [
            (3, self.comes_up, starting),
            (2, self.fails_to_start, starting),
            (1, self.answers, [each for each in self.world.backend.alive if self.at_work(each)]),
            (2, self.dies_at_work, busy),
            (2, self.dies_idle, idle),
            (2, self.dies_on_its_way, self.struck()),
            (1, self.is_terminated, [*kept, *self.struck()]),
            (1, self.is_replaced, idle),
            (4, self.is_slow, ready),
        ]
        possible = [choice for choice in choices if choice[2]]
        if possible:
            ((_, accident, workers),) = self.random.choices(possible, [choice[0] for choice in possible])
            accident(self.random.choice(workers))
            self.seen[accident.__name__] += 1
        self.pass_time(self.random.choice([0.0, 0.0, 0.2, 1.0]))
        for fault in self.faults:
            raise fault
        if self.model.ending or self.random.random() < 0.15:
            self.settle()

    def submit(self) -> None:
        if self.random.random() < 0.8:
            self.count += 1
            takes = self.model.is_up(self.now())
            self.world.submit(f"j{self.count}")
            if not takes:
                assert self.world.owner.refusal(f"j{self.count}")

    def comes_up(self, worker: MemoryWorker) -> None:
        self.came_up.add(worker.spec.worker)
        self.model.comes_up()
        worker.become_ready()

    def fails_to_start(self, worker: MemoryWorker) -> None:
        child = worker.spec.worker
        serves = any(other.pid for other in self.kept())
        self.model.fails_to_start(
            child, self.now(), self.begun[worker], is_new=child not in self.came_up, serves=serves
        )
        worker.die(CRASH)

    def answers(self, worker: MemoryWorker) -> None:
        worker.answer(self.at_work(worker)[0])

    def dies_at_work(self, worker: MemoryWorker) -> None:
        """The job is charged where it may be, and so the death is not counted."""
        end = self.random.choice([CRASH, INJECTED, Exit(kind="backend_lost")])
        (token,) = self.at_work(worker)
        if end is CRASH:
            self.blamed.add(token)
        self.model.exits(worker.spec.worker, self.now(), counted=False)
        worker.die(end)

    def dies_idle(self, worker: MemoryWorker) -> None:
        end = self.random.choice([CRASH, NORMAL, INJECTED])
        self.model.exits(worker.spec.worker, self.now(), counted=end is not INJECTED)
        worker.die(end)

    def dies_on_its_way(self, worker: MemoryWorker) -> None:
        """It was to end anyway: that is part of the same restart, and counted no second time. A job is charged."""
        self.blamed.update(self.at_work(worker))
        worker.die(CRASH)

    def is_terminated(self, worker: MemoryWorker) -> None:
        self.out.add(worker)
        self.model.is_terminated(worker.spec.worker)
        self.world.pool.supervisor.slots[worker.spec.worker].stop()

    def is_replaced(self, worker: MemoryWorker) -> None:
        """Its process is changed between two jobs, which is nobody's death. A pool that has given up lets it go."""
        self.out.add(worker)
        worker.obedient = True
        if self.model.is_up(self.now()):
            self.planned = worker.spec.worker
        else:
            self.model.is_terminated(worker.spec.worker)
        supervisor = self.world.pool.supervisor
        supervisor.replace(supervisor.slots[worker.spec.worker], "it is worn")

    def is_slow(self, worker: MemoryWorker) -> None:
        """From now on only a SIGKILL ends it."""
        worker.obedient = False

    # ------------------------------------------------------------ time

    def pass_time(self, seconds: float) -> None:
        end = self.now() + seconds
        self.world.wait()
        while self.now() < end:
            for worker in list(self.world.backend.alive):
                if worker.pid:
                    worker.beat()
            self.world.wait(0.2)

    def settle(self) -> None:
        """Let everything begin that is to, have it come up, and see who is there."""
        for _ in range(1000):
            for worker in self.kept():
                if not worker.pid:
                    self.comes_up(worker)
            self.pass_time(0.2)
            if not self.model.due and all(worker.pid for worker in self.world.backend.alive) and not self.leaving():
                break
        self.model.ending = []
        self.check()

    def leaving(self) -> bool:
        return any(worker in self.out for worker in self.world.backend.alive) or bool(self.struck())

    def check(self) -> None:
        for fault in self.faults:
            raise fault
        assert not self.model.due, f"{self.model.due} have not begun again"
        slots = self.world.pool.supervisor.slots
        assert list(slots) == self.model.children
        assert all(slot.state == "ready" for slot in slots.values()), slots
        assert Counter(worker.spec.worker for worker in self.world.backend.alive) == Counter(self.model.children)
        assert (self.world.pool.dispatcher.refusal() is None) is self.model.is_up(self.now())
        assert len(self.model.children) <= self.size

    def finish(self) -> None:
        for _ in range(400):
            for worker in list(self.world.backend.alive):
                for token in self.at_work(worker):
                    worker.answer(token)
            self.settle()
            if not self.world.pool.dispatcher.unfinished:
                break
        assert not self.world.pool.dispatcher.unfinished
        for token in self.world.owner.heard:
            end = self.world.owner.end(token)
            assert (isinstance(end, Lost) and end.charged) is (token in self.blamed), token

    def close(self) -> None:
        self.out.update(self.world.backend.alive)
        self.world.close()


@pytest.mark.parametrize("block", range(3))
@pytest.mark.parametrize("strategy", get_args(StrategyName))
def test_a_pool_of_any_strategy_does_under_any_accidents_what_its_model_says(
    strategy: StrategyName, block: int
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(block * 16, block * 16 + 16):
        play = Play(strategy, seed)
        try:
            for _ in range(60):
                play.step()
            play.finish()
        except AssertionError as error:
            msg = f"seed {seed}: {error}"
            raise AssertionError(msg) from error
        finally:
            play.close()
        seen += play.seen
        seen["given up"] += play.world.kinds().count("degraded")
    wanted = {"restarts", "additions", "given up", "fails_to_start", "dies_idle", "dies_at_work", "is_terminated"}
    if strategy != "one_for_one":
        wanted |= {"told", "dies_on_its_way"}
    assert wanted <= set(seen), "the model is of use only where all of this happens"
