"""Runs on their way into the journal: who started them, what came for them meanwhile, and whether their id is free."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from greenroom.messages.commands import Accepted, Refused, StartRun
from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import JournalError, SequenceConflict
from greenroom.messages.events.events import RunStarted, SessionOpened
from greenroom.messages.frames.replay_differences import FORM
from greenroom.supervision.loop.actor import LoopRef
from greenroom.workflows.decisions.inputs import Begin, Confirmed, Input
from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.size_limits import arguments_too_long
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState

if TYPE_CHECKING:
    from greenroom.workflows.runs.registry import RunRegistry

Reply: TypeAlias = Callable[[Accepted | Refused], None]
Attach: TypeAlias = Callable[[RunState], Accepted | Refused]


@dataclass(slots=True)
class _Launch:
    """A run that the disk has not accepted yet."""

    ref: LoopRef[RunActor]
    state: RunState
    replies: list[tuple[Attach, Reply]]
    """Who started it, the one that wrote its first event first, each with what it says of a run that is there."""
    messages: list[Input | Confirmed] = field(default_factory=list[Input | Confirmed])
    """What came for it meanwhile."""


class RunStarter:
    """Starts runs and opens sessions. Reactor's thread only.

    The disk decides whether an id is new. Until it has, a run is nobody's: it takes no messages, and does not stand in
    the way of a run of the same id that is being recovered meanwhile.
    """

    def __init__(self, runs: "RunRegistry") -> None:
        """Know where runs go once the disk has them; ``attach`` must follow."""
        self._runs = runs
        self._services: RunDependencies
        self._under_way: dict[str, _Launch] = {}
        """Runs whose first event is not on the disk yet."""

    def attach(self, services: RunDependencies) -> None:
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
            reply(_attach(command, state, parent, key))
        elif (launching := self._under_way.get(command.run_id)) is not None:
            launching.replies.append((partial(_attach, command, parent=parent, key=key), reply))
        elif (refused := self._runs.closed() or arguments_too_long(command.arguments)) is not None:
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
                form=FORM,
                budget=command.budget,
                accounts=accounts if command.budget is None else (*accounts, command.run_id),
            )
            self._begin(first, partial(_attach, command, parent=parent, key=key), reply)

    def open(self, first: SessionOpened, reply: Reply) -> None:
        """Open a session, or find it open; ``reply`` is called once that is on the disk."""
        if self._runs.state(first.run_id) is not None:
            reply(Accepted(run_id=first.run_id, created=False))
        elif (launching := self._under_way.get(first.run_id)) is not None:
            launching.replies.append((partial(_opened, first), reply))
        elif (refused := self._runs.closed()) is not None:
            reply(refused)
        else:
            self._begin(first, partial(_opened, first), reply)

    def _begin(self, first: RunStarted | SessionOpened, attach: Attach, reply: Reply) -> None:
        state = fold(None, first)
        accepted = partial(self._launched, first.run_id)
        ref = RunActor.start(self._services, state, first=[first], accepted=accepted)
        self._under_way[first.run_id] = _Launch(ref, state, [(attach, reply)])
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
        for index, (attach, reply) in enumerate(launch.replies):
            if error is None and index == 0:
                reply(Accepted(run_id=run_id))
            elif error is None:
                reply(attach(launch.state))
            elif isinstance(error, SequenceConflict):
                self._find(run_id, attach, reply)
            else:
                reply(Refused(code="closed", message=str(error)))

    def _find(self, run_id: str, attach: Attach, reply: Reply) -> None:
        """The id is taken: attach to that run where it was started with the same, refuse where not."""

        def found(stored: RunState) -> None:
            reply(attach(stored))

        def failed(error: BaseException) -> None:
            reply(Refused(code="unavailable", message=str(error)))

        self._runs.read(partial(_as_started, self._services, run_id), found, failed)

    def close(self) -> None:
        """Stop every supervisor where it stands."""
        for launch in self._under_way.values():
            launch.ref.silence()


def _attach(command: StartRun, stored: RunState, parent: str | None, key: str | None) -> Accepted | Refused:
    """Answer a start whose id is known: the same question gets the same run, another one is a conflict.

    A run that somebody has started under the id of a child is not that child, however alike the two may be.
    """
    run_id = command.run_id
    if parent is not None and (stored.parent, stored.parent_key) != (parent, key):
        message = f"run {run_id!r} exists and was not started by run {parent!r}, which was about to start it as {key}"
        return Refused(code="conflict", message=message)
    one = (command.app, command.workflow) == (stored.app, stored.workflow)
    if one and same(command.arguments, stored.arguments):
        return Accepted(run_id=run_id, created=False)
    other = "other arguments" if one else f"workflow {stored.workflow!r} of {stored.app}"
    message = f"run {run_id!r} exists and was started with {other}; choose another id, or start it as it was"
    return Refused(code="conflict", message=message)


def _opened(first: SessionOpened, stored: RunState) -> Accepted | Refused:
    """Answer who opens a session that is open."""
    if (first.app, first.session) == (stored.app, stored.workflow):
        return Accepted(run_id=stored.run_id, created=False)
    message = f"session {stored.run_id} was opened by {stored.app}; send it messages from there"
    return Refused(code="conflict", message=message)


def _as_started(services: RunDependencies, run_id: str) -> RunState:
    return fold(None, services.journal.events(run_id, limit=1)[0].event)
