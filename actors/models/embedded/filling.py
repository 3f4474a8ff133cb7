"""Filling of a JSON schema from text: titles, lists, numbers, dates and choices that the text contains."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from greenroom.actors.models.embedded.extract import Material, keywords, rank, shorten, words
from greenroom.messages.core.message import Shown

_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
_DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_MOMENT: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?")
_URL: Final = re.compile(r"\bhttps?://[^\s\"'<>)\]]+")
_EMAIL: Final = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_TITLES: Final = frozenset({"title", "heading", "headline", "subject", "name", "topic", "label"})
_LIST_LENGTH: Final = 4
_TITLE_CHARACTERS: Final = 80
_DEEPEST: Final = 12
_FALLBACKS: Final = {
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "email": "nobody@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "duration": "PT0S",
}
_PATTERNS: Final = {"date": _DATE, "date-time": _MOMENT, "uri": _URL, "email": _EMAIL}
_NO: Final = frozenset({"no", "not", "never", "none", "without", "cannot", "isn't", "doesn't", "won't"})


@dataclass(slots=True)
class Filler:
    """Fills one schema from one prompt's material.

    Attributes:
        schema: The JSON schema as pydantic writes it, references included.
        material: Source of the values.
        random: Chooses where the text leaves several values open.
        most: Upper bound for the length of lists, in addition to the schema's own.
    """

    schema: Mapping[str, Any]
    material: Material
    random: Random
    most: int = _LIST_LENGTH
    _numbers: list[str] = field(init=False)
    _order: list[int] = field(init=False)
    """Positions of the sentences, most important first."""

    def __post_init__(self) -> None:
        """Analyse the material once."""
        text = _DATE.sub(" ", " ".join(self.material.sentences))  # a date is not three numbers
        self._numbers = [found.replace(",", "") for found in _NUMBER.findall(text)]
        self._order = rank(self.material.sentences, self.material.task)

    def fill(self) -> Shown:
        """Return a value that fits the schema, as far as the text allows."""
        return self._value(self.schema, "", self.material.sentences, 0)

    def _value(self, schema: Mapping[str, Any], name: str, source: Sequence[str], depth: int) -> Shown:  # noqa: PLR0911  a list of cases
        schema = self._resolve(schema, depth)
        if "const" in schema or "enum" in schema:
            return self._choice(schema.get("enum") or [schema["const"]], source)
        match schema.get("type"):
            case "object":
                return self._object(schema, source, depth)
            case "array":
                return self._array(schema, name, source, depth)
            case "integer" | "number" as kind:
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._boolean(name, source)
            case "null":
                return None
            case _:
                return self._string(schema, name, source)

    def _resolve(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Follow references, and choose from alternatives: the first that is not null, or null at great depth."""
        while True:
            ways: list[Mapping[str, Any]] = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or []
            if "$ref" in schema:
                schema = self.schema["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
            elif ways and "type" not in schema:
                ends = depth >= _DEEPEST // 3  # a recursive model ends at an optional field
                schema = next((way for way in ways if (way.get("type") == "null") == ends), ways[0])
            else:
                return schema

    def _object(self, schema: Mapping[str, Any], source: Sequence[str], depth: int) -> Shown:
        required = set(schema.get("required", ()))
        return {
            name: self._value(inner, name, source, depth + 1)
            for name, inner in schema.get("properties", {}).items()
            if name in required or depth < _DEEPEST // 3
        }

    def _array(self, schema: Mapping[str, Any], name: str, source: Sequence[str], depth: int) -> Shown:
        least, most = schema.get("minItems", 0), schema.get("maxItems", max(self.most, schema.get("minItems", 0)))
        if "prefixItems" in schema:
            return [self._value(inner, name, source, depth + 1) for inner in schema["prefixItems"]]
        if depth >= _DEEPEST and not least:
            return []
        inner = self._resolve(schema.get("items", {}), depth)
        chosen = sorted(self._best(source)[: min(most, self.most) if most >= self.most else most])
        places: list[Sequence[str]] = [(source[index],) for index in chosen]
        if inner.get("type") in {"integer", "number"}:
            places = places[: max(least, len(self._numbers))]
        while len(places) < least:
            places.append(source)
        if inner.get("type") == "string" and name.lower() in {"tags", "keywords", "topics", "labels"}:
            found: list[Shown] = [word.lower() for word in keywords(source, max(least, min(most, self.most)))]
            return found
        return [self._value(inner, "", place, depth + 1) for place in places]

    def _string(self, schema: Mapping[str, Any], name: str, source: Sequence[str]) -> str:
        kind = schema.get("format", "")
        text = " ".join(source)
        if kind in _FALLBACKS:
            found = _PATTERNS[kind].search(text) if kind in _PATTERNS else None
            return found.group() if found else _FALLBACKS[kind]
        longest = int(schema.get("maxLength", 10_000))
        if name.lower() in _TITLES:
            value = shorten(self._title(source), min(longest, _TITLE_CHARACTERS))
        elif len(source) == 1:
            value = shorten(source[0], longest)
        else:
            value = shorten(" ".join(source[index] for index in sorted(self._best(source)[:2])), longest)
        return value.ljust(int(schema.get("minLength", 0)), ".")

    def _title(self, source: Sequence[str]) -> str:
        if self.material.heading:
            return self.material.heading
        found = keywords(source, 3)
        return " ".join([found[0][:1].upper() + found[0][1:], *found[1:]]) if found else source[0]

    def _best(self, source: Sequence[str]) -> list[int]:
        return self._order if source is self.material.sentences else rank(source, self.material.task)

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        for position, text in enumerate(self._numbers):
            value = float(text)
            inside = (low is None or value >= low) and (high is None or value <= high)
            strictly = value not in {schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")}
            if inside and strictly and (not whole or value.is_integer()):
                del self._numbers[position]  # each number of the text is used once
                return int(value) if whole else value
        if low is not None and high is not None:
            return self.random.randint(int(low), int(high)) if whole else round((low + high) / 2, 3)
        value = (low if low is not None else high if high is not None else 0) + (
            1 if "exclusiveMinimum" in schema else 0
        )
        return int(value) if whole else float(value)

    def _boolean(self, name: str, source: Sequence[str]) -> bool:
        """Return True if the text mentions the field in a sentence without a negation."""
        wanted = set(words(name.replace("_", " ")))
        speaking = [sentence for sentence in source if wanted & set(words(sentence))]
        if not speaking:
            return self.random.random() < 0.5  # noqa: PLR2004  the text does not decide
        return not any(_NO & set(sentence.lower().split()) for sentence in speaking)

    def _choice(self, options: Sequence[Shown], source: Sequence[str]) -> Shown:
        text = " ".join(source).lower()
        named = [option for option in options if isinstance(option, str) and option.lower().replace("_", " ") in text]
        return named[0] if named else self.random.choice(list(options))
