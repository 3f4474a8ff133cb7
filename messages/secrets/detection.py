"""Detection of secrets in environment variables, by their names and values. Pure.

A name is read word by word, with any separator: ``OPENAI_API_KEY``, ``openai-api-key`` and ``openaiApiKey`` are the
same, and ``MONKEY`` or ``TOKENIZERS_PARALLELISM`` contain no such word. Values count as well: the URL of a database
with a password is a secret under any name.
"""

import re
from typing import Final
from urllib.parse import unquote

_ANYWHERE: Final = re.compile(
    r"SECRET|PASSW(?:OR)?D|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|AUTH_?TOKEN"
)
"""Words that make a name that of a secret anywhere in it."""
_LAST: Final = frozenset(
    {
        "KEY",
        "KEYS",
        "TOKEN",
        "TOKENS",
        "PASS",
        "SSHPASS",
        "PW",
        "PWD",
        "AUTH",
        "AUTHORIZATION",
        "BEARER",
        "CREDS",
        "CRED",
    }
    | {"COOKIE", "JWT", "PAT", "PSK", "SALT"}
)
"""Words that make a name that of a secret at its end, ignoring numbers and words such as ``TEST``."""
_WHICH: Final = re.compile(
    r"(?:_?[0-9]+|_(?:PROD|PRODUCTION|LIVE|TEST|TESTING|DEV|STAGING|OLD|NEW|BACKUP|PRIMARY|SECONDARY|B64|BASE64|ID))+$"
)
_PUBLIC: Final = re.compile(r"(?:^|_)(?:PUBLIC|PUBLISHABLE)_?KEYS?(?:_|$)")
_PLACE: Final = re.compile(r"_(?:FILE|PATH|DIR|FOLDER|NAME|HEADER|PREFIX|LENGTH|SIZE|TTL|TIMEOUT)$")
"""Endings of names that are about a key or token but do not hold one."""
_OPEN: Final = frozenset({"PWD", "OLDPWD"})
_SETTING: Final = re.compile(r"true|false|yes|no|on|off|none|null|[01]", re.IGNORECASE)
"""Values that are never secrets: switches."""
_COUNT: Final = re.compile(r"[0-9]{1,7}")
_HOLDS: Final = re.compile(
    r"""
    ^ (?: sk-[\w-]{16,} | gh[a-z]_\w{20,} | github_pat_\w{20,} | glpat-[\w-]{16,} | xox[a-z]-[\w-]{10,} | hf_\w{20,}
        | AKIA[0-9A-Z]{16} | AIza[\w-]{30,} | eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]* | (?:Bearer|Basic)\s+\S{8,} )
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY
    | hooks\.slack\.com/services/. | discord(?:app)?\.com/api/webhooks/.
    | (?:^|[\s;?&]) (?:password|passwd|pwd|accountkey|sharedaccesskey|api_?key|access_?token|auth_?token|secret|sig)
        \s*=\s* [^\s;&]
    | "(?:auth|password|private_key|client_secret)"\s*:
    """,
    re.VERBOSE | re.IGNORECASE,
)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?P<user>[^\s/?#:@]*)(?::(?P<password>[^\s/?#]+))?@", re.IGNORECASE)
_TOKEN_LENGTH: Final = 16
"""Fewest characters of the user in an ``https`` URL that make it a token."""


def looks_secret(name: str, value: str) -> bool:
    """Return whether a variable counts as a secret."""
    if not value:
        return False
    return _name_says(_words(name), value) or _HOLDS.search(value) is not None or bool(url_secrets(value))


def url_secrets(value: str) -> tuple[str, ...]:
    """Return the passwords in a text's URLs, as written and decoded, and tokens in the place of user names."""
    found: dict[str, None] = {}
    for match in _URL.finditer(value):
        user, password = match["user"], match["password"]
        if password:
            found |= {password: None, unquote(password): None}
        elif len(user) >= _TOKEN_LENGTH and match[0].startswith("http"):
            found[user] = None
    return tuple(found)


def _words(name: str) -> str:
    """Return a name in capitals, its words separated by one underscore."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", apart).upper().strip("_")


def _name_says(words: str, value: str) -> bool:
    if words in _OPEN or _PUBLIC.search(words):
        return False
    found = _ANYWHERE.search(words)
    if found is not None and not found[0].endswith(("KEY", "TOKEN")):
        return True
    last = _WHICH.sub("", words).rpartition("_")[2]
    if not (found is not None and not _PLACE.search(words)) and last not in _LAST:
        return False
    return not (_SETTING.fullmatch(value) or (last == "TOKENS" and _COUNT.fullmatch(value)))
