"""Verbs that send a session a message: ``ask``, ``tell``."""

from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import emit, say
from greenroom.cli.inputs import Number, read_json
from greenroom.cli.settings import Settings
from greenroom.cli.targets import parse_target

if TYPE_CHECKING:
    from greenroom.messages.commands import Reply, TellSession


@click.command()
@click.argument("target", metavar="FILE.py:NAME")
@click.argument("key", metavar="KEY")
@click.argument("text", metavar="JSON|@FILE|-")
@click.option(
    "--type", "kind", default="", metavar="TYPE", help="Type of the message, if its fields fit several types."
)
@click.option("--key", "once", metavar="KEY", help="A message with the key of an earlier one is not sent again.")
@click.option("--timeout", type=Number(min=0, min_open=True), metavar="S", help="Seconds to wait at most.")
@common
@pass_settings
def ask(
    settings: Settings, target: str, key: str, text: str, kind: str, once: str | None, timeout: float | None
) -> None:
    """Send a message to the session KEY of NAME in FILE.py, and print its reply as JSON.

    If no orchestrator is running on the home, one is started for as long as that takes.
    """
    from greenroom.actors.failures.reconstruction import with_location
    from greenroom.messages.commands import AskSession, TurnAnswered
    from greenroom.messages.core.errors import TurnFailed

    app, name = parse_target(target, "session")
    command = AskSession(
        app=app, session=name, session_key=key, name=kind, value=read_json(text, "JSON"), key=once, timeout=timeout
    )
    reply = _send(settings, command)
    assert isinstance(reply, TurnAnswered)
    if reply.failure is not None:
        msg = f"message {reply.number} to session {reply.run_id} failed: {reply.failure}"
        failed = TurnFailed(msg, session=reply.run_id, number=reply.number, step=reply.step)
        raise failed if reply.raised is None else with_location(failed, reply.raised)
    emit(reply.reply)


@click.command()
@click.argument("target", metavar="FILE.py:NAME")
@click.argument("key", metavar="KEY")
@click.argument("text", metavar="JSON|@FILE|-")
@click.option(
    "--type", "kind", default="", metavar="TYPE", help="Type of the message, if its fields fit several types."
)
@click.option("--key", "once", metavar="KEY", help="A message with the key of an earlier one is not sent again.")
@common
@pass_settings
def tell(settings: Settings, target: str, key: str, text: str, kind: str, once: str | None) -> None:
    """Send a message to the session KEY of NAME in FILE.py. It is committed when this returns."""
    from greenroom.messages.commands import Accepted, TellSession

    app, name = parse_target(target, "session")
    command = TellSession(app=app, session=name, session_key=key, name=kind, value=read_json(text, "JSON"), key=once)
    reply = _send(settings, command)
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"session": reply.run_id, "message": reply.number})
    else:
        say(f"session {reply.run_id} has the message, its number {reply.number}")


def _send(settings: Settings, command: "TellSession") -> "Reply":
    """Send a message to the orchestrator of the home, or to one that is started for this answer."""
    from greenroom.messages.commands import AskSession
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access import contact, control_socket

    if contact.is_open(settings.home):
        patience = command.timeout if isinstance(command, AskSession) else 0.0
        return check(
            control_socket.ask(
                settings.home, command, None if patience is None else patience + control_socket.ASK_TIMEOUT
            )
        )
    from greenroom.cli.display.progress import tell_of_delays
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.cli.hosting.ownership import open_orchestrator

    with open_orchestrator(settings) as orchestrator:
        log_to_home(orchestrator.home)
        tell_of_delays(orchestrator)
        return check(orchestrator.send(command))
