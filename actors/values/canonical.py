"""Canonical JSON of values: the members of sets are sorted.

A Python set has another order in each process. Two processes that start the same run with the same set must write the
same JSON.
"""

import dataclasses
import json as jsons
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import cast

from pydantic import BaseModel, JsonValue, RootModel


def sort_sets(value: object, json: JsonValue) -> JsonValue:
    """Return the JSON of a value with the members of every set, at any depth, in the order of their JSON.

    Args:
        value: The value.
        json: The value's JSON as written by pydantic. Parts to which an author's serializer gave another shape stay as
            they are.
    """
    while isinstance(value, RootModel):
        value = cast("RootModel[object]", value).root
    if isinstance(json, list):
        if isinstance(value, AbstractSet):
            return sorted(_each(cast("AbstractSet[object]", value), json), key=_text)
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            return _each(cast("Iterable[object]", value), json)
        return json
    if isinstance(json, dict):
        if isinstance(value, Mapping):
            members = cast("Mapping[object, object]", value).values()
            return dict(zip(json, _each(members, list(json.values())), strict=True))
        fields = _fields(value)
        return {name: sort_sets(fields[name], part) if name in fields else part for name, part in json.items()}
    return json


def _each(values: Iterable[object], json: list[JsonValue]) -> list[JsonValue]:
    members = list(values)
    if len(members) != len(json):
        return json
    return [sort_sets(member, part) for member, part in zip(members, json, strict=True)]


def _fields(value: object) -> dict[str, object]:
    """Return the fields of a model or dataclass, by the names under which they may be written."""
    if isinstance(value, BaseModel):
        found: dict[str, object] = {}
        for name, field in type(value).model_fields.items():
            held = getattr(value, name, None)
            for called in (name, field.alias, field.serialization_alias):
                if called is not None:
                    found[called] = held
        return found | (value.model_extra or {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return {}


def _text(json: JsonValue) -> str:
    return jsons.dumps(json, sort_keys=True, ensure_ascii=True)
