"""Running workflows by an orchestrator in this process, in the foreground or in the background."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from greenroom.cli.display.values import emit, note
from greenroom.cli.exit_codes import INTERRUPTED
from greenroom.cli.hosting.ownership import open_orchestrator, owner_name
from greenroom.cli.hosting.run_request import RunRequest
from greenroom.cli.hosting.unfinished import not_in_time_code
from greenroom.cli.settings import Settings
from greenroom.messages.advice import go_on
from greenroom.messages.core.errors import GreenroomError, OrchestratorClosed

if TYPE_CHECKING:
    from greenroom.messages.commands import Command
    from greenroom.workflows.api.handles.run import Run
    from greenroom.workflows.api.orchestrator import Orchestrator

NAMED: Final = 3
"""Most runs to name when several are left."""


def host(settings: Settings, request: RunRequest, started: Callable[[list[str]], None] | None = None) -> int:
    """Run an orchestrator in this process until the run and those of other processes are done; return the exit code.

    Args:
        settings: The home, and how to show results.
        request: The run.
        started: Called with the ids of its runs once they are committed. Given for a run in the background, whose
            result stays in the journal; without it the result is printed.

    Raises:
        HomeInUse: Another orchestrator lives on the home.
        GreenroomError: The run could not be started.
    """
    with open_orchestrator(settings, output=not request.quiet, imports=request.imports) as orchestrator:
        from greenroom.cli.display.progress import tell_of_delays  # beside the first zygote, which imports too
        from greenroom.cli.hosting.log_file import log_to_home

        log_to_home(orchestrator.home, secrets=request.imports.secrets())
        tell_of_delays(orchestrator)
        run = _begin(orchestrator, request)
        if started is not None:
            started([run.id])
        try:
            code = _see_through(orchestrator, request, run, quiet=started is not None)
            _wait_for_others(orchestrator, [], f"run {run.id} is done")
        except KeyboardInterrupt:
            _say_interrupted(orchestrator, run)
            return INTERRUPTED
    return code


def _begin(orchestrator: "Orchestrator", request: RunRequest) -> "Run[Any]":
    """Start the run, or resume it if it is parked or paused."""
    if request.named:
        run = orchestrator.start_app(
            request.app, request.workflow, request.arguments, id=request.run_id, budget=request.budget
        )
    else:
        run = orchestrator.handle(request.run_id, None)
    if run.status in {"parked", "paused"}:
        run.resume()
    return run


def _see_through(orchestrator: "Orchestrator", request: RunRequest, run: "Run[Any]", *, quiet: bool) -> int:
    """Show the progress of a run of this process, and its result or failure; return the exit code."""
    from greenroom.cli.app import complain
    from greenroom.cli.display.progress import follow

    try:
        with follow(run):
            result = run.result(request.timeout)
            orchestrator.flush_output()  # so that it stands above what progress shows last
    except TimeoutError:
        return not_in_time_code(request, orchestrator.home)
    except OrchestratorClosed:
        raise
    except GreenroomError as error:
        return complain(error)
    if not quiet:
        emit(result)
    return 0


def _wait_for_others(orchestrator: "Orchestrator", run_ids: Sequence[str], why: str) -> None:
    """Wait until the runs that other processes have submitted are done, and then refuse any more."""
    told = False
    while left := orchestrator.leave(run_ids):
        if not told and not run_ids:
            told = True
            note(f"{why}; runs of other processes go on here until they are done: {_named(left)} (Ctrl+C ends that)")
        with suppress(
            GreenroomError
        ):  # the process that follows the run shows its failure; one of the journal ends the loop
            orchestrator.wait_result(left[0], None)


def _say_interrupted(orchestrator: "Orchestrator", run: "Run[Any]") -> None:
    """Tell which runs stop with this process, and how to continue each."""
    from greenroom.messages.records.records import ENDED

    left = dict.fromkeys(run_id for run_id in orchestrator.leave() if run_id != run.id)
    if run.status not in ENDED:
        note(f"run {run.id} was interrupted. Nothing of it is lost; go on with: {go_on(run.id)}")
    for run_id in left:
        note(f"run {run_id} of another process stops too. Nothing of it is lost; go on with: {go_on(run_id)}")


def _named(run_ids: Sequence[str]) -> str:
    rest = len(run_ids) - NAMED
    return ", ".join(run_ids[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def resume_in_background(settings: Settings, command: "Command", run_ids: Sequence[str]) -> tuple[list[str], str]:
    """Start an orchestrator in the background that executes a command to resume runs, and stays until they are done.

    Args:
        settings: The home.
        command: The command.
        run_ids: Runs to wait for besides those that the command names.

    Returns:
        The ids of the resumed runs, and a phrase about where they go on.

    Raises:
        HomeInUse: Another orchestrator lives on the home.
        GreenroomError: The command was refused.
    """
    from greenroom.cli.hosting.background import host_in_background
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.messages.commands import Resumed, ResumeRun
    from greenroom.messages.refusals import check

    def live(started: Callable[[list[str]], None]) -> int:
        with open_orchestrator(settings) as orchestrator:
            log_to_home(orchestrator.home)
            reply = check(orchestrator.send(command))
            told = list(reply.run_ids) if isinstance(reply, Resumed) else []
            told += [command.run_id] if isinstance(command, ResumeRun) else []
            every = list(dict.fromkeys([*told, *run_ids]))
            started(every)
            _wait_for_others(orchestrator, every, "")
        return 0

    going = host_in_background(settings.home, live)
    return (
        going,
        f"{owner_name(settings.home)}, in the background until {'it is' if len(going) == 1 else 'they are'} done",
    )
