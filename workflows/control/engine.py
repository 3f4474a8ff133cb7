"""Create, start and stop the parts of an orchestrator, in the order of their dependencies."""

import asyncio
import itertools
import os
import random
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from loguru import logger

from greenroom.journal.interface import Journal
from greenroom.journal.memory import MemoryJournal
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.commands import Accepted, Command, PutSchedule, Refused, Reply, StartRun, TellSession
from greenroom.messages.core.errors import JournalError, OrchestratorClosed
from greenroom.messages.events.events import RunStarted
from greenroom.messages.options.policy import SessionPolicy
from greenroom.messages.records.records import OVER
from greenroom.metrics import log
from greenroom.metrics.ledger import Ledger
from greenroom.supervision.admission import Admission
from greenroom.supervision.jobs import Backend, Pool, PoolKey
from greenroom.supervision.kernel.connection_limit import report_exhaustion
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.loop.clock import Clock
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.pool.events import OF_POOLS, WorkerEvent
from greenroom.supervision.pool.workers.worker_slot import START_TIMEOUT
from greenroom.supervision.tree import Tree
from greenroom.supervision.zygote.import_progress import IMPORT_TIMEOUT
from greenroom.workflows.control.access.control_socket import ControlSocketServer
from greenroom.workflows.control.access.visitors import Visitors
from greenroom.workflows.control.command_handler import CommandHandler
from greenroom.workflows.control.idle import IdleMonitor
from greenroom.workflows.control.setup.app_options import Apps
from greenroom.workflows.control.setup.call_limits import CallLimits
from greenroom.workflows.control.setup.claims import claim_file
from greenroom.workflows.control.setup.opening import GRACE, Durability, Opening
from greenroom.workflows.control.setup.worker_backends import make_backend
from greenroom.workflows.home.held_calls import HeldCallsFile, read_held_calls
from greenroom.workflows.home.home import MEMORY
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
from greenroom.workflows.scheduler.registry import ScheduleRegistry

T = TypeVar("T")
CLOSE_GRACE: Final = 0.2
"""Seconds that workers have to end by themselves after the grace of running steps. Idle ones need milliseconds. Results
of the others can no longer be recorded, and their work is repeated by the next orchestrator."""
CLOSE_TIMEOUT: Final = 30.0
"""Seconds that all processes have to end."""


class Engine:
    """Everything below the public API of an orchestrator: journal, reactor, supervision tree, runs, control socket.

    Args:
        opening: What was claimed for it. The engine gives it back when it closes, or if it cannot start.
        pools: Settings of pools, by name or kind.
        durability: See ``Orchestrator``.
        clock: The clock of runs and schedules.
        viewer: Shows the output of workers at once; None for no viewer.
        apps: How apps are imported.
        limits: Limits of models and tools, and budgets of all runs together.

    Raises:
        HomeInUse: Another live orchestrator owns the journal, through another mount of it.
        JournalError: The journal cannot be opened.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        pools: Mapping[str, Pool],
        durability: Durability,
        clock: Clock,
        viewer: Viewer | None,
        apps: Apps,
        limits: CallLimits,
    ) -> None:
        """Start every part; stop those that were started if one of them fails."""
        self._apps = apps
        self.slow_imports = apps.slow
        """The imports that take long at this time."""
        self._shortages: dict[PoolKey, str] = {}
        """Why pools cannot start workers at this time. Written on the reactor's thread, read by all."""
        self._on_shortage: list[Callable[[str], None]] = []
        """Called with the sentence about a pool that cannot start workers, on the reactor's thread."""
        self.slow_imports.listen(lambda app, slow: logger.warning("{} {}", app, slow.sentence()))
        self.place = opening.place
        self.home = opening.home
        """The home with the control socket, which other processes find by the journal."""
        self.closed = False
        self._pid = os.getpid()
        self.failure: JournalError | None = None
        """Why the journal accepts no more appends. Written by the reactor's thread, read by all."""
        self._closers = opening.closers
        """Functions that stop the parts, in the order of their start. They are called in reverse."""
        self._home_lock = opening.home_lock
        """The lock of the home; None if the home is another orchestrator's."""
        self._closing = threading.Lock()
        self._grace = GRACE
        """Seconds that steps have to end. Written by ``close``."""
        self._ending: asyncio.Task[None] | None = None
        """The task that ends all processes; None before it is started. Reactor thread only."""
        try:
            self._start(opening, pools=pools, durability=durability, clock=clock, viewer=viewer, limits=limits)
        except BaseException:
            self.close()
            raise

    def _start(
        self,
        opening: Opening,
        *,
        pools: Mapping[str, Pool],
        durability: Durability,
        clock: Clock,
        viewer: Viewer | None,
        limits: CallLimits,
    ) -> None:
        self.journal: Journal = self._open_journal(durability)
        self._closers.append(self.journal.close)
        mend(self.journal)
        self._reads = self._keep_output(opening.generation, viewer)
        self.reactor = Reactor()
        report_exhaustion(self.reactor.loop, "commands from other processes")
        self.reactor.start()
        self._closers.append(self.reactor.stop)
        self._tree = Tree(
            self.reactor,
            partial(self._backend, opening),
            pools=pools,
            on_event=self._hear,
            start_timeout=self._start_timeout(),
            imports=self.slow_imports,
        )
        self._closers.append(self._end_processes)
        self._admission = self._admit(limits, clock, lasting=not clock.virtual)
        self._tree.gates = self._admission.records
        self.runs = RunRegistry()
        self.runs.budgets.share(limits.budget, limits.daily_budget, self.journal, clock.time())
        self._parked = ParkedRuns(self.runs, self.journal, self.reactor.loop.call_later)
        self.schedules = ScheduleRegistry()
        self._router = MessageRouter(self.runs, self.journal, clock.time)
        self._closers.append(self._stop_runs)
        self._closers.append(self._drain)
        self.idle_monitor = IdleMonitor(self.reactor, self.runs, self.schedules, self._router, self._working, clock)
        self._closers.append(lambda: self.reactor.submit(self.idle_monitor.end()).result())
        counter, epoch = itertools.count(1), self.journal.epoch
        dependencies = RunDependencies(
            reactor=self.reactor,
            journal=self.journal,
            submit=self._admission.submit,
            registry=self.runs,
            router=self._router,
            warm=lambda app: self._tree.pool(PoolKey(app, "program", "program")),
            mint=lambda: f"{epoch}:{next(counter)}",
            clock=clock.time,
            call_at=clock.call_at,
            random=random.random,
            on_journal_failure=self._fail,
            observe=log.record,
        )
        self.runs.attach(dependencies)
        find = self._reads.find_approval
        self._commands = CommandHandler(
            self.runs, self._router, self.schedules, self._tree, dependencies, find, self._started
        )
        self.schedules.attach(dependencies, self.runs, self._commands.start)
        self._visitors = Visitors(partial(self.idle_monitor.command, self._commands.carry_out), self._is_over)
        if self._home_lock is not None:
            server = ControlSocketServer(self.home, self._home_lock, self._visitors.carry_out)
            self.announce(None)  # first, so that a client that connects can tell whose orchestrator this is
            self.reactor.submit(server.open()).result()
            self._closers.append(lambda: self.reactor.submit(server.close()).result())

    def _admit(self, limits: CallLimits, clock: Clock, *, lasting: bool) -> Admission:
        """Return the admission of calls; if it is lasting, with what the orchestrator before this one held back."""
        admit = partial(Admission, self._tree.submit, limits.models, limits.breakers, clock.time, clock.call_at)
        if not lasting or self._home_lock is None:
            return admit()
        file = HeldCallsFile(self.home.path, self._home_lock)
        self._closers.append(file.write)
        return admit(held=read_held_calls(self.home.path), keep=file.keep)

    def announce(self, url: str | None) -> None:
        """Record the URL of HTTP in the home for other processes; None if HTTP is not served.

        Do nothing once the engine is closed, or its home was moved, deleted or replaced: another orchestrator may own
        what is there then.
        """
        if self._home_lock is not None and self._home_lock.is_in_place() and not self.closed:
            self.home.write_record(journal=self.place, **({"url": url} if url is not None else {}))

    def _open_journal(self, durability: Durability) -> Journal:
        if self.place == MEMORY:
            return MemoryJournal()
        claim_file(self.place, self._closers.append)
        return SqliteJournal(self.place, durability=durability, new_ledger=Ledger)

    # ------------------------------------------------------------ callbacks of the parts

    def _hear(self, event: WorkerEvent) -> None:
        """Handle an event of a worker or a pool. Reactor thread only."""
        _log_worker(event)
        if event.kind == "short":
            self._shortages[event.pool] = event.detail
            for listener in tuple(self._on_shortage):
                listener(event.detail)
        elif event.kind in {"ready", "degraded"}:
            self._shortages.pop(event.pool, None)
        if event.kind in OF_POOLS and not self.closed:
            self._parked.hear(event)

    def _waits(self, app: str) -> str | None:
        """Return what holds up the runs of an app that is not in the journal; None for nothing. Thread-safe."""
        short = (why for pool, why in list(self._shortages.items()) if pool.app == app)
        return self.slow_imports.sentence(app) or next(short, None)

    def on_delay(self, listener: Callable[[str], None]) -> None:
        """See ``Orchestrator.on_delay``. Thread-safe."""
        self.slow_imports.listen(lambda app, slow: listener(f"{app} {slow.sentence()}"))
        self._on_shortage.append(listener)

    def _working(self) -> bool:
        """Return whether pools have work that needs no alarm to go on. Reactor thread only."""
        return self._tree.working(besides=self._admission.held)

    def _start_timeout(self) -> float:
        """Return the seconds that a worker may take to become ready; with ``spawn`` it imports the app first."""
        return START_TIMEOUT + max(0.0, self._apps.timeout - IMPORT_TIMEOUT)

    def _backend(self, opening: Opening, app: str, _key: PoolKey, pool: Pool) -> Backend:
        return make_backend(
            app, pool, self.reactor.loop, opening.generation, self._apps, self._output, first=opening.keeper
        )

    def _started(self, run_id: str) -> RunStarted | None:
        """Return the first event of a run, None if there is no such run. Executor thread."""
        for stored in self.journal.events(run_id, limit=1):
            if isinstance(stored.event, RunStarted):
                return stored.event
        return None

    def start_run(self, command: StartRun) -> Accepted | Refused:
        """Start a run with checked arguments. Return after the commit. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before that.
        """
        return self._wait_for(self._submit(self.runs.starter.start(command)))

    def message(self, command: TellSession, policy: SessionPolicy) -> Reply:
        """Send a checked message to a session. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before that.
        """
        return self._wait_for(self.submit_message(command, policy))

    def submit_message(self, command: TellSession, policy: SessionPolicy) -> Future[Reply]:
        """Submit a checked message. Cancelling the future does not cancel the message. Thread-safe.

        Raises:
            OrchestratorClosed: The engine is closed.
        """
        bring = partial(self._commands.message, policy=policy)
        return self._submit(self.idle_monitor.command(bring, command))

    def put_schedule(self, command: PutSchedule) -> Reply:
        """Create or change a schedule with checked arguments. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before there was a reply.
        """
        return self._wait_for(self._submit(self.schedules.put(command)))

    def recover(self) -> None:
        """Continue the runs and schedules of the journal that have not ended. Thread-safe."""
        self.reactor.call(self.runs.recover)
        self.reactor.call(self._parked.recover)
        self.reactor.call(self.schedules.recover)

    def carry_out(self, command: Command) -> Reply:
        """Carry out a command, and return the reply. Any thread but the reactor's.

        Raises:
            OrchestratorClosed: The engine was closed before there was a reply.
        """
        return self._wait_for(self.submit(command))

    def submit(self, command: Command) -> Future[Reply]:
        """Submit a command. The future is cancelled if the engine is closed before the reply. Thread-safe.

        Raises:
            OrchestratorClosed: The engine is closed.
        """
        return self._submit(self.idle_monitor.command(self._commands.carry_out, command))

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            return self.reactor.submit(coroutine)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            self.check_alive()
            raise

    def _keep_output(self, generation: GenerationLock, viewer: Viewer | None) -> JournalQueries:
        """Start to collect the output of workers; return the queries that find it."""
        kept = generation.path.with_name("output") if self.place == MEMORY else folder_of(self.place)
        self._output = OutputCollector(kept, viewer, self.home.placed)
        self._closers.append(self._output.close)
        return JournalQueries(
            self.journal,
            home=self.home,
            output=kept,
            flush=self._output.flush,
            waits=self._waits,
        )

    def flush_output(self, timeout: float) -> None:
        """See ``Orchestrator.flush_output``."""
        self._output.settle(timeout)

    def leave(self, run_ids: Sequence[str] = ()) -> list[str]:
        """Return the unfinished runs that other processes wait for. If there is none, refuse all later commands.

        Any thread but the reactor's.

        Args:
            run_ids: Other awaited runs.
        """
        return self._wait_for(self._submit(self._visitors.leave(run_ids)))

    def _is_over(self, run_id: str) -> bool:
        """Return whether a run has ended or is parked, so that it needs no orchestrator. May block."""
        row = self.journal.run(run_id)
        return row is None or row.status in OVER

    def goes_on(self, run_id: str) -> bool:
        """Return True if a run is not over, as far as that is known without reading the journal. Thread-safe.

        Raises:
            OrchestratorClosed: This process is a fork of the engine's process.
        """
        self._check_process()
        return self.runs.goes_on(run_id)

    def peek(self, run_id: str) -> Snapshot | None:
        """Return a copy of a run's state in memory. Any thread but the reactor's."""
        return self._wait_for(self._submit(self.runs.peek(run_id)))

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
        """Queries; see ``greenroom.workflows.queries.reader``.

        Raises:
            OrchestratorClosed: This process is a fork of the engine's process.
        """
        self._check_process()
        return self._reads

    # ------------------------------------------------------------ shutdown

    def _check_process(self) -> None:
        """Raise in a fork, which has no copy of the threads, so that callers would wait forever."""
        if os.getpid() != self._pid:
            msg = (
                f"the orchestrator belongs to process {self._pid}, and this one ({os.getpid()}) is a fork of it: use "
                "it there, or open another journal here"
            )
            raise OrchestratorClosed(msg)

    def check_alive(self) -> None:
        """Raise if the engine does not work.

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
        """Stop all parts, because the journal accepts no more appends. Reactor thread only."""
        if self.failure is None:
            self.failure = error
            logger.error("the orchestrator stops, because its journal failed: {}", error)
            self.schedules.close()
            self.runs.close()
            self._begin_ending()

    def close(self, grace: float = GRACE) -> None:
        """Stop every part, last started first. Any thread but the reactor's; may be called again.

        ``KeyboardInterrupt`` in the main thread ends the ``grace`` of running steps. It is raised when all is closed.

        Do nothing in a fork, as the parts belong to the original process.
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
        """Let running steps end and be recorded, and start no others. Wait for nothing that runs in the background."""
        if self.failure is None:

            async def drain() -> None:
                self.runs.background.close()
                await self._tree.drain(self._grace)

            self.reactor.submit(drain()).result()

    def hurry(self) -> None:
        """End the grace period of running steps while the engine closes. Thread-safe."""
        self._grace = 0.0
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
        """Return the task that ends every process; start it if necessary. The loop must not stop before its end."""
        if self._ending is None:
            self._ending = self.reactor.loop.create_task(self._tree.close(CLOSE_GRACE))
        return self._ending


def _log_worker(event: WorkerEvent) -> None:
    """Log an event of a worker, or of a whole pool. Reactor thread only."""
    detail = event.detail or (event.exit.sentence() if event.exit is not None else "")
    if event.kind in OF_POOLS:
        log.record_pool(pool=event.pool.name, app=event.pool.app, what=event.kind, detail=detail)
        return
    log.record_worker(worker=event.worker, pid=event.pid, incarnation=event.incarnation, what=event.kind, detail=detail)
