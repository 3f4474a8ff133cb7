"""Resuming everything that is parked, for runs and sessions alike."""

from typing import Literal

from greenroom.cli.display.values import emit, look, note, say
from greenroom.cli.settings import Settings


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
