"""Export files: the recorded events of one run or session, so that a test elsewhere can replay it.

A file has one JSON object per line: a header, the events as they are in the journal, and a last line with their number
and a checksum of everything before it. Events hold what the journal holds: secrets in exceptions and output were
redacted when they were recorded, and arguments and results are as they were.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import uuid4

from pydantic import ValidationError

from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import EntryKind, Journal
from greenroom.messages.codecs.event_codec import decode_event, encode_event
from greenroom.messages.core.errors import CodecError, none_such
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.message import Message
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.records.records import RunStatus
from greenroom.version import VERSION

FORMAT: Final = 1
"""Version of the format. A change that older versions cannot read raises it."""


class ExportHeader(Message):
    """The first line of an export file."""

    greenroom_export: int
    """Version of the format."""
    version: str
    """Version of greenroom that wrote the file."""
    run_id: str
    workflow: str
    """Name of the workflow or of the session's handler."""
    kind: EntryKind = "run"
    status: RunStatus
    """Status when it was exported. A run that has not ended can be replayed as far as it went."""
    events: int


class ExportEnd(Message):
    """The last line of an export file."""

    end: int
    """Number of events."""
    sha256: str
    """Checksum of all bytes before this line, as hexadecimal digits."""


@frozen
class RunExport:
    """A run as its export file holds it."""

    header: ExportHeader
    events: Sequence[AnyEvent]


def export_of(journal: Journal, run_id: str) -> RunExport:
    """Return a run or session as an export file would hold it.

    Raises:
        LookupError: There is no such run or session.
        JournalCorrupt: Its events are damaged.
    """
    row = journal.run(run_id)
    if row is None or row.kind == "schedule":
        raise LookupError(none_such(run_id))
    events = [each.event for each in stored_events(journal, run_id) if each.seq <= row.last_seq]
    header = ExportHeader(
        greenroom_export=FORMAT,
        version=VERSION,
        run_id=run_id,
        workflow=row.workflow,
        kind=row.kind,
        status=row.status,
        events=len(events),
    )
    return RunExport(header, events)


def write_export(journal: Journal, run_id: str, path: Path) -> ExportHeader:
    """Write the export file of a run or session, readable by its owner alone. A file of that name is replaced.

    Raises:
        LookupError: There is no such run or session.
        JournalCorrupt: Its events are damaged.
        OSError: The file cannot be written.
    """
    export = export_of(journal, run_id)
    header = export.header
    digest = sha256()
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123  a descriptor
            for body in (header.model_dump_json().encode(), *map(encode_event, export.events)):
                # A value is kept as it was written, and JSON allows line breaks between its parts.
                line = body.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
                digest.update(line)
                file.write(line)
            end = ExportEnd(end=header.events, sha256=digest.hexdigest())
            file.write(end.model_dump_json().encode() + b"\n")
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    return header


def read_export(path: Path) -> RunExport:
    """Read an export file.

    Raises:
        ValueError: It is not an export file, is damaged, or was written by a newer version.
        OSError: It cannot be read.
    """
    first, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
    try:
        header = ExportHeader.model_validate_json(first)
    except ValidationError:
        header = None
    if header is None or header.greenroom_export < 1:
        msg = f"{path} is not an export of a run, as the verb `runs export` writes it"
        raise ValueError(msg)
    if header.greenroom_export > FORMAT:
        msg = (
            f"{path} was written by greenroom {header.version} in format {header.greenroom_export}, and this version "
            f"({VERSION}) reads format {FORMAT}: update greenroom"
        )
        raise ValueError(msg)
    *bodies, last = lines or [b""]
    try:
        end = ExportEnd.model_validate_json(last)
    except ValidationError:
        end = None
    if end is None or end.sha256 != sha256(b"".join([first, *bodies])).hexdigest() or end.end != len(bodies):
        msg = f"{path} is damaged or was cut off: its last line does not fit what is before it; export the run again"
        raise ValueError(msg)
    try:
        events = [decode_event(body) for body in bodies]
    except CodecError as error:
        msg = f"{path} was written by greenroom {header.version}, and this version ({VERSION}) cannot read it: {error}"
        raise ValueError(msg) from error
    return RunExport(header, events)
