"""The orchestrator: what a program holds to start runs, look at them, and steer the processes they run in."""

import os
import secrets
import signal as signals
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, get_args

from pydantic import BaseModel

from understudy.actors import app as apps
from understudy.actors.definitions import WorkflowDefinition, known_workflow
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
from understudy.messages.errors import WorkerNotFound
from understudy.messages.records import ActorRecord, RunRecord, RunStatus, WorkerRecord
from understudy.metrics.figures import Metrics
from understudy.supervision.protocol import Pool
from understudy.workflows.engine import Durability, Engine
from understudy.workflows.handle import Run, check
from understudy.workflows.home import Home
from understudy.workflows.reads import Reads
from understudy.workflows.workflow import Workflow, check_workflow

R = TypeVar("R")

ID_SIGNS: Final = "23456789bcdfghjkmnpqrstvwxz"
"""What new run ids end in: nothing that is taken for something else, or spells a word."""
MAX_ID: Final = 200
"""Characters a run id may have."""


class Orchestrator:
    """Runs workflows, keeps their journal, and supervises the processes they run in.

    It works from the moment it is made until ``close``, or the end of the ``with`` block it is used in. Runs that have
    not ended by then stay in the journal and are taken up by the next orchestrator that opens it. May be used from any
    thread; user code never runs in its process.

    Args:
        journal: Path of the journal; None means ``journal.db`` in the home, ``":memory:"`` one that ends with the
            process.
        home: Folder where other processes find this orchestrator; None means ``UNDERSTUDY_HOME`` or ``.understudy``.
        pools: How workers are kept, by a pool's name or kind (``"program"``, ``"tool"``, ``"llm"``, ``"evaluator"``).
        durability: ``"full"``: on the disk before it is visible. ``"process"``: survives the death of any process, and
            may lose the last moments on power loss.
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
        _check_options(pools or {}, durability)
        self.home = Home(home)
        own_home = home is not None or journal is None
        self._engine = Engine(journal, self.home, own_home=own_home, pools=dict(pools or {}), durability=durability)
        if recover:
            self._engine.reactor.call(self._engine.runs.recover)

    def __repr__(self) -> str:
        """Say where it works and whether it still does."""
        return f"<Orchestrator on {self._engine.place}, {'closed' if self._engine.closed else 'open'}>"

    def close(self) -> None:
        """Stop everything and let go of the journal. Runs that are going on are taken up next time. May be repeated."""
        self._engine.close()

    def __enter__(self) -> Self:
        """Use it as a context."""
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

    @property
    def reads(self) -> Reads:
        """Looks at runs; see ``understudy.workflows.reads``."""
        return self._engine.reads

    # ------------------------------------------------------------ runs

    def start(self, workflow: Workflow[..., R], *args: Any, id: str | None = None, **kwargs: Any) -> Run[R]:  # noqa: A002
        """Start a run, or find the one that ``id`` started before; returns once it is on the disk.

        Args:
            workflow: What to run.
            args: Its arguments.
            id: Identity of the run: letters, digits, ``.``, ``_`` and ``-``. Starting twice with the same id, workflow
                and arguments gives the same run. None makes a new one.
            kwargs: Its keyword arguments.

        Raises:
            InvalidInput: The arguments do not fit the workflow's signature; every field at fault is named.
            IdConflict: The id belongs to a run of another workflow or with other arguments.
            DefinitionError: The workflow is not defined where a worker could find it.
            OrchestratorClosed: The orchestrator has stopped.
            TypeError: It is no workflow.
            ValueError: The id could not be one.
        """
        check_workflow(workflow)
        command = StartRun(
            run_id=run_id(id, workflow.name),
            app=workflow.definition.app,
            workflow=workflow.name,
            arguments=workflow.bind(*args, **kwargs),
        )
        self.check_alive()
        reply = check(self._engine.launch(command))
        assert isinstance(reply, Accepted)
        return self._handle(command.run_id, workflow.definition)

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
        """Give the handle of a run that exists; its result is plain JSON where this process has not its workflow.

        Raises:
            RunNotFound: There is none with this id.
        """
        record = self.reads.run(run_id)
        return self._handle(run_id, known_workflow(record.app, record.workflow))

    def _handle(self, run_id: str, workflow: WorkflowDefinition | None) -> Run[Any]:
        if workflow is None:
            return Run(self, run_id, _as_it_is, _as_it_is)
        model = workflow.state_model
        return Run(self, run_id, workflow.decode_result, _as_it_is if model is None else partial(_read_state, model))

    def runs(self, status: RunStatus | None = None, name: str | None = None, limit: int = 100) -> list[RunRecord]:
        """Give the newest runs first, of one status and one workflow where asked for."""
        return self.reads.runs(status, name, limit)

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> Callable[[], None]:
        """Have ``watcher`` called on every change of a run, or at its end; gives the function that ends this."""
        self._engine.reactor.call(partial(self._engine.runs.watch, run_id, watcher, end_only=end_only))
        return lambda: self._engine.reactor.call(self._engine.runs.unwatch, run_id, watcher)

    # ------------------------------------------------------------ control

    def send(self, command: Command) -> Reply:
        """Carry out any command of ``understudy.messages.commands``; what the reply says is on the disk.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """
        self.check_alive()
        return self._engine.carry_out(command)

    def workers(self) -> list[WorkerRecord]:
        """Give the worker processes of this moment."""
        reply = self.send(ListWorkers())
        assert isinstance(reply, Workers)
        return list(reply.workers)

    def kill(self, worker_id: str, signal: int = 9) -> None:
        """Send a signal to a worker, as an injected fault that no step is charged with.

        Raises:
            WorkerNotFound: No worker with this id is alive.
            ValueError: There is no such signal.
        """
        if signal not in signals.valid_signals():
            msg = f"there is no signal {signal!r}; give for instance signal.SIGKILL"
            raise ValueError(msg)
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


def _check_options(pools: Mapping[str, object], durability: object) -> None:
    """Refuse what would otherwise fail far from where it was written: callers need not be typed.

    Raises:
        TypeError: Something else than a pool is given as one.
        ValueError: There is no such durability.
    """
    for name, pool in pools.items():
        if not isinstance(pool, Pool):
            msg = f"pools[{name!r}] has to be a Pool, such as Pool(size=4), not {pool!r}"
            raise TypeError(msg)
    if durability not in get_args(Durability):
        msg = f"durability is 'full' or 'process', not {durability!r}"
        raise ValueError(msg)


def _as_it_is(json: Json) -> Json:
    return json


def _read_state(model: type[BaseModel], json: Json) -> BaseModel:
    """Read a shared state; a run that has not changed it yet has the state it started with."""
    return model.model_validate(json if json is not None else {})


def run_id(given: object, workflow: str) -> str:
    """Check an id, or make one that was never used.

    Raises:
        ValueError: It is empty, too long, or holds other characters than letters, digits, ``.``, ``_`` and ``-``.
    """
    if given is None:
        return f"{workflow}-{''.join(secrets.choice(ID_SIGNS) for _ in range(8))}"
    if (
        not isinstance(given, str)
        or not 1 <= len(given) <= MAX_ID
        or not all(sign.isascii() and (sign.isalnum() or sign in "._-") for sign in given)
    ):
        msg = f"a run id is 1 to 200 letters, digits, '.', '_' or '-', not {given!r}"
        raise ValueError(msg)
    return given
