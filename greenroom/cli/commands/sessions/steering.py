"""Verbs that change how a session goes on: ``cancel-turn``, ``close``, ``resume``."""

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.commands.sessions.names import name_of
from greenroom.cli.display.values import emit, look, say
from greenroom.cli.hosting.parked import resume_parked, resume_session
from greenroom.cli.settings import Settings


@click.command("cancel-turn")
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.option("--reason", metavar="TEXT", help="Reason, which the asker is told.")
@common
@pass_settings
def cancel_turn(settings: Settings, name: str, key: str, reason: str | None) -> None:
    """Cancel the running turn of the session KEY of NAME. Its handler cleans up, and the session goes on."""
    from greenroom.messages.commands import Accepted, CancelTurn
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access import control_socket

    name = name_of(name)
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


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@common
@pass_settings
def close(settings: Settings, name: str, key: str) -> None:
    """Close the session KEY of NAME: it answers waiting messages and accepts no more."""
    from greenroom.messages.commands import CloseSession
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access import control_socket

    name = name_of(name)
    with look(settings.home) as reads:
        reads.session(f"{name}/{key}")
    check(control_socket.ask(settings.home, CloseSession(session=name, session_key=key)))
    if settings.json:
        emit({"session": f"{name}/{key}", "closed": True})
    else:
        say(f"session {name}/{key} takes nothing more")


@click.command()
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
    """Resume the parked session KEY of NAME; with --all every parked session.

    For one session an orchestrator is started if none is running on the home, until the session has answered what
    waits in it.
    """
    from greenroom.messages.commands import ResumeRun

    name = name_of(name) if name is not None else None
    if everything == (key is not None):
        msg = "give NAME and KEY of one session, or --all for every session that is parked"
        raise click.UsageError(msg)
    if key is None:
        resume_parked(settings, "session", name)
        return
    with look(settings.home) as reads:
        reads.session(f"{name}/{key}")
    resume_session(settings, ResumeRun(run_id=f"{name}/{key}"))
    if settings.json:
        emit({"session": f"{name}/{key}", "asked": True})
    else:
        say(f"session {name}/{key} goes on")
