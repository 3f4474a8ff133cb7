"""Redaction of this worker process's secrets from what it reports about exceptions."""

from collections.abc import Iterable, Mapping
from functools import cache

from greenroom.messages.secrets.redaction import NOTHING, Redactor, secret_values

_environ: tuple[dict[str, str], frozenset[str]] = ({}, frozenset())
"""Set once, before the worker's actor starts."""


def remember(environ: Mapping[str, str], given: Iterable[str]) -> None:
    """Remember the environment whose secrets are redacted from now on, as code may change it later.

    The secrets are collected when the first text is redacted. Most workers never redact one, and start faster this way.

    Args:
        environ: The process's environment.
        given: Names of the variables that were passed by name.
    """
    global _environ  # noqa: PLW0603  a process has one environment
    _environ = dict(environ), frozenset(given)
    _redactor.cache_clear()


@cache
def _redactor() -> Redactor:
    environ, given = _environ
    return Redactor(secret_values(environ, given)) if environ else NOTHING


def redact(text: str) -> str:
    """Return a text without this process's secrets."""
    return _redactor().text(text)
