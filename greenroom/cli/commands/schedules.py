"""``greenroom schedules``: workflows that are started repeatedly."""

from typing import TYPE_CHECKING, Any, get_args

import click

from greenroom.cli.command_group import Verbs, common, pass_settings
from greenroom.cli.display.values import blank, emit, facts, look, note, say, table
from greenroom.cli.inputs import Number
from greenroom.cli.settings import Settings
from greenroom.messages.advice import serve
from greenroom.messages.events.schedules import Overlap

if TYPE_CHECKING:
    from datetime import datetime

    from greenroom.messages.commands import DeleteSchedule, PauseSchedule, ResumeSchedule
    from greenroom.messages.events.schedules import FiringRecord, ScheduleRecord


@click.group(cls=Verbs)
@common
def schedules() -> None:
    """Start workflows repeatedly. Schedules fire while an orchestrator runs; showing them needs none."""


@schedules.command("list")
@common
@pass_settings
def list_schedules(settings: Settings) -> None:
    """List all schedules."""
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.workflows.schedules.queries import read_schedules

    found: list[ScheduleRecord] = []
    try:
        with look(settings.home) as reads:
            found = read_schedules(reads.journal)
    except RunNotFound as error:  # no journal yet: an empty list is the answer, and how to fill it the hint
        note(str(error))
    if settings.json:
        emit(found)
        return
    rows = [
        (each.name, each.workflow, _when(each), each.status, _first(each.next_times), each.fired, _last(each))
        for each in found
    ]
    table(("schedule", "workflow", "when", "status", "next", "runs", "last"), rows)
    _say_unattended(settings, found)


@schedules.command()
@click.argument("name")
@click.option("--next", "count", type=click.IntRange(0, 1000), default=5, show_default=True, help="Moments to show.")
@common
@pass_settings
def show(settings: Settings, name: str, count: int) -> None:
    """Show a schedule, its next times, and what became of the last ones."""
    from greenroom.workflows.schedules.queries import read_schedule

    with look(settings.home) as reads:
        found = read_schedule(reads.journal, name, count)
    if settings.json:
        emit(found)
        return
    facts(
        [
            ("schedule", found.name),
            ("workflow", f"{found.workflow} in {found.app}"),
            ("when", _when(found)),
            ("overlap", found.overlap),
            ("catch up", f"{found.catch_up:g} s"),
            ("status", found.status),
            ("reason", found.reason),
            ("runs", found.fired),
            ("skipped", found.skipped),
            *(("next", moment) for moment in found.next_times),
        ]
    )
    blank()
    table(("due", "status", "run", "what happened"), [_moment(firing) for firing in found.firings])
    _say_unattended(settings, [found])


def _say_unattended(settings: Settings, found: "list[ScheduleRecord]") -> None:
    """Print a note that active schedules start nothing because no orchestrator is running, and how to start one."""
    from greenroom.workflows.control.access import contact

    if any(each.status == "active" for each in found) and not contact.is_open(settings.home):
        note(f"no orchestrator is running, so no run starts when it is due; start one with {serve()}")


def _when(record: "ScheduleRecord") -> str:
    return f"{record.cron} {record.timezone}" if record.cron is not None else f"every {record.every:g} s"


def _first(moments: "tuple[datetime, ...]") -> "datetime | None":
    return moments[0] if moments else None


def _last(record: "ScheduleRecord") -> str:
    return record.firings[0].status if record.firings else ""


def _moment(firing: "FiringRecord") -> tuple[Any, ...]:
    what = f"{firing.count} moments, {firing.reason}" if firing.count > 1 else firing.reason
    return firing.due, firing.status, firing.run_id, what or ("by hand" if firing.manual else "")


@schedules.command()
@click.argument("name")
@click.argument("target", metavar="FILE.py:NAME")
@click.option("--cron", metavar="FIELDS", help="Minute, hour, day, month, weekday; seconds may come first; or @daily.")
@click.option("--every", type=Number(min=1), metavar="S", help="Seconds from one run to the next.")
@click.option("--timezone", default="UTC", show_default=True, help="Time zone of --cron, such as Europe/Berlin.")
@click.option(
    "--overlap",
    type=click.Choice(get_args(Overlap)),
    default="skip",
    show_default=True,
    help="What to do with a run that is due while an earlier one goes on.",
)
@click.option(
    "--catch-up", type=Number(min=0), default=60.0, show_default=True, metavar="S", help="How late a run may start."
)
@click.option("-i", "pairs", metavar="KEY=VALUE", multiple=True, help="One input. May be repeated; wins over --input.")
@click.option(
    "--input", "document", metavar="JSON|@FILE|-", help="All inputs as a JSON object, a file of one, or stdin."
)
@common
@pass_settings
def create(  # noqa: PLR0913, PLR0917  as many as there are options
    settings: Settings,
    name: str,
    target: str,
    cron: str | None,
    every: float | None,
    timezone: str,
    overlap: Overlap,
    catch_up: float,
    pairs: tuple[str, ...],
    document: str | None,
) -> None:
    """Start the workflow NAME of FILE.py repeatedly.

    Repeating the command changes nothing, so it may be in a script; with other values the schedule is changed.
    """
    from greenroom.cli.commands.runs.run import parse_inputs
    from greenroom.cli.targets import parse_target
    from greenroom.messages.commands import Accepted, PutSchedule
    from greenroom.messages.events.schedules import Plan
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    app, workflow = parse_target(target)
    plan = Plan(
        app=app,
        workflow=workflow,
        arguments=parse_inputs(pairs, document) or {},
        cron=cron,
        every=every,
        timezone=timezone,
        overlap=overlap,
        catch_up=catch_up,
    )
    reply = check(ask(settings.home, PutSchedule(name=name, plan=plan)))
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"name": name, "created": reply.created})
    else:
        say(f"schedule {name} {'is made' if reply.created else 'was there, and is as you want it'}")


@schedules.command()
@click.argument("name")
@click.option("--reason", help="Why; it is kept with the schedule.")
@common
@pass_settings
def pause(settings: Settings, name: str, reason: str | None) -> None:
    """Pause a schedule: it starts nothing until it is resumed."""
    from greenroom.messages.commands import PauseSchedule

    _steer(settings, PauseSchedule(name=name, reason=reason), "is paused")


@schedules.command()
@click.argument("name")
@common
@pass_settings
def resume(settings: Settings, name: str) -> None:
    """Resume a paused schedule."""
    from greenroom.messages.commands import ResumeSchedule

    _steer(settings, ResumeSchedule(name=name), "goes on")


@schedules.command()
@click.argument("name")
@common
@pass_settings
def delete(settings: Settings, name: str) -> None:
    """Delete a schedule. Its runs are not affected."""
    from greenroom.messages.commands import DeleteSchedule

    _steer(settings, DeleteSchedule(name=name), "is deleted")


def _steer(settings: Settings, command: "PauseSchedule | ResumeSchedule | DeleteSchedule", done: str) -> None:
    from greenroom.workflows.api.handles.schedule import check_schedule
    from greenroom.workflows.control.access.control_socket import ask

    check_schedule(ask(settings.home, command))
    if settings.json:
        emit({"name": command.name, "done": command.type})
    else:
        say(f"schedule {command.name} {done}")


@schedules.command()
@click.argument("name")
@click.option("--key", help="A request with the key of an earlier one starts no further run.")
@common
@pass_settings
def trigger(settings: Settings, name: str, key: str | None) -> None:
    """Start a run of a schedule now, and print the run's id."""
    from greenroom.messages.commands import Accepted, TriggerSchedule
    from greenroom.workflows.api.handles.schedule import check_schedule
    from greenroom.workflows.control.access.control_socket import ask

    reply = check_schedule(ask(settings.home, TriggerSchedule(name=name, key=key)))
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"name": name, "run_id": reply.run_id})
    else:
        say(reply.run_id)
