"""The helm: what can be done with an orchestrator, the same in its own process and from any other one."""

import signal as signals
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel
from typing_extensions import override

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.definitions.registry import known_workflow
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.values.conversion import read_model
from greenroom.journal.interface import Stored
from greenroom.messages.approvals import ApprovalDecision
from greenroom.messages.commands import (
    AskSession,
    Command,
    DecideApproval,
    KillWorker,
    ListWorkers,
    Refused,
    Reply,
    RestartWorker,
    Resumed,
    ResumeParked,
    ShowTree,
    StartRun,
    TellSession,
    Tree,
    Workers,
)
from greenroom.messages.core.errors import WorkerNotFound
from greenroom.messages.core.json_text import plain, shown
from greenroom.messages.core.message import Json
from greenroom.messages.events.events import RunStarted
from greenroom.messages.pages import Page
from greenroom.messages.policy import Budget, SessionPolicy
from greenroom.messages.records import (
    ActorRecord,
    ApprovalRecord,
    DeadLetterRecord,
    RunRecord,
    RunStatus,
    SessionRecord,
    WorkerRecord,
)
from greenroom.metrics.figure_records import Metrics, pool_figures
from greenroom.workflows.api.approvals import check_decision
from greenroom.workflows.api.handles.async_run import AsyncRun
from greenroom.workflows.api.handles.async_session import AsyncSession
from greenroom.workflows.api.handles.run import Run, check
from greenroom.workflows.api.handles.session import Session
from greenroom.workflows.api.schedules import ScheduleMethods
from greenroom.workflows.api.threads import Threads
from greenroom.workflows.authoring.session import Handler, check_handler, key_fault
from greenroom.workflows.authoring.workflow import Workflow, check_workflow, refuse_twofold
from greenroom.workflows.ids import run_id
from greenroom.workflows.queries.interface import Queries

R = TypeVar("R")
S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)


class BaseOrchestrator(ScheduleMethods, ABC):
    """Everything that is made of commands and looks. An orchestrator carries them out; a client sends them there."""

    @property
    @abstractmethod
    def reads(self) -> Queries:
        """Looks at runs."""

    @abstractmethod
    def send(self, command: Command) -> Reply:
        """Carry out any command of ``greenroom.messages.commands``; what the reply says is on the disk.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """

    @abstractmethod
    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        """Block until a run is over, and give its result or raise what stands in its place; see ``Run.result``."""

    @abstractmethod
    async def until_result(self, run_id: str) -> Json:
        """Wait for the same without holding the caller's loop."""

    @abstractmethod
    def follow(self, run_id: str, after: int) -> Iterator[Stored]:
        """Give the events of a run above ``after`` as they are committed, until it is over."""

    @abstractmethod
    def until_followed(self, run_id: str, after: int) -> AsyncIterator[Stored]:
        """Give the same without holding the caller's loop."""

    @abstractmethod
    async def until_answered(self, command: AskSession, policy: SessionPolicy) -> Reply:
        """Bring a message that is known to fit to a session, and wait for the reply, without holding the caller's loop.

        Who stops waiting leaves the message where it is.
        """

    def aio_run(self, run: Run[R]) -> AsyncRun[R]:
        """Give a handle's twin for asynchronous code."""
        return AsyncRun(run)

    def aio_session(self, session: Session[S, M, R], definition: SessionDefinition) -> AsyncSession[S, M, R]:
        """Give a handle's twin for asynchronous code."""
        return AsyncSession(session, self, definition)

    @property
    @override
    def threads(self) -> Threads:
        return self._threads

    @cached_property
    def _threads(self) -> Threads:
        return Threads()

    def _launch(self, command: StartRun) -> Reply:
        """Start a run whose arguments are known to fit."""
        return self.send(command)

    def _place(self, app: str) -> str:
        """Give where an app is found by whoever loads it."""
        path = Path(app)
        return str(path.absolute()) if path.suffix == ".py" else app

    # ------------------------------------------------------------ runs

    def start(
        self,
        workflow: Workflow[..., R],
        /,
        *args: Any,
        id: str | None = None,  # noqa: A002
        budget: Any = None,
        **kwargs: Any,
    ) -> Run[R]:
        """Start a run, or find the one that ``id`` started before; returns once it is on the disk.

        Args:
            workflow: What to run.
            args: Its arguments.
            id: Identity of the run: letters, digits, ``.``, ``_`` and ``-``. Starting twice with the same id, workflow
                and arguments gives the same run. None makes a new one. A parameter of the workflow's that is called
                ``id`` as well is given by position.
            budget: A ``Budget`` for this run and its children, in place of the workflow's. Anything else goes to the
                workflow, where that has a parameter of this name.
            kwargs: Its keyword arguments.

        Raises:
            InvalidInput: The arguments do not fit the workflow's signature; every field at fault is named.
            IdConflict: The id belongs to a run of another workflow or with other arguments.
            DefinitionError: The workflow is not defined where a worker could find it.
            OrchestratorClosed: The orchestrator has stopped.
            TypeError: It is no workflow, or an option may be the workflow's own as well as the run's.
            ValueError: The id could not be one.
        """
        check_workflow(workflow)
        if budget is not None and not isinstance(budget, Budget) and "budget" in workflow.definition.signature.forms:
            kwargs, budget = {**kwargs, "budget": budget}, None
        refuse_twofold("start", workflow, args, {"id": id, "budget": budget})
        chosen = workflow if budget is None else workflow.options(budget=budget)
        return self._start_bound(chosen, workflow.bind(*args, **kwargs), id)

    def _start_bound(self, workflow: Workflow[..., R], arguments: dict[str, Json], id: str | None) -> Run[R]:  # noqa: A002
        command = StartRun(
            run_id=run_id(id, workflow.name),
            app=workflow.definition.app,
            workflow=workflow.name,
            arguments=arguments,
            version=workflow.definition.version,
            fingerprint=workflow.definition.fingerprint,
            budget=workflow.budget,
        )
        check(self._launch(command))
        return self.handle(command.run_id, workflow.definition)

    def start_app(
        self,
        app: str,
        workflow: str,
        arguments: Mapping[str, Json],
        *,
        id: str | None = None,  # noqa: A002
        budget: Budget | None = None,
    ) -> Run[Json]:
        """Start a run of a workflow that only workers import. The result is plain JSON.

        Args:
            app: Path of the file, or dotted name of the module, that defines the workflow.
            workflow: Its name there.
            arguments: By parameter name, as JSON or as the words of a command line; a worker reads them by the
                signature.
            id: Identity of the run; see ``start``.
            budget: What it may use up, in place of the workflow's own.

        Raises:
            InvalidInput: The arguments do not fit, or the app cannot be loaded.
            RunNotFound: The app has no such workflow.
            IdConflict: See ``start``.
        """
        command = StartRun(
            run_id=run_id(id, workflow),
            app=self._place(app),
            workflow=workflow,
            arguments=dict(arguments),
            budget=budget,
        )
        check(self.send(command))
        return self.handle(command.run_id, None)

    def get(self, run_id: str) -> Run[Any]:
        """Give the handle of a run that exists; its result is plain JSON where this process has not its workflow.

        Raises:
            RunNotFound: There is none with this id.
        """
        record = self.reads.run(run_id)
        found = known_workflow(record.app, record.workflow)
        if found is not None and found.version > 1:
            first = self.reads.events(run_id, limit=1)[0].event
            assert isinstance(first, RunStarted), "the first event of every run"
            found = known_workflow(record.app, record.workflow, first.version)
        return self.handle(run_id, found)

    def handle(self, run_id: str, workflow: WorkflowDefinition | None) -> Run[Any]:
        """Give the handle of a run, which need not be there yet."""
        if workflow is None:
            return Run(self, run_id, _as_it_is, _as_it_is)
        model = workflow.state_model
        return Run(self, run_id, workflow.decode_result, _as_it_is if model is None else partial(_read_state, model))

    def runs(
        self, status: RunStatus | None = None, name: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[RunRecord]:
        """Give the newest runs first, of one status and one workflow where asked for.

        Args:
            status: Only runs of this status.
            name: Only runs of this workflow.
            limit: How many at most, from 1 on.
            cursor: Go on where a page ended: its ``next``, which is None where nothing follows. Runs that are started
                meanwhile move nothing.

        Raises:
            InvalidInput: The cursor is none of this list.
            ValueError: The limit is below 1.
        """
        return self.reads.runs(status, name, limit, cursor)

    # ------------------------------------------------------------ people

    def approvals(self, run_id: str | None = None) -> list[ApprovalRecord]:
        """Give the questions that wait for a person, of all runs or of one and its children, the oldest first."""
        return shown(self.reads.approvals(run_id))

    def decide(
        self, approval: str, decision: ApprovalDecision, args: Json = None, *, comment: str = "", by: str = ""
    ) -> None:
        """Decide what a run asks a person; returns once that is on the disk. Doing so twice is doing so once.

        Args:
            approval: Its id, as ``approvals`` gives it.
            decision: ``"approve"``, ``"reject"``, or ``"edit"``: yes, but with ``args``.
            args: For an edit: what is to be used instead, as JSON. In place of a rejected result another one, which
                has to fit its step.
            comment: Why.
            by: Who decides.

        Raises:
            ApprovalNotFound: There is no such approval.
            ApprovalClosed: It has been decided otherwise, or nobody waits for it any more.
            InvalidInput: The edit does not fit; every field at fault is named.
            ValueError: There is no such decision.
        """
        if decision not in get_args(ApprovalDecision):
            msg = f"a decision is 'approve', 'reject' or 'edit', not {decision!r}"
            raise ValueError(msg)
        command = DecideApproval(approval=approval, decision=decision, args=args, comment=comment, by=by)
        check_decision(self.send(command))

    # ------------------------------------------------------------ sessions

    def session(self, handler: Handler[S, M, R], key: str) -> Session[S, M, R]:
        """Give the handle on a session, which its first message opens.

        Args:
            handler: A function decorated with ``@session``.
            key: Which of its sessions: 1 to 200 printable characters without ``/``.

        Raises:
            ValueError: The key could be none.
            DefinitionError: The handler is not defined where a worker could find it.
            TypeError: It is no handler.
        """
        check_handler(handler)
        if (wrong := key_fault(key)) is not None:
            raise ValueError(wrong)
        _ = handler.definition.app  # refuses what no worker could find
        return Session(self, handler.definition, key)

    def sessions(
        self, name: str | None = None, limit: int = 100, status: RunStatus | None = None, cursor: str | None = None
    ) -> Page[SessionRecord]:
        """Give the sessions, the one that was opened last first, of one handler and one status where asked for.

        ``limit`` and ``cursor`` are those of ``runs``, with the same errors.
        """
        return self.reads.sessions(name, limit, status, cursor)

    def dead_letters(self) -> list[DeadLetterRecord]:
        """Give the messages and steps that were set aside and nobody has dealt with."""
        return shown(self.reads.dead_letters())

    def post(self, command: TellSession, policy: SessionPolicy) -> Reply:  # noqa: ARG002  for who can use it
        """Bring a message that is known to fit to a session."""
        return self.send(command)

    # ------------------------------------------------------------ control

    def workers(self) -> list[WorkerRecord]:
        """Give the worker processes of this moment."""
        reply = self.send(ListWorkers())
        assert isinstance(reply, Workers)
        return list(reply.workers)

    def resume_all(self, name: str | None = None, *, kind: Literal["run", "session"] = "run") -> list[str]:
        """Let every parked run go on, or every parked session.

        Args:
            name: Only those of this workflow or handler.
            kind: Which of the two.

        Returns:
            The ids of those that were told to go on; a session's is ``NAME/KEY``.
        """
        reply = check(self.send(ResumeParked(kind=kind, name=name)))
        assert isinstance(reply, Resumed)
        return list(reply.run_ids)

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

    def restart(self, worker_id: str) -> None:
        """End a worker's process and begin another in its place; what it was doing is done again, uncharged.

        Raises:
            WorkerNotFound: No worker with this id is alive.
        """
        reply = self.send(RestartWorker(worker=worker_id))
        if isinstance(reply, Refused):
            raise WorkerNotFound(reply.message)

    def tree(self) -> ActorRecord:
        """Give the supervision tree of this moment."""
        reply = self.send(ShowTree())
        assert isinstance(reply, Tree)
        return reply.root

    def metrics(self) -> Metrics:
        """Fold the journal to figures: latencies, retries, crashes, success and failure per workflow and step.

        The figures of the pools are those of this moment.
        """
        figures = self.reads.metrics()
        return figures.model_copy(update={"pools": pool_figures(self.tree())})


def _as_it_is(json: Json) -> Json:
    return plain(json)


def _read_state(model: type[BaseModel], json: Json) -> BaseModel:
    """Read a shared state; a run that has not changed it yet has the state it started with."""
    return read_model(model, json if json is not None else {})
