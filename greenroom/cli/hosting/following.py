"""Running a workflow by the orchestrator that lives on the home, or by being that orchestrator."""

from typing import TYPE_CHECKING

from greenroom.cli.display.values import note
from greenroom.cli.exit_codes import INTERRUPTED
from greenroom.cli.hosting.other_process import follow_run, submit
from greenroom.cli.hosting.ownership import owner_name, settle
from greenroom.cli.hosting.run_request import RunRequest, started_event
from greenroom.cli.hosting.this_process import host
from greenroom.cli.settings import Settings
from greenroom.messages.advice import go_on, show_run

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home


def carry_out(settings: Settings, request: RunRequest) -> int:
    """Execute a run and follow it to its end; return the exit code.

    The orchestrator that lives on the home executes it, or this process if there is none. Of several processes that
    start at once one becomes the orchestrator; the others submit their runs to it.

    Raises:
        GreenroomError: The run could not be started or did not complete.
    """
    home = settings.home
    try:
        code = settle(settings, lambda: submit(home, request), lambda: host(settings, request))
        return follow_run(home, request) if code is None else code
    except KeyboardInterrupt:
        if not _told_of(home, request.run_id):
            raise
        return INTERRUPTED


def detached(settings: Settings, request: RunRequest) -> tuple[str, str]:
    """Execute a run by an orchestrator that stays: the one that lives on the home, or one in the background.

    Returns:
        The run's id, once the run is committed, and a sentence about where it goes on.
    """
    from greenroom.cli.hosting.background import host_in_background

    def ask() -> str:
        submit(settings.home, request)
        return owner_name(settings.home)

    def background() -> str:
        host_in_background(settings.home, lambda started: host(settings, request, started))
        return f"{owner_name(settings.home)}, in the background until it is done"

    try:
        where = settle(settings, ask, background)
    except KeyboardInterrupt:
        _told_of(settings.home, request.run_id)
        raise
    return request.run_id, f"run {request.run_id} goes on in {where}; follow it with {go_on(request.run_id)}"


def _told_of(home: "Home", run_id: str) -> bool:
    """Tell what becomes of a run after Ctrl+C; return False if there is nothing to tell, as nothing was started.

    An orchestrator that has been asked to start the run may still be importing its app, and starts it afterwards.
    """
    from greenroom.workflows.control.access import contact

    started = started_event(home, run_id) is not None
    if not contact.is_open(home):
        if started:
            note(f"run {run_id} was interrupted. Nothing of it is lost; go on with: {go_on(run_id)}")
        return started
    if started:
        note(f"run {run_id} goes on in {owner_name(home)}; come back to it with {go_on(run_id)}")
    else:
        note(f"run {run_id} may still be started by {owner_name(home)}; see whether it was with {show_run(run_id)}")
    return True
