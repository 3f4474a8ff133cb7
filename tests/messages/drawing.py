"""Hypothesis strategies for messages, made from the models' own fields so that a new message is covered at once."""

import types
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, JsonValue
from pydantic.fields import FieldInfo

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.fields import VariableName
from greenroom.messages.core.json_text import Value
from greenroom.messages.core.message import Json

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def members(union: Any) -> list[type[BaseModel]]:
    """Give the classes of a tagged union written as ``Annotated[A | B, Field(...)]``."""
    return list(get_args(get_args(union)[0]))


def messages(model: type[BaseModel], depth: int = 0) -> st.SearchStrategy[BaseModel]:
    """Draw an instance of ``model`` with every field set."""
    fields = {name: _field(field, depth) for name, field in model.model_fields.items()}
    return st.builds(model, **fields)


def _limits(part: Any) -> list[Any]:
    return part.metadata if isinstance(part, FieldInfo) else []


def _field(field: FieldInfo, depth: int) -> st.SearchStrategy[Any]:
    if field.annotation is Failure and field.metadata:
        return _told(depth)
    return _value(field.annotation, field.metadata, depth)


def _told(depth: int) -> st.SearchStrategy[Any]:
    """Draw failures as a worker may tell them."""
    return messages(Failure, depth + 1).map(lambda each: each.model_copy(update={"outcome": "error", "exit": None}))


def _value(  # noqa: C901, PLR0911  one line per kind of annotation: cutting the list in two would hide it
    annotation: Any, metadata: list[Any], depth: int
) -> st.SearchStrategy[Any]:
    if annotation in {Json, Value, JsonValue}:
        return JSON
    if annotation == VariableName:
        return st.text("AZ_09", min_size=1, max_size=8)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated and arguments[0] is Failure:
        return _told(depth)
    if origin is Annotated:
        return _value(
            arguments[0], metadata + [limit for part in annotation.__metadata__ for limit in _limits(part)], depth
        )
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in {Union, types.UnionType}:
        if str in arguments and any(get_origin(part) is type for part in arguments):
            return TEXT  # an exception class or its name: names are what crosses
        return st.one_of(*(_value(part, metadata, depth) for part in arguments))
    if origin is tuple:
        if depth > 2:  # a tree draws children of children
            return st.just(())
        return st.lists(_value(arguments[0], [], depth + 1), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, _value(arguments[1], [], depth + 1), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return messages(annotation, depth + 1)
    low = next((limit.ge for limit in metadata if isinstance(limit, Ge)), None)
    above = next((limit.gt for limit in metadata if isinstance(limit, Gt)), None)
    high = next((limit.le for limit in metadata if isinstance(limit, Le)), None)
    if annotation is int:
        return st.integers(low if above is None else int(above) + 1, high)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        bool: st.booleans(),
        AwareDatetime: st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  the zone comes after
        type(None): st.none(),
        float: st.floats(
            low if above is None else above, high, exclude_min=above is not None, allow_nan=False, allow_infinity=False
        ),
    }
    return plain[annotation]
