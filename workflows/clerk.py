"""Takes every command, whichever door it came in by, and answers it."""

import asyncio
import difflib
from collections.abc import Callable
from typing import Final, assert_never

from understudy.journal.protocol import RunRow
from understudy.messages.commands import (
    Accepted,
    App,
    CancelRun,
    Command,
    DecideApproval,
    ForkRun,
    KillWorker,
    ListWorkers,
    PauseRun,
    RefusalCode,
    Refused,
    Reply,
    RestartWorker,
    ResumeRun,
    RetryRun,
    ShowApp,
    ShowTree,
    SignalRun,
    StartRun,
    Tree,
    Workers,
)
from understudy.messages.errors import (
    ApprovalClosed,
    ApprovalNotFound,
    MailboxFull,
    RunEnded,
    UnderstudyError,
    WorkerNotFound,
)
from understudy.messages.events import RunStarted
from understudy.messages.frames import AppDescribed, ArgumentsChecked, CheckArguments, DescribeApp, FromWorker, ToWorker
from understudy.messages.records import WorkflowRecord
from understudy.supervision.protocol import Answered, Assigned, Job, JobEvent, Lost, PoolKey, Unavailable
from understudy.supervision.tree import Tree as SupervisionTree
from understudy.workflows.approving import Find, prepare_decision
from understudy.workflows.helm import run_id
from understudy.workflows.inputs import Cancel, Confirmed, Input, Pause, Resume, Signal
from understudy.workflows.runs import Runs

LONGEST_ORIGIN = 180
"""Characters of a run's id that the id of its fork begins with."""
CHECK_TIMEOUT = 60.0
"""Seconds an app may take to say whether arguments fit."""


class Clerk:
    """Carries out commands. Coroutines of the reactor's loop; nothing here blocks it."""

    def __init__(
        self,
        runs: Runs,
        tree: SupervisionTree,
        mint: Callable[[], str],
        refusal: Callable[[str], Refused | None],
        find_approval: Find,
        started: Callable[[str], RunStarted | None],
    ) -> None:
        """Know whom to ask.

        ``refusal`` says why a run takes no message, ``started`` how one was started that exists. Both and
        ``find_approval`` may block.
        """
        self._find_approval = find_approval
        self._runs = runs
        self._tree = tree
        self._mint = mint
        self._refusal = refusal
        self._started = started

    async def carry_out(self, command: Command) -> Reply:  # noqa: C901, PLR0911, PLR0912  one return per kind of command
        """Answer one command. What the reply says is on the disk when it is given."""
        match command:
            case StartRun():
                return await self._start(command)
            case CancelRun(run_id=run_id, reason=reason):
                return await self._tell(run_id, Cancel(reason))
            case SignalRun(run_id=run_id, name=name, value=value, key=key):
                return await self._tell(run_id, Signal(name, value, key))
            case DecideApproval():
                prepared = await prepare_decision(command, self._find_approval, self._ask)
                return prepared if isinstance(prepared, Refused) else await self._tell(*prepared)
            case PauseRun(run_id=run_id, reason=reason):
                return await self._tell(run_id, Pause(reason))
            case ResumeRun(run_id=run_id):
                return await self._tell(run_id, Resume())
            case RetryRun(run_id=run_id):
                return await self._retry(run_id)
            case ForkRun():
                return await self._fork(command)
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

    async def _start(self, command: StartRun) -> Reply:
        """Start a run whose arguments come from outside: a worker of the app looks at them first.

        One that exists keeps to its version, and needs no look where it was started with just these.
        """
        stored = await asyncio.get_running_loop().run_in_executor(None, self._started, command.run_id)
        if stored is not None:
            same = (stored.app, stored.workflow, stored.arguments)
            if same == (command.app, command.workflow, command.arguments):
                return Accepted(run_id=command.run_id, created=False)
            command = command.model_copy(update={"version": stored.version})
        checked = await self._check(command)
        if isinstance(checked, Refused):
            return checked
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        fitting = {"arguments": checked.arguments, "version": checked.version, "fingerprint": checked.fingerprint}
        self._runs.launch(command.model_copy(update=fitting), answer.set_result)
        return await answer

    async def _check(self, command: StartRun) -> ArgumentsChecked | Refused:
        """Have a worker of the app look at a run's arguments."""
        checked = await self._ask(
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
            faults = "; ".join(f"{fault.field}: {fault.sentence}" for fault in checked.faults)
            return Refused(code="invalid", message=f"the inputs do not fit workflow {command.workflow}: {faults}")
        return checked

    async def _unknown(self, command: StartRun) -> str:
        shown = await self._show_app(command.app)
        names = [found.name for found in shown.workflows] if isinstance(shown, App) else []
        close = difflib.get_close_matches(command.workflow, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(sorted(names)) or 'none'}"
        return f"{command.app} has no workflow {command.workflow!r}{hint}"

    async def _show_app(self, app: str) -> App | Refused:
        described = await self._ask(app, lambda token: DescribeApp(id=token))
        if isinstance(described, str):
            return Refused(code="invalid", message=described)
        assert isinstance(described, AppDescribed)
        found = [
            WorkflowRecord(name=each.name, app=app, parameters=each.parameters, doc=each.doc)
            for each in described.definitions
            if each.kind == "workflow"
        ]
        return App(app=app, workflows=tuple(found))

    async def _ask(self, app: str, frame: Callable[[str], ToWorker]) -> FromWorker | str:
        """Ask a program worker of an app something; a string is why there was no answer."""
        answer: asyncio.Future[FromWorker | str] = asyncio.get_running_loop().create_future()

        def hear(event: JobEvent) -> None:
            match event:
                case Answered(message=message):
                    answer.set_result(message)
                case Lost(exit=gone):
                    answer.set_result(f"the app {app} cannot be asked: its process {gone.sentence()}")
                case Unavailable(reason=reason):
                    answer.set_result(reason)
                case Assigned():
                    pass

        token = self._mint()
        job = Job(
            token=token, run_id="", label="checking arguments", frame=frame(token), reply=hear, timeout=CHECK_TIMEOUT
        )
        self._tree.submit(PoolKey(app, "program", "program"), None, job)
        return await answer

    async def _fork(self, command: ForkRun) -> Reply:
        """Start a fork. A worker of the app looks at the workflow's arguments where they are other ones."""
        loop = asyncio.get_running_loop()
        refused, row = await loop.run_in_executor(None, self._look_up, command.run_id)
        if refused is not None or row is None:
            return refused or Refused(code="not_found", message=f"there is no run {command.run_id!r}")
        try:
            new = run_id(command.id, f"{command.run_id[:LONGEST_ORIGIN]}-fork")
        except ValueError as error:
            return Refused(code="invalid", message=str(error))
        if command.at is None and command.input is not None:
            if not isinstance(command.input, dict):
                return Refused(code="invalid", message="the input of a workflow is an object: its arguments by name")
            origin = await loop.run_in_executor(None, self._started, command.run_id)
            version = None if origin is None else origin.version
            start = StartRun(run_id=new, app=row.app, workflow=row.workflow, arguments=command.input, version=version)
            checked = await self._check(start)
            if isinstance(checked, Refused):
                return checked
            command = command.model_copy(update={"input": checked.arguments})
        answer: asyncio.Future[Reply] = loop.create_future()
        self._runs.forks.fork(command, new, answer.set_result)
        return await answer

    def _look_up(self, run_id: str) -> tuple[Refused | None, RunRow | None]:
        """Find a run that can be forked. A thread of the loop's executor."""
        refused = self._refusal(run_id)
        row = None if refused is not None else self._runs.row(run_id)
        if row is not None and row.kind != "run":
            return Refused(code="invalid", message=f"{run_id!r} is a {row.kind}, and only runs can be forked"), row
        return refused, row

    async def _retry(self, run_id: str) -> Reply:
        """Let a run that has ended go on."""
        loop = asyncio.get_running_loop()
        refused = await loop.run_in_executor(None, self._refusal, run_id)
        if refused is not None:
            return refused
        answer: asyncio.Future[Reply] = loop.create_future()
        self._runs.retries.retry(run_id, answer.set_result)
        return await answer

    async def _tell(self, run_id: str, happened: Input) -> Reply:
        """Bring a message to a run and wait until what it led to is on the disk."""
        loop = asyncio.get_running_loop()
        refused = await loop.run_in_executor(None, self._refusal, run_id)
        if refused is not None:
            return refused
        answer: asyncio.Future[UnderstudyError | None] = loop.create_future()
        self._runs.route(run_id, Confirmed(happened, answer.set_result))
        error = await answer
        if error is None:
            return Accepted(run_id=run_id)
        return Refused(code=_REFUSALS.get(type(error), "closed"), message=str(error))


def _touch(act: Callable[[], None]) -> Reply:
    """Do something to a worker."""
    try:
        act()
    except WorkerNotFound as error:
        return Refused(code="not_found", message=str(error))
    return Accepted()


_REFUSALS: Final[dict[type[UnderstudyError], RefusalCode]] = {
    MailboxFull: "full",
    RunEnded: "ended",
    ApprovalNotFound: "not_found",
    ApprovalClosed: "conflict",
}
"""What a run says no with."""
