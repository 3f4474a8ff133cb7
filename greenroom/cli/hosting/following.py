"""Running a workflow by the orchestrator that lives on the home, or by being that orchestrator."""

from greenroom.cli.display.values import note
from greenroom.cli.exit_codes import INTERRUPTED
from greenroom.cli.hosting.other_process import follow_run, submit
from greenroom.cli.hosting.ownership import owner_name, settle
from greenroom.cli.hosting.run_request import RunRequest, started_event
from greenroom.cli.hosting.this_process import host
from greenroom.cli.settings import Settings
from greenroom.messages.advice import go_on


def carry_out(settings: Settings, request: RunRequest) -> int:
    """Execute a run and follow it to its end; return the exit code.

    The orchestrator that lives on the home executes it, or this process if there is none. Of several processes that
    start at once one becomes the orchestrator; the others submit their runs to it.

    Raises:
        GreenroomError: The run could not be started or did not complete.
    """
    from greenroom.workflows.control.access import contact

    home = settings.home
    try:
        code = settle(settings, lambda: submit(home, request), lambda: host(settings, request))
        return follow_run(home, request) if code is None else code
    except KeyboardInterrupt:
        if started_event(home, request.run_id) is None or not contact.is_open(home):
            raise
        note(f"run {request.run_id} goes on in {owner_name(home)}; come back to it with {go_on(request.run_id)}")
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

    where = settle(settings, ask, background)
    return request.run_id, f"run {request.run_id} goes on in {where}; follow it with {go_on(request.run_id)}"
