"""The group ``greenroom runs`` and its verbs."""

import click

from greenroom.cli.command_group import Verbs, common
from greenroom.cli.commands.runs.copies import diff, export, fork
from greenroom.cli.commands.runs.following import events, logs, stream
from greenroom.cli.commands.runs.reading import list_runs, result, show, transcript
from greenroom.cli.commands.runs.steering import cancel, pause, resume, retry


@click.group(cls=Verbs)
@common
def runs() -> None:
    """Show runs and control them. Showing needs no running orchestrator."""


for verb in (
    list_runs,
    show,
    transcript,
    events,
    stream,
    logs,
    result,
    cancel,
    pause,
    resume,
    retry,
    fork,
    export,
    diff,
):
    runs.add_command(verb)
