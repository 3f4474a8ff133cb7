"""What ``greenroom run`` was asked for, from the command line and the journal."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from greenroom.cli.command_group import NOTHING_SAID, Imports
from greenroom.cli.display.values import look
from greenroom.messages.advice import go_on
from greenroom.messages.core.errors import IdConflict, RunNotFound

if TYPE_CHECKING:
    from greenroom.messages.events.events import RunStarted
    from greenroom.messages.options.policy import Budget
    from greenroom.workflows.home.home import Home


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to start, or to continue.

    Attributes:
        run_id: Identity of the run.
        app: The app with its workflow: absolute path of a file, or dotted name of a module.
        workflow: Name of the workflow in it.
        arguments: By name, as JSON or as words; the recorded ones if none were given.
        timeout: Seconds to wait for the end, or None.
        exists: Whether the run existed when the command was given.
        named: Whether a workflow was named, which has to be the run's.
        quiet: Whether to hide what code in workers prints.
        imports: How to import its app, if this process is the orchestrator.
        budget: Budget of the run in place of the workflow's; None if none was given.
    """

    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Any]
    timeout: float | None
    exists: bool
    named: bool
    quiet: bool = False
    imports: Imports = NOTHING_SAID
    budget: "Budget | None" = None

    @classmethod
    def of(
        cls,
        home: "Home",
        app: str | None,
        workflow: str | None,
        inputs: dict[str, Any] | None,
        run_id: str | None,
        timeout: float | None,
    ) -> "RunRequest":
        """Make a request from the words of the command line and the recorded start of the run.

        Raises:
            RunNotFound: Only an id was given, and there is no run with it.
            IdConflict: The run belongs to another workflow.
            BadParameter: The id is not valid.
        """
        from greenroom.messages.ids import run_id as make_id

        first = None if run_id is None else started_event(home, run_id)
        if first is not None:
            given = dict(first.arguments) if inputs is None else inputs
            place = (first.app, first.workflow) if app is None or workflow is None else (app, workflow)
            if place != (first.app, first.workflow):
                msg = (
                    f"run {run_id!r} exists and was started with workflow {first.workflow!r} of {first.app}; choose "
                    f"another id, or go on with that run: {go_on(first.run_id)}"
                )
                raise IdConflict(msg)
            return cls(first.run_id, *place, given, timeout, exists=True, named=app is not None)
        if app is None or workflow is None:
            msg = (
                f"there is no run {run_id!r} in the journal {home.journal}, and nothing was started; --journal names "
                "another journal, --home another home"
            )
            raise RunNotFound(msg)
        try:
            made = make_id(run_id, workflow)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--id") from error
        return cls(made, app, workflow, inputs or {}, timeout, exists=False, named=True)


def started_event(home: "Home", run_id: str) -> "RunStarted | None":
    """Return the first event of a run; None if there is no run with this id yet.

    Raises:
        BadParameter: The id belongs to a session or a schedule.
    """
    from greenroom.messages.advice import show_session
    from greenroom.messages.events.events import RunStarted

    try:
        with look(home) as reads:
            first = reads.events(run_id, limit=1)[0].event
    except RunNotFound:
        return None
    if not isinstance(first, RunStarted):
        name, _, key = run_id.partition("/")
        msg = f"{run_id} is a session, and no run: {show_session(name, key)} shows it"
        raise click.BadParameter(msg, param_hint="--id")
    return first
