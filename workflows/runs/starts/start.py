"""Start runs and open sessions. The journal decides whether an id is new."""

import asyncio
import secrets
from dataclasses import field
from functools import partial
from typing import Protocol

from greenroom.messages.commands import Accepted, Refused, StartRun
from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import GreenroomError, JournalError, SequenceConflict
from greenroom.messages.core.frozen import mutable
from greenroom.messages.events.events import RunStarted, SessionOpened
from greenroom.messages.frames.replay_differences import FORM
from greenroom.messages.refusals import arguments_too_long
from greenroom.supervision.loop.actor import LoopRef
from greenroom.workflows.decisions.effects import StartProgram
from greenroom.workflows.decisions.inputs import Confirmed, Input
from greenroom.workflows.event_sourced.registry import Reader
from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState


class Runs(Reader, Protocol):
    """What a start needs of the registry of runs. Reactor thread only."""

    def state(self, run_id: str) -> RunState | None:
        """Return the state of a run that is in memory."""
        ...

    def closed(self) -> Refused | None:
        """Return the refusal of every start once the registry is closed."""
        ...

    def enter(self, state: RunState, ref: LoopRef[RunActor]) -> None:
        """Take in a run whose first event is committed."""
        ...

    def route(self, run_id: str, happened: Input | Confirmed, /) -> None:
        """Send a message to a run."""
        ...


@mutable
class _Start:
    """A run whose first event is not committed yet."""

    ref: LoopRef[RunActor]
    state: RunState
    waiting: list["asyncio.Future[JournalError | None]"] = field(
        default_factory=list["asyncio.Future[JournalError | None]"]
    )
    """Commands that wait for the commit, first the one that started the run."""
    messages: list[Input | Confirmed] = field(default_factory=list[Input | Confirmed])
    """Messages for the run that came before the commit."""


class RunStarter:
    """Starts runs and opens sessions. Reactor thread only.

    Until its first event is committed, a run takes no messages, and does not stand in the way of a run of the same id
    that is being recovered.
    """

    def __init__(self, runs: Runs) -> None:
        """Start without any run; ``attach`` must follow."""
        self._runs = runs
        self._dependencies: RunDependencies
        self._under_way: dict[str, _Start] = {}

    def attach(self, dependencies: RunDependencies) -> None:
        """Take the orchestrator's parts. Called once, before anything else."""
        self._dependencies = dependencies

    def __bool__(self) -> bool:
        """Return whether a start is under way."""
        return bool(self._under_way)

    def waiting(self, run_id: str) -> list[Input | Confirmed] | None:
        """Return the messages that wait for the start of a run; None if its start is not under way."""
        start = self._under_way.get(run_id)
        return None if start is None else start.messages

    async def start(
        self,
        command: StartRun,
        parent: str | None = None,
        key: str | None = None,
        accounts: tuple[str, ...] = (),
    ) -> Accepted | Refused:
        """Start a run, or find the one that its id started before. Return after the commit."""
        run_id = command.run_id
        if (state := self._runs.state(run_id)) is not None:
            return attach(command, state, parent, key)
        if run_id not in self._under_way:
            if (refused := self._runs.closed() or arguments_too_long(command.arguments)) is not None:
                return refused
            first = RunStarted(
                at=self._dependencies.clock(),
                run_id=run_id,
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
                accounts=accounts if command.budget is None else (*accounts, run_id),
            )
            self._begin(first)
        found = await self._committed(run_id)
        return attach(command, found, parent, key) if isinstance(found, RunState) else found

    async def open(self, first: SessionOpened) -> Accepted | Refused:
        """Open a session, or find it open. Return after the commit."""
        if self._runs.state(first.run_id) is not None:
            return Accepted(run_id=first.run_id, created=False)
        if first.run_id not in self._under_way:
            if (refused := self._runs.closed()) is not None:
                return refused
            self._begin(first)
        found = await self._committed(first.run_id)
        return find_open(first, found) if isinstance(found, RunState) else found

    def _begin(self, first: RunStarted | SessionOpened) -> None:
        """Append the first event of a run."""
        state = fold(None, first)
        ref = RunActor.start(
            self._dependencies,
            state,
            first=[first],
            then=[StartProgram()],
            accepted=partial(self._on_commit, first.run_id),
        )
        self._under_way[first.run_id] = _Start(ref, state)

    async def _committed(self, run_id: str) -> Accepted | Refused | RunState:
        """Wait for the commit of a run's first event. Return the run's state if another command has started it."""
        start = self._under_way[run_id]
        began = not start.waiting
        commit: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        start.waiting.append(commit)
        error = await commit
        if error is None:
            return Accepted(run_id=run_id) if began else start.state
        if not isinstance(error, SequenceConflict):
            return Refused(code="closed", message=str(error))
        try:
            return await self._runs.read(partial(_as_started, self._dependencies, run_id))
        except (GreenroomError, ValueError, LookupError) as unreadable:
            return Refused(code="unavailable", message=str(unreadable))

    def _on_commit(self, run_id: str, error: JournalError | None) -> None:
        """Take in a run that was accepted by the journal, and wake the commands that wait for it."""
        start = self._under_way.pop(run_id)
        if error is not None:
            for happened in start.messages:
                self._runs.route(run_id, happened)
        elif self._runs.closed() is None:  # otherwise the next orchestrator goes on with the run
            self._runs.enter(start.state, start.ref)
            for happened in start.messages:
                start.ref.tell(happened)
        for commit in start.waiting:
            if not commit.done():
                commit.set_result(error)

    def close(self) -> None:
        """Stop the actors of all runs whose start is under way."""
        for start in self._under_way.values():
            start.ref.silence()


def attach(command: StartRun, stored: RunState, parent: str | None, key: str | None) -> Accepted | Refused:
    """Answer a start whose id is known: the same start finds the same run, and any other is a conflict.

    A run that was started by a person under the id of a child is not that child, even if both are alike.
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


def find_open(first: SessionOpened, stored: RunState) -> Accepted | Refused:
    """Answer a command that would open a session which is open."""
    if (first.app, first.session) == (stored.app, stored.workflow):
        return Accepted(run_id=stored.run_id, created=False)
    message = f"session {stored.run_id} was opened by {stored.app}; send it messages from there"
    return Refused(code="conflict", message=message)


def _as_started(dependencies: RunDependencies, run_id: str) -> RunState:
    """Fold the first event of a run. Reader's thread."""
    return fold(None, dependencies.journal.events(run_id, limit=1)[0].event)
