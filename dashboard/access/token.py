"""The token: what everyone who speaks to the server has to know."""

import secrets
from dataclasses import dataclass
from typing import Final

from greenroom.messages.core.errors import CannotServe, JournalError
from greenroom.workflows.home import former_name
from greenroom.workflows.home.home import TOKEN_VARIABLE, Home
from greenroom.workflows.home.private_files import write_private

LEAST: Final = 16
"""Characters that a token has at least, where somebody else has made it up."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and where it came from."""

    value: str
    made: bool
    """Whether it was made just now, so that nobody knows it yet."""

    def __repr__(self) -> str:
        """Say nothing of it: this may end up in a log."""
        return f"<Token {'made now' if self.made else 'given'}>"


def given_token(home: Home, value: str | None = None) -> Token | None:
    """Give the token that somebody has chosen or an earlier server made; None where there is none.

    Args:
        home: Where an earlier server has left it.
        value: One that goes before all others. Then comes that of the environment, then that of the home.

    Raises:
        CannotServe: It is too short, or its file is not ours, or can be read by others.
    """
    value = value if value is not None else former_name.variable(TOKEN_VARIABLE)
    if value is None:
        try:
            value = home.read_token()
        except JournalError as error:
            msg = f"the token cannot be trusted: {error}"
            raise CannotServe(msg) from error
        if value is None:
            return None
    if len(value) < LEAST or not all("!" <= sign <= "~" for sign in value):
        msg = f"a token is at least {LEAST} visible ASCII characters; `openssl rand -hex 32` gives a good one"
        raise CannotServe(msg)
    return Token(value, made=False)


def make_token(home: Home) -> Token:
    """Make a token and leave it in the home, for its owner alone."""
    value = secrets.token_urlsafe(32)
    home.create()
    write_private(home.token, value + "\n")
    return Token(value, made=True)
