"""Check the current code against a journal: replay every unfinished run with it.

The check needs no orchestrator, and does not disturb one. It reads runs from the journal, and starts its own program
workers. It only reports the results: no step is run, and nothing is recorded.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from greenroom.journal.interface import Journal, RunRow
from greenroom.messages.core.errors import CodecError, JournalError
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.message import Message
from greenroom.messages.frames.replay_differences import Difference
from greenroom.messages.frames.worker import Diverge, Halt, Turn
from greenroom.messages.options.policy import Limits
from greenroom.messages.records.records import RunStatus
from greenroom.supervision.jobs import Job, JobHandle, Pool, PoolKey
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.tree import Tree
from greenroom.workflows.control.setup.app_options import Apps, read_apps
from greenroom.workflows.control.setup.worker_backends import make_backend
from greenroom.workflows.decisions.inputs import Input, NoWorkers, ProgramLost, ProgramTurn
from greenroom.workflows.decisions.replay.expectations import explained
from greenroom.workflows.queries.reader import JournalQueries
from greenroom.workflows.runs.jobs.program import ProgramJob
from greenroom.workflows.state.run_state import RunState

UNFINISHED: Final[tuple[RunStatus, ...]] = ("pending", "running", "waiting", "paused", "parked")
AT_ONCE: Final = 16
"""Most runs that are replayed at the same time."""
CLOSE_TIMEOUT: Final = 30.0
"""Seconds that all processes have to end."""


Verdict: TypeAlias = Literal["equal", "differs", "unloadable"]


class CheckRecord(Message):
    """Result of the replay of one run with the current code."""

    run_id: str
    workflow: str
    version: int = 1
    app: str
    status: RunStatus
    verdict: Verdict
    """``unloadable`` means that the code could not be compared, because it does not load or ends its process."""
    changed: bool = False
    """Whether the code differs from that of the run's last replay."""
    reason: str = ""
    """Why the verdict is not ``equal``."""
    difference: Difference | None = None


@frozen
class _Workers:
    """The parts of an orchestrator that the job of a program needs."""

    mint: Callable[[], str]
    submit: Callable[[PoolKey, Limits | None, Job], JobHandle]


class ReplayChecker:
    """Replays runs in its own processes, which end with it. Any thread but its reactor's.

    Use it as a context manager.
    """

    def __init__(self, apps: Apps | None = None) -> None:
        """Start the reactor and an empty supervision tree. ``apps`` says how apps are imported."""
        apps = apps if apps is not None else read_apps((), None, {})
        with ExitStack() as parts:
            folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-check-")))
            generation = GenerationLock(folder / "workers.lock")
            generation.acquire()
            parts.callback(generation.release)
            reactor = self._reactor = Reactor("greenroom-check")
            reactor.start()
            parts.callback(reactor.stop)
            pools = {"program": Pool(size=1)}
            tree = self._tree = Tree(
                reactor, lambda app, _key, pool: make_backend(app, pool, reactor.loop, generation, apps), pools=pools
            )
            parts.callback(lambda: reactor.submit(tree.close(0.0)).result(CLOSE_TIMEOUT))
            self._parts = parts.pop_all()
        counter = itertools.count(1)
        self._workers = _Workers(lambda: f"0:{next(counter)}", tree.submit)

    def __enter__(self) -> Self:
        """Return this checker."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its processes."""
        self._parts.close()

    def check(self, reads: JournalQueries, app: str | None = None) -> list[CheckRecord]:
        """Replay every unfinished run.

        Args:
            reads: Queries of the journal.
            app: Path of a file that replaces the recorded one, for the runs of files with the same name. A journal may
                come from another machine. None for all runs, each with its recorded app.
        """
        rows = _unfinished(reads.journal)
        wanted = [row for row in rows if app is None or row.app == app or _file_name(row.app) == _file_name(app)]
        return self._reactor.submit(self._check_all(reads, wanted, app)).result()

    async def _check_all(self, reads: JournalQueries, rows: Iterable[RunRow], app: str | None) -> list[CheckRecord]:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(row: RunRow) -> CheckRecord:
            async with room:
                return await self._check_one(reads, row, app)

        return list(await asyncio.gather(*map(one, rows)))

    async def _check_one(self, reads: JournalQueries, row: RunRow, app: str | None) -> CheckRecord:
        loop = asyncio.get_running_loop()
        try:
            state = await loop.run_in_executor(None, reads.fold, row.id)
        except (JournalError, CodecError, ValueError, LookupError) as error:
            return CheckRecord(
                run_id=row.id,
                workflow=row.workflow,
                app=row.app,
                status=row.status,
                verdict="unloadable",
                reason=str(error),
            )
        present = replace(state, app=app or state.app)
        return _record(present, await self._replay(present))

    def replay(self, state: RunState) -> tuple[CheckRecord, Turn | None]:
        """Replay one run. Return the result, and what the program asks for after its history; None if it was lost."""
        happened = self._reactor.submit(self._replay(state, tells_rest=True)).result()
        return _record(state, happened), happened.turn if isinstance(happened, ProgramTurn) else None

    async def _replay(self, state: RunState, *, tells_rest: bool = False) -> ProgramTurn | ProgramLost | NoWorkers:
        """Replay one run in a worker, and return its first turn after the replay, or why there was none."""
        heard: asyncio.Future[ProgramTurn | ProgramLost | NoWorkers] = asyncio.get_running_loop().create_future()

        def hear(happened: Input) -> None:
            over = isinstance(happened, (ProgramLost, NoWorkers))
            if over or (isinstance(happened, ProgramTurn) and not happened.turn.replaying):
                assert isinstance(happened, (ProgramTurn, ProgramLost, NoWorkers))
                if not heard.done():
                    heard.set_result(happened)

        if state.idle:
            return ProgramTurn(Turn(run_id=state.run_id))
        program = ProgramJob(self._workers, state.run_id, hear)
        program.start(state, trial=True, tells_rest=tells_rest)
        happened = await heard
        program.end()
        return happened


def _file_name(app: str) -> str:
    """Return the file name of an app, which may be given by its module's name."""
    path = Path(app)
    return path.name if path.is_absolute() else f"{app.rpartition('.')[2]}.py"


def _unfinished(journal: Journal) -> list[RunRow]:
    """Return the runs that can be replayed: unfinished ones, and sessions that handle a message.

    There may be many sessions. Those that wait while they handle a message are found by their timer or question.
    """
    busy: list[RunStatus] = [status for status in UNFINISHED if status != "waiting"]
    asleep = {timer.run_id for timer in journal.timers()} | {mark.run_id for mark in journal.marks("approval")}
    rows = [journal.run(id_) for id_ in sorted(asleep)]
    return [
        *journal.runs(status=UNFINISHED, kind="run", limit=None),
        *journal.runs(status=busy, kind="session", limit=None),
        *(row for row in rows if row is not None and row.kind == "session" and row.status == "waiting"),
    ]


def _record(state: RunState, happened: ProgramTurn | ProgramLost | NoWorkers) -> CheckRecord:
    verdict: Verdict = "unloadable"
    reason, difference, changed = "", None, False
    match happened:
        case ProgramLost(exit=gone):
            reason = f"the process that replayed it {gone.sentence()}"
        case NoWorkers(reason=why):
            reason = why
        case ProgramTurn(turn=turn):
            match turn.commands:
                case (Diverge() as parted, *_):
                    reason, difference = explained(state, parted)
                    verdict = "unloadable" if difference is None else "differs"
                case (Halt(reason=why), *_):
                    reason = why
                case _:
                    verdict = "equal"
            changed = turn.fingerprint not in {"", state.fingerprint} or difference is not None
    return CheckRecord(
        run_id=state.run_id,
        workflow=state.workflow,
        version=state.version,
        app=state.app,
        status=state.status,
        verdict=verdict,
        changed=changed,
        reason=reason if difference is None else difference.sentence(),
        difference=difference,
    )
