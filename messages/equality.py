"""When two JSON values are the same: what start ids, schedules and decisions are compared by. Pure."""

from understudy.messages.base import Json


def same(a: Json, b: Json) -> bool:
    """Say whether two values are one in JSON.

    Members of objects have no order. Numbers are what they are worth, so 1 is 1.0; ``true`` is no number. Texts are
    compared sign by sign: two that look alike may be written differently, and are different ones.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return a == b
