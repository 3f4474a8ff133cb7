"""Takes every command, whichever door it came in by, and answers it."""

import asyncio
import difflib
from collections.abc import Callable
from functools import partial
from typing import assert_never

from greenroom.messages.advice import retry
from greenroom.messages.commands import (
    Accepted,
    App,
    AskSession,
    CancelRun,
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
from greenroom.messages.core.errors import GreenroomError, WorkerNotFound
from greenroom.messages.core.failures import one_line
from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.core.message import Json
from greenroom.messages.events.events import RunStarted, StepFailed
from greenroom.messages.frames.worker import (
    AppDescribed,
    ArgumentsChecked,
    CheckArguments,
    CheckMessage,
    CheckSignal,
    DescribeApp,
    MessageChecked,
)
from greenroom.messages.policy import SessionPolicy
from greenroom.messages.records import HandlerRecord, WorkflowRecord
from greenroom.supervision.tree import Tree as SupervisionTree
from greenroom.workflows.authoring.session import key_fault
from greenroom.workflows.control.app_queries import AppQueries
from greenroom.workflows.control.approvals import Find, prepare_decision
from greenroom.workflows.decisions.inputs import Cancel, Close, Pause, Resume, SettleDeadLetter, Signal
from greenroom.workflows.ids import REDRIVE, id_fault, message_key_fault, run_id
from greenroom.workflows.runs.message_router import Address, MessageRouter
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.scheduler.command_handler import ScheduleCommandHandler
from greenroom.workflows.scheduler.registry import Schedules
from greenroom.workflows.size_limits import arguments_too_long, message_too_long
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import RunState

LONGEST_ORIGIN = 180
"""Characters of a run's id that the id of its fork begins with."""
SIGNAL_TIMEOUT = 5.0
"""Seconds that a message to a run waits for a worker to look at it; it is taken unseen where all are busy."""


class CommandHandler:
    """Carries out commands. Coroutines of the reactor's loop; nothing here blocks it."""

    def __init__(
        self,
        runs: RunRegistry,
        post: MessageRouter,
        schedules: Schedules,
        tree: SupervisionTree,
        mint: Callable[[], str],
        find_approval: Find,
        started: Callable[[str], RunStarted | None],
    ) -> None:
        """Know whom to ask. ``started`` says how a run was started that exists; it and ``find_approval`` may block."""
        self._find_approval = find_approval
        self._runs = runs
        self._post = post
        self._schedule_clerk = ScheduleCommandHandler(schedules, self._arguments)
        self._tree = tree
        self._questions = AppQueries(tree, mint)
        self._started = started

    async def carry_out(self, command: Command) -> Reply:  # noqa: C901, PLR0911, PLR0912  one return per kind of command
        """Answer one command. What the reply says is on the disk when it is given."""
        match command:
            case StartRun(run_id=chosen):
                if (wrong := id_fault(chosen)) is not None:
                    return Refused(code="invalid", message=wrong)
                return await self.start(command)
            case CancelRun(run_id=run_id, reason=reason, within=within):
                return await self._post.tell_run(run_id, Cancel(reason, within))
            case SignalRun():
                return await self._signal(command)
            case DecideApproval(args=args):
                if (long := message_too_long(args, "the edit")) is not None:
                    return long
                prepared = await prepare_decision(command, self._find_approval, self._questions.ask)
                return prepared if isinstance(prepared, Refused) else await self._post.tell_run(*prepared)
            case PauseRun(run_id=run_id, reason=reason):
                return await self._post.tell_run(run_id, Pause(reason))
            case ResumeRun(run_id=run_id, budget=budget):
                return await self._post.tell_run(run_id, Resume(budget))
            case ResumeParked():
                return await self._resume_parked(command)
            case RetryRun(run_id=run_id):
                return await self._retry(run_id)
            case ForkRun():
                return await self._fork(command)
            case TellSession():  # and to ask is to tell and to wait
                return await self._message(command)
            case CloseSession(session=session, session_key=key):
                return await self._post.tell_run(f"{session}/{key}", Close())
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
                return await self._schedule_clerk.carry_out(command)
            case KillWorker(worker=worker, signal=signal):
                return _touch(lambda: self._tree.kill(worker, signal))
            case RestartWorker(worker=worker):
                return _touch(lambda: self._tree.restart(worker))
            case ListWorkers():
                return Workers(workers=tuple(self._tree.workers()))
            case ShowTree():
                return Tree(root=self._tree.record())
            case ShowApp(app=app):
                return await self._show_app(app)
            case _:
                assert_never(command)

    async def start(self, command: StartRun) -> Reply:
        """Start a run whose arguments come from outside: a worker of the app looks at them first.

        One that exists keeps to its version, and needs no look where it was started with just these.
        """
        stored = await asyncio.get_running_loop().run_in_executor(None, self._started, command.run_id)
        if stored is not None:
            one = (stored.app, stored.workflow) == (command.app, command.workflow)
            if one and same(stored.arguments, command.arguments):
                return Accepted(run_id=command.run_id, created=False)
            command = command.model_copy(update={"version": stored.version})
        checked = await self._check(command)
        if isinstance(checked, Refused):
            return checked
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        fitting = {
            "arguments": checked.arguments,
            "version": checked.version,
            "fingerprint": checked.fingerprint,
            "budget": command.budget or checked.budget,
        }
        self._runs.launches.launch(command.model_copy(update=fitting), answer.set_result)
        return await answer

    async def _arguments(self, app: str, workflow: str, given: dict[str, Json]) -> dict[str, Json] | Refused:
        """Have arguments for a workflow's newest version looked at; gives them in their normal form."""
        checked = await self._check(StartRun(run_id="", app=app, workflow=workflow, arguments=given))
        return checked if isinstance(checked, Refused) else checked.arguments

    async def _check(self, command: StartRun) -> ArgumentsChecked | Refused:
        """Have a worker of the app look at a run's arguments."""
        if (long := arguments_too_long(command.arguments)) is not None:
            return long
        checked = await self._questions.ask(
            command.app,
            lambda token: CheckArguments(
                id=token, workflow=command.workflow, arguments=command.arguments, version=command.version
            ),
        )
        if isinstance(checked, str):
            return Refused(code="invalid", message=checked)
        assert isinstance(checked, ArgumentsChecked)
        if checked.unknown_workflow:
            sentence = await self._unknown(command) if command.version is None else checked.faults[0].sentence
            return Refused(code="not_found", message=sentence)
        if checked.faults:
            message = f"the inputs do not fit workflow {command.workflow}: {one_line(checked.faults)}"
            return Refused(code="invalid", message=message)
        return checked

    async def _unknown(self, command: StartRun) -> str:
        shown = await self._show_app(command.app)
        names = [found.name for found in shown.workflows] if isinstance(shown, App) else []
        close = difflib.get_close_matches(command.workflow, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(sorted(names)) or 'none'}"
        return f"{command.app} has no workflow {command.workflow!r}{hint}"

    async def _show_app(self, app: str) -> App | Refused:
        described = await self._questions.ask(app, lambda token: DescribeApp(id=token))
        if isinstance(described, str):
            return Refused(code="invalid", message=described)
        assert isinstance(described, AppDescribed)
        if described.faults:
            return Refused(code="invalid", message=f"{app}: {one_line(described.faults)}")
        found = [
            WorkflowRecord(
                name=each.name,
                app=app,
                parameters=each.parameters,
                doc=each.doc,
                input_schema=each.input_schema,
                result_schema=each.result_schema,
            )
            for each in described.definitions
            if each.kind == "workflow"
        ]
        handlers = [
            HandlerRecord(
                name=each.name,
                app=app,
                doc=each.doc,
                messages=each.messages,
                reply_schema=each.result_schema,
                state_schema=each.state_schema,
            )
            for each in described.definitions
            if each.kind == "session"
        ]
        names = tuple(each.name for each in handlers)
        return App(app=app, workflows=tuple(found), sessions=names, handlers=tuple(handlers))

    async def _fork(self, command: ForkRun) -> Reply:  # noqa: PLR0911  one return per refusal
        """Start a fork. A worker of the app looks at the workflow's arguments where they are other ones."""
        row = await self._post.row(command.run_id)
        if row is None:
            return Refused(code="not_found", message=f"there is no run {command.run_id!r}")
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
            checked = await self._check(start)
            if isinstance(checked, Refused):
                return checked
            command = command.model_copy(update={"input": JsonText.of_members(checked.arguments)})
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._runs.forks.fork(command, new, answer.set_result)
        return await answer

    async def _resume_parked(self, command: ResumeParked) -> Reply:
        """Let everything that is parked go on, the one that was started first before the others."""
        find = partial(self._runs.parked, command.kind, command.name)
        run_ids: list[str] = await asyncio.get_running_loop().run_in_executor(None, find)
        for each in run_ids:
            await self._post.tell_run(each, Resume(None))
        return Resumed(run_ids=tuple(run_ids))

    async def _retry(self, run_id: str) -> Reply:
        """Let a run that has ended go on."""
        if not await self._post.app_of(run_id):
            return Refused(code="not_found", message=f"there is no run {run_id!r}")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._runs.retries.retry(run_id, answer.set_result)
        return await answer

    async def _signal(self, command: SignalRun) -> Reply:
        """Bring a message to a run. Where its app is loaded a worker looks first whether anything could take it."""
        name, value = command.name, command.value
        if (refused := message_too_long(value) or _no_key(command.key)) is not None:
            return refused
        session, slash, key = command.run_id.partition("/")
        if slash and "/" not in key:
            told = TellSession(app="", session=session, session_key=key, name=name, value=value, key=command.key)
            return await self._message(told)
        app = await self._post.app_of(command.run_id)
        if self._tree.has_loaded(app) and (wrong := await self._wrong_signal(app, command)) is not None:
            return wrong
        return await self._post.tell_run(command.run_id, Signal(name, value, command.key))

    async def _wrong_signal(self, app: str, command: SignalRun) -> Refused | None:
        """Say why nothing could take a message; None where something could, or nobody can tell in time."""
        try:
            async with asyncio.timeout(SIGNAL_TIMEOUT):
                checked = await self._questions.ask(
                    app, lambda token: CheckSignal(id=token, name=command.name, value=command.value)
                )
        except TimeoutError:
            return None
        if not isinstance(checked, MessageChecked) or not checked.faults:
            return None
        if checked.faults[0].field == "type" and command.name in await self._awaited(command.run_id):
            return None  # it awaits a model that was made while it ran
        faults = "; ".join(
            f"{fault.field}: {fault.sentence}" if fault.field else fault.sentence for fault in checked.faults
        )
        message = f"run {command.run_id} could not take the message {command.name}: {faults}"
        return Refused(code="invalid", message=message, faults=checked.faults)

    async def _awaited(self, run_id: str) -> set[str]:
        """Give the types of the messages that a run awaits at this moment."""
        if (state := self._runs.state(run_id)) is not None:
            return set(state.receives.values())
        found: asyncio.Future[RunState] = asyncio.get_running_loop().create_future()
        self._runs.read(lambda: fold_all(self._runs.events(run_id)), found.set_result, found.set_exception)
        try:
            return set((await found).receives.values())
        except (GreenroomError, ValueError, LookupError):  # who takes the message will say so
            return set()

    # ------------------------------------------------------------ sessions

    async def message(self, command: TellSession, policy: SessionPolicy) -> Reply:
        """Bring a message to a session, or refuse it; the message is known to fit."""
        if (refused := message_too_long(command.value) or _no_key(command.key)) is not None:
            return refused
        address = Address(command.app, command.session, command.session_key, policy)
        signal = Signal(command.name, command.value, command.key)
        if isinstance(command, AskSession):
            return await self._post.ask(address, signal, command.timeout)
        return await self._post.tell(address, signal)

    async def _message(self, command: TellSession) -> Reply:
        """Do the same for a message from outside: a worker of the app looks at it first."""
        run_id = f"{command.session}/{command.session_key}"
        if (wrong := key_fault(command.session_key)) is not None:
            return Refused(code="invalid", message=wrong)
        app = command.app or await self._post.app_of(run_id)
        if not app:
            return Refused(code="not_found", message=f"there is no session {run_id!r}")
        checked = await self._questions.ask(
            app,
            lambda token: CheckMessage(id=token, session=command.session, name=command.name, value=command.value),
        )
        if isinstance(checked, str):
            return Refused(code="invalid", message=checked)
        assert isinstance(checked, MessageChecked)
        if checked.unknown_session:
            return Refused(code="not_found", message=f"{app}: {checked.faults[0].sentence}")
        if checked.faults:
            message = f"the message does not fit session {command.session}: {one_line(checked.faults)}"
            return Refused(code="invalid", message=message, faults=checked.faults)
        fitting = command.model_copy(update={"app": app, "name": checked.name, "value": checked.value})
        return await self.message(fitting, checked.policy)

    async def _settle(self, command: RedriveDeadLetter | DropDeadLetter) -> Reply:
        """Send a dead letter again, or strike it off the list."""
        run_id, letter = command.run_id, command.letter
        event = await self._post.dead_letter(run_id, letter)
        if event is None:
            return Refused(code="not_found", message=f"there is no dead letter {letter!r} of {run_id!r}")
        if isinstance(command, DropDeadLetter):
            return await self._post.tell_run(run_id, SettleDeadLetter(letter, "dropped"))
        if isinstance(event, StepFailed):
            message = f"step {letter} belongs to its run: mend it, then {retry(run_id)}"
            return Refused(code="conflict", message=message)
        again = await self._post.tell_run(run_id, Signal(event.name, event.value, key=f"{REDRIVE}{letter}"))
        if isinstance(again, Refused):
            return again
        await self._post.tell_run(run_id, SettleDeadLetter(letter, "redriven"))
        return again


def _no_key(key: str | None) -> Refused | None:
    """Refuse a key that a message might have which nobody has chosen a key for."""
    wrong = message_key_fault(key)
    return None if wrong is None else Refused(code="invalid", message=wrong)


def _touch(act: Callable[[], None]) -> Reply:
    """Do something to a worker."""
    try:
        act()
    except WorkerNotFound as error:
        return Refused(code="not_found", message=str(error))
    return Accepted()
