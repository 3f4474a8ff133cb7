"""What workers inherit of the orchestrator's environment, and what is kept from them until it is given by name. Pure.

Everything is inherited but three kinds of variables: what looks like a secret (``messages/secrets/detection.py``),
what a pool was given for itself, and what is meant for the orchestrator's own interpreter. Whatever is withheld is not
in the zygote's environment: a worker that was given it by name reads it from its socket.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from greenroom.messages.secrets.detection import looks_secret
from greenroom.messages.secrets.redaction import PLAIN

OURS: Final = frozenset({"PYTHONHASHSEED", "PYTHONINSPECT", "PYTHONSTARTUP"})
"""Variables that no worker inherits. The first is the same for all workers, or a replay would go through sets in
another order; the two others are for interpreters that somebody types into. What else ``PYTHON...`` sets, such as
warnings, the allocator or development mode, holds for workers as well: an app runs in them as ``python app.py`` would
run it."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a whole app is given by name, its import included.

    Attributes:
        names: Variables that are passed on though they look like secrets.
        values: Variables with values of their own, which go before those of the orchestrator's environment.
        reserved: Variables that some pool was given for itself, and that the others therefore have not.
    """

    names: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    reserved: frozenset[str] = frozenset()


NOTHING: Final = Given()


def read_given(env: object) -> Given:
    """Read what a person gave: ``NAME`` for a variable as it is set outside, ``NAME=VALUE`` for another value.

    Raises:
        TypeError: It is a text instead of a list of them, or holds something else than texts.
        ValueError: One of them names no variable.
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
            msg = f"env holds names of variables, NAME or NAME=VALUE, or is a mapping of texts; {name!r} is none"
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
    """Return all variables there are: those of the orchestrator's environment, and those that have values of their own.

    ``source`` may be changed by other threads meanwhile, as ``os.environ`` is by whoever sets a variable.
    """
    found = {name: value for name in list(source) if (value := source.get(name)) is not None}
    return found | dict(given.values)


def inherited(outside: Mapping[str, str], given: Given) -> dict[str, str]:
    """Return the variables that every worker of an app has, and its import."""
    return {name: value for name, value in outside.items() if name not in OURS and not _is_kept(name, value, given)}


def withheld(outside: Mapping[str, str], given: Given) -> tuple[str, ...]:
    """Return the names of the variables that are kept from workers until they are given to them."""
    return tuple(sorted(name for name, value in outside.items() if _is_kept(name, value, given)))


def _is_kept(name: str, value: str, given: Given) -> bool:
    if name in given.names or name in PLAIN:
        return False
    return name in given.reserved or looks_secret(name, value)
