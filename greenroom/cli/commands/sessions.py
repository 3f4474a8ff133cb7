"""``greenroom sessions``: durable actors, each identified by name and key: their messages and replies."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from greenroom.cli.command_group import Verbs, common, pass_settings
from greenroom.cli.commands.run import parse_target
from greenroom.cli.commands.runs import note_more, resume_parked, show_stream
from greenroom.cli.display.values import ago, emit, facts, look, note, say, table
from greenroom.cli.settings import Settings
from greenroom.messages.records import RunStatus

if TYPE_CHECKING:
    from greenroom.messages.commands import Reply, TellSession
    from greenroom.messages.records import SessionRecord, TurnRecord


@click.group(cls=Verbs)
@common
def sessions() -> None:
    """Show sessions and send them messages. Showing needs no running orchestrator."""


@sessions.command("list")
@click.option("--name", metavar="NAME", help="Only sessions of this handler.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest first.")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only sessions of this status.")
@click.option("--cursor", metavar="CURSOR", help="Go on where a list ended that said how.")
@common
@pass_settings
def list_sessions(
    settings: Settings, name: str | None, limit: int, status: RunStatus | None, cursor: str | None
) -> None:
    """List sessions, the one opened last first. If there are more, stderr says how to continue."""
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.messages.pages import Page

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


@sessions.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many turns, the newest.")
@common
@pass_settings
def show(settings: Settings, name: str, key: str, limit: int) -> None:
    """Show the session KEY of NAME: its state, and its messages with their outcomes."""
    from greenroom.messages.core.json_text import plain

    run_id = f"{_name(name)}/{key}"
    with look(settings.home) as reads:
        record, turns = reads.session_detail(run_id), reads.history(run_id)[-limit:]
    if settings.json:
        emit({**{name: getattr(record, name) for name in type(record).model_fields}, "turns": turns})
        return
    facts(
        [
            ("session", run_id),
            ("status", record.status),
            ("app", record.app),
            ("opened", record.opened_at),
            ("reason", record.reason),
            ("waiting", f"{record.waiting} messages" if record.waiting else None),
            ("closed", "it takes no more messages" if record.closed else None),
            ("state", json.dumps(plain(record.state), ensure_ascii=False)),
        ]
    )
    rows = [(turn.number, turn.status, turn.message_type, _short(turn.message), _outcome(turn)) for turn in turns]
    table(("turn", "status", "type", "message", "reply"), rows)


def _outcome(turn: "TurnRecord") -> str:
    return turn.error or (_short(turn.reply) if turn.status == "answered" else "")


def _short(value: Any) -> str:
    from greenroom.messages.core.json_text import plain

    text = json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  as much as a line has room for


def _name(name: str) -> str:
    """Return a handler's name, also if it was typed as ``FILE.py:NAME``."""
    return name.rpartition(":")[2]


@sessions.command()
@click.argument("target", metavar="FILE.py:NAME")
@click.argument("key", metavar="KEY")
@click.argument("text", metavar="JSON|@FILE|-")
@click.option("--type", "kind", default="", metavar="TYPE", help="Of the message, where its fields do not say it.")
@click.option("--key", "once", metavar="KEY", help="A message with the key of an earlier one is that message.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Seconds to wait at most.")
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

    app, name = parse_target(target)
    command = AskSession(
        app=app, session=name, session_key=key, name=kind, value=_message(text), key=once, timeout=timeout
    )
    reply = _send(settings, command)
    assert isinstance(reply, TurnAnswered)
    if reply.failure is not None:
        msg = f"message {reply.number} to session {reply.run_id} failed: {reply.failure}"
        failed = TurnFailed(msg, session=reply.run_id, number=reply.number, step=reply.step)
        raise failed if reply.raised is None else with_location(failed, reply.raised)
    emit(reply.reply)


@sessions.command()
@click.argument("target", metavar="FILE.py:NAME")
@click.argument("key", metavar="KEY")
@click.argument("text", metavar="JSON|@FILE|-")
@click.option("--type", "kind", default="", metavar="TYPE", help="Of the message, where its fields do not say it.")
@click.option("--key", "once", metavar="KEY", help="A message with the key of an earlier one is that message.")
@common
@pass_settings
def tell(settings: Settings, target: str, key: str, text: str, kind: str, once: str | None) -> None:
    """Send a message to the session KEY of NAME in FILE.py. It is committed when this returns."""
    from greenroom.messages.commands import Accepted, TellSession

    app, name = parse_target(target)
    command = TellSession(app=app, session=name, session_key=key, name=kind, value=_message(text), key=once)
    reply = _send(settings, command)
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"session": reply.run_id, "message": reply.number})
    else:
        say(f"session {reply.run_id} has the message, its number {reply.number}")


@sessions.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.option("--channel", default="default", show_default=True, help="Which of the session's streams.")
@click.option("--after", type=click.IntRange(min=0), metavar="OFFSET", help="Only values after this one.")
@click.option("--follow", is_flag=True, help="Go on with what is emitted later, until the session is closed.")
@common
@pass_settings
def stream(
    settings: Settings,
    name: str,
    key: str,
    channel: str,
    after: int | None,
    follow: bool,  # noqa: FBT001  click hands flags over by name
) -> None:
    """Print the values that the session KEY of NAME has emitted, one JSON value per line.

    With -o json and --follow, each line is an object. Values of a running step are printed as they come. If its attempt
    is lost, stderr says that they do not count. The whole answer of a model follows the pieces of its text.
    """
    run_id = f"{_name(name)}/{key}"
    with look(settings.home) as reads:
        reads.session(run_id)
        show_stream(settings, reads, run_id, channel, after, follow=follow)


@sessions.command("cancel-turn")
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.option("--reason", metavar="TEXT", help="Reason, which the asker is told.")
@common
@pass_settings
def cancel_turn(settings: Settings, name: str, key: str, reason: str | None) -> None:
    """Cancel the running turn of the session KEY of NAME. Its handler cleans up, and the session goes on."""
    from greenroom.messages.commands import Accepted, CancelTurn
    from greenroom.messages.refusals import check
    from greenroom.workflows.control import control_socket

    name = _name(name)
    with look(settings.home) as reads:
        reads.session(f"{name}/{key}")
    reply = check(control_socket.ask(settings.home, CancelTurn(session=name, session_key=key, reason=reason)))
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"session": f"{name}/{key}", "message": reply.number or None})
    elif reply.number:
        say(f"session {name}/{key} cancels the turn of message {reply.number}")
    else:
        say(f"session {name}/{key} has no running turn")


@sessions.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@common
@pass_settings
def close(settings: Settings, name: str, key: str) -> None:
    """Close the session KEY of NAME: it answers waiting messages and accepts no more."""
    from greenroom.messages.commands import CloseSession
    from greenroom.messages.refusals import check
    from greenroom.workflows.control import control_socket

    name = _name(name)
    with look(settings.home) as reads:
        reads.session(f"{name}/{key}")
    check(control_socket.ask(settings.home, CloseSession(session=name, session_key=key)))
    if settings.json:
        emit({"session": f"{name}/{key}", "closed": True})
    else:
        say(f"session {name}/{key} takes nothing more")


@sessions.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every parked session, or with NAME every one of that handler.")
@common
@pass_settings
def resume(
    settings: Settings,
    name: str | None,
    key: str | None,
    everything: bool,  # noqa: FBT001  click hands flags over by name
) -> None:
    """Resume the parked session KEY of NAME; with --all every parked session."""
    from greenroom.messages.commands import ResumeRun
    from greenroom.messages.refusals import check
    from greenroom.workflows.control import control_socket

    name = _name(name) if name is not None else None
    if everything == (key is not None):
        msg = "give NAME and KEY of one session, or --all for every session that is parked"
        raise click.UsageError(msg)
    if key is None:
        resume_parked(settings, "session", name)
        return
    with look(settings.home) as reads:
        reads.session(f"{name}/{key}")
    check(control_socket.ask(settings.home, ResumeRun(run_id=f"{name}/{key}")))
    if settings.json:
        emit({"session": f"{name}/{key}", "asked": True})
    else:
        say(f"session {name}/{key} goes on")


def _message(text: str) -> Any:
    if text == "-":
        text = sys.stdin.read()
    try:
        return json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        msg = f"{text[1:]!r} cannot be read: {error}"
        raise click.BadParameter(msg, param_hint="JSON") from error
    except ValueError as error:
        msg = f"it is no JSON: {error}"
        raise click.BadParameter(msg, param_hint="JSON") from error


def _send(settings: Settings, command: "TellSession") -> "Reply":
    """Send a message to the orchestrator of the home, or to one that is started for this answer."""
    from greenroom.messages.commands import AskSession
    from greenroom.messages.refusals import check
    from greenroom.workflows.control import contact, control_socket

    if contact.is_open(settings.home):
        patience = command.timeout if isinstance(command, AskSession) else 0.0
        return check(
            control_socket.ask(
                settings.home, command, None if patience is None else patience + control_socket.ASK_TIMEOUT
            )
        )
    from greenroom.cli.display.progress import tell_of_slow_imports
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.cli.hosting.ownership import open_orchestrator

    with open_orchestrator(settings) as orchestrator:
        log_to_home(orchestrator.home)
        tell_of_slow_imports(orchestrator)
        return check(orchestrator.send(command))
