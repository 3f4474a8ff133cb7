"""The process backend that forks warm workers from a zygote, and starts a new zygote when one is lost."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.failures import Exit
from greenroom.messages.core.source_mark import source_mark
from greenroom.messages.frames.worker import WorkerSpec
from greenroom.messages.secrets.redaction import redactor_of, secret_values
from greenroom.supervision.jobs import Entry, ImportKilled, WorkerListener
from greenroom.supervision.kernel import orphans
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.policy.worker_environment import NOTHING, Given
from greenroom.supervision.process.output_sources import OutputListener
from greenroom.supervision.process.refused_resource import with_remedy
from greenroom.supervision.process.worker_process import Worker
from greenroom.supervision.zygote.environments import Environments
from greenroom.supervision.zygote.handle import ZygoteHandle
from greenroom.supervision.zygote.import_progress import IMPORT_TIMEOUT, Place, SlowImport, nowhere, unheard
from greenroom.supervision.zygote.keeper_process import FirstKeeper, Inheritance, KeeperProcess, make_lineage
from greenroom.supervision.zygote.messages import Boot, Ended, Launch, Launched, LaunchFailed

START_ATTEMPTS: Final = 6
"""Attempts to start a zygote that is killed during its start."""
LAUNCH_TIMEOUT: Final = 5.0
"""Seconds that a zygote may take to fork a worker, or to end a dead one's process tree, before it counts as hung."""


def _ignore(_why: str) -> None:
    """Do nothing. Used if losses are not counted."""


class ZygoteBackend:
    """A ``Backend`` for one app. Reactor thread only.

    Args:
        app: Reference of the app, passed to ``entry.preload``.
        entry: The functions that the processes run. An empty path means this process's own ``sys.path``.
        loop: The reactor's loop.
        generation: The held lock that all processes inherit; None in tests that need none.
        first: A keeper that was started before, for the backend that can use it.
        given: Variables that the app's import and all workers get besides the inherited ones. Variables in a worker's
            own limits are given to that worker alone, after its fork.
        by_kind: Variables that kinds of workers get like that, see ``Environments``.
        on_output: Called with the stdout and stderr of workers.
        start_timeout: Seconds that the import of the app may take.
        launch_timeout: Seconds after which a zygote that does not answer is killed and replaced.
        place: Finds the user's line in faulthandler's dump of an import.
        on_slow: Called with the current line of a slow import, and with None when the import is over.
        on_threaded: Called with a sentence if the app cannot be forked, as its import leaves threads. Each worker is
            then a new interpreter that imports the app, as those of a ``SpawnBackend`` are.
    """

    _fresh = False

    def __init__(  # noqa: PLR0913  the options of a backend
        self,
        app: str,
        entry: Entry,
        loop: asyncio.AbstractEventLoop,
        *,
        generation: GenerationLock | None = None,
        first: FirstKeeper | None = None,
        given: Given = NOTHING,
        by_kind: dict[str, tuple[str, ...]] | None = None,
        on_output: OutputListener | None = None,
        start_timeout: float = IMPORT_TIMEOUT,
        launch_timeout: float = LAUNCH_TIMEOUT,
        place: Place = nowhere,
        on_slow: Callable[[SlowImport | None], None] = unheard,
        on_threaded: Callable[[str], None] = _ignore,
    ) -> None:
        """Keep the arguments; no process is started yet."""
        self.app = app
        self.holds_mb = 0
        self._loop = loop
        self._entry = entry
        self._start_timeout = start_timeout
        self._first = first
        self._source = source_mark()
        self._path = [item or os.getcwd() for item in (entry.path or sys.path)]  # noqa: PTH109  sys.path holds texts
        self._generation = generation
        self._environments = Environments(given, by_kind)
        self._on_output = on_output
        self._launch_timeout = launch_timeout
        self._place = place
        self._on_slow = on_slow
        self._on_threaded = on_threaded
        self._threaded = ""  # why its workers are not forked, after a zygote has found out
        self._handle: ZygoteHandle | None = None  # the zygote in use; None before the first and after a loss
        self._starting: asyncio.Task[None] | None = None
        self._workers: dict[int, Worker] = {}  # by number, from spawn to exited
        self._handles: dict[int, ZygoteHandle] = {}  # the zygote of each worker
        self._deadlines: dict[int, asyncio.TimerHandle] = {}  # of a launch, or of the end of a process tree
        self._tasks: set[asyncio.Task[None]] = set()
        self._launches = 0
        self._closed = False
        self.on_lost: Callable[[str], None] = _ignore

    @property
    def detail(self) -> str:
        """Return the zygote's pid, the number of workers, and why they are not forked."""
        alive = self._handle is not None and self._handle.zygote
        zygote = f"zygote: pid {alive}" if alive else "no zygote"
        return f"{zygote}, workers: {len(self._workers)}{f'; {self._threaded}' if self._threaded else ''}"

    # ---------------------------------------------------------------- the protocol

    async def start(self) -> None:
        """Start the zygote and load the app. Do nothing if it runs already.

        Raises:
            ImportKilled: Each of ``START_ATTEMPTS`` zygotes was killed while it imported the app.
            DefinitionError: The app cannot be loaded; the message holds the user's own traceback.
        """
        if self._handle is None:
            if self._starting is None:
                self._starting = self._loop.create_task(self._start_zygote())
            await asyncio.shield(self._starting)

    def spawn(self, spec: WorkerSpec, listener: WorkerListener) -> Worker:
        """Start a worker, and first a zygote if there is none; ``listener`` is told of its life. Never blocks.

        Raises:
            OSError: This process has no descriptors left.
        """
        self._launches += 1
        spec = self._environments.of_kind(spec)
        environ, redactor = self._environments.of_worker(spec.limits.env)
        worker = Worker(self._launches, spec, listener, self._loop, self._on_output, environ=environ, redactor=redactor)
        worker.on_death = self._saw_death
        self._workers[worker.id] = worker
        if self._handle is not None:
            self._launch(worker)
        else:
            self._run(self._launch_later(worker))
        return worker

    async def close(self) -> None:
        """End every worker with its process tree, then the zygote. Return when no process is left."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        handle, self._handle = self._handle, None
        if handle is not None:
            for worker in list(self._workers.values()):
                worker.kill(Exit(kind="stopped", detail="its backend was closed"))
            await self._dissolve(handle, "its backend was closed")
        while self._tasks:
            await asyncio.wait(self._tasks)

    # ---------------------------------------------------------------- life of zygotes

    async def _start_zygote(self) -> None:
        """Start a keeper and its zygote; try again if they were killed meanwhile, as that is not the app's fault.

        A zygote that crashed is tried again without its watchdog, which may be what crashed.
        """
        watched = True
        try:
            for attempts_left in reversed(range(START_ATTEMPTS)):
                prepare = "" if self._fresh else self._entry.prepare
                inheritance = Inheritance.of(self._path, self._environments.shared(), prepare)
                keeper = None if self._first is None else self._first.take(inheritance)
                handle = self._make_handle(inheritance if keeper is None else keeper.inheritance, keeper)
                try:
                    await handle.start(self._boot(inheritance, watched=watched), inheritance, self._lock(), keeper)
                except BaseException as error:
                    killed = handle.killed  # before the handle's end, which may have to kill the keeper itself
                    innocent = killed or (watched and handle.crashed)
                    again = isinstance(error, DefinitionError) and innocent and attempts_left
                    watched = watched and not handle.crashed
                    await self._dissolve(handle, "the app could not be loaded")
                    if handle.threaded and not self._closed:
                        self._fresh, self._threaded = True, handle.threaded
                        self._on_threaded(handle.threaded)
                        again = attempts_left
                    if again:
                        continue
                    if isinstance(error, DefinitionError) and killed:
                        raise ImportKilled(str(error)) from None
                    raise
                else:
                    self._handle = handle
                    self._environments.note_needed(handle.variables)
                    self.holds_mb = handle.data_kib // 1024
                    return
        finally:
            self._starting = None

    def _boot(self, inheritance: Inheritance, *, watched: bool) -> Boot:
        """Return the order to load the app."""
        entry = self._entry
        return Boot(
            app=self.app,
            preload=entry.preload if self._fresh else entry.preload_to_fork or entry.preload,
            argv=entry.argv or (self.app,),
            main=entry.main,
            fresh=self._fresh,
            timeout=self._start_timeout,
            folder=inheritance.folder,
            withheld=self._environments.withheld(),
            watched=watched,
            source=self._source,
        )

    def _make_handle(self, inheritance: Inheritance, keeper: KeeperProcess | None) -> ZygoteHandle:
        def lose(why: str) -> None:
            self._lose(handle, why)

        token = self._generation.token if self._generation is not None else ""
        mark = make_lineage(token) if keeper is None else keeper.lineage
        shared = inheritance.environ
        redactor = redactor_of(secret_values(shared))
        handle = ZygoteHandle(
            self._loop, mark, self._on_packet, lose, redactor, shared, place=self._place, on_slow=self._on_slow
        )
        return handle

    def _lock(self) -> int | None:
        return None if self._generation is None else self._generation.fileno()

    def _lose(self, handle: ZygoteHandle, why: str) -> None:
        if self._handle is handle:
            self._handle = None
        if handle.zygote:  # otherwise it is lost during its start, which cleans up itself
            self.on_lost(why)
            self._run(self._dissolve(handle, why))

    async def _dissolve(self, handle: ZygoteHandle, why: str) -> None:
        """Kill the remaining processes of a zygote, and report its workers when their end is confirmed."""
        workers = [worker for worker in self._workers.values() if self._handles.get(worker.id) is handle]
        for worker in workers:
            worker.send_sigkill()
        await handle.end()
        for worker in workers:
            if worker.pid is not None:
                await worker.dead.wait()
        if not handle.clean:  # the keeper was killed, so its adopted processes have no parent that ends them
            await self._loop.run_in_executor(None, _end_lineage, handle.lineage)
        for worker in workers:
            self._forget(worker)
            self._loop.call_soon(worker.lost, why)  # the other listeners must be called even if one raises
        for worker in workers:
            await worker.ended.wait()

    # ---------------------------------------------------------------- life of workers

    async def _launch_later(self, worker: Worker) -> None:
        """Launch a worker once there is a zygote. Report its end if none starts, or if it was killed meanwhile."""
        try:
            if self._closed:
                raise DefinitionError("the backend is closed")  # noqa: TRY301  handled like a failed start
            await self.start()
        except (DefinitionError, OSError) as error:
            detail = with_remedy(error) if isinstance(error, OSError) else str(error)
            worker.kill(Exit(kind="start_failed", refused=isinstance(error, OSError), detail=detail))
        except asyncio.CancelledError:  # ``close`` has cancelled the start
            worker.kill(Exit(kind="stopped", detail="its backend was closed"))
        if worker.dead.is_set():
            return
        if self._handle is None:
            worker.kill(Exit(kind="backend_lost", detail="the zygote was lost again before it could fork the worker"))
        else:
            self._launch(worker)

    def _launch(self, worker: Worker) -> None:
        assert self._handle is not None  # the caller has checked
        launch = Launch(id=worker.id, spec=worker.spec, own_environment=worker.send_environment(self._handle.shared))
        self._handles[worker.id] = self._handle
        self._expect(worker, "fork a worker")
        self._handle.launch(launch, worker.take_descriptors(), worker.close_far_ends)

    def _on_packet(self, message: Launched | LaunchFailed | Ended) -> None:
        worker = self._workers.get(message.id)
        if worker is None:
            return
        match message:
            case Launched():
                self._expect_nothing(worker)
                worker.launched(message.pid)
            case LaunchFailed():
                self._forget(worker)
                worker.kill(Exit(kind="start_failed", refused=True, detail=message.reason))
                worker.lost(message.reason)
            case Ended():
                self._forget(worker)
                worker.reaped(message.status, message.peak_kib, message.cpu)
                if not worker.ended.is_set():  # its last message is long, and ``close`` waits for it
                    self._run(_settle(worker))

    def _saw_death(self, worker: Worker) -> None:
        if worker.id in self._handles:
            self._expect(worker, "reap a dead worker")
        else:  # killed while it waited for a zygote: there is no process to end
            self._forget(worker)
            self._loop.call_soon(worker.lost, "")

    def _expect(self, worker: Worker, what: str) -> None:
        """Treat the zygote as hung unless it does ``what`` in time."""
        handle = self._handles.get(worker.id)
        if handle is not None:
            why = f"the zygote did not {what} within {self._launch_timeout:g} s"
            self._expect_nothing(worker)
            self._deadlines[worker.id] = self._loop.call_later(self._launch_timeout, handle.give_up, why)

    def _expect_nothing(self, worker: Worker) -> None:
        deadline = self._deadlines.pop(worker.id, None)
        if deadline is not None:
            deadline.cancel()

    def _forget(self, worker: Worker) -> None:
        self._expect_nothing(worker)
        self._workers.pop(worker.id, None)
        self._handles.pop(worker.id, None)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _settle(worker: Worker) -> None:
    await worker.ended.wait()


def _end_lineage(mark: str) -> None:
    """Kill all processes that carry ``mark``. Blocks until their end is certain, as only that may be reported."""
    while True:
        with contextlib.suppress(TimeoutError):
            orphans.end_all([orphans.carries(*mark.split(":"))])
            return
