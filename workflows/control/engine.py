"""The parts of an orchestrator: which concrete ones there are, started in the order in which they need each other."""

import asyncio
import itertools
import os
import random
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

from loguru import logger

from greenroom.journal.interface import Journal
from greenroom.journal.memory import MemoryJournal
from greenroom.journal.sqlite.errors import translate
from greenroom.journal.sqlite.file import make_file, refuse_network
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.commands import Accepted, Command, PutSchedule, Refused, Reply, StartRun, TellSession
from greenroom.messages.core.errors import HomeInUse, JournalError, OrchestratorClosed
from greenroom.messages.events.events import RunStarted
from greenroom.messages.policy import SessionPolicy
from greenroom.messages.records import ENDED
from greenroom.metrics import log
from greenroom.supervision.jobs import Backend, Pool, PoolKey
from greenroom.supervision.kernel.concealment import CONCEALMENT
from greenroom.supervision.kernel.connection_limit import report_exhaustion
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.kernel.process_settings import SETTINGS
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.pool.events import OF_POOLS, WorkerEvent
from greenroom.supervision.pool.worker_slot import START_TIMEOUT
from greenroom.supervision.tree import Tree
from greenroom.supervision.zygote.backend import START_TIMEOUT as IMPORT_TIMEOUT
from greenroom.workflows.clock import Clock
from greenroom.workflows.control.command_handler import CommandHandler
from greenroom.workflows.control.control_socket import ControlSocketServer
from greenroom.workflows.control.idle import IdleMonitor
from greenroom.workflows.control.visitors import Visitors
from greenroom.workflows.control.worker_backends import Apps, make_backend
from greenroom.workflows.home.home import MEMORY, OWN_HOME, Home, OwnerLock, lock_path
from greenroom.workflows.home.private_files import make_folder, real_path
from greenroom.workflows.output.collector import OutputCollector
from greenroom.workflows.output.live_view import Viewer
from greenroom.workflows.output.log_files import folder_of
from greenroom.workflows.queries.reader import JournalQueries
from greenroom.workflows.queries.reindex import mend
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.message_router import MessageRouter
from greenroom.workflows.runs.parked import ParkedRuns
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.runs.watching.snapshot import Snapshot
from greenroom.workflows.scheduler.registry import Schedules

T = TypeVar("T")
Durability: TypeAlias = Literal["full", "process"]

OVER: Final = ENDED | {"parked"}
"""Statuses in which a run needs no orchestrator."""
GRACE: Final = 2.0
"""Seconds that the steps which run when an orchestrator is closed have to end, unless told otherwise."""
CLOSE_GRACE: Final = 0.2
"""Seconds that workers have to end by themselves after that. The idle ones need milliseconds; what the others still do
cannot be recorded any more, and is done again by whoever opens the journal next."""
CLOSE_TIMEOUT: Final = 30.0
"""Seconds that all processes together have to end."""


class Engine:
    """Everything below the public face of an orchestrator: journal, reactor, supervision tree, runs, door.

    Args:
        journal: Path of the journal, ``":memory:"``, or None for the one of the home.
        home: Where commands come in.
        own_home: Refuse to start where the home belongs to another orchestrator; False where it was not asked for: then
            the journal gets a home of its own, beside it, and what has no file is not reached by other processes.
        pools: How workers are kept, by a pool's name or kind.
        durability: See ``Orchestrator``.
        clock: Whose time the runs go by.
        viewer: Sees what workers write, as they do; None for nobody.
        apps: How apps are imported.

    Raises:
        HomeInUse: Another orchestrator that is alive owns the journal or the home.
        JournalError: The journal cannot be opened.
    """

    def __init__(
        self,
        journal: str | os.PathLike[str] | None,
        home: Home,
        *,
        own_home: bool,
        pools: Mapping[str, Pool],
        durability: Durability,
        clock: Clock,
        viewer: Viewer | None,
        apps: Apps,
    ) -> None:
        """Start every part, or none."""
        self._apps = apps
        self.slow_imports = apps.slow
        """The imports that take long at this moment."""
        self.slow_imports.listen(lambda app, slow: logger.warning("{} {}", app, slow.sentence()))
        home.check()
        self.place = _place(journal, home)
        self.home = home if journal is None or self.place == MEMORY else Home(home.path, self.place)
        """Where commands come in; the one that is found by the journal."""
        self.closed = False
        self._pid = os.getpid()
        self.failure: JournalError | None = None
        """Why the journal takes nothing more. Written by the reactor's thread, read by all."""
        self._closers: list[Callable[[], object]] = []
        """What ends the parts, in the order of their start. They are ended in reverse."""
        self._reachable = False
        """Whether the home is this orchestrator's."""
        self._closing = threading.Lock()
        self._grace = GRACE
        """Seconds that steps have to end. Written by ``close``."""
        self._ending: asyncio.Task[None] | None = None
        """The end of all processes, once it has begun. Reactor's thread only."""
        try:
            self._start(own_home=own_home, pools=pools, durability=durability, clock=clock, viewer=viewer)
        except BaseException:
            self.close()
            raise

    def _start(
        self,
        *,
        own_home: bool,
        pools: Mapping[str, Pool],
        durability: Durability,
        clock: Clock,
        viewer: Viewer | None,
    ) -> None:
        for setting in (*SETTINGS, CONCEALMENT):
            setting.hold()
            self._closers.append(setting.release)
        self.home.create()
        reachable = self._lock_home(required=own_home)
        generation = GenerationLock(self._claim_journal())
        try:
            generation.acquire()
        except TimeoutError as error:
            msg = f"processes of an orchestrator that died are still there and cannot be ended: {error}"
            raise HomeInUse(msg) from error
        except OSError as error:
            msg = f"{generation.path} cannot be locked: {error.strerror}"
            raise JournalError(msg) from error
        self._closers.append(generation.release)
        self.journal: Journal = self._open_journal(durability)
        self._closers.append(self.journal.close)
        mend(self.journal)
        self._reads = self._keep_output(generation, viewer)
        self.reactor = Reactor()
        report_exhaustion(self.reactor.loop, "commands from other processes")
        self.reactor.start()
        self._closers.append(self.reactor.stop)
        self._tree = Tree(
            self.reactor,
            partial(self._backend, generation),
            pools=pools,
            on_event=self._hear,
            start_timeout=self._start_timeout(),
            imports=self.slow_imports,
        )
        self._closers.append(self._end_processes)
        self.runs = RunRegistry()
        self._stranded = ParkedRuns(self.runs, self.reactor.loop.call_later)
        self.schedules = Schedules()
        self._post = MessageRouter(self.runs, self.journal, clock.time)
        self._closers.append(self._stop_runs)
        self._closers.append(self._drain)
        self.lull = IdleMonitor(self.reactor, self.runs, self.schedules, self._post, self._tree, clock)
        self._closers.append(lambda: self.reactor.submit(self.lull.end()).result())
        counter, epoch = itertools.count(1), self.journal.epoch
        services = RunDependencies(
            reactor=self.reactor,
            journal=self.journal,
            submit=self._tree.submit,
            directory=self.runs,
            post=self._post,
            warm=lambda app: self._tree.pool(PoolKey(app, "program", "program")),
            mint=lambda: f"{epoch}:{next(counter)}",
            clock=clock.time,
            call_at=clock.call_at,
            random=random.random,
            fatal=self._fail,
            observe=log.record,
        )
        self.runs.attach(services)
        find = self._reads.find_approval
        self._clerk = CommandHandler(
            self.runs, self._post, self.schedules, self._tree, services.mint, find, self._started
        )
        self.schedules.attach(services, self.runs, self._clerk.start)
        self._guests = Visitors(partial(self.lull.command, self._clerk.carry_out), self._is_over)
        if reachable:
            door = ControlSocketServer(self.home, self._guests.carry_out)
            self._reachable = True
            self.announce(None)  # first, so that whoever gets in knows whose orchestrator this is
            self.reactor.submit(door.open()).result()
            self._closers.append(lambda: self.reactor.submit(door.close()).result())

    def announce(self, url: str | None) -> None:
        """Let other processes find in the home where HTTP is served; None where it is not.

        Nothing once the engine is closed: the home may be another's by then.
        """
        if self._reachable and not self.closed:
            self.home.write_record(journal=self.place, **({"url": url} if url is not None else {}))

    # ------------------------------------------------------------ what must be ours alone

    def _lock_home(self, *, required: bool) -> bool:
        """Take the home. Where that was only the default, and is another's, the journal gets one of its own."""
        lock = OwnerLock(self.home.path / "orchestrator.lock")
        try:
            self._own(lock, f"the home {self.home.path}")
        except HomeInUse as error:
            if required:
                raise
            if self.place == MEMORY:
                logger.warning("commands from other processes will not reach this orchestrator: {}", error)
                return False
            self.home = Home(self.place + OWN_HOME, self.place)
            self.home.create()
            logger.info("commands from other processes come in at {}: {}", self.home.path, error)
            return self._lock_home(required=True)
        return True

    def _claim_journal(self) -> Path:
        """Own the journal, made where it is missing; give the path of the lock that every process of ours inherits.

        It is locked twice: by a file beside it, which outlives it, and by itself, since a mount can lead to it from
        elsewhere, where another file lies beside it.
        """
        if self.place == MEMORY:
            folder = tempfile.TemporaryDirectory(prefix="greenroom-")
            self._closers.append(folder.cleanup)
            return Path(folder.name) / "workers.lock"
        place = Path(self.place)
        refuse_network(place)
        try:
            make_folder(place.parent)
        except OSError as error:
            msg = f"the journal {place} cannot be created: {error.strerror}"
            raise JournalError(msg) from error
        self._own(OwnerLock(lock_path(place), note=str(self.home.path)), f"the journal {place}")
        try:
            make_file(place)
        except OSError as error:
            raise translate(error, place) from error
        self._own(OwnerLock(place, signed=False), f"the journal {place}")
        return place.with_name(place.name + ".workers")

    def _own(self, lock: OwnerLock, what: str) -> None:
        lock.acquire(what)
        self._closers.append(lock.release)

    def _open_journal(self, durability: Durability) -> Journal:
        return MemoryJournal() if self.place == MEMORY else SqliteJournal(self.place, durability=durability)

    # ------------------------------------------------------------ what the parts ask for

    def _hear(self, event: WorkerEvent) -> None:
        """Take what happens to workers and pools. Reactor's thread."""
        _log_worker(event)
        if event.kind in OF_POOLS and not self.closed:
            self._stranded.hear(event)

    def _start_timeout(self) -> float:
        """Give the seconds that a worker may take to become ready; with ``spawn`` it imports the app first."""
        return START_TIMEOUT + max(0.0, self._apps.timeout - IMPORT_TIMEOUT)

    def _backend(self, generation: GenerationLock, app: str, _key: PoolKey, pool: Pool) -> Backend:
        return make_backend(app, pool, self.reactor.loop, generation, self._apps, self._output)

    def _started(self, run_id: str) -> RunStarted | None:
        """Give how a run was started, None where there is none. A thread of the reactor's executor."""
        for stored in self.journal.events(run_id, limit=1):
            if isinstance(stored.event, RunStarted):
                return stored.event
        return None

    def launch(self, command: StartRun) -> Accepted | Refused:
        """Start a run whose arguments are known to fit; returns once it is on the disk. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before that.
        """
        return self._wait_for(self.reactor.ask(self.runs.launches.launch, command))

    def message(self, command: TellSession, policy: SessionPolicy) -> Reply:
        """Bring a message that is known to fit to a session. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before that.
        """
        return self._wait_for(self.submit_message(command, policy))

    def submit_message(self, command: TellSession, policy: SessionPolicy) -> Future[Reply]:
        """Have the same done; cancelling what this gives ends the wait for a reply, and not the message. Any thread.

        Raises:
            OrchestratorClosed: The engine is closed.
        """
        bring = partial(self._clerk.message, policy=policy)
        return self._submit(self.lull.command(bring, command))

    def put_schedule(self, command: PutSchedule) -> Reply:
        """Make or change a schedule whose arguments are known to fit. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before there was a reply.
        """
        return self._wait_for(self.reactor.ask(self.schedules.put, command))

    def recover(self) -> None:
        """Take up the runs and schedules that the journal says are not over. Any thread."""
        self.reactor.call(self.runs.recover)
        self.reactor.call(self._stranded.recover)
        self.reactor.call(self.schedules.recover)

    def carry_out(self, command: Command) -> Reply:
        """Do what a command asks for and wait for the reply. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before there was one.
        """
        return self._wait_for(self.submit(command))

    def submit(self, command: Command) -> Future[Reply]:
        """Have a command carried out; the reply is cancelled where the engine is closed before. Any thread.

        Raises:
            OrchestratorClosed: The engine is closed.
        """
        return self._submit(self.lull.command(self._clerk.carry_out, command))

    def _submit(self, coroutine: Coroutine[Any, Any, Reply]) -> Future[Reply]:
        try:
            return self.reactor.submit(coroutine)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            self.check_alive()
            raise

    def _keep_output(self, generation: GenerationLock, viewer: Viewer | None) -> JournalQueries:
        """Begin to keep what workers write; give looks at the journal that find it."""
        kept = generation.path.with_name("output") if self.place == MEMORY else folder_of(self.place)
        self._output = OutputCollector(kept, viewer, self.home.placed)
        self._closers.append(self._output.close)
        return JournalQueries(
            self.journal,
            home=self.home,
            output=kept,
            flush=self._output.flush,
            waits=self.slow_imports.sentence,
        )

    def flush_output(self, timeout: float) -> None:
        """See ``Orchestrator.flush_output``."""
        self._output.settle(timeout)

    def leave(self, run_ids: Sequence[str] = ()) -> list[str]:
        """Give the runs that others wait for and that go on; once there is none, nothing more is taken from others.

        Any thread but the reactor's.

        Args:
            run_ids: Runs that are waited for as well.
        """
        return self._wait_for(self.reactor.submit(self._guests.leave(run_ids)))

    def _is_over(self, run_id: str) -> bool:
        """Say whether nothing follows in a run by itself, nor by what others have asked for. May block."""
        row = self.journal.run(run_id)
        return row is None or row.status in OVER

    def peek(self, run_id: str) -> Snapshot | None:
        """Copy what is in memory of a run. Any thread but the reactor's."""
        return self._wait_for(self.reactor.ask(self.runs.peek, run_id))

    def _wait_for(self, answer: Future[T]) -> T:
        try:
            found = answer.result()
        except CancelledError:
            self.check_alive()
            raise
        if isinstance(found, Refused):
            return found.model_copy(update={"message": self.home.placed(found.message)})
        return found

    @property
    def reads(self) -> JournalQueries:
        """Looks at runs; see ``greenroom.workflows.queries.reader``.

        Raises:
            OrchestratorClosed: This process is a fork of the one that it belongs to.
        """
        self._check_process()
        return self._reads

    # ------------------------------------------------------------ the end

    def _check_process(self) -> None:
        """Refuse to work in a fork: it has a copy of everything but the threads, so that whoever waits there hangs."""
        if os.getpid() != self._pid:
            msg = (
                f"the orchestrator belongs to process {self._pid}, and this one ({os.getpid()}) is a fork of it: use "
                "it there, or open another journal here"
            )
            raise OrchestratorClosed(msg)

    def check_alive(self) -> None:
        """Do nothing while the engine works.

        Raises:
            OrchestratorClosed: It was closed, stopped because its journal failed, or belongs to another process.
        """
        self._check_process()
        if self.failure is not None:
            msg = f"the orchestrator has stopped, because its journal failed: {self.failure}"
            raise OrchestratorClosed(msg) from self.failure
        if self.closed:
            msg = "the orchestrator is closed; open the journal again to go on with its runs"
            raise OrchestratorClosed(msg)

    def _fail(self, error: JournalError) -> None:
        """The journal takes nothing more: nothing may be acknowledged, so everything stops. Reactor's thread."""
        if self.failure is None:
            self.failure = error
            logger.error("the orchestrator stops, because its journal failed: {}", error)
            self.schedules.close()
            self.runs.close()
            self._begin_ending()

    def close(self, grace: float = GRACE) -> None:
        """End every part, the last one started first. Any thread but the reactor's; may be repeated.

        ``KeyboardInterrupt`` in the meantime, in the main thread, ends what steps are left of the ``grace``; it is
        raised once all is closed.

        Nothing in a fork, which leaves the block it was made in like the process that it was made from: what would be
        ended there is that one's.
        """
        if os.getpid() != self._pid:
            return
        interrupt: KeyboardInterrupt | None = None
        with self._closing:
            self.closed, self._grace = True, grace
            while self._closers:
                closer = self._closers.pop()
                try:
                    closer()
                except KeyboardInterrupt as error:
                    interrupt = error
                    self._closers.append(closer)  # each of them may be called again
                    self.hurry()
        if interrupt is not None:
            raise interrupt

    def _drain(self) -> None:
        """Let the steps that run end and be recorded, and begin nothing new."""
        if self.failure is None:
            self.reactor.submit(self._tree.drain(self._grace)).result()

    def hurry(self) -> None:
        """Leave the steps that run no more time, where this is being closed. Any thread."""
        self._grace = 0.0
        self._hurry()

    def _hurry(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self.reactor.call(self._tree.hurry)

    def _stop_runs(self) -> None:
        async def stop() -> None:
            self.schedules.close()
            self.runs.close()

        self.reactor.submit(stop()).result()

    def _end_processes(self) -> None:
        async def end() -> None:
            await self._begin_ending()

        self.reactor.submit(end()).result(CLOSE_TIMEOUT)

    def _begin_ending(self) -> "asyncio.Task[None]":
        """End every process, once, whoever asks first. The loop must not stop before that is over."""
        if self._ending is None:
            self._ending = self.reactor.loop.create_task(self._tree.close(CLOSE_GRACE))
        return self._ending


def _place(journal: str | os.PathLike[str] | None, home: Home) -> str:
    """Give where the journal is, or ``MEMORY``. A path without links: one journal must have one lock.

    Raises:
        JournalError: It is a URL, or the way to it is not safe from other users.
    """
    if journal is not None and os.fspath(journal) == MEMORY:
        return MEMORY
    if isinstance(journal, str) and "://" in journal:
        scheme = journal.partition("://")[0]
        msg = f"a journal at a URL ({scheme}://...) cannot be opened by this version: give the path of a file"
        raise JournalError(msg)
    return str(real_path(Path(journal if journal is not None else home.path / "journal.db")))


def _log_worker(event: WorkerEvent) -> None:
    """Log what happened to a worker, or to a whole pool. Reactor's thread."""
    detail = event.detail or (event.exit.sentence() if event.exit is not None else "")
    if event.kind in OF_POOLS:
        log.record_pool(pool=event.pool.name, app=event.pool.app, what=event.kind, detail=detail)
        return
    log.record_worker(worker=event.worker, pid=event.pid, incarnation=event.incarnation, what=event.kind, detail=detail)
