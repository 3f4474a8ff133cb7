"""Verbs that change how a run goes on: ``cancel``, ``pause``, ``resume``, ``retry``."""

from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import budget_of, common, pass_settings
from greenroom.cli.display.values import emit, look, note, say
from greenroom.cli.hosting.parked import resume_parked, resume_session
from greenroom.cli.inputs import Number
from greenroom.cli.settings import Settings
from greenroom.messages.advice import go_on

if TYPE_CHECKING:
    from greenroom.messages.commands import CancelRun, PauseRun, ResumeRun


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", help="Why; it is kept with the run.")
@click.option(
    "--within",
    type=Number(min=0),
    metavar="S",
    help="Seconds after which it is ended without the rest of its cleanup; 0 is at once.",
)
@common
@pass_settings
def cancel(settings: Settings, run_id: str, reason: str | None, within: float | None) -> None:
    """Ask a run to end early. Its program cleans up first, also if the run is paused or parked."""
    from greenroom.messages.commands import CancelRun
    from greenroom.messages.core.times import limit

    within = limit(within, "--within")
    _steer(settings, CancelRun(run_id=run_id, reason=reason, within=within), "was asked to end")


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", help="Why; it is kept with the run.")
@common
@pass_settings
def pause(settings: Settings, run_id: str, reason: str | None) -> None:
    """Pause a run and its children. Running steps may finish; no new ones start."""
    from greenroom.messages.commands import PauseRun

    _steer(settings, PauseRun(run_id=run_id, reason=reason), "is paused")


@click.command()
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every parked run, instead of one.")
@click.option("--name", metavar="NAME", help="With --all: only runs of this workflow.")
@click.option(
    "--budget",
    "limits",
    metavar="NAME=N",
    multiple=True,
    help="A new total for usd, tokens, wall (seconds) or attempts, or unknown_price=allow; may be repeated.",
)
@common
@pass_settings
def resume(
    settings: Settings,
    run_id: str | None,
    everything: bool,  # noqa: FBT001  click hands flags over by name
    name: str | None,
    limits: tuple[str, ...],
) -> None:
    """Resume a paused or parked run, with a higher budget if it needs one; with --all every parked run.

    If no orchestrator is running on the home, one in the background hosts the run until it is done; with --all also
    every other unfinished run.
    """
    from greenroom.messages.commands import ResumeRun

    if everything == (run_id is not None):
        msg = "give the ID of one run, or --all for every run that is parked"
        raise click.UsageError(msg)
    if run_id is None:
        resume_parked(settings, "run", name)
        return
    _steer(settings, ResumeRun(run_id=run_id, budget=budget_of(limits)), "goes on")


@click.command()
@click.argument("run_id", metavar="ID")
@common
@pass_settings
def retry(settings: Settings, run_id: str) -> None:
    """Retry a run that failed or was cancelled, from the step that failed. Recorded results stay."""
    from greenroom.messages.commands import RetryRun
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    with look(settings.home) as reads:
        reads.run(run_id)
    check(ask(settings.home, RetryRun(run_id=run_id)))
    if settings.json:
        emit({"run_id": run_id, "asked": True})
    else:
        say(f"run {run_id} goes on from where it failed")


def _steer(settings: Settings, command: "CancelRun | PauseRun | ResumeRun", done: str) -> None:
    """Send a command about an unfinished run, and print the outcome.

    What is resumed and has no orchestrator gets one; anything else needs one that is running.

    Args:
        settings: The home and the form of output.
        command: The command to send.
        done: The outcome, for a person.
    """
    from greenroom.cli.hosting.ownership import settle
    from greenroom.cli.hosting.this_process import resume_in_background
    from greenroom.messages.commands import ResumeRun
    from greenroom.messages.records.records import ENDED
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    with look(settings.home) as reads:
        status = reads.run(command.run_id).status

    def tell() -> str:
        check(ask(settings.home, command))
        return ""

    where = ""
    if status not in ENDED and isinstance(command, ResumeRun) and "/" in command.run_id:
        resume_session(settings, command)
    elif status not in ENDED and isinstance(command, ResumeRun):
        where = settle(settings, tell, lambda: resume_in_background(settings, command, [command.run_id])[1])
    elif status not in ENDED:
        tell()
    if where:
        note(f"run {command.run_id} goes on in {where}; follow it with {go_on(command.run_id)}")
    if settings.json:
        emit({"run_id": command.run_id, "status": status, "asked": status not in ENDED})
    else:
        say(f"run {command.run_id} {f'is {status} already' if status in ENDED else done}")
