"""``understudy send``: a message to a run."""

import json

import click

from understudy.cli.command_group import common, pass_settings
from understudy.cli.display.values import emit, look, say
from understudy.cli.settings import Settings


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@click.argument("name", metavar="TYPE")
@click.argument("text", metavar="JSON")
@click.option("--key", help="A message with the key of an earlier one is that message, and not sent again.")
@common
@pass_settings
def send(settings: Settings, run_id: str, name: str, text: str, key: str | None) -> None:
    """Send the run RUN_ID a message, which its workflow takes with receive(TYPE).

    It is on the disk when this returns. One that does not fit the workflow's model is recorded as refused: see
    `understudy runs events RUN_ID`.
    """
    from understudy.messages.commands import SignalRun
    from understudy.workflows.api.handles.run import check
    from understudy.workflows.control.control_socket import ask

    try:
        value = json.loads(text)
    except ValueError as error:
        msg = f"it is no JSON: {error}"
        raise click.BadParameter(msg, param_hint="JSON") from error
    with look(settings.home) as reads:
        reads.run(run_id)
    check(ask(settings.home, SignalRun(run_id=run_id, name=name, value=value, key=key)))
    if settings.json:
        emit({"run_id": run_id, "sent": name})
    else:
        say(f"run {run_id} has the message")
