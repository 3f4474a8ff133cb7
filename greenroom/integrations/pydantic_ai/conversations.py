"""Conversations of model requests, which name their last message and send a run only what it does not store yet.

A message is stored once, whatever number of requests reads it, as long as the messages before it stay the same. What a
history processor changes or drops is another conversation from there on.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from greenroom.actors.context import ProgramPort
from greenroom.actors.values.conversion import ValueConverter
from greenroom.integrations.pydantic_ai.contexts import Wire
from greenroom.messages.core.errors import StepFailed
from greenroom.messages.frames.replay_differences import ENTRIES
from greenroom.messages.transcript import Entry, TranscriptUse, entry_id

LIBRARY: Final = "pydantic_ai"
"""Name of the form of these messages. Journals hold it, so it must not change."""
_MESSAGE: Final = ValueConverter(Any, "a message of a conversation", returns=False)
_stored: WeakKeyDictionary[ProgramPort, set[str]] = WeakKeyDictionary()
"""Entries that a program knows to be stored by its run, by ``entry_id``. Program's loop only."""


def take_messages(port: ProgramPort, wire: Wire) -> TranscriptUse | None:
    """Replace the messages of a model request by the name of the last one, and return them as a transcript.

    Returns None, and leaves the request as it is, if it has no conversation, or if the run's journal was begun when
    requests had their whole conversations as arguments: a replay must ask for the same again.

    Raises:
        NotSerializable: A message cannot be written as JSON.
    """
    if port.form < ENTRIES or "messages" not in wire:
        return None
    stored, tip, new = _stored.setdefault(port, set()), "", list[Entry]()
    for message in wire["messages"]:
        entry = Entry(parent=tip, message=_MESSAGE.dump(message))
        tip = entry_id(entry)
        if tip not in stored:
            new.append(entry)
    wire["messages"] = tip
    return TranscriptUse(tip=tip, new=tuple(new), library=LIBRARY)


@contextmanager
def stored_with_outcome(port: ProgramPort, use: TranscriptUse | None) -> Generator[None]:
    """Note that the run stores a request's messages once it has an outcome: one without may have left no record."""
    new = [] if use is None else [entry_id(entry) for entry in use.new]
    try:
        yield
    except StepFailed:
        _stored.setdefault(port, set()).update(new)
        raise
    _stored.setdefault(port, set()).update(new)
