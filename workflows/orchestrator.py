"""The orchestrator: chooses the concrete parts, starts them in order, and ends them in reverse."""

import asyncio
import itertools
import os
import random
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from loguru import logger
from pydantic import BaseModel

from understudy.actors import app as apps
from understudy.journal.memory import MemoryJournal
from understudy.journal.protocol import Journal
from understudy.journal.sqlite import SqliteJournal
from understudy.messages.base import Json
from understudy.messages.commands import (
    Accepted,
    Command,
    KillWorker,
    ListWorkers,
    Refused,
    Reply,
    ShowTree,
    StartRun,
    Tree,
    Workers,
)
from understudy.messages.errors import HomeInUse, JournalError, OrchestratorClosed, WorkerNotFound
from understudy.messages.records import ActorRecord, RunRecord, RunStatus, WorkerRecord
from understudy.metrics import log
from understudy.metrics.figures import Metrics
from understudy.supervision.backend_spawn import SpawnBackend
from understudy.supervision.backend_zygote import ZygoteBackend
from understudy.supervision.generation import GenerationLock
from understudy.supervision.protocol import Backend, Entry, Pool, PoolKey
from understudy.supervision.reactor import Reactor
from understudy.supervision.tree import Tree as SupervisionTree
from understudy.supervision.worker_events import WorkerEvent
from understudy.workflows.clerk import Clerk
from understudy.workflows.door import Door
from understudy.workflows.handle import Run, check
from understudy.workflows.home import Home, OwnerLock
from understudy.workflows.reads import Reads
from understudy.workflows.runs import CLOSED, Runs
from understudy.workflows.services import Services
from understudy.workflows.workflow import Workflow

R = TypeVar("R")
Durability = Literal["full", "process"]

ID_SIGNS: Final = "23456789bcdfghjkmnpqrstvwxz"
"""What new run ids end in: nothing that is taken for something else, or spells a word."""
MAX_ID: Final = 200
"""Characters a run id may have."""
SWITCH_INTERVAL: Final = 0.0005
"""Seconds after which a thread that waits for the interpreter gets it. The journal's writer comes back from the disk in
the middle of the reactor's work; at Python's default of 5 ms every commit waits as long as that."""
CLOSE_GRACE: Final = 0.5
"""Seconds that workers have to end by themselves. The idle ones need milliseconds; what the others still do could not
be recorded any more, and is done again by whoever opens the journal next."""
CLOSE_TIMEOUT: Final = 30.0
"""Seconds that all processes together have to end."""


class Orchestrator:
    """Runs workflows, keeps their journal, and supervises the processes they run in.

    It works from the moment it is made until ``close``, or the end of the ``with`` block it is used in. Runs that have
    not ended by then stay in the journal and are taken up by the next orchestrator that opens it. May be used from any
    thread; user code never runs in its process.

    Args:
        journal: Path of the journal; None means ``journal.db`` in the home, ``":memory:"`` one that ends with the
        process. home: Folder where other processes find this orchestrator; None means ``UNDERSTUDY_HOME`` or
        ``.understudy``. pools: How workers are kept, by a pool's name or kind (``"program"``, ``"tool"``, ``"llm"``,
        ``"evaluator"``). durability: ``"full"``: on the disk before it is visible. ``"process"``: survives the death of
        any process, and may
            lose the last moments on power loss.
        recover: Take up the runs that the journal says are not over.

    Raises:
        HomeInUse: Another orchestrator that is alive owns the journal or the home.
        JournalError: The journal cannot be opened; see its subclasses.
    """

    def __init__(
        self,
        journal: str | os.PathLike[str] | None = None,
        *,
        home: str | os.PathLike[str] | None = None,
        pools: Mapping[str, Pool] | None = None,
        durability: Durability = "full",
        recover: bool = True,
    ) -> None:
        """Start everything. Blocks until the journal is open and what an earlier life left behind is gone."""
        if apps.loading:
            raise apps.ImportEnded
        self._closers: list[Callable[[], object]] = []
        self._failure: JournalError | None = None
        self._ending: asyncio.Task[None] | None = None
        """The end of all processes, once it has begun. Reactor's thread only."""
        self._closing = threading.Lock()
        self._closed = False
        self.home = Home(home)
        try:
            self._start(journal, dict(pools or {}), durability, own_home=home is not None or journal is None)
        except BaseException:
            self.close()
            raise
        if recover:
            self._reactor.call(self._runs.recover)

    def __repr__(self) -> str:
        """Say where it works and whether it still does."""
        return f"<Orchestrator on {self._place}, {'closed' if self._closed else 'open'}>"

    # ------------------------------------------------------------ life

    def _start(
        self, journal: str | os.PathLike[str] | None, pools: dict[str, Pool], durability: Durability, *, own_home: bool
    ) -> None:
        """Start the parts in the order in which they need each other; ``close`` ends them in reverse."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(min(interval, SWITCH_INTERVAL))
        self._closers.append(partial(sys.setswitchinterval, interval))
        self.home.create()
        reachable = self._lock_home(required=own_home)
        in_memory = journal is not None and os.fspath(journal) == ":memory:"
        self._place = ":memory:" if in_memory else str(Path(journal or self.home.path / "journal.db").absolute())
        generation = GenerationLock(self._claim(in_memory=in_memory))
        generation.acquire()
        self._closers.append(generation.release)
        self._journal: Journal = MemoryJournal() if in_memory else SqliteJournal(self._place, durability=durability)
        self._closers.append(self._journal.close)
        self.reads = Reads(self._journal)
        self._reactor = Reactor()
        self._reactor.start()
        self._closers.append(self._reactor.stop)
        counter = itertools.count(1)
        epoch = self._journal.epoch
        mint = lambda: f"{epoch}:{next(counter)}"  # noqa: E731  one line says it all
        self._tree = SupervisionTree(
            self._reactor,
            partial(self._backend, generation),
            pools=pools,
            on_event=_log_worker,
        )
        self._closers.append(self._end_processes)
        self._runs = Runs()
        self._runs.attach(
            Services(
                reactor=self._reactor,
                journal=self._journal,
                submit=self._tree.submit,
                directory=self._runs,
                mint=mint,
                clock=time.time,
                random=random.random,
                fatal=self._fail,
                observe=log.record,
            )
        )
        self._closers.append(lambda: self._on_reactor(self._runs.close))
        self._clerk = Clerk(self._runs, self._tree, mint, self._refusal)
        if reachable:
            door = Door(self.home, self._clerk.carry_out)
            self._reactor.submit(door.open()).result()
            self._closers.append(lambda: self._reactor.submit(door.close()).result())
            self.home.write_record(journal=self._place)

    def _lock_home(self, *, required: bool) -> bool:
        """Take the home; one that was only the default may belong to another orchestrator with another journal."""
        lock = OwnerLock(self.home.path / "orchestrator.lock")
        try:
            lock.acquire(f"the home {self.home.path}")
        except HomeInUse as error:
            if required:
                raise
            logger.warning("commands from other processes will not reach this orchestrator: {}", error)
            return False
        self._closers.append(lock.release)
        return True

    def _claim(self, *, in_memory: bool) -> Path:
        """Own the journal; give the path of the lock that every process of ours inherits."""
        if in_memory:
            folder = tempfile.TemporaryDirectory(prefix="understudy-")
            self._closers.append(folder.cleanup)
            return Path(folder.name) / "workers.lock"
        place = Path(self._place)
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            msg = f"the journal {place} cannot be created: {error.strerror}"
            raise JournalError(msg) from error
        lock = OwnerLock(place.with_name(place.name + ".lock"))
        lock.acquire(f"the journal {place}")
        self._closers.append(lock.release)
        return place.with_name(place.name + ".workers")

    def _backend(self, generation: GenerationLock, app: str, _key: PoolKey, pool: Pool) -> Backend:
        entry = Entry(preload="understudy.actors.app:preload", main="understudy.actors.host:main", path=tuple(sys.path))
        kind = ZygoteBackend if pool.backend == "zygote" else SpawnBackend
        env = ("UNDERSTUDY_MODEL", *pool.env)
        return kind(app, entry, self._reactor.loop, generation=generation, env=env)

    def close(self) -> None:
        """Stop everything and let go of the journal. Runs that are going on are taken up next time. May be repeated."""
        with self._closing:
            self._closed = True
            while self._closers:
                self._closers.pop()()

    def __enter__(self) -> Self:
        """Use it as a context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _end_processes(self) -> None:
        self._reactor.submit(self._close_tree()).result(CLOSE_TIMEOUT)

    async def _close_tree(self) -> None:
        """End every process, once, whoever asks first. The loop must not stop before that is over."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._tree.close(CLOSE_GRACE))
        await self._ending

    def _on_reactor(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        self._reactor.submit(call()).result()

    def _fail(self, error: JournalError) -> None:
        """The journal takes nothing more: nothing may be acknowledged, so everything stops. Reactor's thread."""
        if self._failure is None:
            self._failure = error
            logger.error("the orchestrator stops, because its journal failed: {}", error)
            self._runs.close()
            self._ending = asyncio.get_running_loop().create_task(self._tree.close(CLOSE_GRACE))

    def check_alive(self) -> None:
        """Do nothing while the orchestrator works.

        Raises:
            OrchestratorClosed: It was closed, or stopped because its journal failed.
        """
        if self._failure is not None:
            msg = f"the orchestrator has stopped, because its journal failed: {self._failure}"
            raise OrchestratorClosed(msg) from self._failure
        if self._closed:
            raise OrchestratorClosed(CLOSED)

    # ------------------------------------------------------------ runs

    def start(self, workflow: Workflow[..., R], *args: Any, id: str | None = None, **kwargs: Any) -> Run[R]:  # noqa: A002
        """Start a run, or find the one that ``id`` started before; returns once it is on the disk.

        Args:
            workflow: What to run.
            args: Its arguments.
            id: Identity of the run: letters, digits, ``.``, ``_`` and ``-``. Starting twice with the same id, workflow
            and
                arguments gives the same run. None makes a new one.
            kwargs: Its keyword arguments.

        Raises:
            InvalidInput: The arguments do not fit the workflow's signature; every field at fault is named.
            IdConflict: The id belongs to a run of another workflow or with other arguments.
            DefinitionError: The workflow is not defined where a worker could find it.
            OrchestratorClosed: The orchestrator has stopped.
        """
        command = StartRun(
            run_id=run_id(id, workflow.name),
            app=workflow.definition.app,
            workflow=workflow.name,
            arguments=workflow.bind(*args, **kwargs),
        )
        self.check_alive()
        reply = check(self._reactor.submit(self._clerk.launch(command)).result())
        assert isinstance(reply, Accepted)
        return self._handle(command.run_id, workflow)

    def start_app(self, app: str, workflow: str, arguments: Mapping[str, Json], *, id: str | None = None) -> Run[Json]:  # noqa: A002
        """Start a run of a workflow that only workers import. The result is plain JSON.

        Args:
            app: Path of the file, or dotted name of the module, that defines the workflow.
            workflow: Its name there.
            arguments: By parameter name, as JSON or as the words of a command line; a worker reads them by the
            signature.
            id: Identity of the run; see ``start``.

        Raises:
            InvalidInput: The arguments do not fit, or the app cannot be loaded.
            RunNotFound: The app has no such workflow.
            IdConflict: See ``start``.
        """
        path = Path(app)
        command = StartRun(
            run_id=run_id(id, workflow),
            app=str(path.absolute()) if path.suffix == ".py" else app,
            workflow=workflow,
            arguments=dict(arguments),
        )
        check(self.send(command))
        return self._handle(command.run_id, None)

    def get(self, run_id: str) -> Run[Any]:
        """Give the handle of a run that exists.

        Raises:
            RunNotFound: There is none with this id.
        """
        self.reads.run(run_id)
        return self._handle(run_id, None)

    def _handle(self, run_id: str, workflow: Workflow[..., Any] | None) -> Run[Any]:
        if workflow is None:
            return Run(self, run_id, _as_it_is, _as_it_is)
        model = workflow.definition.state_model
        return Run(self, run_id, workflow.decode_result, _as_it_is if model is None else partial(_read_state, model))

    def runs(self, status: RunStatus | None = None, name: str | None = None, limit: int = 100) -> list[RunRecord]:
        """Give the newest runs first, of one status and one workflow where asked for."""
        return self.reads.runs(status, name, limit)

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> Callable[[], None]:
        """Have ``watcher`` called on every change of a run, or at its end; gives the function that ends this."""
        self._reactor.call(partial(self._runs.watch, run_id, watcher, end_only=end_only))
        return lambda: self._reactor.call(self._runs.unwatch, run_id, watcher)

    # ------------------------------------------------------------ control

    def send(self, command: Command) -> Reply:
        """Carry out any command of ``understudy.messages.commands``; what the reply says is on the disk.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """
        self.check_alive()
        return self._reactor.submit(self._clerk.carry_out(command)).result()

    def _refusal(self, run_id: str) -> Refused | None:
        """Say why a run takes no message: there is none. A thread of the reactor's executor."""
        if self._journal.run(run_id) is None:
            return Refused(code="not_found", message=f"there is no run {run_id!r}")
        return None

    def workers(self) -> list[WorkerRecord]:
        """Give the worker processes of this moment."""
        reply = self.send(ListWorkers())
        assert isinstance(reply, Workers)
        return list(reply.workers)

    def kill(self, worker_id: str, signal: int = 9) -> None:
        """Send a signal to a worker, as an injected fault that no step is charged with.

        Raises:
            WorkerNotFound: No worker with this id is alive.
        """
        reply = self.send(KillWorker(worker=worker_id, signal=signal))
        if isinstance(reply, Refused):
            raise WorkerNotFound(reply.message)

    def tree(self) -> ActorRecord:
        """Give the supervision tree of this moment."""
        reply = self.send(ShowTree())
        assert isinstance(reply, Tree)
        return reply.root

    def metrics(self) -> Metrics:
        """Fold the journal to figures: latencies, retries, crashes, success and failure per workflow and step."""
        return self.reads.metrics()


def _as_it_is(json: Json) -> Json:
    return json


def _read_state(model: type[BaseModel], json: Json) -> BaseModel:
    """Read a shared state; a run that has not changed it yet has the state it started with."""
    return model.model_validate(json if json is not None else {})


def _log_worker(event: WorkerEvent) -> None:
    """Log what happened to a worker. Reactor's thread."""
    detail = event.detail or (event.exit.sentence() if event.exit is not None else "")
    log.record_worker(worker=event.worker, pid=event.pid, incarnation=event.incarnation, what=event.kind, detail=detail)


def run_id(given: str | None, workflow: str) -> str:
    """Check an id, or make one that was never used.

    Raises:
        ValueError: It is empty, too long, or holds other characters than letters, digits, ``.``, ``_`` and ``-``.
    """
    if given is None:
        return f"{workflow}-{''.join(secrets.choice(ID_SIGNS) for _ in range(8))}"
    if not 1 <= len(given) <= MAX_ID or not all(sign.isascii() and (sign.isalnum() or sign in "._-") for sign in given):
        msg = f"a run id is 1 to 200 letters, digits, '.', '_' or '-', not {given!r}"
        raise ValueError(msg)
    return given
