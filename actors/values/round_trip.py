"""Checks whether values come back unchanged from JSON: of types in advance, and of single values by comparison.

A type is refused if none of its values can come back. Most other types are certain by construction, such as ``int``,
``list[str]`` and models of these. If it depends on the value, the value is read again after writing, and compared.
"""

import math
from collections.abc import Iterator
from typing import Any, Final, cast

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic.errors import PydanticUserError

_MODELS: Final = (
    "annotate it with exactly the model that it is; where it may be one of several, give each a field such as "
    '`kind: Literal["..."]` and use `Annotated[A | B, Field(discriminator="kind")]`'
)
_KEYS: Final = "annotate the dict with the type of its keys, or hand on a list of pairs"
_SECRETS: Final = (SecretStr, SecretBytes, Secret)
_REFUSED: Final = {
    "generator": "an iterator is empty once it was read: annotate it as a list",
    "callable": "code does not travel as data: give the name of what is meant",
    "is-subclass": "a class does not travel as data: give its name",
}
_NO_KEYS: Final = {
    "tuple": "a tuple",
    "list": "a list",
    "set": "a set",
    "frozenset": "a frozenset",
    "dict": "a dict",
    "model": "a model",
    "dataclass": "a dataclass",
    "typed-dict": "a dict",
}
_CERTAIN: Final = frozenset(
    {"none", "bool", "int", "float", "str", "list", "dict", "nullable", "tuple", "default", "definitions"}
    | {"definition-ref", "model", "model-fields", "model-field", "date", "uuid", "json"}
)
"""Kinds of schemas whose values come back unchanged if those of their parts do."""
_PARTS: Final = ("schema", "items_schema", "keys_schema", "values_schema", "definitions")

Node = dict[str, Any]


def unfit(schema: Any) -> str | None:
    """Return why no value of a type can be carried; None if some can.

    Args:
        schema: The type's schema, as built by pydantic.
    """
    for node in _nodes(schema):
        kind = node.get("type")
        if any(isinstance(each, type) and issubclass(each, _SECRETS) for each in _parts(node)):
            return "a secret is written as asterisks, and nothing else would arrive: hand on where it is found instead"
        if isinstance(kind, str) and kind in _REFUSED:
            return _REFUSED[kind]
        keys = node.get("keys_schema", {}).get("type") if kind == "dict" else None
        if keys in _NO_KEYS:
            return f"names in JSON are texts, and {_NO_KEYS[keys]} as a key would not come back: use a list of pairs"
    return None


def certain(schema: Any) -> bool:
    """Return whether every value of a type comes back unchanged, if models are exactly of the named classes."""
    if isinstance(schema, list):
        return all(map(certain, cast("Any", schema)))
    node = cast("Node", schema)
    kind = node["type"]
    if kind not in _CERTAIN or "serialization" in node or node.get("serialization_exclude"):
        return False
    if kind == "dict" and node.get("keys_schema", {}).get("type") != "str":
        return False
    if kind == "model" and not _closed(node):
        return False
    fields: dict[str, Any] = node.get("fields", {})
    return all(certain(node[part]) for part in _PARTS if part in node) and all(map(certain, fields.values()))


def _closed(node: Node) -> bool:
    cls = node["cls"]
    config = node.get("config", {})
    return not (cls.__private_attributes__ or config.get("extra_fields_behavior") == "allow" or node.get("custom_init"))


def models(schema: Any) -> tuple[type[Any], ...]:
    """Return the model classes in whose place a value may hold a subclass."""
    found = [node["cls"] for node in _nodes(schema) if node.get("type") in ("model", "dataclass") and "cls" in node]
    return tuple(dict.fromkeys(found))


def _nodes(schema: Any) -> Iterator[Node]:
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            node = cast("Node", part)
            yield node
            waiting += [each for name, each in node.items() if name != "metadata"]
        elif isinstance(part, (list, tuple)):
            waiting += cast("list[Any]", part)


def _parts(node: Node) -> Iterator[Any]:
    yield node.get("cls")
    function = node.get("function")
    yield cast("Node", function).get("function") if isinstance(function, dict) else function


def difference(given: Any, back: Any, place: str = "") -> str | None:  # noqa: PLR0911  one for each kind of value
    """Return where a value that was read again differs from the original; None if it does not.

    Values of different types are different, and so are models of different classes.
    """
    where = prefix(place)
    if type(given) is not type(back):
        both = isinstance(given, BaseModel) and isinstance(back, BaseModel)
        return f"{where}{_named(given)} would come back as {_named(back)}; {_MODELS if both else _instead(given, back)}"
    if isinstance(given, BaseModel):
        return _between(held(given), held(back), place)
    if isinstance(given, dict):
        mapping = cast("Any", given)
        return _between(mapping, back, place)
    if isinstance(given, (list, tuple)):
        items = cast("Any", given)
        if len(items) != len(back):
            return f"{where}{len(items)} values would come back as {len(back)}"
        pairs = enumerate(zip(items, back, strict=True))
        return next((found for index, pair in pairs if (found := difference(*pair, at(place, index)))), None)
    if (names := fields(given)) is not None:
        return _between(names, fields(back) or {}, place)
    return None if _equal(given, back) else f"{where}{given!r:.100} would come back as {back!r:.100}"


def _between(given: dict[Any, Any], back: dict[Any, Any], place: str) -> str | None:
    for name, value in given.items():
        if name not in back:
            if not isinstance(name, str):
                return f"{prefix(place)}the key {name!r:.100} would come back as a text; {_KEYS}"
            return f"{at(place, name)}: it would be lost"
        if (found := difference(value, back[name], at(place, name))) is not None:
            return found
    for name in back:
        if name not in given:
            return f"{at(place, name)}: it would come into being"
    kinds: dict[Any, type[Any]] = {name: type(name) for name in given}  # 1 and True are the same key
    wrong = [name for name in back if type(name) is not kinds[name]]
    return f"{at(place, wrong[0])}: the key would come back as a {_named(wrong[0])}" if wrong else None


def _equal(given: Any, back: Any) -> bool:
    if isinstance(given, float):
        return given == back and math.copysign(1.0, given) == math.copysign(1.0, back)
    if isinstance(given, (set, frozenset)):
        members = cast("Any", given)
        return bool(members == back) and sorted(map(_kind, members)) == sorted(map(_kind, back))
    try:
        return bool(given == back)
    except Exception:  # noqa: BLE001  values that cannot be compared do not count as equal
        return False


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _named(value: object) -> str:
    return type(value).__qualname__


def _instead(given: object, back: object) -> str:
    """Return what to do about a value that would come back as another type."""
    cls = type(given)
    if cls is bytearray:  # which an annotation with bytes accepts
        return "annotate it with bytes"
    known = next((base for base in cls.__mro__[:-1] if _has_schema(base)), type(back))
    if known is cls:
        return "annotate it with the type that it has"
    return f"hand on a {known.__qualname__} in its place"


def _has_schema(cls: type[Any]) -> bool:
    try:
        TypeAdapter(cls)
    except PydanticUserError:
        return False
    return True


def prefix(place: str) -> str:
    """Return the beginning of a sentence on a place in a value."""
    return f"{place}: " if place else ""


def at(place: str, name: object) -> str:
    """Return the place of an item, attribute or value within another place."""
    if isinstance(name, int):
        return f"{place}[{name}]"
    return f"{place}.{name}" if place else str(name)


def held(model: BaseModel) -> dict[str, Any]:
    """Return all that a model holds, by name."""
    return {**model.__dict__, **(model.__pydantic_extra__ or {}), **(model.__pydantic_private__ or {})}


def fields(instance: Any) -> dict[str, Any] | None:
    """Return the fields of an instance of a dataclass by name; None if it is none."""
    names = getattr(instance.__class__, "__dataclass_fields__", None)
    return None if names is None else {name: getattr(instance, name, None) for name in names}
