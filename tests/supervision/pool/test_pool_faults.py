"""A pool under any order of events, held against what it promises of every job."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greenroom.messages.core.failures import Exit
from greenroom.supervision.jobs import Assigned, KillWorker, Release, Submit, Withdraw
from tests.supervision.memory import MemoryWorker, World, asleep

pytestmark = pytest.mark.slow

ENDS = st.sampled_from(
    [
        Exit(kind="signaled", signal="SIGKILL"),
        Exit(kind="signaled", signal="SIGKILL", injected=True),
        Exit(kind="exited", code=0),
        Exit(kind="backend_lost"),
        Exit(kind="out_of_memory"),
    ]
)
PICK = st.integers(0, 10**6)


class PoolUnderFaults(RuleBasedStateMachine):
    """Workers start, answer, die and are killed, and jobs come and go, in whatever order."""

    kind: Any = "tool"

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.kind, size=2, concurrency=2, strategy=self.strategy, starts=2, max_restarts=3)
        self.world.backend.on_spawn = asleep
        self.count = 0
        self.held: set[str] = set()
        self.withdrawn: dict[str, list[bool]] = {}

    strategy = "one_for_one"

    def pick(self, number: int) -> MemoryWorker:
        return self.world.backend.alive[number % len(self.world.backend.alive)]

    def someone_lives(self) -> bool:
        return bool(self.world.backend.alive)

    @rule(hold=st.booleans(), solo=st.booleans(), timeout=st.sampled_from([None, 0.5, 5.0]), prompt=st.booleans())
    def submit(self, *, hold: bool, solo: bool, timeout: float | None, prompt: bool) -> None:
        self.count += 1
        token = f"j{self.count}"
        if hold:
            self.held.add(token)
        self.world.pool.actor_ref.tell(
            Submit(self.world.owner.job(token, hold=hold, solo=solo and self.count % 3 == 0, timeout=timeout))
        )
        if prompt:
            self.world.wait()

    @precondition(lambda self: self.held)
    @rule(number=PICK)
    def release(self, number: int) -> None:
        token = sorted(self.held)[number % len(self.held)]
        self.held.discard(token)
        self.world.tell(Release(token))

    @precondition(someone_lives)
    @rule(number=PICK)
    def become_ready(self, number: int) -> None:
        worker = self.pick(number)
        if worker.pid is None:
            worker.become_ready()
            self.world.wait()

    @precondition(someone_lives)
    @rule(number=PICK, which=PICK)
    def answer(self, number: int, which: int) -> None:
        worker = self.pick(number)
        if worker.work:
            worker.answer(worker.work[which % len(worker.work)])
            self.world.wait()

    @precondition(someone_lives)
    @rule(number=PICK, end=ENDS)
    def die(self, number: int, end: Exit) -> None:
        self.pick(number).die(end)
        self.world.wait()

    @precondition(someone_lives)
    @rule(number=PICK, prompt=st.booleans(), obedient=st.booleans())
    def change_temper(self, number: int, *, prompt: bool, obedient: bool) -> None:
        worker = self.pick(number)
        worker.prompt, worker.obedient = prompt, obedient

    @precondition(someone_lives)
    @rule(number=PICK)
    def kill(self, number: int) -> None:
        self.world.tell(KillWorker(self.pick(number).spec.worker))

    @precondition(lambda self: self.count)
    @rule(number=PICK, grace=st.sampled_from([0.0, 2.0]))
    def withdraw(self, number: int, grace: float) -> None:
        self.world.wait()
        token = f"j{number % self.count + 1}"
        if token not in self.withdrawn:
            done = self.withdrawn[token] = []
            if self.world.owner.ends(token):
                del self.world.owner.heard[token][-1]  # it was over: the end was told before, and nothing follows it
            self.world.tell(Withdraw(token, grace=grace, done=lambda: done.append(True)))

    @rule(seconds=st.sampled_from([0.2, 1.0, 3.0]), beating=st.booleans())
    def time_passes(self, seconds: float, *, beating: bool) -> None:
        if beating:
            for worker in self.world.backend.alive:
                if worker.pid is not None:
                    worker.beat()
        self.world.wait(seconds)

    # ---------------------------------------------------------------- what always holds

    @invariant()
    def no_job_ends_twice_and_none_that_was_withdrawn_ends_at_all(self) -> None:
        for token in self.world.owner.heard:
            ends = self.world.owner.ends(token)
            assert len(ends) <= (token not in self.withdrawn), (token, ends)
            assert len(self.withdrawn.get(token, [])) <= 1

    @invariant()
    def no_job_runs_in_two_lives(self) -> None:
        sent = [token for worker in self.world.backend.lives for token in worker.work]
        assert len(sent) == len(set(sent)), "a token was sent twice"

    @invariant()
    def no_worker_has_more_than_its_capacity_and_the_pool_not_more_than_its_size(self) -> None:
        supervisor = self.world.pool.supervisor
        assert supervisor.permanent <= supervisor.size
        assert len(supervisor.slots) <= 2 * supervisor.size
        assert all(len(slot.jobs) <= slot.capacity for slot in supervisor.slots.values())
        assert sum(worker.pid is None for worker in self.world.backend.alive) <= self.world.gate.limit

    @invariant()
    def a_life_that_ran_a_solo_job_ran_nothing_else(self) -> None:
        for worker in self.world.backend.lives:
            slot = self.world.pool.supervisor.slots.get(worker.spec.worker)
            if slot is not None and slot.restart == "temporary" and slot.incarnation == worker.spec.incarnation:
                assert len(worker.work) <= 1

    def teardown(self) -> None:
        """After the last fault everything finishes."""
        try:
            self.finish()
        finally:
            self.world.loop.close()

    def finish(self) -> None:
        world = self.world
        world.backend.on_spawn = MemoryWorker.become_ready
        for token in self.held:
            world.tell(Release(token))
        for _ in range(200):
            world.wait(0.3)
            if not world.pool.dispatcher.unfinished and not any(worker.kills for worker in world.backend.alive):
                break
            for worker in list(world.backend.alive):
                worker.prompt = worker.obedient = True
                if worker.kills:
                    worker.die(worker.kills[0][0])
                elif worker.pid is None:
                    worker.become_ready()
                else:
                    worker.beat()
                    for token in worker.work:
                        worker.answer(token)
        for worker in world.backend.alive:
            worker.prompt = worker.obedient = True
        self.everything_has_ended()
        world.close()

    def everything_has_ended(self) -> None:
        world = self.world
        assert not world.pool.dispatcher.unfinished
        for token, heard in world.owner.heard.items():
            if token in self.withdrawn:
                assert self.withdrawn[token] == [True], token
            else:
                assert len(world.owner.ends(token)) == 1, (token, heard)
            assert not heard or token in self.withdrawn or not isinstance(heard[-1], Assigned)


class SharedWorkersUnderFaults(PoolUnderFaults):
    """The same where workers are concurrent and fall together."""

    kind = "llm"
    strategy = "rest_for_one"


TestPoolUnderFaults = PoolUnderFaults.TestCase
TestSharedWorkersUnderFaults = SharedWorkersUnderFaults.TestCase
for case in (TestPoolUnderFaults, TestSharedWorkersUnderFaults):
    case.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
