"""``greenroom dead-letters``: messages and steps that were set aside because they kept failing."""

import json
from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import Verbs, common, pass_settings
from greenroom.cli.display.values import ago, emit, look, note, say, table
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.messages.commands import DropDeadLetter, RedriveDeadLetter
    from greenroom.messages.records.records import DeadLetterRecord


@click.group("dead-letters", cls=Verbs)
@common
def dead_letters() -> None:
    """Show messages and steps that were set aside because they kept failing, send them again, or drop them."""


@dead_letters.command("list")
@common
@pass_settings
def list_letters(settings: Settings) -> None:
    """List the dead letters that were neither sent again nor dropped. Needs no running orchestrator."""
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.messages.core.json_text import plain

    found: list[DeadLetterRecord] = []
    try:
        with look(settings.home) as reads:
            found = reads.dead_letters()
    except RunNotFound as error:  # no journal yet: an empty list is the answer
        note(str(error))
    if settings.json:
        emit(found)
        return
    rows = [
        (
            each.run_id,
            each.letter,
            each.kind,
            each.type,
            ago(each.at),
            json.dumps(plain(each.value), ensure_ascii=False) if each.kind == "message" else "",
            each.failure.told(),
        )
        for each in found
    ]
    table(("of", "letter", "kind", "type", "age", "message", "why"), rows)


@dead_letters.command()
@click.argument("run_id", metavar="OF")
@click.argument("letter", metavar="LETTER")
@common
@pass_settings
def redrive(settings: Settings, run_id: str, letter: str) -> None:
    """Send LETTER to the session OF again, as a new message after the waiting ones."""
    from greenroom.messages.commands import RedriveDeadLetter

    _settle(settings, RedriveDeadLetter(run_id=run_id, letter=letter), "sent again")


@dead_letters.command()
@click.argument("run_id", metavar="OF")
@click.argument("letter", metavar="LETTER")
@common
@pass_settings
def drop(settings: Settings, run_id: str, letter: str) -> None:
    """Drop LETTER of OF from the list. The journal keeps what happened."""
    from greenroom.messages.commands import DropDeadLetter

    _settle(settings, DropDeadLetter(run_id=run_id, letter=letter), "dropped")


def _settle(settings: Settings, command: "RedriveDeadLetter | DropDeadLetter", done: str) -> None:
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    check(ask(settings.home, command))
    if settings.json:
        emit({"run_id": command.run_id, "letter": command.letter, "done": done})
    else:
        say(f"dead letter {command.letter} of {command.run_id} was {done}")
