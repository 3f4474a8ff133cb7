"""Workers without processes, and a clock that jumps: for the logic of pools, where a test must say what happens when.

The backend keeps every promise of ``jobs.Backend`` that can be kept in memory: calls come on the loop's thread,
never from within ``spawn``, ``send`` or ``kill``; what a worker said is delivered before its end; ``exited`` comes once
and last.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable
from typing import Any

from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import (
    Completed,
    EndProgram,
    Execute,
    Heartbeat,
    Ready,
    Resolution,
    Resolve,
    StartProgram,
    Stop,
    Turn,
    WorkerSpec,
)
from greenroom.messages.options.policy import WorkerKind
from greenroom.supervision.jobs import (
    Answered,
    Assigned,
    Job,
    JobEvent,
    Lost,
    Pool,
    PoolKey,
    Submit,
    Unavailable,
)
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.pool.actor import PoolActor
from greenroom.supervision.pool.events import WorkerEvent
from greenroom.supervision.pool.workers.start_limiter import StartLimiter
from greenroom.supervision.pool.workers.worker_ids import Names
from greenroom.supervision.pool.workers.worker_supervisor import SharedResources

KILLED = Exit(kind="signaled", signal="SIGKILL")


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: where the loop would sleep, its clock is set forward instead."""

    loop: "JumpingLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self.loop.now += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when there is nothing else to do."""

    look = 0.0
    """Seconds that pass with each look at it. On a real clock that is never nothing, so timers which are set one after
    another for the same delay go off in that order; asyncio leaves open which is first of those due at one moment."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        self.now += self.look
        return self.now


class LoopReactor(Reactor):
    """A reactor on a loop that the test itself runs, in its own thread."""

    def __init__(self, loop: asyncio.SelectorEventLoop) -> None:
        super().__init__()
        self.loop.close()
        self.loop = loop
        self.thread_id = threading.get_ident()


class MemoryWorker:
    """One life of one worker. The test decides what it does."""

    def __init__(self, backend: "MemoryBackend", spec: WorkerSpec, listener: Any) -> None:
        self.backend, self.spec, self.listener = backend, spec, listener
        self.pid: int | None = None
        self.sent: list[Any] = []
        self.kills: list[tuple[Exit, int]] = []
        self.signals: list[int] = []
        self.alive = True
        self.obedient = True
        """Whether it ends when told to stop."""
        self.prompt = True
        """Whether a kill is confirmed at once."""
        self.hearing = False
        """Whether its heartbeats wait behind a long message."""
        self.reading = True
        """Whether it reads what it is sent."""
        self.read = 0
        """How many of the messages it was sent it has read."""

    # the pool's side

    def send(self, message: Any) -> int:
        self.sent.append(message)
        if self.reading and self.alive:
            self.read = len(self.sent)
        if isinstance(message, Stop) and self.obedient:
            self.backend.loop.call_soon(self.die, Exit(kind="exited", code=0))
        return len(self.sent)

    def mute(self, muted: bool) -> None:
        self.hearing = muted

    def kill(self, reason: Exit, *, signal: int = 9) -> None:
        self.kills.append((reason, signal))
        if self.prompt and (signal == 9 or self.obedient):
            self.backend.loop.call_soon(self.die, reason)

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number == 9:
            self.backend.loop.call_soon(self.die, KILLED.model_copy(update={"injected": True}))

    # the test's side

    def launch(self) -> None:
        if self.alive and self.pid is None:
            self.backend.pids += 1
            self.pid = self.backend.pids
            self.listener.spawned(self.pid)

    def become_ready(self) -> None:
        if self.alive:
            self.launch()
            self.say(Ready())

    def say(self, message: Any) -> None:
        if self.alive:
            self.listener.received(message)

    def beat(self, busy: float = 0.0, run_id: str | None = None) -> None:
        self.say(Heartbeat(busy=busy, run_id=run_id))

    def die(self, end: Exit = KILLED) -> None:
        if self.alive:
            self.alive = False
            self.backend.alive.remove(self)
            self.listener.died()
            self.listener.exited(end, self.read)

    def die_unconfirmed(self) -> None:
        """Be dead, while the end is not confirmed: ``die`` reports it."""
        self.reading = False
        self.listener.died()

    @property
    def work(self) -> list[str]:
        """Tokens of the jobs that it has read, in order."""
        return [message.token for message in self.sent[: self.read] if isinstance(message, Execute)]

    def answer(self, token: str) -> None:
        self.say(Completed(token=token, result=token, duration=0.0))


class MemoryBackend:
    """A ``Backend`` of such workers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pids = 100
        self.lives: list[MemoryWorker] = []
        self.alive: list[MemoryWorker] = []
        self.on_spawn: Callable[[MemoryWorker], None] = MemoryWorker.become_ready
        """What a fresh worker does by itself."""
        self.failure: Exception | None = None
        self.holds_mb = 0
        self.loading: asyncio.Event | None = None
        self.closed = False
        self.on_lost: Callable[[str], None] = lambda _why: None

    @property
    def detail(self) -> str:
        return f"{len(self.alive)} alive"

    async def start(self) -> None:
        if self.loading is not None:
            await self.loading.wait()
        if self.failure is not None:
            raise self.failure

    def spawn(self, spec: WorkerSpec, listener: Any) -> MemoryWorker:
        worker = MemoryWorker(self, spec, listener)
        self.lives.append(worker)
        self.alive.append(worker)
        self.loop.call_soon(self.on_spawn, worker)
        return worker

    async def close(self) -> None:
        self.closed = True
        for worker in list(self.alive):
            worker.die(Exit(kind="stopped"))


class Owner:
    """Whoever gave jobs to a pool: keeps what it heard of each."""

    def __init__(self) -> None:
        self.heard: dict[str, list[JobEvent]] = {}

    def job(self, token: str, frame: Any = None, **options: Any) -> Job:
        self.heard[token] = []
        return Job(
            token=token,
            run_id=options.pop("run_id", f"run-of-{token}"),
            label=options.pop("label", "search"),
            frame=execute(token) if frame is None else frame,
            reply=self.heard[token].append,
            **options,
        )

    def ends(self, token: str) -> list[JobEvent]:
        return [event for event in self.heard[token] if not isinstance(event, Assigned)]

    def end(self, token: str) -> JobEvent:
        (end,) = self.ends(token)
        return end

    def lost(self, token: str) -> Lost:
        end = self.end(token)
        assert isinstance(end, Lost), end
        return end

    def worker(self, token: str) -> str:
        return [event for event in self.heard[token] if isinstance(event, Assigned)][-1].worker

    def charged(self, token: str) -> bool:
        """Whether the job's newest event is a loss that it was charged with."""
        event = self.heard[token][-1]
        return isinstance(event, Lost) and event.charged

    def answered(self, token: str) -> bool:
        return any(isinstance(event, Answered) for event in self.heard[token])

    def refusal(self, token: str) -> str:
        end = self.end(token)
        assert isinstance(end, Unavailable), end
        return end.reason


async def settle(seconds: float) -> None:
    """Sleep, and then see what follows from what follows, without letting time pass."""
    await asyncio.sleep(seconds)
    for _ in range(10):
        await asyncio.sleep(0)


def asleep(_worker: MemoryWorker) -> None:
    """Do nothing: a fresh worker that leaves it to the test."""


class World:
    """One pool of memory workers on a jumping clock."""

    def __init__(self, kind: WorkerKind = "tool", *, opened: bool = True, starts: int = 64, **policy: Any) -> None:
        self.loop = JumpingLoop()
        self.reactor = LoopReactor(self.loop)
        self.backend = MemoryBackend(self.loop)
        self.owner = Owner()
        self.events: list[WorkerEvent] = []
        self.gate = StartLimiter(starts)
        resources = SharedResources(self.loop, self.gate, Names(), self.events.append, lambda: 0.5)
        key = PoolKey("app.py", kind, kind)
        self.pool = PoolActor.create(self.reactor, key, Pool(**policy), self.backend, resources=resources)
        if opened:
            self.pool.open()

    def close(self) -> None:
        done: list[bool] = []
        self.pool.close(lambda: done.append(True), grace=1.0)
        self.wait(10.0)
        self.loop.close()
        assert done
        assert not self.backend.alive

    def wait(self, seconds: float = 0.0) -> None:
        """Let everything happen that does within so many seconds of the loop's time."""
        self.loop.run_until_complete(settle(seconds))

    def wait_beating(self, seconds: int) -> None:
        """The same, with every worker in good health."""
        for _ in range(seconds):
            for worker in self.backend.alive:
                worker.beat()
            self.wait(1.0)

    def tell(self, message: Any) -> None:
        self.pool.actor_ref.tell(message)
        self.wait()

    def submit(self, token: str, frame: Any = None, **options: Any) -> None:
        self.tell(Submit(self.owner.job(token, frame, **options)))

    def life(self, token: str) -> MemoryWorker:
        """The newest life that was sent this job."""
        return next(worker for worker in reversed(self.backend.lives) if token in worker.work)

    def starts(self) -> list[str]:
        return [f"{worker.spec.worker}/{worker.spec.incarnation}" for worker in self.backend.lives]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def execute(token: str, key: str = "search#1") -> Execute:
    return Execute(
        run_id="run",
        key=key,
        name="search",
        step="app:search",
        attempt=1,
        token=token,
        arguments=None,
        idempotency_key="i",
    )


def start(run_id: str) -> StartProgram:
    return StartProgram(run_id=run_id, workflow="research", arguments={}, started_at=0.0)


def resolve(run_id: str) -> Resolve:
    return Resolve(run_id=run_id, resolution=Resolution(key="k", kind="result"))


def turn(run_id: str) -> Turn:
    return Turn(run_id=run_id)


def farewell(run_id: str) -> EndProgram:
    return EndProgram(run_id=run_id)
