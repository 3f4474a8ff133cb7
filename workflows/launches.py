"""Runs on their way into the journal: who started them, what came for them meanwhile, and whether their id is free."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import pykka

from understudy.messages.commands import Accepted, Refused, StartRun
from understudy.messages.errors import JournalError, SequenceConflict
from understudy.messages.events import RunStarted, SessionOpened
from understudy.workflows.fold import fold
from understudy.workflows.inputs import Begin, Confirmed, Input
from understudy.workflows.services import Services
from understudy.workflows.state import RunState
from understudy.workflows.supervisor import RunSupervisor

if TYPE_CHECKING:
    from understudy.workflows.runs import Runs

Reply: TypeAlias = Callable[[Accepted | Refused], None]


@dataclass(slots=True)
class _Launch:
    """A run that the disk has not accepted yet."""

    ref: pykka.ActorRef[RunSupervisor]
    state: RunState
    replies: list[tuple[StartRun, Reply]]
    """Who started it, the one that wrote its first event first."""
    messages: list[Input | Confirmed] = field(default_factory=list[Input | Confirmed])
    """What came for it meanwhile."""


class Launches:
    """Starts runs and opens sessions. Reactor's thread only.

    The disk decides whether an id is new. Until it has, a run is nobody's: it takes no messages, and does not stand in
    the way of a run of the same id that is being recovered meanwhile.
    """

    def __init__(self, runs: "Runs") -> None:
        """Know where runs go once the disk has them; ``attach`` must follow."""
        self._runs = runs
        self._services: Services
        self._under_way: dict[str, _Launch] = {}
        """Runs whose first event is not on the disk yet."""

    def attach(self, services: Services) -> None:
        """Get to know the orchestrator. Any thread, once, before anything else."""
        self._services = services

    def __bool__(self) -> bool:
        """Say whether any run is on its way."""
        return bool(self._under_way)

    def take(self, run_id: str, happened: Input | Confirmed) -> bool:
        """Keep a message for a run that is on its way; False where it is not."""
        if (launch := self._under_way.get(run_id)) is None:
            return False
        launch.messages.append(happened)
        return True

    def launch(
        self,
        command: StartRun,
        reply: Reply,
        *,
        parent: str | None = None,
        key: str | None = None,
        accounts: tuple[str, ...] = (),
    ) -> None:
        """Start a run, or find the one that its id started before; ``reply`` is called once that is on the disk."""
        if (state := self._runs.state(command.run_id)) is not None:
            reply(_attach(command, state.app, state.workflow, state.arguments))
        elif (launching := self._under_way.get(command.run_id)) is not None:
            launching.replies.append((command, reply))
        elif (refused := self._runs.closed()) is not None:
            reply(refused)
        else:
            first = RunStarted(
                at=self._services.clock(),
                run_id=command.run_id,
                app=command.app,
                workflow=command.workflow,
                arguments=command.arguments,
                parent=parent,
                parent_key=key,
                seed=secrets.token_hex(16),
                version=0 if command.version is None else command.version,
                fingerprint=command.fingerprint,
                budget=command.budget,
                accounts=accounts if command.budget is None else (*accounts, command.run_id),
            )
            self._begin(command, first, reply)

    def open(self, first: SessionOpened, reply: Reply) -> None:
        """Open a session, or find it open; ``reply`` is called once that is on the disk."""
        command = StartRun(run_id=first.run_id, app=first.app, workflow=first.session, arguments={})
        if self._runs.state(first.run_id) is not None:
            reply(Accepted(run_id=first.run_id, created=False))
        elif (launching := self._under_way.get(first.run_id)) is not None:
            launching.replies.append((command, reply))
        elif (refused := self._runs.closed()) is not None:
            reply(refused)
        else:
            self._begin(command, first, reply)

    def _begin(self, command: StartRun, first: RunStarted | SessionOpened, reply: Reply) -> None:
        state = fold(None, first)
        accepted = partial(self._launched, command.run_id)
        ref = RunSupervisor.start(self._services, state, first=[first], accepted=accepted)
        self._under_way[command.run_id] = _Launch(ref, state, [(command, reply)])
        ref.tell(Begin())

    def _launched(self, run_id: str, error: JournalError | None) -> None:
        """The disk has spoken about a new run: tell those who wait for it."""
        launch = self._under_way.pop(run_id)
        if error is None:
            self._runs.enter(launch.state, launch.ref)
            for happened in launch.messages:
                launch.ref.tell(happened)
        else:
            for happened in launch.messages:
                self._runs.route(run_id, happened)
        for index, (command, reply) in enumerate(launch.replies):
            if error is None and index == 0:
                reply(Accepted(run_id=run_id))
            elif error is None:
                reply(_attach(command, launch.state.app, launch.state.workflow, launch.state.arguments))
            elif isinstance(error, SequenceConflict):
                self._find(command, reply)
            else:
                reply(Refused(code="closed", message=str(error)))

    def _find(self, command: StartRun, reply: Reply) -> None:
        """The id is taken: attach to that run where it was started with the same, refuse where not."""

        def found(stored: RunState) -> None:
            reply(_attach(command, stored.app, stored.workflow, stored.arguments))

        def failed(error: BaseException) -> None:
            reply(Refused(code="unavailable", message=str(error)))

        self._runs.read(partial(_as_started, self._services, command.run_id), found, failed)

    def close(self) -> None:
        """Stop every supervisor where it stands."""
        for launch in self._under_way.values():
            launch.ref.actor_stopped.set()


def _attach(command: StartRun, app: str, workflow: str, arguments: object) -> Accepted | Refused:
    """Answer a start whose id is known: the same question gets the same run, another one is a conflict."""
    if (command.app, command.workflow, command.arguments) == (app, workflow, arguments):
        return Accepted(run_id=command.run_id, created=False)
    same = (command.app, command.workflow) == (app, workflow)
    other = "other arguments" if same else f"workflow {workflow!r} of {app}"
    message = f"run {command.run_id!r} exists and was started with {other}; choose another id, or start it as it was"
    return Refused(code="conflict", message=message)


def _as_started(services: Services, run_id: str) -> RunState:
    return fold(None, services.journal.events(run_id, limit=1)[0].event)
