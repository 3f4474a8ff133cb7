"""Where a program asks for something else than its journal holds, and how the two are compared."""

from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from greenroom.messages.core.json_text import plain, text_of
from greenroom.messages.core.message import Json, Message, Shown

READ_BYTES: Final = 256 * 1024
"""Longest arguments that are read to be compared."""
FORM: Final = 1
"""How arguments are written. Journals from before this was recorded have 0: models in them may be written otherwise."""
LONGEST: Final = 200
"""Characters of a value that a sentence shows."""

Kind: TypeAlias = Literal["arguments", "extra", "missing", "outcome", "withdrawn"]


class Asked(Message):
    """What code asks for during a replay."""

    key: str
    what: str
    """Such as ``tool app:search``, ``child research``, ``timer``."""
    arguments: Shown = None
    too_long: bool = False
    """Whether the arguments are left out because they are too long to be shown."""
    place: str = ""
    """File and line of the user's code that awaits it, ``/path/app.py:31``; empty where no such line is known."""

    def sentence(self) -> str:
        """Say what it is, with the place."""
        arguments = "" if self.arguments is None else f" with {_short(self.arguments)}"
        return f"{self.key}{arguments}" + (f" ({self.place})" if self.place else "")


class Difference(Message):
    """The first place at which code and journal part.

    ``arguments``: the call of ``key`` is there, with other arguments or of another thing. ``extra``: something is asked
    for before ``key`` that the journal does not hold there. ``missing``: ``key`` is not asked for. ``outcome``: the
    journal's next outcome is that of ``key``, which has not been asked for. ``withdrawn``: the journal holds that
    ``key`` is awaited no longer, and it is.
    """

    kind: Kind
    key: str
    """Of the call that the journal holds."""
    seq: int | None = None
    """Number of the event that holds it."""
    what: str = ""
    """What the journal holds under the key; see ``Asked.what``."""
    arguments: Shown = None
    """With which arguments it does."""
    asked: tuple[Asked, ...] = ()
    """What the code asks for in its place, or waits for."""
    ending: str = ""
    """How the code comes to its end instead, such as ``returns``; empty where it does not."""
    unchanged: bool = False
    """Whether the code is the one that the journal was last replayed with. False where nobody knows, too."""
    changes: tuple[str, ...] = ()
    """With ``arguments``: where they differ, such as ``args[0] was 1 and is 2``."""

    def sentence(self) -> str:
        """Say what the journal holds, and what the code asks for now."""
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
    """Write arguments in a few words, as the call was written where that is known."""
    text = text_of(arguments).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def changes(held: Json, asked: Json, path: str = "") -> list[str]:
    """Give where two JSON values differ, one sentence each, outermost first."""
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
    """Give a short text that is the same for the same JSON, however it was written down.

    The order of an object's names does not count. Numbers are compared as JSON writes them: 1 is not 1.0. What is too
    long to be read for this is compared as it was written.

    Args:
        what: What the arguments are of.
        arguments: Of a call: ``{"args": [...], "kwargs": {...}}`` for a step.
        form: How those in the journal are written. Of an older form only what every form writes alike is looked at:
            texts, numbers and flags that are arguments themselves.
    """
    text = text_of(arguments)
    if len(text) > READ_BYTES:
        return blake2b(to_json(what) + (text if form == FORM else b"")).hexdigest()[:16]
    value = from_json(text) if form == FORM else _simple(from_json(text), depth=2)
    return blake2b(to_json([what, _sorted(value)])).hexdigest()[:16]


def _sorted(value: JsonValue) -> JsonValue:
    """Give objects with their names in order."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _simple(value: JsonValue, depth: int) -> JsonValue:
    """Leave out what lies deeper than ``depth``."""
    if isinstance(value, dict):
        return {name: _simple(item, depth - 1) for name, item in value.items()} if depth else None
    if isinstance(value, list):
        return [_simple(item, depth - 1) for item in value] if depth else None
    return value
