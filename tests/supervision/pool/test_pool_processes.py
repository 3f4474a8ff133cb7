"""A pool over the zygote's real processes: what the memory workers of the other tests stand for."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest

from greenroom.messages.core.json_text import plain
from greenroom.messages.frames.worker import Completed, Execute, Progress
from greenroom.supervision.jobs import Answered, Assigned, JobEvent, Lost, Pool, PoolKey
from greenroom.supervision.pool.events import WorkerEvent
from greenroom.supervision.tree import Tree
from tests.supervision.harness import PATIENCE, Scene
from tests.supervision.memory import LoopReactor, Owner

pytestmark = pytest.mark.slow

TOOL = PoolKey("plain", "tool", "tool")


class Stage:
    """A tree over a zygote, on a loop of the test's own thread."""

    def __init__(self, app: str = "plain", **policy: Any) -> None:
        self.scene = Scene("zygote", app)
        self.events: list[WorkerEvent] = []
        self.owner = Owner()
        self.changed = asyncio.Event()
        self.tree = Tree(
            LoopReactor(self.scene.loop),
            lambda _app, _key, _pool: self.scene.backend,
            {"tool": Pool(**policy)},
            on_event=self._note,
        )

    def _note(self, event: WorkerEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def run(self, story: Any) -> Any:
        return self.scene.run(story)

    def submit(self, token: str, name: str, argument: Any = None, **options: Any) -> Any:
        frame = Execute(
            run_id="r",
            key=token,
            name=name,
            step="m:f",
            attempt=1,
            token=token,
            arguments=argument,
            idempotency_key="i",
        )
        job = self.owner.job(token, frame, label=name, **options)

        def reply(event: JobEvent) -> None:
            job.reply(event)
            self.changed.set()

        return self.tree.submit(TOOL, None, replace(job, reply=reply))

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE):
            while not (found := condition()):
                self.changed.clear()
                await self.changed.wait()
        return found

    async def begun(self, token: str) -> None:
        """Wait until a job that reports has done so."""
        await self.until(lambda: any(isinstance(event, Answered) for event in self.owner.heard[token]))

    async def end(self, token: str) -> JobEvent:
        def ends() -> list[JobEvent]:
            events = self.owner.ends(token)
            return [e for e in events if not (isinstance(e, Answered) and isinstance(e.message, Progress))]

        (end,) = await self.until(ends)
        return end

    async def lost(self, token: str) -> Lost:
        end = await self.end(token)
        assert isinstance(end, Lost), end
        return end

    async def result(self, token: str) -> Any:
        end = await self.end(token)
        assert isinstance(end, Answered), end
        assert isinstance(end.message, Completed)
        return plain(end.message.result)

    async def pid(self, token: str) -> int:
        """Give the process that the job was given to last."""
        given = await self.until(lambda: [e for e in self.owner.heard[token] if isinstance(e, Assigned)])
        return given[-1].pid

    async def ready(self, count: int) -> WorkerEvent:
        return (await self.until(lambda: [e for e in self.events if e.kind == "ready"][count - 1 :]))[0]

    def close(self) -> None:
        try:
            self.run(self.tree.close(grace=1.0))
        finally:
            self.scene.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(size=2)
    yield stage
    stage.close()


def test_a_job_crosses_to_a_process_and_back(stage: Stage) -> None:
    async def story() -> None:
        stage.submit("a", "describe_self")
        told = await stage.result("a")
        (worker,) = stage.tree.workers()
        assert (worker.id, worker.status, worker.pid) == ("tool-1", "idle", told["pid"])
        assert worker.rss_bytes
        assert worker.rss_bytes > 1_000_000

    stage.run(story())


@pytest.mark.parametrize(
    ("name", "argument", "kind", "detail"),
    [
        ("kill_self", signal.SIGKILL, "signaled", "SIGKILL"),
        ("segfault", None, "signaled", "SIGSEGV"),
        ("leave", 3, "exited", 3),
        ("send_bytes", "json", "garbage", None),
    ],
)
def test_a_worker_that_dies_of_its_job_is_charged_to_it_and_replaced(
    stage: Stage, name: str, argument: Any, kind: str, detail: Any
) -> None:
    async def story() -> None:
        stage.submit("healthy", "wait_for_ever")
        stage.submit("a", name, argument)
        lost = await stage.lost("a")
        assert lost.charged
        assert lost.exit.kind == kind
        assert detail in {None, lost.exit.signal, lost.exit.code}
        stage.submit("b", "echo", "still here")
        assert await stage.result("b") == "still here"
        assert stage.owner.ends("healthy") == []

    stage.run(story())


@pytest.mark.parametrize("app", ["seated", "crowded"])
def test_a_pool_that_cannot_grow_goes_on_with_the_workers_it_has(app: str) -> None:
    stage = Stage(app, size=6, max_restarts=1)

    async def story() -> None:
        for number in range(40):
            stage.submit(f"j{number}", "echo", number)
        assert [await stage.result(f"j{number}") for number in range(40)] == list(range(40))
        assert "degraded" not in [event.kind for event in stage.events]

    async def while_busy() -> None:
        for number in range(6):
            stage.submit(f"b{number}", "report_and_wait", f"b{number}")
        short = await stage.until(lambda: [event for event in stage.events if event.kind == "short"])
        assert "cannot begin more" in short[0].detail
        assert ("exited with code 3" if app == "seated" else "Resource temporarily unavailable") in short[0].detail

    try:
        stage.run(story())
        stage.run(while_busy())
    finally:
        stage.close()


def test_siblings_are_shut_down_in_order_and_each_in_the_way_that_it_needs() -> None:
    stage = Stage(size=4, strategy="one_for_all")

    async def story() -> None:
        for number in range(1, 5):
            if number == 2:
                stage.submit("deaf", "ignore_term")
                await stage.result("deaf")
            stage.submit(f"w{number}", "report_and_wait" if number < 4 else "echo", f"w{number}")
            await stage.ready(number)
        for number in range(1, 4):
            await stage.begun(f"w{number}")
        assert await stage.result("w4") == "w4"
        workers = {worker.id: worker.pid for worker in stage.tree.workers()}
        assert workers["tool-1"]
        os.kill(workers["tool-1"], signal.SIGKILL)
        again = await stage.until(lambda: [e for e in stage.events if e.kind == "started"][4:])
        assert again[0].worker == "tool-1"
        ends = [(event.worker, event.exit) for event in stage.events if event.kind == "exited"]
        assert [worker for worker, _ in ends] == ["tool-1", "tool-4", "tool-3", "tool-2"]
        (_, idle), (_, busy), (_, deaf) = ends[1:]
        assert idle is not None
        assert idle.detail == "it is restarted together with tool-1"
        assert idle.code == 0, "it read the frame and ended by itself"
        assert idle.signal is None
        assert busy is not None
        assert (busy.kind, busy.signal) == ("stopped", "SIGTERM")
        assert deaf is not None
        assert (deaf.kind, deaf.signal) == ("stopped", "SIGKILL")
        for token in ("w2", "w3"):
            assert not (await stage.lost(token)).charged

    try:
        stage.run(story())
    finally:
        stage.close()


def test_an_idle_worker_that_is_killed_is_replaced_without_being_asked(stage: Stage) -> None:
    async def story() -> None:
        stage.submit("a", "echo")
        await stage.result("a")
        (worker,) = stage.tree.workers()
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        again = await stage.ready(2)
        assert (again.worker, again.incarnation) == ("tool-1", 2)
        assert again.pid != worker.pid

    stage.run(story())


def test_an_injected_kill_is_charged_to_nobody(stage: Stage) -> None:
    async def story() -> None:
        stage.submit("a", "report_and_wait", "a")
        await stage.begun("a")
        stage.tree.kill("tool-1")
        lost = await stage.lost("a")
        assert lost.exit.injected
        assert not lost.charged

    stage.run(story())


def test_a_worker_that_is_restarted_by_order_comes_back_at_once_and_nobody_is_charged(stage: Stage) -> None:
    async def story() -> None:
        stage.submit("a", "report_and_wait", "a")
        await stage.begun("a")
        stage.tree.restart("tool-1")
        lost = await stage.lost("a")
        assert (lost.exit.kind, lost.exit.detail, lost.charged) == ("stopped", "it was restarted by order", False)
        await stage.ready(2)
        (worker,) = stage.tree.workers()
        assert (worker.id, worker.incarnation, worker.restarts) == ("tool-1", 2, 1)

    stage.run(story())


@pytest.mark.parametrize("name", ["wait_for_ever", "hold_the_lock", "burn"])
def test_a_deadline_ends_any_code_and_says_where_it_stood(stage: Stage, name: str) -> None:
    async def story() -> None:
        stage.submit("a", name, timeout=0.3)
        lost = await stage.lost("a")
        assert lost.exit.kind == "timeout"
        assert lost.charged
        assert name in lost.exit.stderr
        await stage.ready(2)

    stage.run(story())


def test_a_stopped_process_is_found_and_replaced(stage: Stage) -> None:
    async def story() -> None:
        stage.submit("a", "wait_for_ever")
        pid = await stage.pid("a")
        os.kill(pid, signal.SIGSTOP)
        lost = await stage.lost("a")
        assert lost.exit.kind == "hung"
        assert lost.charged
        assert not psutil.pid_exists(pid)

    stage.run(story())


def test_no_process_of_a_withdrawn_job_is_left_when_that_is_said(stage: Stage) -> None:
    async def story() -> None:
        stage.submit("a", "family")
        family = await stage.result("a")
        job = stage.submit("b", "wait_for_ever")
        pid = await stage.pid("b")
        done = asyncio.Event()
        job.withdraw(done=done.set)
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        assert not any(psutil.pid_exists(each) for each in (pid, *family))
        assert stage.owner.ends("b") == []

    stage.run(story())


def test_a_lost_zygote_costs_time_and_blames_nobody(stage: Stage) -> None:
    async def story() -> None:
        stage.submit("a", "report_and_wait", "a")
        await stage.begun("a")
        pid = await stage.pid("a")
        zygote = psutil.Process(pid).parent()
        assert zygote is not None
        zygote.kill()
        lost = await stage.lost("a")
        assert lost.exit.kind == "backend_lost"
        assert not lost.charged
        stage.submit("b", "echo", 1)
        assert await stage.result("b") == 1
        assert "degraded" not in [event.kind for event in stage.events]

    stage.run(story())


def test_closing_ends_every_process(stage: Stage) -> None:
    async def story() -> list[int]:
        stage.submit("a", "echo")
        stage.submit("b", "wait_for_ever")
        await stage.result("a")
        await stage.until(lambda: stage.owner.heard["b"])
        pids = [worker.pid for worker in stage.tree.workers() if worker.pid]
        await stage.tree.close(grace=0.2)
        assert not stage.owner.lost("b").charged
        return pids

    pids = stage.run(story())
    assert pids
    assert not any(psutil.pid_exists(pid) for pid in pids)
