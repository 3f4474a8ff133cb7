"""Verbs that print what a run does and says, and go on with it: ``events``, ``stream``, ``logs``."""

import difflib
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.commands.streams import show_stream, stream_options
from greenroom.cli.display.values import emit, emit_line, look, note, say, table
from greenroom.cli.hosting.watching import Watch, followed
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.journal.interface import Stored
    from greenroom.workflows.queries.reader import JournalQueries


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Only those after this number.")
@click.option("--follow", is_flag=True, help="Go on with what happens later, until the run has ended or is parked.")
@common
@pass_settings
def events(
    settings: Settings,
    run_id: str,
    after: int,
    follow: bool,  # noqa: FBT001  click hands flags over by name
) -> None:
    """Print the events of a run as they are in the journal; with -o json and --follow one object per line."""
    from greenroom.cli.display.run_page import show_traces
    from greenroom.messages.core.times import iso, moment
    from greenroom.metrics.event_sentences import describe

    def sentence(item: "Stored") -> str:
        return describe(run_id, run.workflow, item.event).removeprefix(f"run {run_id} ")

    with look(settings.home) as reads:
        run = reads.run(run_id)
        if follow:
            for item in followed(reads, run_id, after, Watch(settings.home, reads, run_id, note)):
                if settings.json:
                    emit_line({"seq": item.seq, **item.event.model_dump()})
                else:
                    say(f"{item.seq:>5}  {iso(moment(item.event.at))}  {sentence(item)}")
            return
        stored = reads.events(run_id, after)
    if settings.json:
        emit([{"seq": item.seq, **dict(item.event)} for item in stored])
        return
    table(("seq", "time", "what happened"), [(item.seq, moment(item.event.at), sentence(item)) for item in stored])
    show_traces(run)


@click.command()
@click.argument("run_id", metavar="ID")
@stream_options
@common
@pass_settings
def stream(settings: Settings, /, run_id: str, **options: Any) -> None:
    """Print the values that a run has emitted, one JSON value per line; with -o json and --follow one object each.

    Values of a running step are printed as they come. On a terminal, and with --text, text is printed as such. If an
    attempt is lost, a line says that its values do not count.
    """
    with look(settings.home) as reads:
        reads.run(run_id)
        show_stream(settings, reads, run_id, **options)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--step", metavar="KEY|NAME", help="Only lines of this step: one call by its key, or all by its name.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written later, until the run has ended.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@common
@pass_settings
def logs(
    settings: Settings,
    run_id: str,
    step: str | None,
    follow: bool,  # noqa: FBT001  click hands flags over by name
    tail: int | None,
    timestamps: bool,  # noqa: FBT001  the same
) -> None:
    """Print what the code of a run has written to stdout and stderr, each line after the step that it comes from.

    The first and last lines of an attempt are kept, at most 1 MiB, and the last 16 MiB of a run. With -o json the
    output is one array, and with --follow one object per line.
    """
    from greenroom.messages.core.times import iso
    from greenroom.workflows.api.waiting import follow_logs
    from greenroom.workflows.output.live_view import prefix

    with look(settings.home) as reads:
        found = reads.logs(run_id, step=step)
        if step is not None and not found and not follow:
            _check_step(reads, run_id, step)
        last = found[-1].offset if found else 0
        found = found if tail is None else found[len(found) - min(tail, len(found)) :]
        if settings.json and not follow:
            emit(found)
            return
        watch = Watch(settings.home, reads, run_id, note)
        for line in chain(found, follow_logs(reads, run_id, last, step, watch.is_over) if follow else ()):
            if settings.json:
                emit_line(line)
            else:
                say(f"{f'{iso(line.at)} ' if timestamps else ''}{prefix(line, runs=False)} {line.text}")
        if follow:
            watch.end()


def _check_step(reads: "JournalQueries", run_id: str, step: str) -> None:
    """Refuse a step that the run does not have."""
    from greenroom.workflows.output.log_files import is_of

    keys = [each.key for each in reads.steps(run_id)]
    if not any(is_of(key, step) for key in keys):
        close = difflib.get_close_matches(step, keys, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(keys) or 'none yet'}"
        msg = f"run {run_id} has no step {step!r}; {hint}"
        raise click.BadParameter(msg, param_hint="--step")
