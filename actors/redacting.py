"""The secrets of this worker process, taken out of what it says of exceptions."""

from collections.abc import Iterable, Mapping

from understudy.messages.redaction import NOTHING, Redactor, secret_values

_redactor = NOTHING
"""Set once, before the worker's actor starts."""


def remember(environ: Mapping[str, str], given: Iterable[str]) -> None:
    """Note the values to be taken out from now on: code in this process may change its environment later.

    Args:
        environ: The process's environment.
        given: Names of the variables that were handed over by name.
    """
    global _redactor  # noqa: PLW0603  a process has one environment
    _redactor = Redactor(secret_values(environ, given))


def redact(text: str) -> str:
    """Give a text without the secrets of this process."""
    return _redactor.text(text)
