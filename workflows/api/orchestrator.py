"""The orchestrator: starts, reads and controls runs, and supervises the processes they run in."""

import asyncio
import difflib
import math
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, cast, get_args

from typing_extensions import override

from greenroom.actors.app import importing
from greenroom.messages.commands import AskSession, Command, PutSchedule, Reply, StartRun, TellSession
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.messages.core.other_names import with_hints
from greenroom.messages.core.times import Seconds, seconds
from greenroom.messages.options.policy import Budget, SessionPolicy, WorkerKind
from greenroom.messages.refusals import check_command
from greenroom.supervision.pool_config import Pool
from greenroom.workflows.api import waiting
from greenroom.workflows.api.base import BaseOrchestrator
from greenroom.workflows.api.threads import in_thread, on_loop
from greenroom.workflows.control.setup.app_options import Apps, read_apps
from greenroom.workflows.control.setup.call_limits import CallLimits, read_limits
from greenroom.workflows.control.setup.opening import GRACE, Durability, Opening
from greenroom.workflows.home import former_name
from greenroom.workflows.home.home import JOURNAL_VARIABLE, Home
from greenroom.workflows.home.private_files import descriptors_left
from greenroom.workflows.output.live_view import OutputOption, Viewer, viewer_of

if TYPE_CHECKING:  # the first keeper starts before any of these is imported
    from greenroom.journal.interface import Stored
    from greenroom.messages.options.call_limits import Breaker, ModelLimit
    from greenroom.supervision.loop.clock import Clock
    from greenroom.workflows.api.async_orchestrator import AsyncOrchestrator
    from greenroom.workflows.control.engine import Engine
    from greenroom.workflows.queries.reader import JournalQueries
    from greenroom.workflows.runs.watching.snapshot import Snapshot
    from greenroom.workflows.runs.watching.subscription import Subscription


@with_hints
class Orchestrator(BaseOrchestrator):
    """Runs workflows, keeps their journal, and supervises the processes they run in.

    It works until ``close``, or the end of the ``with`` block it is used in. Runs that have not ended by then stay in
    the journal, and the next orchestrator that opens it continues them. Thread-safe. User code never runs in its
    process.

    ``async with Orchestrator(...) as orchestrator`` returns its twin for asyncio, an ``AsyncOrchestrator``; opening and
    closing do not block the event loop. Made on the thread of an event loop, it opens in another thread. The errors
    below are then raised at its first use, such as the ``with``.

    Args:
        journal: Path of the journal. None means ``GREENROOM_JOURNAL`` if no home is given, else ``journal.db`` in the
            home. ``":memory:"`` is a journal that ends with the process.
        home: Folder where other processes find this orchestrator; None means ``GREENROOM_HOME`` or ``.greenroom``.
            If that belongs to an orchestrator of another journal, the home is a folder beside the journal, named after
            it. The command line finds either by ``--journal``.
        pools: Configuration of worker pools, by name or kind (``"program"``, ``"tool"``, ``"llm"``, ``"evaluator"``).
        durability: ``"full"``: events survive power loss once they are visible. ``"process"``: they survive the death
            of any process, and power loss may lose the last ones.
        recover: Whether to continue the runs and schedules of the journal that are not over.
        clock: The clock of timers, backoff and schedules; None means the machine's. Tests pass a
            ``greenroom.testing.VirtualClock``.
        output: Where to show what code in workers prints, logs and warns. True prints it to ``sys.stderr``, each line
            after the step it comes from. A logger of ``logging`` takes stdout as INFO and stderr as WARNING. A
            function is called with each ``LogLine``, on a thread of its own. False shows nothing. Lines that come
            faster than they are shown are skipped and counted; ``Run.logs`` returns them in any case.
        env: Environment variables that look like secrets and are passed on, to the import of the app and to all of its
            workers: ``NAME``, or ``NAME=VALUE``, or a mapping with values. Those named by ``[tool.greenroom]`` in
            ``pyproject.toml`` are passed on too. Variables that do not look like secrets are always inherited.
        import_timeout: Seconds that the import of an app may take; None means the value in ``pyproject.toml``, or 60.
        models: Limits of requests to models, by the model's name, such as ``{"openai:gpt-5": ModelLimit(rpm=500)}``.
            Other models have 16 requests at once. All workers and runs share them.
        breakers: When calls of failing models and tools are held back, by the model's name or ``"tool:"`` and the
            tool's; None for never. Other models have ``Breaker()``, other tools none.
        budget: What all runs in the journal may use together: ``usd`` and ``tokens``.
        daily_budget: What they may use together on one day, from midnight to midnight in UTC. ``models``, ``breakers``
            and both budgets may stand in ``[tool.greenroom]`` too; what is given here wins.

    Raises:
        DefinitionError: The project's ``pyproject.toml`` is not valid.
        TypeError: An option has the wrong type.
        ValueError: An option has an invalid value.
        HomeInUse: Another living orchestrator owns the journal or the home.
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
        clock: "Clock | None" = None,
        output: OutputOption = True,
        env: Iterable[str] | Mapping[str, str] = (),
        import_timeout: float | timedelta | None = None,
        models: "Mapping[str, ModelLimit] | None" = None,
        breakers: "Mapping[str, Breaker | None] | None" = None,
        budget: Budget | None = None,
        daily_budget: Budget | None = None,
    ) -> None:
        """Start everything. Blocks, but no event loop, until the journal is open and orphaned processes are gone."""
        if importing.loading:
            raise importing.ImportEnded
        _check_options(pools or {}, durability, clock)
        viewer = viewer_of(output)
        if journal is None and home is None:
            journal = former_name.variable(JOURNAL_VARIABLE) or None
        imports = read_apps(env, import_timeout, pools or {})
        limits = read_limits(models, breakers, budget, daily_budget)
        self._wanted = Home(home)
        """The home that was asked for; ``home`` may be another."""

        def start() -> "Engine":
            own_home = home is not None or journal is None
            with descriptors_left():
                opening = Opening(journal, self._wanted, own_home=own_home, given=imports.given)
                return _start(opening, pools or {}, durability, clock, viewer, imports, limits, recover=recover)

        self._opening: Future[Engine] = Future()
        """The engine, or the error of opening it."""
        if on_loop():
            self._opening = in_thread("greenroom-opening", start)
        else:
            self._opening.set_result(start())

    @cached_property
    def _engine(self) -> "Engine":
        return self._opening.result()

    @property
    def home(self) -> Home:
        """The home, where other processes find it."""
        return self._engine.home

    def __repr__(self) -> str:
        """Name its journal, and whether it is open."""
        if not self._opening.done():
            return f"<Orchestrator on the home {self._wanted.path}, opening>"
        if (error := self._opening.exception()) is not None:
            return f"<Orchestrator on the home {self._wanted.path}, not open: {error}>"
        return f"<Orchestrator on {self._engine.place}, {'closed' if self._engine.closed else 'open'}>"

    def close(self, grace: Seconds = GRACE) -> None:
        """Stop everything and close the journal. Unfinished runs continue next time. May be repeated.

        No step starts any more, and running steps have time to end: their results are recorded, so that they do not
        run twice. After ``grace`` seconds asynchronous steps are cancelled and have half a second to clean up. Then
        the processes are killed, and interrupted steps run again next time. Ctrl+C ends the waiting. The end of a
        ``with`` block calls ``close()``.

        Args:
            grace: Seconds that steps have to end.

        Raises:
            ValueError: ``grace`` is not a number of seconds of at least 0.
        """
        given = grace.total_seconds() if isinstance(grace, timedelta) else grace
        if isinstance(given, bool) or not (isinstance(given, (int, float)) and 0 <= given < math.inf):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"grace is a number of seconds from 0 on, not {grace!r}"
            raise ValueError(msg)
        if self._opening.exception() is None:
            self._engine.close(given)
            self.threads.close()

    def hurry(self) -> None:
        """End the grace period of running steps, while another thread closes this."""
        if self._opening.done() and self._opening.exception() is None:
            self._engine.hurry()

    @property
    @override
    def aio(self) -> "AsyncOrchestrator":
        return self._aio

    @cached_property
    def _aio(self) -> "AsyncOrchestrator":
        from greenroom.workflows.api.async_orchestrator import AsyncOrchestrator  # noqa: PLC0415  for asyncio alone

        return AsyncOrchestrator(self)

    async def __aenter__(self) -> "AsyncOrchestrator":
        """Wait until it works, and return its twin for asynchronous code."""
        try:
            await asyncio.shield(asyncio.wrap_future(self._opening))
        except asyncio.CancelledError:
            await self.aio.close(0)
            raise
        return self.aio

    def check_alive(self) -> None:
        """Raise an error if the orchestrator has stopped.

        Raises:
            OrchestratorClosed: It was closed, stopped because its journal failed, or belongs to another process.
        """
        self._engine.check_alive()

    def announce(self, url: str | None) -> None:
        """Record in the home the URL where HTTP is served; None if it is no longer served."""
        self._engine.announce(url)

    @property
    @override
    def reads(self) -> "JournalQueries":
        return self._engine.reads

    @override
    def send(self, command: Command) -> Reply:
        check_command(command)
        self.check_alive()
        return shown(self._engine.carry_out(command))

    async def until_sent(self, command: Command) -> Reply:
        """Execute a command like ``send``, without blocking the caller's loop or a thread.

        Cancelling the await does not cancel the command.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """
        check_command(command)
        self.check_alive()
        answer = self._engine.submit(command)
        try:
            return await asyncio.shield(asyncio.wrap_future(answer))
        except asyncio.CancelledError:
            if answer.cancelled() and not _is_cancelled():  # the orchestrator has stopped; nobody cancelled the caller
                self.check_alive()
            raise

    def flush_output(self, timeout: Seconds = 2.0) -> None:
        """Wait until the output of workers so far is shown, so that what is printed next comes after it.

        Args:
            timeout: Most seconds to wait.
        """
        self._engine.flush_output(seconds(timeout, "the timeout of flush_output()"))

    def leave(self, run_ids: Sequence[str] = ()) -> list[str]:
        """Ask whether this orchestrator can be closed while no other process needs it. Thread-safe.

        Args:
            run_ids: Runs to wait for besides those that other processes have submitted.

        Returns:
            The ids of these runs that have not ended. If there are none, commands of other processes are refused from
            then on, so that none is accepted and never executed.
        """
        self.check_alive()
        return self._engine.leave(run_ids)

    def on_delay(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` when something holds up runs without ending them.

        That is the import of an app which takes more than two seconds, again at intervals after that, and a pool that
        cannot start workers.

        Args:
            listener: Called with a sentence, for an import with its duration and the line it has reached. It is called
                on a thread of the orchestrator and must not block.
        """
        self._engine.on_delay(listener)

    def peek(self, run_id: str) -> "Snapshot | None":
        """Return a copy of a run's state in memory; None if it is not in memory. For tests.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """
        self.check_alive()
        return self._engine.peek(run_id)

    @override
    def _launch(self, command: StartRun) -> Reply:
        self.check_alive()
        if command.budget is not None and command.budget.needs_prices:
            return self._engine.carry_out(command)  # a worker of the app says which prices are known
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

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> "Subscription":
        """Call ``watcher`` on every change of a run, or at its end, until the returned subscription is called."""
        return self._engine.idle_monitor.watch(run_id, watcher, end_only=end_only)

    def goes_on(self, run_id: str) -> bool:
        """Return True if a run is not over, as far as that is known without reading the journal."""
        return self._engine.goes_on(run_id)

    @override
    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        return waiting.wait_result(self, run_id, timeout)

    @override
    async def until_result(self, run_id: str, timeout: float | None) -> Json:
        return await waiting.until_result(self, run_id, timeout)

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
    def until_followed(self, run_id: str, after: int) -> "AsyncIterator[Stored]":
        return waiting.until_followed(self, run_id, after)

    @override
    def follow(self, run_id: str, after: int) -> "Iterator[Stored]":
        return waiting.follow(self, run_id, after)


class ClaimedOrchestrator(Orchestrator):
    """An orchestrator on what was claimed before this module was imported. For the command line."""

    def __init__(self, opening: Opening, apps: Apps, output: OutputOption) -> None:
        """Start everything else, in place of what ``Orchestrator`` does."""
        self._wanted = opening.home
        self._opening = Future()
        self._opening.set_result(
            _start(opening, {}, "full", None, viewer_of(output), apps, read_limits(), recover=True)
        )


def _start(
    opening: Opening,
    pools: Mapping[str, Pool],
    durability: Durability,
    clock: "Clock | None",
    viewer: Viewer | None,
    apps: Apps,
    limits: CallLimits,
    *,
    recover: bool,
) -> "Engine":
    """Import the engine, beside the first zygote, which has been started; and start it on what was claimed."""
    try:
        from greenroom.supervision.loop.clock import WallClock  # noqa: PLC0415  see above
        from greenroom.workflows.control.engine import Engine  # noqa: PLC0415  the same
    except BaseException:
        opening.close()
        raise
    clock = clock if clock is not None else WallClock()
    engine = Engine(
        opening, pools=dict(pools), durability=durability, clock=clock, viewer=viewer, apps=apps, limits=limits
    )
    if recover:
        engine.recover()
    return engine


def _is_cancelled() -> bool:
    """Return whether the running task was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _check_options(pools: Mapping[str, object], durability: object, clock: object) -> None:
    """Check the options of an orchestrator.

    Raises:
        TypeError: A pool is not a ``Pool``, the pools are not a mapping, or ``clock`` is not a clock.
        ValueError: The durability is unknown, or a pool's configuration is not valid.
    """
    if clock is not None and (isinstance(clock, type) or not hasattr(clock, "call_at")):
        msg = (
            f"clock is a clock, such as VirtualClock() of greenroom.testing, or None for real time, not {clock!r:.200}"
        )
        raise TypeError(msg)
    if not isinstance(cast("object", pools), Mapping):
        msg = f"pools is a mapping such as pools={{'tool': Pool(size=4)}}, not {pools!r:.200}"
        raise TypeError(msg)
    found = [f"pools[{name!r}] {fault}" for name, pool in pools.items() for fault in _faults(name, pool)]
    if found:
        kind = ValueError if all(isinstance(pool, Pool) for pool in pools.values()) else TypeError
        raise kind("; ".join(found))
    if durability not in get_args(Durability):
        msg = f"durability is 'full' or 'process', not {durability!r}"
        raise ValueError(msg)


def _faults(name: object, pool: object) -> Iterator[str]:
    """Yield what is wrong with a pool."""
    kinds = get_args(WorkerKind)
    if not isinstance(name, str) or (name not in kinds and not name.startswith(("tool:", "mcp:"))):
        close = difflib.get_close_matches(str(name), kinds, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        yield (
            f"is the pool of no worker: give a kind ({', '.join(kinds)}), 'tool:NAME' for a tool of its own, or "
            f"'mcp:NAME' for an MCP server{hint}"
        )
    elif not isinstance(pool, Pool):
        yield f"has to be a Pool, such as Pool(size=4), not {pool!r}"
    elif name == "program" and pool.fresh:
        yield "cannot be fresh: programs are replayed, and it is attempts that get a process of their own"
    elif name not in {"program", "llm"} and pool.concurrency not in {None, 1}:
        yield f"has concurrency={pool.concurrency}, and its workers run one job at a time: give size={pool.concurrency}"
