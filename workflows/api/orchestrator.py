"""The orchestrator: what a program holds to start runs, look at them, and steer the processes they run in."""

import asyncio
import difflib
import math
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import cached_property
from types import TracebackType
from typing import Self, get_args

from typing_extensions import override

from greenroom.actors.app import loader as apps
from greenroom.journal.interface import Stored
from greenroom.messages.commands import AskSession, Command, PutSchedule, Reply, StartRun, TellSession
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.messages.core.times import Seconds, seconds
from greenroom.messages.policy import SessionPolicy, WorkerKind
from greenroom.supervision.jobs import Pool
from greenroom.workflows.api import waiting
from greenroom.workflows.api.async_orchestrator import AsyncOrchestrator
from greenroom.workflows.api.base import BaseOrchestrator
from greenroom.workflows.api.threads import in_thread, on_loop
from greenroom.workflows.clock import Clock, WallClock
from greenroom.workflows.control.engine import GRACE, Durability, Engine
from greenroom.workflows.control.worker_backends import read_apps
from greenroom.workflows.home.home import JOURNAL_VARIABLE, Home
from greenroom.workflows.output.live_view import OutputOption, viewer_of
from greenroom.workflows.queries.reader import JournalQueries
from greenroom.workflows.runs.watching.snapshot import Snapshot
from greenroom.workflows.runs.watching.subscription import Subscription


class Orchestrator(BaseOrchestrator):
    """Runs workflows, keeps their journal, and supervises the processes they run in.

    It works from the moment it is made until ``close``, or the end of the ``with`` block it is used in. Runs that have
    not ended by then stay in the journal and are taken up by the next orchestrator that opens it. May be used from any
    thread; user code never runs in its process.

    ``async with Orchestrator(...) as orchestrator`` gives its asynchronous twin, an ``AsyncOrchestrator``, and neither
    opens nor closes it on the event loop. Made on the thread of an event loop, it opens in another thread, and what is
    raised below is raised by the first that uses it, such as the ``with``.

    Args:
        journal: Path of the journal; None means ``journal.db`` in the home, or ``GREENROOM_JOURNAL`` where no home is
            given either; ``":memory:"`` one that ends with the process.
        home: Folder where other processes find this orchestrator; None means ``GREENROOM_HOME`` or ``.greenroom``.
            Where that is the home of an orchestrator of another journal, it is a folder beside the journal, named after
            it. The command line finds either by ``--journal``.
        pools: How workers are kept, by a pool's name or kind (``"program"``, ``"tool"``, ``"llm"``, ``"evaluator"``).
        durability: ``"full"``: on the disk before it is visible. ``"process"``: survives the death of any process, and
            may lose the last moments on power loss.
        recover: Take up the runs and schedules that the journal says are not over.
        clock: Whose time timers, backoff and schedules go by; None means the machine's. Tests give a
            ``greenroom.testing.VirtualClock``.
        output: Who sees at once what code in workers prints, logs and warns: True prints it to ``sys.stderr``, each
            line after the step that it comes from; a logger of ``logging`` takes stdout as INFO and stderr as WARNING;
            a function is called with each ``LogLine``, on a thread of its own; False is for nobody. Lines are skipped
            and counted where they come faster than they are taken. ``Run.logs`` has them in any case.
        env: Variables that look like secrets and are passed on all the same, to the import of the app and to all its
            workers: ``NAME``, or ``NAME=VALUE`` for another value than the one in this process; a mapping gives values
            as well. Those that ``[tool.greenroom]`` in ``pyproject.toml`` names are passed on besides. Everything that
            does not look like a secret is inherited as it is when a worker starts.
        import_timeout: Seconds that an app may take to be imported; None means what ``pyproject.toml`` says, or 60.

    Raises:
        DefinitionError: The project's ``pyproject.toml`` cannot be read.
        TypeError: An option is of another type than it has to be.
        ValueError: An option has a value that it cannot have.
        HomeInUse: Another orchestrator that is alive owns the journal or the home.
        JournalError: The journal cannot be opened; see its subclasses.
    """

    def __init__(  # noqa: PLR0913  the contract's options
        self,
        journal: str | os.PathLike[str] | None = None,
        *,
        home: str | os.PathLike[str] | None = None,
        pools: Mapping[str, Pool] | None = None,
        durability: Durability = "full",
        recover: bool = True,
        clock: Clock | None = None,
        output: OutputOption = True,
        env: Iterable[str] | Mapping[str, str] = (),
        import_timeout: float | timedelta | None = None,
    ) -> None:
        """Start everything. Blocks, on no event loop, until the journal is open and what a former life left is gone."""
        if apps.loading:
            raise apps.ImportEnded
        _check_options(pools or {}, durability)
        viewer = viewer_of(output)
        if journal is None and home is None:
            journal = os.environ.get(JOURNAL_VARIABLE) or None
        imports = read_apps(env, import_timeout, pools or {})
        self._wanted = Home(home)
        """The home that was asked for; the one that it has may be another."""

        def start() -> Engine:
            engine = Engine(
                journal,
                self._wanted,
                own_home=home is not None or journal is None,
                pools=dict(pools or {}),
                durability=durability,
                clock=clock if clock is not None else WallClock(),
                viewer=viewer,
                apps=imports,
            )
            if recover:
                engine.recover()
            return engine

        self._opening: Future[Engine] = Future()
        """Done once everything works, or does not."""
        if on_loop():
            self._opening = in_thread("greenroom-opening", start)
        else:
            self._opening.set_result(start())

    @cached_property
    def _engine(self) -> Engine:
        return self._opening.result()

    @property
    def home(self) -> Home:
        """Where other processes find it."""
        return self._engine.home

    def __repr__(self) -> str:
        """Say where it works and whether it still does."""
        if not self._opening.done():
            return f"<Orchestrator on the home {self._wanted.path}, opening>"
        if (error := self._opening.exception()) is not None:
            return f"<Orchestrator on the home {self._wanted.path}, not open: {error}>"
        return f"<Orchestrator on {self._engine.place}, {'closed' if self._engine.closed else 'open'}>"

    def close(self, grace: Seconds = GRACE) -> None:
        """Stop everything and let go of the journal. Runs that are going on are taken up next time. May be repeated.

        No step is begun any more, and those that run have time to end: their results are recorded, so that nothing is
        done twice. After ``grace`` seconds asynchronous steps are cancelled and have half a second for their cleanup;
        then the processes are ended, and steps that were cut off are run again next time. Ctrl+C in the meantime ends
        the waiting. The end of a ``with`` block is ``close()``.

        Args:
            grace: Seconds that steps have to end.

        Raises:
            ValueError: ``grace`` is no number of seconds from 0 on.
        """
        given = grace.total_seconds() if isinstance(grace, timedelta) else grace
        if isinstance(given, bool) or not (isinstance(given, (int, float)) and 0 <= given < math.inf):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"grace is a number of seconds from 0 on, not {grace!r}"
            raise ValueError(msg)
        if self._opening.exception() is None:
            self._engine.close(given)
            self.threads.close()

    def hurry(self) -> None:
        """Leave the steps that run no more time, where this is being closed in another thread."""
        if self._opening.done() and self._opening.exception() is None:
            self._engine.hurry()

    @cached_property
    def aio(self) -> AsyncOrchestrator:
        """Its twin for asynchronous code: everything that blocks here is awaited there."""
        return AsyncOrchestrator(self)

    async def __aenter__(self) -> AsyncOrchestrator:
        """Wait until it works, and give its asynchronous twin."""
        try:
            await asyncio.shield(asyncio.wrap_future(self._opening))
        except asyncio.CancelledError:
            await self.aio.close(0)
            raise
        return self.aio

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aio.close()

    def __enter__(self) -> Self:
        """Use it as a context."""
        _ = self._engine  # raises what kept it from opening
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def check_alive(self) -> None:
        """Do nothing while the orchestrator works.

        Raises:
            OrchestratorClosed: It was closed, stopped because its journal failed, or belongs to another process.
        """
        self._engine.check_alive()

    def announce(self, url: str | None) -> None:
        """Let other processes find in the home where HTTP is served; None where it is not any more."""
        self._engine.announce(url)

    @property
    @override
    def reads(self) -> JournalQueries:
        """Looks at runs; see ``greenroom.workflows.queries.reader``."""
        return self._engine.reads

    @override
    def send(self, command: Command) -> Reply:
        self.check_alive()
        return shown(self._engine.carry_out(command))

    async def until_sent(self, command: Command) -> Reply:
        """Carry out a command like ``send``, without holding the caller's loop or a thread.

        Who stops waiting leaves the command to be carried out all the same.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """
        self.check_alive()
        answer = self._engine.submit(command)
        try:
            return await asyncio.shield(asyncio.wrap_future(answer))
        except asyncio.CancelledError:
            if answer.cancelled() and not _is_cancelled():  # not the caller, but the orchestrator has given up
                self.check_alive()
            raise

    def flush_output(self, timeout: Seconds = 2.0) -> None:
        """Wait until what workers have written up to now is shown, so that what is printed next comes after it.

        Args:
            timeout: Seconds to wait at most.
        """
        self._engine.flush_output(seconds(timeout, "the timeout of flush_output()"))

    def leave(self, run_ids: Sequence[str] = ()) -> list[str]:
        """Ask whether this orchestrator can be closed without others missing it. Any thread.

        Args:
            run_ids: Runs that somebody waits for beside those that other processes have asked for.

        Returns:
            Those of them that go on. Once there are none, commands of other processes are refused from then on, so that
            nothing is taken that nobody would carry out.
        """
        self.check_alive()
        return self._engine.leave(run_ids)

    def on_slow_import(self, listener: Callable[[str, str], None]) -> None:
        """Have ``listener`` called when the import of an app takes more than two seconds, and now and then after that.

        Args:
            listener: Is given the app, and a sentence: since when, and at which line it is. It is called on a thread of
                the orchestrator's and must not block.
        """
        self._engine.slow_imports.listen(lambda app, slow: listener(app, slow.sentence()))

    def peek(self, run_id: str) -> Snapshot | None:
        """Give a copy of what is in memory of a run, None where nothing is. For tests.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """
        self.check_alive()
        return self._engine.peek(run_id)

    @override
    def _launch(self, command: StartRun) -> Reply:
        self.check_alive()
        return self._engine.start_run(command)

    @override
    def post(self, command: TellSession, policy: SessionPolicy) -> Reply:
        self.check_alive()
        return self._engine.message(command, policy)

    @override
    def _put_schedule(self, command: PutSchedule) -> Reply:
        self.check_alive()
        return self._engine.put_schedule(command)

    # ------------------------------------------------------------ waiting

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> Subscription:
        """Have ``watcher`` called on every change of a run, or at its end; calling what it gives ends this."""
        return self._engine.idle_monitor.watch(run_id, watcher, end_only=end_only)

    @override
    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        return waiting.wait_result(self, run_id, timeout)

    @override
    async def until_result(self, run_id: str) -> Json:
        return await waiting.until_result(self, run_id)

    @override
    async def until_answered(self, command: AskSession, policy: SessionPolicy) -> Reply:
        self.check_alive()
        answer = self._engine.submit_message(command, policy)
        try:
            return shown(await asyncio.shield(asyncio.wrap_future(answer)))
        except asyncio.CancelledError:
            if answer.cancelled() and not _is_cancelled():
                self.check_alive()
            answer.cancel()
            raise

    @override
    def until_followed(self, run_id: str, after: int) -> AsyncIterator[Stored]:
        return waiting.until_followed(self, run_id, after)

    @override
    def follow(self, run_id: str, after: int) -> Iterator[Stored]:
        return waiting.follow(self, run_id, after)


def _is_cancelled() -> bool:
    """Say whether it is the running task that somebody has cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _check_options(pools: Mapping[str, object], durability: object) -> None:
    """Refuse what would otherwise fail far from where it was written: callers need not be typed.

    Raises:
        TypeError: Something else than a pool is given as one.
        ValueError: There is no such durability, or a pool cannot be kept as it says.
    """
    found = [f"pools[{name!r}] {fault}" for name, pool in pools.items() for fault in _faults(name, pool)]
    if found:
        kind = ValueError if all(isinstance(pool, Pool) for pool in pools.values()) else TypeError
        raise kind("; ".join(found))
    if durability not in get_args(Durability):
        msg = f"durability is 'full' or 'process', not {durability!r}"
        raise ValueError(msg)


def _faults(name: object, pool: object) -> Iterator[str]:
    """Say what is wrong with one of the pools."""
    kinds = get_args(WorkerKind)
    if not isinstance(name, str) or (name not in kinds and not name.startswith("tool:")):
        close = difflib.get_close_matches(str(name), kinds, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        yield f"is the pool of no worker: give a kind ({', '.join(kinds)}), or 'tool:NAME' for a tool of its own{hint}"
    elif not isinstance(pool, Pool):
        yield f"has to be a Pool, such as Pool(size=4), not {pool!r}"
    elif name == "program" and pool.fresh:
        yield "cannot be fresh: programs are replayed, and it is attempts that get a process of their own"
    elif name not in {"program", "llm"} and pool.concurrency not in {None, 1}:
        yield f"has concurrency={pool.concurrency}, and its workers run one job at a time: give size={pool.concurrency}"
