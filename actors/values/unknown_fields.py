"""Detection of unknown fields: those of a message, at any depth, that its model does not have.

Such a field is a mistake of the sender. Pydantic ignores it by default. A misspelled field would then be lost. If a
model has no required field, a message meant for another model would fit it. Models whose own configuration says how to
treat extra fields keep to that.
"""

import dataclasses
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final, cast

from pydantic import AliasChoices, AliasPath, BaseModel, JsonValue, RootModel
from pydantic.fields import FieldInfo

from greenroom.actors.values.conversion import Faults
from greenroom.messages.core.json_text import Value, plain

_EARLY: Final = {"before", "wrap"}
"""Validators that may change the value before the model sees it."""


def extra_fields(value: object, json: Value) -> Faults:
    """Return every field of a message that its model does not have, as places and sentences.

    Args:
        value: The value as read by pydantic.
        json: The JSON that it was read from.
    """
    return _extra(value, plain(json))


def _extra(value: object, json: JsonValue) -> Faults:  # noqa: PLR0911  one return per kind of value
    if isinstance(value, RootModel):
        return _extra(cast("RootModel[object]", value).root, json)
    if isinstance(json, list) and isinstance(value, (list, tuple)):
        members = cast("list[object] | tuple[object, ...]", value)
        pairs = [(str(index), each, part) for index, (each, part) in enumerate(zip(members, json, strict=False))]
        return _below(pairs)
    if not isinstance(json, dict):
        return ()
    if isinstance(value, BaseModel):
        return _of_model(value, json)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = {field.name: [field.name] for field in dataclasses.fields(value)}
        return _of_fields(value, names, json) if names.keys() & json.keys() or not json else ()
    if isinstance(value, Mapping):
        held = cast("Mapping[object, object]", value)
        lost = [name for name in json if name not in held] if len(held) < len(json) else []  # the fields of a TypedDict
        found = tuple((name, _sentence(name, [str(each) for each in held])) for name in lost)
        return found + _below([(name, held[name], part) for name, part in json.items() if name in held])
    return ()


def _of_model(value: BaseModel, json: dict[str, JsonValue]) -> Faults:
    model = type(value)
    if any(each.info.mode in _EARLY for each in model.__pydantic_decorators__.model_validators.values()):
        return ()  # only its own code knows which fields it accepts
    names = {name: _called(name, field) for name, field in model.model_fields.items()}
    return _of_fields(value, names, json, closed=model.model_config.get("extra") is None)


def _of_fields(
    value: object, names: dict[str, list[str]], json: dict[str, JsonValue], *, closed: bool = True
) -> Faults:
    by_name = {called: name for name, every in names.items() for called in every}
    extra = [name for name in json if name not in by_name] if closed else []
    found = tuple((name, _sentence(name, list(by_name))) for name in extra)
    known = [(called, by_name[called], part) for called, part in json.items() if called in by_name]
    return found + _below([(called, getattr(value, name, None), part) for called, name, part in known])


def _below(parts: list[tuple[str, object, JsonValue]]) -> Faults:
    return tuple((f"{name}.{place}", what) for name, value, json in parts for place, what in _extra(value, json))


def _called(name: str, field: FieldInfo) -> list[str]:
    """Return the names that a field may have in a message."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    firsts = [each.path[0] if isinstance(each, AliasPath) else each for each in choices]
    return [name, *(each for each in (*firsts, field.alias) if isinstance(each, str))]


def _sentence(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no such field{hint}"
