"""Which environment variables workers inherit, and which are withheld until they are given by name. Pure.

Workers inherit all variables of the orchestrator except three kinds: those that look like secrets
(``messages/secrets/detection.py``), those given to a single pool, and those for the orchestrator's own interpreter.
Withheld variables are not in the zygote's environment. A worker that gets one by name reads it from its socket.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Final, cast

from greenroom.messages.core.frozen import frozen
from greenroom.messages.secrets.detection import looks_secret
from greenroom.messages.secrets.redaction import PLAIN

OURS: Final = frozenset({"PYTHONHASHSEED", "PYTHONINSPECT", "PYTHONSTARTUP"})
"""Variables that no worker inherits. The hash seed is the same for all workers, so that a replay iterates over sets in
the same order. The two others are for interactive interpreters. All other ``PYTHON...`` variables, such as those for
warnings, the allocator or development mode, apply to workers too, as they would to ``python app.py``."""

PASSING: Final = frozenset({"PYTEST_CURRENT_TEST"})
"""Variables that change all the time and say nothing to the import of an app. Each worker has their present values."""


@frozen
class Given:
    """The variables that a whole app, its import included, is given by name.

    Attributes:
        names: Variables that are passed on although they look like secrets.
        values: Variables with explicit values, which override those of the orchestrator's environment.
        reserved: Variables that were given to a single pool, and are withheld from the others.
    """

    names: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    reserved: frozenset[str] = frozenset()


NOTHING: Final = Given()


def read_given(env: object) -> Given:
    """Parse a user's list: ``NAME`` passes on a variable of the environment, ``NAME=VALUE`` sets one.

    Raises:
        TypeError: ``env`` is a string instead of a list of strings, or an item is not a string.
        ValueError: An item does not name a variable.
    """
    if isinstance(env, str):
        msg = f"env is a list of variables, such as env=[{env!r}], not a text"
        raise TypeError(msg)
    if not isinstance(env, Iterable):
        msg = f"env is a list of variables, NAME or NAME=VALUE, or a mapping, not {env!r:.200}"
        raise TypeError(msg)
    names: set[str] = set()
    values: dict[str, str] = {}
    pairs = (
        cast("Mapping[object, object]", env).items()
        if isinstance(env, Mapping)
        else map(_pair, cast("Iterable[object]", env))
    )
    for name, value in pairs:
        if not isinstance(name, str) or not (value is None or isinstance(value, str)):
            msg = f"env holds names of variables, NAME or NAME=VALUE, or is a mapping of texts; {name!r} is not one"
            raise TypeError(msg)
        if not name or "=" in name or "\0" in name + (value or ""):
            msg = f"env holds NAME or NAME=VALUE, and no variable can be called {name!r} or hold what it is given"
            raise ValueError(msg)
        names.add(name)
        if value is not None:
            values[name] = value
    return Given(frozenset(names), values)


def _pair(item: object) -> tuple[object, str | None]:
    if not isinstance(item, str):
        return item, None
    name, equals, value = item.partition("=")
    return name, value if equals else None


def set_outside(source: Mapping[str, str], given: Given) -> dict[str, str]:
    """Return all variables: those of the orchestrator's environment, and those with explicit values.

    Other threads may change ``source`` meanwhile, for example by setting a variable in ``os.environ``.
    """
    found = {name: value for name in list(source) if (value := source.get(name)) is not None}
    return found | dict(given.values)


def inherited(outside: Mapping[str, str], given: Given) -> dict[str, str]:
    """Return the variables that an app's import and all its workers have."""
    return {name: value for name, value in outside.items() if name not in OURS and not _is_kept(name, value, given)}


def are_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether an app is imported with the same result, whichever of two environments it is given."""
    return all(one.get(name) == other.get(name) for name in (one.keys() | other.keys()) - PASSING)


def withheld(outside: Mapping[str, str], given: Given) -> tuple[str, ...]:
    """Return the names of the variables that are withheld from workers unless given by name."""
    return tuple(sorted(name for name, value in outside.items() if _is_kept(name, value, given)))


def _is_kept(name: str, value: str, given: Given) -> bool:
    if name in given.names or name in PLAIN:
        return False
    return name in given.reserved or looks_secret(name, value)
