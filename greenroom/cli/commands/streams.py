"""What ``runs stream`` and ``sessions stream`` share: their options, and printing the items of a channel."""

import difflib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from greenroom.cli.display.stream import ItemPrinter, StreamPrinter, TextPrinter, ValuePrinter
from greenroom.cli.display.values import emit
from greenroom.cli.hosting.watching import Watch, followed
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.journal.interface import Stored
    from greenroom.workflows.queries.reader import JournalQueries

F = TypeVar("F", bound=Callable[..., Any])


def stream_options(function: F) -> F:
    """Add the options of both verbs."""
    channel = click.option("--channel", default="default", show_default=True, help="Name of the stream.")
    after = click.option("--after", type=click.IntRange(min=0), metavar="OFFSET", help="Only values after this one.")
    follow = click.option("-f", "--follow", is_flag=True, help="Go on with what is emitted later, until the end.")
    text = click.option("--text", is_flag=True, help="Print text as it is and not as JSON, as a terminal shows it.")
    return channel(after(follow(text(function))))


def show_stream(
    settings: Settings,
    reads: "JournalQueries",
    run_id: str,
    *,
    channel: str,
    after: int | None,
    follow: bool,
    text: bool,
) -> None:
    """Print the items of a channel of a run or session.

    With ``-o json`` the output is one array, and with ``follow`` an object per line.
    """
    from greenroom.journal.event_pages import stored_events
    from greenroom.workflows.queries.records.run_records import stream_items

    printer = _printer(settings, text=text)
    channels: dict[str, None] = {}

    def hint() -> None:
        if channels and channel not in channels:
            close = difflib.get_close_matches(channel, channels, n=1)
            more = f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(map(repr, channels))}"
            printer.note(f"{run_id} has emitted nothing on the channel {channel!r} so far; {more}")

    if follow:
        events = followed(reads, run_id, 0, Watch(settings.home, reads, run_id, printer.note, hint))
    else:
        events = stored_events(reads, run_id)
    items = stream_items(_noting(events, channels), channel, after)
    if settings.json and not follow:
        emit(list(items))
        hint()
        return
    try:
        for item in items:
            printer.show(item)
        if not follow:
            hint()
    finally:
        printer.end()


def _printer(settings: Settings, *, text: bool) -> StreamPrinter:
    if settings.json:
        return ItemPrinter()
    return TextPrinter() if text or sys.stdout.isatty() else ValuePrinter()


def _noting(events: "Iterator[Stored]", channels: dict[str, None]) -> "Iterator[Stored]":
    """Pass events on, and note the channels on which something was emitted."""
    for stored in events:
        channel = getattr(stored.event, "channel", None)
        if isinstance(channel, str):
            channels[channel] = None
        yield stored
