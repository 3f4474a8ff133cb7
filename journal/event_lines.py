"""How events lie in a journal's file: those of a run that are appended together share a line.

A line holds the JSON of one event, or an array of several, which is JSON as well. Its sequence number is that of its
newest event. A line costs more than the short event that it holds: its place in an index, a hash and the run's id.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

LINE_BYTES: Final = 2 * 1024
"""Most bytes of a line of several events. A longer event has a line of its own."""
ANY_TYPE: Final = ""
"""Content of a line's column ``type``. In a journal of an older version it is the type of the line's only event."""
_BETWEEN: Final = b",\n"
"""Separates the events of a line. An event that holds it, inside of a value, has a line of its own."""


class Line(NamedTuple):
    """One line of events."""

    seq: int
    """Sequence number of the newest event in it."""
    body: bytes


def lines_for(seq: int, events: Sequence[bytes]) -> list[Line]:
    """Return the lines for the JSON of events that follow the event with sequence number ``seq``."""
    if len(events) == 1:
        return [Line(seq + 1, events[0])]
    if sum(map(len, events)) + len(_BETWEEN) * len(events) <= LINE_BYTES:
        together = b"[%b]" % _BETWEEN.join(events)
        if together.count(_BETWEEN) == len(events) - 1:
            return [Line(seq + len(events), together)]
    return list(_divided(seq, events))


def _divided(seq: int, events: Sequence[bytes]) -> Iterator[Line]:
    start = size = 0
    for place, body in enumerate(events):
        more = len(body) + len(_BETWEEN)
        if more < LINE_BYTES and _BETWEEN in body:
            more = LINE_BYTES
        if start < place and size + more > LINE_BYTES:
            yield _line(seq + place, events[start:place])
            start, size = place, 0
        size += more
    yield _line(seq + len(events), events[start:])


def _line(seq: int, events: Sequence[bytes]) -> Line:
    return Line(seq, events[0] if len(events) == 1 else b"[%b]" % _BETWEEN.join(events))


def count_in(line: bytes) -> int:
    """Return the number of events in a line."""
    return line.count(_BETWEEN) + 1 if line.startswith(b"[") else 1


def bodies_in(line: bytes) -> list[bytes]:
    """Return the JSON of each event in a line."""
    return line[1:-1].split(_BETWEEN) if line.startswith(b"[") else [line]


def numbered(last: int, line: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the sequence number and the JSON of each event in a line, of which ``last`` is the newest one's number."""
    found = bodies_in(line)
    return enumerate(found, last - len(found) + 1)
