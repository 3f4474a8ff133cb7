"""The token that every request to the server must carry."""

import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from greenroom.messages.core.errors import CannotServe, JournalError
from greenroom.workflows.home import former_name
from greenroom.workflows.home.home import TOKEN_VARIABLE, Home
from greenroom.workflows.home.private_files import write_private

LEAST: Final = 16
"""Least number of characters of a token that was chosen by a person."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its origin."""

    value: str
    made: bool
    """Whether it was created by this call, so that no caller knows it yet."""

    def __repr__(self) -> str:
        """Hide the token, because a repr may end up in a log."""
        return f"<Token {'made now' if self.made else 'given'}>"


def given_token(home: Home, value: str | None = None) -> Token | None:
    """Return the token that was configured or created before; None if there is none.

    Args:
        home: The home whose token file is read last.
        value: A token that takes precedence. Then comes the one in the environment, then the one in the home.

    Raises:
        CannotServe: The token is too short, or its file belongs to another user or can be read by others.
    """
    value = value if value is not None else former_name.variable(TOKEN_VARIABLE)
    remedy = "`openssl rand -hex 32` gives a good one"
    if value is None:
        try:
            value = home.read_token()
        except JournalError as error:
            msg = f"the token cannot be trusted: {error}"
            raise CannotServe(msg) from error
        if value is None:
            return None
        remedy = f"remove {home.token} to have one made"
    if len(value) < LEAST or not all("!" <= sign <= "~" for sign in value):
        msg = f"a token is at least {LEAST} visible ASCII characters; {remedy}"
        raise CannotServe(msg)
    return Token(value, made=False)


def make_token(home: Home) -> Token:
    """Create a token and write it to the home, readable by its owner only."""
    value = secrets.token_urlsafe(32)
    home.create()
    write_private(home.token, value + "\n")
    return Token(value, made=True)


def is_authorized(authorization: str, token: str) -> bool:
    """Return whether a request's ``Authorization`` header carries the token, in a time that does not depend on it."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
