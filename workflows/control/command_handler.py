"""Carry out commands of the API, of the control socket and of HTTP."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import assert_never

from greenroom.messages.advice import retry as advise_retry
from greenroom.messages.commands import (
    Accepted,
    AskSession,
    CancelRun,
    CancelTurn,
    CloseSession,
    Command,
    DecideApproval,
    DeleteSchedule,
    DropDeadLetter,
    ForkRun,
    KillWorker,
    ListSchedules,
    ListWorkers,
    PauseRun,
    PauseSchedule,
    PutSchedule,
    RedriveDeadLetter,
    Refused,
    Reply,
    RestartWorker,
    Resumed,
    ResumeParked,
    ResumeRun,
    ResumeSchedule,
    RetryRun,
    ShowApp,
    ShowTree,
    SignalRun,
    StartRun,
    TellSession,
    Tree,
    TriggerSchedule,
    Workers,
)
from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import GreenroomError, WorkerNotFound, none_such
from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.events.events import RunStarted, StepFailed
from greenroom.messages.ids import REDRIVE, id_fault, message_key_fault, run_id
from greenroom.messages.options.policy import SessionPolicy
from greenroom.messages.refusals import message_too_long
from greenroom.supervision.tree import Tree as SupervisionTree
from greenroom.workflows.authoring.session import key_fault
from greenroom.workflows.control.approvals import Find, prepare_decision
from greenroom.workflows.control.checks.app_queries import AppQueries
from greenroom.workflows.control.checks.input_checks import InputChecks
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.inputs import Cancel, Close, Pause, Resume, SettleDeadLetter, Signal
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.message_router import Address, MessageRouter
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.runs.starts.fork import fork
from greenroom.workflows.runs.starts.recovery import find_parked
from greenroom.workflows.runs.starts.run_retry import retry
from greenroom.workflows.scheduler.command_handler import ScheduleCommandHandler
from greenroom.workflows.scheduler.registry import ScheduleRegistry
from greenroom.workflows.state.fold import fold_all

LONGEST_ORIGIN = 180
"""Most characters of a run's id at the beginning of its fork's id."""


class CommandHandler:
    """Carries out commands. Coroutines of the reactor's loop; nothing here blocks it."""

    def __init__(
        self,
        runs: RunRegistry,
        router: MessageRouter,
        schedules: ScheduleRegistry,
        tree: SupervisionTree,
        dependencies: RunDependencies,
        find_approval: Find,
        started: Callable[[str], RunStarted | None],
    ) -> None:
        """Keep the arguments. ``started`` returns the first event of a run; it and ``find_approval`` may block."""
        self._dependencies = dependencies
        self._find_approval = find_approval
        self._runs = runs
        self._router = router
        self._tree = tree
        self._app_queries = AppQueries(tree, dependencies.mint)
        self._checks = InputChecks(self._app_queries)
        self._schedule_commands = ScheduleCommandHandler(schedules, self._checks.arguments)
        self._started = started

    async def carry_out(self, command: Command) -> Reply:  # noqa: C901, PLR0911, PLR0912  one return per kind of command
        """Carry out one command. Return the reply after the commit."""
        match command:
            case StartRun(run_id=chosen):
                if (wrong := id_fault(chosen)) is not None:
                    return Refused(code="invalid", message=wrong)
                return await self.start(command)
            case CancelRun(run_id=run_id, reason=reason, within=within):
                return await self._router.tell_run(run_id, Cancel(reason, within))
            case SignalRun():
                return await self._signal(command)
            case DecideApproval(args=args):
                if (long := message_too_long(args, "the edit")) is not None:
                    return long
                prepared = await prepare_decision(command, self._find_approval, self._app_queries.ask)
                return prepared if isinstance(prepared, Refused) else await self._router.tell_run(*prepared)
            case PauseRun(run_id=run_id, reason=reason):
                return await self._router.tell_run(run_id, Pause(reason))
            case ResumeRun(run_id=run_id, budget=budget):
                self._tree.reopen(await self._router.app_of(run_id))  # what ended its workers may have been mended
                return await self._router.tell_run(run_id, Resume(budget))
            case ResumeParked():
                return await self._resume_parked(command)
            case RetryRun(run_id=run_id):
                return await self._retry(run_id)
            case ForkRun():
                return await self._fork(command)
            case TellSession():  # or its subclass AskSession
                return await self._message(command)
            case CloseSession(session=session, session_key=key):
                return await self._router.tell_run(f"{session}/{key}", Close())
            case CancelTurn(session=session, session_key=key, reason=reason):
                return await self._router.tell_run(f"{session}/{key}", inputs.CancelTurn(reason))
            case RedriveDeadLetter() | DropDeadLetter():
                return await self._settle(command)
            case (
                PutSchedule()
                | PauseSchedule()
                | ResumeSchedule()
                | TriggerSchedule()
                | DeleteSchedule()
                | ListSchedules()
            ):
                return await self._schedule_commands.carry_out(command)
            case KillWorker(worker=worker, signal=signal):
                return _touch(lambda: self._tree.kill(worker, signal))
            case RestartWorker(worker=worker):
                return _touch(lambda: self._tree.restart(worker))
            case ListWorkers():
                return Workers(workers=tuple(self._tree.workers()))
            case ShowTree():
                return Tree(root=self._tree.record())
            case ShowApp(app=app):
                return await self._checks.show_app(app)
            case _:
                assert_never(command)

    async def start(self, command: StartRun) -> Reply:
        """Start a run after a worker of its app has checked the arguments.

        A run that exists keeps its version. The arguments are not checked if it was started with the same ones.
        """
        stored = await asyncio.get_running_loop().run_in_executor(None, self._started, command.run_id)
        if stored is not None:
            one = (stored.app, stored.workflow) == (command.app, command.workflow)
            if one and same(stored.arguments, command.arguments):
                return Accepted(run_id=command.run_id, created=False)
            command = command.model_copy(update={"version": stored.version})
        checked = await self._checks.start(command)
        if isinstance(checked, Refused):
            return checked
        budget = command.budget or checked.budget
        if budget is not None and budget.needs_prices and checked.unpriced:
            return Refused(code="invalid", message=_unpriced(command.workflow, checked.unpriced))
        fitting = {
            "arguments": checked.arguments,
            "version": checked.version,
            "fingerprint": checked.fingerprint,
            "budget": budget,
        }
        return await self._runs.starter.start(command.model_copy(update=fitting))

    async def _fork(self, command: ForkRun) -> Reply:  # noqa: PLR0911  one return per refusal
        """Start a fork of a run. If it gets other arguments, a worker of the app checks them first."""
        row = await self._router.row(command.run_id)
        if row is None:
            return Refused(code="not_found", message=none_such(command.run_id))
        if row.kind != "run":
            return Refused(code="conflict", message=f"{command.run_id} is a {row.kind}: only runs are forked")
        for value, what in ((command.input, "the input"), (command.result, "the result")):
            if (long := message_too_long(value, what)) is not None:
                return long
        try:
            new = run_id(command.id, f"{command.run_id[:LONGEST_ORIGIN]}-fork")
        except ValueError as error:
            return Refused(code="invalid", message=str(error))
        if command.at is None and command.input is not None:
            given = plain(command.input)
            if not isinstance(given, dict):
                return Refused(code="invalid", message="the input of a workflow is an object: its arguments by name")
            origin = await asyncio.get_running_loop().run_in_executor(None, self._started, command.run_id)
            version = None if origin is None else origin.version
            start = StartRun(run_id=new, app=row.app, workflow=row.workflow, arguments={**given}, version=version)
            checked = await self._checks.start(start)
            if isinstance(checked, Refused):
                return checked
            command = command.model_copy(update={"input": JsonText.of_members(checked.arguments)})
        return await fork(self._runs, self._dependencies, command, new)

    async def _resume_parked(self, command: ResumeParked) -> Reply:
        """Resume all parked runs, oldest first."""
        find = partial(find_parked, self._dependencies.journal, command.kind, command.name)
        rows = await asyncio.get_running_loop().run_in_executor(None, find)
        for app in {row.app for row in rows}:
            self._tree.reopen(app)
        for row in rows:
            await self._router.tell_run(row.id, Resume(None))
        return Resumed(run_ids=tuple(row.id for row in rows))

    async def _retry(self, run_id: str) -> Reply:
        """Retry a run that has ended."""
        if not await self._router.app_of(run_id):
            return Refused(code="not_found", message=none_such(run_id))
        return await retry(self._runs, self._dependencies, run_id)

    async def _signal(self, command: SignalRun) -> Reply:
        """Send a message to a run. If its app is loaded, a worker first checks whether the app could receive it."""
        name, value = command.name, command.value
        if (refused := message_too_long(value) or _no_key(command.key)) is not None:
            return refused
        session, slash, key = command.run_id.partition("/")
        if slash and "/" not in key:
            told = TellSession(app="", session=session, session_key=key, name=name, value=value, key=command.key)
            return await self._message(told)
        app = await self._router.app_of(command.run_id)
        if self._tree.has_loaded(app) and (wrong := await self._wrong_signal(app, command)) is not None:
            return wrong
        return await self._router.tell_run(command.run_id, Signal(name, value, command.key))

    async def _wrong_signal(self, app: str, command: SignalRun) -> Refused | None:
        """Return a refusal if nothing in the app could receive a message, else None."""
        refused = await self._checks.signal(app, command)
        if refused is None or refused.faults[0].field != "type":
            return refused
        awaited = command.name in await self._awaited(command.run_id)  # a model that was created during the run
        return None if awaited else refused

    async def _awaited(self, run_id: str) -> set[str]:
        """Return the types of the messages that a run awaits now."""
        if (state := self._runs.state(run_id)) is not None:
            return set(state.receives.values())
        journal = self._dependencies.journal
        try:
            found = await self._runs.read(lambda: fold_all(stored.event for stored in journal.events(run_id)))
        except (GreenroomError, ValueError, LookupError):  # the message is refused when it is delivered
            return set()
        return set(found.receives.values())

    # ------------------------------------------------------------ sessions

    async def message(self, command: TellSession, policy: SessionPolicy) -> Reply:
        """Send a checked message to a session, or refuse it."""
        if (refused := message_too_long(command.value) or _no_key(command.key)) is not None:
            return refused
        address = Address(command.app, command.session, command.session_key, policy)
        signal = Signal(command.name, command.value, command.key)
        if isinstance(command, AskSession):
            return await self._router.ask(address, signal, command.timeout)
        return await self._router.tell(address, signal)

    async def _message(self, command: TellSession) -> Reply:
        """Send a message to a session after a worker of the app has checked it."""
        run_id = f"{command.session}/{command.session_key}"
        if (wrong := key_fault(command.session_key)) is not None:
            return Refused(code="invalid", message=wrong)
        app = command.app or await self._router.app_of(run_id)
        if not app:
            return Refused(code="not_found", message=none_such(run_id))
        checked = await self._checks.message(app, command)
        if isinstance(checked, Refused):
            return checked
        fitting = command.model_copy(update={"app": app, "name": checked.name, "value": checked.value})
        return await self.message(fitting, checked.policy)

    async def _settle(self, command: RedriveDeadLetter | DropDeadLetter) -> Reply:
        """Send a dead letter again, or drop it."""
        run_id, letter = command.run_id, command.letter
        event = await self._router.dead_letter(run_id, letter)
        if event is None:
            return Refused(code="not_found", message=f"there is no dead letter {letter!r} of {run_id!r}")
        if isinstance(command, DropDeadLetter):
            return await self._router.tell_run(run_id, SettleDeadLetter(letter, "dropped"))
        if isinstance(event, StepFailed):
            message = f"step {letter} belongs to its run: mend it, then {advise_retry(run_id)}"
            return Refused(code="conflict", message=message)
        again = await self._router.tell_run(run_id, Signal(event.name, event.value, key=f"{REDRIVE}{letter}"))
        if isinstance(again, Refused):
            return again
        await self._router.tell_run(run_id, SettleDeadLetter(letter, "redriven"))
        return again


def _unpriced(workflow: str, models: tuple[str, ...]) -> str:
    """Return why a workflow cannot start with a budget in US dollars, and how to start it."""
    return (
        f"the budget of {workflow} is in USD, and the price of {', '.join(models)} is not known: declare it with "
        "price=(USD per million input tokens, USD per million output tokens) of its LLM or Judge, give a budget in "
        'tokens, or allow it with Budget(usd=..., unknown_price="allow")'
    )


def _no_key(key: str | None) -> Refused | None:
    """Refuse a key that the engine could generate for a message without a key."""
    wrong = message_key_fault(key)
    return None if wrong is None else Refused(code="invalid", message=wrong)


def _touch(act: Callable[[], None]) -> Reply:
    """Carry out an order about a worker."""
    try:
        act()
    except WorkerNotFound as error:
        return Refused(code="not_found", message=str(error))
    return Accepted()
