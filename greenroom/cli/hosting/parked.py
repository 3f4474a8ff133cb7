"""Resuming what is parked: everything of a kind, or one session."""

import time
from typing import TYPE_CHECKING, Literal

from greenroom.cli.display.values import emit, look, note, say
from greenroom.cli.hosting.other_process import POLL
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.messages.commands import ResumeRun


def resume_parked(settings: Settings, kind: Literal["run", "session"], name: str | None) -> None:
    """Resume everything that is parked, and list it."""
    from greenroom.cli.hosting.ownership import settle
    from greenroom.messages.commands import Resumed, ResumeParked
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    command = ResumeParked(kind=kind, name=name)

    def tell() -> tuple[list[str], str]:
        reply = check(ask(settings.home, command))
        assert isinstance(reply, Resumed)
        return list(reply.run_ids), ""

    def live() -> tuple[list[str], str]:
        from greenroom.cli.hosting.this_process import resume_in_background

        with look(settings.home) as reads:
            unfinished = reads.runs(["pending", "running", "waiting"], name, None)
            parked = reads.runs("parked", name, 1)
        if not unfinished and not parked:
            return [], ""
        return resume_in_background(settings, command, [run.id for run in unfinished])

    run_ids, where = settle(settings, tell, live if kind == "run" else tell)
    if settings.json:
        emit({"resumed": run_ids})
        return
    for run_id in run_ids:
        say(f"{kind} {run_id} goes on")
    if not run_ids:
        say(f"no {kind} is parked")
    if where:
        note(f"{'it goes' if len(run_ids) == 1 else 'they go'} on in {where}")


def resume_session(settings: Settings, command: "ResumeRun") -> None:
    """Resume one session. If no orchestrator is running, one is started for as long as the session has work.

    Raises:
        RunParked: The session is parked again.
    """
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.cli.hosting.ownership import open_orchestrator, settle
    from greenroom.messages.core.errors import RunParked
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    def tell() -> None:
        check(ask(settings.home, command))

    def live() -> None:
        with open_orchestrator(settings) as orchestrator:
            log_to_home(orchestrator.home)
            check(orchestrator.send(command))
            while (session := orchestrator.reads.session(command.run_id)).status in {"pending", "running"}:
                orchestrator.check_alive()
                time.sleep(POLL)
        if session.status == "parked":
            msg = f"session {command.run_id} is parked again: {session.reason}"
            raise RunParked(msg)

    settle(settings, tell, live)
