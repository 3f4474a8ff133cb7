"""``greenroom send``: a message to a run."""

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import emit, look, say
from greenroom.cli.inputs import read_json
from greenroom.cli.settings import Settings


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@click.argument("name", metavar="TYPE")
@click.argument("text", metavar="JSON")
@click.option("--key", help="A message with the key of an earlier one is not sent again.")
@common
@pass_settings
def send(settings: Settings, run_id: str, name: str, text: str, key: str | None) -> None:
    """Send the run RUN_ID a message, which its workflow takes with receive(TYPE).

    The message is committed when this returns. If it does not fit the workflow's model, it is recorded as refused: see
    `greenroom runs events RUN_ID`.
    """
    from greenroom.messages.commands import SignalRun
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    value = read_json(text, "JSON", files=False)
    with look(settings.home) as reads:
        reads.run(run_id)
    check(ask(settings.home, SignalRun(run_id=run_id, name=name, value=value, key=key)))
    if settings.json:
        emit({"run_id": run_id, "sent": name})
    else:
        say(f"run {run_id} has the message")
