"""The secrets of this worker process, taken out of what it says of exceptions."""

from collections.abc import Iterable, Mapping
from functools import cache

from greenroom.messages.secrets.redaction import NOTHING, Redactor, secret_values

_environ: tuple[dict[str, str], frozenset[str]] = ({}, frozenset())
"""Set once, before the worker's actor starts."""


def remember(environ: Mapping[str, str], given: Iterable[str]) -> None:
    """Note the values to be taken out from now on: code in this process may change its environment later.

    They are looked through when there is a text at last: most workers never have one, and would begin later for it.

    Args:
        environ: The process's environment.
        given: Names of the variables that were handed over by name.
    """
    global _environ  # noqa: PLW0603  a process has one environment
    _environ = dict(environ), frozenset(given)
    _redactor.cache_clear()


@cache
def _redactor() -> Redactor:
    environ, given = _environ
    return Redactor(secret_values(environ, given)) if environ else NOTHING


def redact(text: str) -> str:
    """Give a text without the secrets of this process."""
    return _redactor().text(text)
