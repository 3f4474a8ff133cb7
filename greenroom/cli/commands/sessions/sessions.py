"""The group ``greenroom sessions`` and its verbs."""

import click

from greenroom.cli.command_group import Verbs, common
from greenroom.cli.commands.sessions.messages import ask, tell
from greenroom.cli.commands.sessions.reading import list_sessions, show, stream, transcript
from greenroom.cli.commands.sessions.steering import cancel_turn, close, resume


@click.group(cls=Verbs)
@common
def sessions() -> None:
    """Show sessions and send them messages. Showing needs no running orchestrator."""


for verb in (list_sessions, show, transcript, ask, tell, stream, cancel_turn, close, resume):
    sessions.add_command(verb)
