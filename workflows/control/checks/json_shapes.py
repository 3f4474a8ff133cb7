"""Compare the shapes of two JSON values: equal names, and values of equal kinds. Pure."""

from collections.abc import Hashable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, cast

from greenroom.messages.core.failures import Fault

_KINDS: Final[Mapping[type[Any], str]] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def misfits(asked: Any, given: Any) -> tuple[Fault, ...]:
    """Return every difference in shape between the edit ``given`` and the arguments ``asked``.

    Any value may replace null, any object an empty object, and any list an empty list. Each member of a list must have
    the shape of a member of the original list.
    """
    return tuple(Fault(field=place, sentence=what) for place, what in _misfits("args", asked, given))


def _misfits(place: str, asked: Any, given: Any) -> Iterator[tuple[str, str]]:
    if asked is None:
        return
    if _kind(asked) != _kind(given):
        yield place, f"is {_kind(given)}, and the question is about {_kind(asked)}"
    elif isinstance(asked, dict) and asked:
        yield from _members(place, cast("dict[str, Any]", asked), cast("dict[str, Any]", given))
    elif isinstance(asked, list) and asked:
        members: list[Any] = cast("Any", asked)
        models = {_shape(model): model for model in members}
        for number, each in enumerate(given):
            tries = (tuple(_misfits(f"{place}.{number}", model, each)) for model in models.values())
            yield from min(tries, key=len)


def _members(place: str, asked: dict[str, Any], given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in asked.items():
        if name in given:
            yield from _misfits(f"{place}.{name}", value, given[name])
        else:
            yield f"{place}.{name}", "is missing"
    for name in given:
        if name not in asked:
            close = get_close_matches(name, asked, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it is about {', '.join(map(repr, asked))}"
            yield f"{place}.{name}", f"is nothing the question is about; {hint}"


def _shape(value: Any) -> Hashable:
    """Return a key that is equal for values of one shape, so that long lists need few comparisons."""
    if isinstance(value, dict):
        return frozenset((name, _shape(part)) for name, part in cast("dict[str, Any]", value).items())
    if isinstance(value, list):
        parts: list[Any] = cast("Any", value)
        return _kind(value), frozenset(map(_shape, parts))
    return _kind(value)


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS[type(value)]
