"""Check inputs of commands in a worker of their app, because the orchestrator does not import apps."""

import asyncio
import difflib
from typing import Final

from greenroom.messages.commands import App, Refused, SignalRun, StartRun, TellSession
from greenroom.messages.core.failures import one_line
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import (
    AppDescribed,
    ArgumentsChecked,
    CheckArguments,
    CheckMessage,
    CheckSignal,
    DescribeApp,
    MessageChecked,
)
from greenroom.messages.records.records import HandlerRecord, WorkflowRecord
from greenroom.messages.refusals import arguments_too_long
from greenroom.workflows.control.checks.app_queries import AppQueries

SIGNAL_TIMEOUT: Final = 5.0
"""Seconds that a message to a run waits for a worker to check it. It is accepted unchecked if all are busy."""


class InputChecks:
    """Checks inputs against an app. Coroutines of the reactor's loop.

    Args:
        app_queries: Asks workers of apps.
    """

    def __init__(self, app_queries: AppQueries) -> None:
        """Keep the arguments."""
        self._app_queries = app_queries

    async def arguments(self, app: str, workflow: str, given: dict[str, Json]) -> dict[str, Json] | Refused:
        """Check arguments for a workflow's newest version. Return them in their normal form."""
        checked = await self.start(StartRun(run_id="", app=app, workflow=workflow, arguments=given))
        return checked if isinstance(checked, Refused) else checked.arguments

    async def start(self, command: StartRun) -> ArgumentsChecked | Refused:
        """Check the arguments of a run."""
        if (long := arguments_too_long(command.arguments)) is not None:
            return long
        checked = await self._app_queries.ask(
            command.app,
            lambda token: CheckArguments(
                id=token, workflow=command.workflow, arguments=command.arguments, version=command.version
            ),
        )
        if isinstance(checked, Refused):
            return checked
        assert isinstance(checked, ArgumentsChecked)
        if checked.unknown_workflow:
            sentence = await self._unknown(command) if command.version is None else checked.faults[0].sentence
            return Refused(code="not_found", message=sentence)
        if checked.faults:
            message = f"the inputs do not fit workflow {command.workflow}: {one_line(checked.faults)}"
            return Refused(code="invalid", message=message)
        return checked

    async def _unknown(self, command: StartRun) -> str:
        shown = await self.show_app(command.app)
        names = [found.name for found in shown.workflows] if isinstance(shown, App) else []
        close = difflib.get_close_matches(command.workflow, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(sorted(names)) or 'none'}"
        return f"{command.app} has no workflow {command.workflow!r}{hint}"

    async def signal(self, app: str, command: SignalRun) -> Refused | None:
        """Return a refusal if no workflow of the app could receive a message; None if one could.

        Return None too if no worker answers in time. The refusal names at least one fault.
        """
        try:
            async with asyncio.timeout(SIGNAL_TIMEOUT):
                checked = await self._app_queries.ask(
                    app, lambda token: CheckSignal(id=token, name=command.name, value=command.value)
                )
        except TimeoutError:
            return None
        if not isinstance(checked, MessageChecked) or not checked.faults:
            return None
        faults = "; ".join(
            f"{fault.field}: {fault.sentence}" if fault.field else fault.sentence for fault in checked.faults
        )
        message = f"run {command.run_id} could not take the message {command.name}: {faults}"
        return Refused(code="invalid", message=message, faults=checked.faults)

    async def message(self, app: str, command: TellSession) -> MessageChecked | Refused:
        """Check a message to a session. Return it in its normal form."""
        checked = await self._app_queries.ask(
            app,
            lambda token: CheckMessage(id=token, session=command.session, name=command.name, value=command.value),
        )
        if isinstance(checked, Refused):
            return checked
        assert isinstance(checked, MessageChecked)
        if checked.unknown_session:
            return Refused(code="not_found", message=f"{app}: {checked.faults[0].sentence}")
        if checked.faults:
            message = f"the message does not fit session {command.session}: {one_line(checked.faults)}"
            return Refused(code="invalid", message=message, faults=checked.faults)
        return checked

    async def show_app(self, app: str) -> App | Refused:
        """Return what an app defines."""
        described = await self._app_queries.ask(app, lambda token: DescribeApp(id=token))
        if isinstance(described, Refused):
            return described
        assert isinstance(described, AppDescribed)
        if described.faults:
            return Refused(code="invalid", message=f"{app}: {one_line(described.faults)}")
        workflows = tuple(
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
        )
        handlers = tuple(
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
        )
        return App(app=app, workflows=workflows, sessions=tuple(each.name for each in handlers), handlers=handlers)
