"""Redaction of secrets from texts by their values, so that they do not enter the journal or a log. Pure.

A value is found if it is written unchanged, or as Python's ``repr`` or JSON write it. It is not found if it was changed
first, for example by base64 or a URL's escapes, or if a text holds only a part of it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from greenroom.messages.secrets.detection import looks_secret, url_secrets

MASK: Final = "***"
LEAST: Final = 8
"""Fewest characters of a value that is redacted, because "1" and "true" occur in every text."""
_LEAST_LINE: Final = 16
"""Fewest characters of one line of a value of several lines that is redacted alone, because keys have such lines."""
PLAIN: Final = frozenset(
    {"HOME", "HOSTNAME", "LANG", "LOGNAME", "OLDPWD", "PATH", "PWD", "PYTHONPATH", "SHELL", "TERM", "TMPDIR", "TZ"}
    | {"USER", "VIRTUAL_ENV"}
)
"""Variables that are not secrets even if they are passed by name, because every traceback contains their values."""


def secret_values(environ: Mapping[str, str], given: Iterable[str] = ()) -> frozenset[str]:
    """Return the values in an environment that are to be redacted, and the passwords of URLs in them.

    Args:
        environ: Variables and their values.
        given: Names of variables that were passed only to some workers. Others count if they look like secrets.
    """
    given = frozenset(given) - PLAIN
    secret = [value for name, value in environ.items() if name in given or looks_secret(name, value)]
    parts = (part for value in secret for part in (value, *url_secrets(value)))
    return frozenset(part for part in parts if len(part) >= LEAST)


class Redactor:
    """Replaces every secret in a text by ``***``.

    Attributes:
        longest: Length of the longest secret in bytes; 0 if there is none.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Redact these values."""
        forms = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        encoded = [form.encode("utf-8", "surrogateescape") for form in forms]
        self.longest: Final = max(map(len, encoded), default=0)
        self._encoded = encoded
        self._text = re.compile("|".join(map(re.escape, forms))) if forms else None
        self._data = re.compile(b"|".join(map(re.escape, encoded))) if forms else None

    def __repr__(self) -> str:
        """Return a description without the secrets."""
        return f"<Redactor {'of secrets' if self.longest else 'of nothing'}>"

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        return text if self._text is None else self._text.sub(MASK, text)

    def data(self, data: bytes) -> bytes:
        """Return the bytes of a text without the secrets."""
        return data if self._data is None else self._data.sub(MASK.encode(), data)

    def begun(self, data: bytes) -> int:
        """Return how many of the last bytes may be the beginning of a secret."""
        return max((_overlap(data, form) for form in self._encoded), default=0)


def _overlap(data: bytes, form: bytes) -> int:
    longest = min(len(form) - 1, len(data))
    return next((length for length in range(longest, 0, -1) if data.endswith(form[:length])), 0)


NOTHING: Final = Redactor()
redactor_of: Final = lru_cache(maxsize=64)(Redactor)
"""Returns the same ``Redactor`` for the same set of values, because all workers of a pool share one."""


def _forms(value: str) -> Iterator[str]:
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _LEAST_LINE)
