"""Differences between a program's requests and its journal, and how the two are compared."""

from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from greenroom.messages.core.json_text import plain, text_of
from greenroom.messages.core.message import Json, Message, Shown
from greenroom.messages.transcript import TranscriptUse

READ_BYTES: Final = 256 * 1024
"""Longest arguments that are parsed for a comparison, in bytes."""
FORM: Final = 2
"""Form in which arguments are written. Older journals have 0, in which models may be written differently, or 1, in
which the model calls of other libraries' agents have whole conversations as arguments, and the ids of their runs."""
ENTRIES: Final = 2
"""First form in which such calls name the last entry of a transcript, and agents' runs have ids that forks share."""
LONGEST: Final = 200
"""Longest value that a sentence shows, in characters."""

Kind: TypeAlias = Literal["arguments", "extra", "missing", "outcome", "withdrawn"]


class Asked(Message):
    """A request of the code during a replay."""

    key: str
    what: str
    """The kind of request, such as ``tool app:search``, ``child research``, ``timer``."""
    arguments: Shown = None
    too_long: bool = False
    """Whether the arguments are left out because they are too long to show."""
    transcript: TranscriptUse | None = None
    """For a model call: the conversation that it reads, unless that is too long to show. Not journaled."""
    place: str = ""
    """File and line of the user's code that awaits it, ``/path/app.py:31``; empty if unknown."""

    def sentence(self) -> str:
        """Return a description, with the place."""
        arguments = "" if self.arguments is None else f" with {_short(self.arguments)}"
        return f"{self.key}{arguments}" + (f" ({self.place})" if self.place else "")


class Difference(Message):
    """The first difference between the code's requests and the journal.

    ``arguments``: ``key`` is requested with other arguments, or of another step. ``extra``: something is requested
    before ``key`` that the journal does not hold there. ``missing``: ``key`` is not requested. ``outcome``: the
    journal's next outcome is that of ``key``, which was not requested. ``withdrawn``: the journal says that ``key`` is
    no longer awaited, but it is.
    """

    kind: Kind
    key: str
    """Key of the call in the journal."""
    seq: int | None = None
    """Number of the event that holds it."""
    what: str = ""
    """What the journal holds under the key; see ``Asked.what``."""
    arguments: Shown = None
    """The arguments in the journal."""
    asked: tuple[Asked, ...] = ()
    """What the code requests instead, or waits for."""
    ending: str = ""
    """How the code ends instead, such as ``returns``; empty if it does not."""
    unchanged: bool = False
    """Whether the code is known to be the one that the journal was last replayed with."""
    changes: tuple[str, ...] = ()
    """With ``arguments``: where they differ, such as ``args[0] was 1 and is 2``."""

    def sentence(self) -> str:
        """Return what the journal holds, and what the code requests now."""
        return f"{self._held()}, but {self._now()}"

    def _held(self) -> str:
        where = "the journal holds" if self.seq is None else f"event {self.seq} of the journal holds"
        if self.kind == "withdrawn":
            return f"{where} the call of {self.key}, which is no longer awaited"
        arguments = "" if self.arguments is None else f" with {_short(self.arguments)}"
        return f"{where} the call of {self.key}{arguments}"

    def _now(self) -> str:
        asked = ", ".join(each.sentence() for each in self.asked)
        match self.kind:
            case "arguments":
                changes = f": {'; '.join(self.changes)}" if self.changes else ""
                return f"the code now asks for {asked}{changes}"
            case "extra":
                return f"the code now also asks for {asked}"
            case "withdrawn":
                return f"the code now waits for {asked}"
            case _:
                return f"the code now {self.ending}" if self.ending else f"the code now waits for {asked or 'nothing'}"


def _short(arguments: Json) -> str:
    """Return arguments in a few words, as they were written in the call if that is known."""
    text = text_of(arguments).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def changes(held: Json, asked: Json, path: str = "") -> list[str]:
    """Return where two JSON values differ, one sentence each, outermost first."""
    held, asked = plain(held), plain(asked)
    if isinstance(held, dict) and isinstance(asked, dict):
        found: list[str] = []
        for name in {**held, **asked}:
            place = f"{path}.{name}" if path else name
            if name not in asked:
                found.append(f"{place} was {_short(held[name])} and is gone")
            elif name not in held:
                found.append(f"{place} is new: {_short(asked[name])}")
            else:
                found += changes(held[name], asked[name], place)
        return found
    if isinstance(held, list) and isinstance(asked, list) and len(held) == len(asked):
        return [
            each
            for place, pair in enumerate(zip(held, asked, strict=True))
            for each in changes(*pair, f"{path}[{place}]")
        ]
    if digest("", held) == digest("", asked):
        return []
    return [f"{path or 'it'} was {_short(held)} and is {_short(asked)}"]


def digest(what: str, arguments: Json, form: int = FORM) -> str:
    """Return a short text that is the same for the same JSON, however it was formatted.

    The order of an object's members does not count. Numbers are compared as written: 1 is not 1.0. Values that are too
    long to parse are compared as texts.

    Args:
        what: What is requested with the arguments.
        arguments: Arguments of the call: ``{"args": [...], "kwargs": {...}}`` for a step.
        form: Form in which the journal's arguments are written. Of form 0, only what all forms write alike is compared:
            arguments that are themselves texts, numbers or flags.
    """
    text = text_of(arguments)
    if len(text) > READ_BYTES:
        return blake2b(to_json(what) + (text if form else b"")).hexdigest()[:16]
    value = from_json(text) if form else _simple(from_json(text), depth=2)
    return blake2b(to_json([what, _sorted(value)])).hexdigest()[:16]


def _sorted(value: JsonValue) -> JsonValue:
    """Return objects with their members sorted by name."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _simple(value: JsonValue, depth: int) -> JsonValue:
    """Return a value without what is nested deeper than ``depth``."""
    if isinstance(value, dict):
        return {name: _simple(item, depth - 1) for name, item in value.items()} if depth else None
    if isinstance(value, list):
        return [_simple(item, depth - 1) for item in value] if depth else None
    return value
