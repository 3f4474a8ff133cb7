"""Verbs that show sessions: ``list``, ``show``, ``transcript``, ``stream``."""

import json
import time
from typing import TYPE_CHECKING, Any, get_args

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.commands.sessions.names import name_of
from greenroom.cli.commands.streams import show_stream, stream_options
from greenroom.cli.display.values import ago, emit, facts, look, note, note_more, table
from greenroom.cli.settings import Settings
from greenroom.messages.records.records import RunStatus

if TYPE_CHECKING:
    from greenroom.messages.records.records import SessionRecord, TurnRecord


@click.command("list")
@click.option("--name", metavar="NAME", help="Only sessions of this handler.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest first.")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only sessions of this status.")
@click.option("--cursor", metavar="CURSOR", help="Continue a list: the cursor that its end named.")
@common
@pass_settings
def list_sessions(
    settings: Settings, name: str | None, limit: int, status: RunStatus | None, cursor: str | None
) -> None:
    """List sessions, the one opened last first. If there are more, stderr says how to continue."""
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.messages.records.pages import Page

    found: Page[SessionRecord] = Page()
    try:
        with look(settings.home) as reads:
            found = reads.sessions(name, limit, status, cursor)
    except RunNotFound as error:  # no journal yet: an empty list is the answer, and how to fill it the hint
        note(str(error))
    note_more(found)
    if settings.json:
        emit(found)
        return
    rows = [
        (each.name, each.key, each.status, ago(each.opened_at), ago(each.updated_at), each.reason) for each in found
    ]
    table(("session", "key", "status", "opened", "last", "reason"), rows)


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many turns, the newest.")
@common
@pass_settings
def show(settings: Settings, name: str, key: str, limit: int) -> None:
    """Show the session KEY of NAME: its state, what its turn waits for, and its messages with their outcomes."""
    from greenroom.messages.core.json_text import plain
    from greenroom.workflows.home.held_calls import read_held_calls
    from greenroom.workflows.queries.waiting_for import waits_for

    run_id = f"{name_of(name)}/{key}"
    with look(settings.home) as reads:
        record, turns = reads.session_detail(run_id), reads.history(run_id)[-limit:]
        state = reads.fold(run_id)
    waits = waits_for(state, time.time(), read_held_calls(settings.home.path))
    if settings.json:
        fields = {name: getattr(record, name) for name in type(record).model_fields}
        emit({**fields, "waits_for": waits, "turns": turns})
        return
    facts(
        [
            ("session", run_id),
            ("status", record.status),
            ("app", record.app),
            ("opened", record.opened_at),
            ("reason", record.reason),
            ("waits for", "; ".join(waits)),
            ("messages", f"{record.waiting} not answered yet" if record.waiting else None),
            ("closed", "it takes no more messages" if record.closed else None),
            ("state", json.dumps(plain(record.state), ensure_ascii=False)),
        ]
    )
    rows = [(turn.number, turn.status, turn.message_type, _short(turn.message), _outcome(turn)) for turn in turns]
    table(("turn", "status", "type", "message", "reply"), rows)


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.argument("step", metavar="[STEP]", required=False)
@common
@pass_settings
def transcript(settings: Settings, name: str, key: str, step: str | None) -> None:
    """Print what the session KEY of NAME and its model have said to each other, over all turns.

    STEP is the key of a call of the model, or of an agent.
    """
    from greenroom.cli.display.transcript import show_transcript

    run_id = f"{name_of(name)}/{key}"
    with look(settings.home) as reads:
        reads.session(run_id)
        show_transcript(settings, reads.transcript(run_id, step), run_id)


def _outcome(turn: "TurnRecord") -> str:
    return turn.error or (_short(turn.reply) if turn.status == "answered" else "")


def _short(value: Any) -> str:
    from greenroom.messages.core.json_text import plain

    text = json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  as much as a line has room for


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@stream_options
@common
@pass_settings
def stream(settings: Settings, /, name: str, key: str, **options: Any) -> None:
    """Print the values that the session KEY of NAME has emitted, one JSON value per line.

    With -o json and --follow, each line is an object. Values of a running step are printed as they come. On a terminal,
    and with --text, text is printed as such. If an attempt is lost, a line says that its values do not count.
    """
    run_id = f"{name_of(name)}/{key}"
    with look(settings.home) as reads:
        reads.session(run_id)
        show_stream(settings, reads, run_id, **options)
