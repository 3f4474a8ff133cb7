"""Taking secrets out of texts by their value: what was handed over by name must not stand in a journal or a log. Pure.

A value is found where it stands as it is, or as Python's ``repr`` or JSON write it. It is not found where it was
changed first, by base64 or a URL's escapes say, or where a text holds only a part of it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from greenroom.messages.secrets.detection import looks_secret, url_secrets

MASK: Final = "***"
LEAST: Final = 8
"""Characters that a value has at least to be taken out: "1" and "true" stand in every other text."""
_LEAST_LINE: Final = 16
"""Characters that one line of a value of several lines has at least, to be taken out alone: keys have such lines."""
PLAIN: Final = frozenset(
    {"HOME", "HOSTNAME", "LANG", "LOGNAME", "OLDPWD", "PATH", "PWD", "PYTHONPATH", "SHELL", "TERM", "TMPDIR", "TZ"}
    | {"USER", "VIRTUAL_ENV"}
)
"""Variables that are no secrets even where somebody hands them over by name: their values stand in every traceback."""


def secret_values(environ: Mapping[str, str], given: Iterable[str] = ()) -> frozenset[str]:
    """Give the values in an environment that are to be taken out of texts, and the passwords of URLs in them.

    Args:
        environ: Variables and their values.
        given: Names of those that were handed to some workers alone. Of the others, those count that look like secrets.
    """
    given = frozenset(given) - PLAIN
    secret = [value for name, value in environ.items() if name in given or looks_secret(name, value)]
    parts = (part for value in secret for part in (value, *url_secrets(value)))
    return frozenset(part for part in parts if len(part) >= LEAST)


class Redactor:
    """Replaces every secret in a text by ``***``.

    Attributes:
        longest: Bytes of the longest text that is looked for; 0 where there is none.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Look for these values."""
        forms = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        encoded = [form.encode("utf-8", "surrogateescape") for form in forms]
        self.longest: Final = max(map(len, encoded), default=0)
        self._encoded = encoded
        self._text = re.compile("|".join(map(re.escape, forms))) if forms else None
        self._data = re.compile(b"|".join(map(re.escape, encoded))) if forms else None

    def __repr__(self) -> str:
        """Say nothing of what is looked for."""
        return f"<Redactor {'of secrets' if self.longest else 'of nothing'}>"

    def text(self, text: str) -> str:
        """Give a text without the secrets."""
        return text if self._text is None else self._text.sub(MASK, text)

    def data(self, data: bytes) -> bytes:
        """Give the bytes of a text without the secrets."""
        return data if self._data is None else self._data.sub(MASK.encode(), data)

    def begun(self, data: bytes) -> int:
        """Count the last bytes of a text that may be the beginning of a secret."""
        return max((_overlap(data, form) for form in self._encoded), default=0)


def _overlap(data: bytes, form: bytes) -> int:
    longest = min(len(form) - 1, len(data))
    return next((length for length in range(longest, 0, -1) if data.endswith(form[:length])), 0)


NOTHING: Final = Redactor()
redactor_of: Final = lru_cache(maxsize=64)(Redactor)
"""Gives the same ``Redactor`` for the same set of values, since all workers of a pool have one."""


def _forms(value: str) -> Iterator[str]:
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _LEAST_LINE)
