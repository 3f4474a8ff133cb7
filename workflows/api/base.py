"""The API that ``Orchestrator`` and ``Client`` share."""

import signal as signals
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import cached_property, partial, wraps
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, Never, ParamSpec, Self, TypeVar, get_args

from pydantic import BaseModel
from typing_extensions import override

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.definitions.registry import known_workflow
from greenroom.actors.values.conversion import read_model
from greenroom.journal.interface import Stored
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
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.ids import run_id
from greenroom.messages.options.policy import Budget, SessionPolicy
from greenroom.messages.records.approvals import ApprovalDecision
from greenroom.messages.records.records import ActorRecord, WorkerRecord
from greenroom.messages.refusals import check, checked
from greenroom.workflows.api.approvals import check_decision
from greenroom.workflows.api.handles.run import Run
from greenroom.workflows.api.handles.session import Session
from greenroom.workflows.api.schedules import ScheduleMethods
from greenroom.workflows.api.threads import Threads
from greenroom.workflows.authoring.session import Handler, check_handler, key_fault
from greenroom.workflows.authoring.workflow import Workflow, check_workflow, refuse_twofold
from greenroom.workflows.queries.interface import Queries

if TYPE_CHECKING:
    from greenroom.metrics.figure_records import Metrics
    from greenroom.workflows.api.async_orchestrator import AsyncBaseOrchestrator
    from greenroom.workflows.api.handles.twins import Twins

P = ParamSpec("P")
R = TypeVar("R")
L = TypeVar("L", bound=list[Any])
S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)


def _read(query: Callable[Concatenate[Queries, P], L]) -> "Callable[Concatenate[BaseOrchestrator, P], L]":
    """Return the method that answers a query by ``self.reads``, with the same arguments and documentation."""

    @wraps(query, updated=())  # without its mark of being abstract
    def call(self: "BaseOrchestrator", /, *args: P.args, **kwargs: P.kwargs) -> L:
        found: L = getattr(self.reads, query.__name__)(*args, **kwargs)
        found[:] = map(shown, found)
        return found

    call.__qualname__ = f"BaseOrchestrator.{query.__name__}"
    return call


class BaseOrchestrator(OtherNames, ScheduleMethods, ABC):
    """The methods made of commands and reads. An orchestrator executes commands itself; a client sends them to one."""

    @property
    @abstractmethod
    def reads(self) -> Queries:
        """Reads of runs and sessions."""

    @property
    @abstractmethod
    def aio(self) -> "AsyncBaseOrchestrator[Any]":
        """Its twin for asynchronous code: everything that blocks here is awaited there."""

    @abstractmethod
    def close(self) -> None:
        """Release everything that it holds. May be repeated."""

    def __enter__(self) -> Self:
        """Return it, once it works."""
        _ = self.reads  # raises what kept it from opening
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @override
    def __reduce__(self) -> Never:
        """Raise ``TypeError``: neither it nor its handles can be copied into another process."""
        msg = (
            f"{self!r} belongs to its process, and neither it nor its runs and sessions can be pickled or copied: hand "
            "on their ids. Other processes reach an orchestrator that is served with a `Client` of their own"
        )
        raise TypeError(msg)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aio.close()

    @abstractmethod
    def send(self, command: Command) -> Reply:
        """Execute any command of ``greenroom.messages.commands``; what the reply reports is committed.

        Raises:
            OrchestratorClosed: The orchestrator has stopped.
        """

    @abstractmethod
    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        """Block until a run has ended or is parked; see ``Run.result``."""

    @abstractmethod
    async def until_result(self, run_id: str, timeout: float | None) -> Json:  # noqa: ASYNC109  like wait_result
        """Await the result of a run; see ``Run.result``."""

    @abstractmethod
    def follow(self, run_id: str, after: int) -> Iterator[Stored]:
        """Yield the events of a run above ``after`` as they are committed, until it has ended or is parked."""

    @abstractmethod
    def until_followed(self, run_id: str, after: int) -> AsyncIterator[Stored]:
        """Yield the same events without blocking the caller's loop."""

    @abstractmethod
    async def until_answered(self, command: AskSession, policy: SessionPolicy) -> Reply:
        """Send a valid message to a session, and await the reply.

        Cancelling the await does not cancel the message.
        """

    @property
    def threads(self) -> Threads:
        """Threads for short calls of event loops."""
        return self._threads

    @cached_property
    def _threads(self) -> Threads:
        return Threads()

    @property
    @override
    def twins(self) -> "Twins":
        from greenroom.workflows.api.handles.twins import Twins  # noqa: PLC0415  for asyncio alone

        return Twins(self)

    def _launch(self, command: StartRun) -> Reply:
        """Start a run with valid arguments."""
        return self.send(command)

    def _place(self, app: str | PathLike[str]) -> str:
        """Return the reference by which workers load an app."""
        path = Path(app)
        return str(path.absolute() if path.suffix == ".py" else app)

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
        """Start a run, or return the run that ``id`` started before. Returns once the start is committed.

        Args:
            workflow: The workflow.
            args: Its arguments.
            id: Identity of the run: letters, digits, ``.``, ``_`` and ``-``. Starting twice with the same id, workflow
                and arguments returns the same run. None makes a new id. Pass a workflow's own parameter ``id`` by
                position.
            budget: A ``Budget`` for this run and its children, in place of the workflow's. Any other value is passed
                to the workflow if it has a parameter of this name.
            kwargs: Its keyword arguments.

        Raises:
            InvalidInput: The arguments do not fit the workflow's signature; every invalid field is named.
            IdConflict: The id belongs to a run of another workflow or with other arguments.
            DefinitionError: Workers cannot find the workflow where it is defined.
            OrchestratorClosed: The orchestrator has stopped.
            TypeError: ``workflow`` is not a workflow, or an option is also the name of one of its parameters.
            ValueError: The id is not valid.
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
        app: str | PathLike[str],
        workflow: str,
        arguments: Mapping[str, Json] | None = None,
        *,
        id: str | None = None,  # noqa: A002
        budget: Budget | None = None,
    ) -> Run[Json]:
        """Start a run of a workflow that only workers import. Its result is plain JSON.

        Args:
            app: Path of the file, or dotted name of the module, that defines the workflow.
            workflow: Its name there.
            arguments: By parameter name, as JSON or as the words of a command line; a worker converts them by the
                signature. None if there are none.
            id: Identity of the run; see ``start``.
            budget: Budget of the run, in place of the workflow's.

        Raises:
            InvalidInput: The arguments do not fit, or the app cannot be loaded.
            RunNotFound: The app has no workflow of this name.
            IdConflict: See ``start``.
        """
        command = checked(
            StartRun,
            run_id=run_id(id, workflow),
            app=self._place(app),
            workflow=workflow,
            arguments={} if arguments is None else dict(**arguments),
            budget=budget,
        )
        check(self.send(command))
        return self.handle(command.run_id, None)

    def get(self, run_id: str) -> Run[Any]:
        """Return the handle of an existing run. Its result is plain JSON if this process has not imported its workflow.

        Raises:
            RunNotFound: There is no run with this id.
        """
        record = self.reads.run(run_id)
        found = known_workflow(record.app, record.workflow)
        if found is not None and found.version > 1:
            from greenroom.messages.events.events import RunStarted  # noqa: PLC0415  for the few with another version

            first = self.reads.events(run_id, limit=1)[0].event
            assert isinstance(first, RunStarted), "the first event of every run"
            found = known_workflow(record.app, record.workflow, first.version)
        return self.handle(run_id, found)

    def handle(self, run_id: str, workflow: WorkflowDefinition | None) -> Run[Any]:
        """Return the handle of a run, which need not exist yet."""
        if workflow is None:
            return Run(self, run_id, _plain_json, _plain_json)
        model = workflow.state_model
        return Run(self, run_id, workflow.decode_result, _plain_json if model is None else partial(_read_state, model))

    runs = _read(Queries.runs)

    # ------------------------------------------------------------ people

    approvals = _read(Queries.approvals)

    def decide(
        self, approval: str, decision: ApprovalDecision, args: Json = None, *, comment: str = "", by: str = ""
    ) -> None:
        """Decide an approval. Returns once the decision is committed; repeating it changes nothing.

        Args:
            approval: Id of the approval, as ``approvals`` returns it.
            decision: ``"approve"``, ``"reject"``, or ``"edit"``, which approves with ``args``.
            args: For an edit: the value to use instead, as JSON. For a rejected result it is another result, which
                has to fit its step.
            comment: Reason of the decision.
            by: Name of the person.

        Raises:
            ApprovalNotFound: There is no approval with this id.
            ApprovalClosed: It was decided otherwise, or its run no longer waits for it.
            InvalidInput: The edit does not fit; every invalid field is named.
            ValueError: The decision is none of the three.
        """
        if decision not in get_args(ApprovalDecision):
            msg = f"a decision is 'approve', 'reject' or 'edit', not {decision!r}"
            raise ValueError(msg)
        command = checked(DecideApproval, approval=approval, decision=decision, args=args, comment=comment, by=by)
        check_decision(self.send(command))

    # ------------------------------------------------------------ sessions

    def session(self, handler: Handler[S, M, R], key: str) -> Session[S, M, R]:
        """Return the handle of a session, which its first message opens.

        Args:
            handler: A function decorated with ``@session``.
            key: Key of the session: 1 to 200 printable characters without ``/``.

        Raises:
            ValueError: The key is not valid.
            DefinitionError: Workers cannot find the handler where it is defined.
            TypeError: ``handler`` is not a handler.
        """
        check_handler(handler)
        if (wrong := key_fault(key)) is not None:
            raise ValueError(wrong)
        _ = handler.definition.app  # raises DefinitionError if workers cannot find it
        return Session(self, handler.definition, key)

    sessions = _read(Queries.sessions)
    dead_letters = _read(Queries.dead_letters)

    def post(self, command: TellSession, policy: SessionPolicy) -> Reply:  # noqa: ARG002  an orchestrator uses it
        """Send a valid message to a session."""
        return self.send(command)

    # ------------------------------------------------------------ control

    def workers(self) -> list[WorkerRecord]:
        """Return the current worker processes."""
        reply = self.send(ListWorkers())
        assert isinstance(reply, Workers)
        return list(reply.workers)

    def resume_all(self, name: str | None = None, *, kind: Literal["run", "session"] = "run") -> list[str]:
        """Resume every parked run, or every parked session.

        Args:
            name: Only those of this workflow or handler.
            kind: Whether to resume runs or sessions.

        Returns:
            The ids of those that were resumed; a session's is ``NAME/KEY``.
        """
        reply = check(self.send(checked(ResumeParked, kind=kind, name=name)))
        assert isinstance(reply, Resumed)
        return list(reply.run_ids)

    def kill(self, worker_id: str, signal: int = 9) -> None:
        """Send a signal to a worker process, as an injected fault that is charged to no step.

        Raises:
            WorkerNotFound: No worker with this id is alive.
            ValueError: There is no signal with this number.
        """
        if signal not in signals.valid_signals():
            msg = f"there is no signal {signal!r}; give for instance signal.SIGKILL"
            raise ValueError(msg)
        reply = self.send(checked(KillWorker, worker=worker_id, signal=signal))
        if isinstance(reply, Refused):
            raise WorkerNotFound(reply.message)

    def restart(self, worker_id: str) -> None:
        """Replace a worker's process by a new one. Its jobs run again, and no attempt is charged.

        Raises:
            WorkerNotFound: No worker with this id is alive.
        """
        reply = self.send(checked(RestartWorker, worker=worker_id))
        if isinstance(reply, Refused):
            raise WorkerNotFound(reply.message)

    def tree(self) -> ActorRecord:
        """Return the current supervision tree."""
        reply = self.send(ShowTree())
        assert isinstance(reply, Tree)
        return reply.root

    def metrics(self) -> "Metrics":
        """Return figures of all runs in the journal: latencies, retries, crashes, successes and failures.

        They are given per workflow and step. The figures of pools, and of limited models and tools, are current.
        """
        from greenroom.metrics.figure_records import gate_figures, pool_figures  # noqa: PLC0415  rarely needed

        figures, tree = self.reads.metrics(), self.tree()
        return figures.model_copy(update={"pools": pool_figures(tree), "gates": gate_figures(tree)})


def _plain_json(json: Json) -> Json:
    return plain(json)


def _read_state(model: type[BaseModel], json: Json) -> BaseModel:
    """Return a shared state as its model. A run that has not changed it yet has the state it started with."""
    return read_model(model, json if json is not None else {})
