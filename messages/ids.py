"""Ids of runs and keys of messages: which ones users may choose and ask for, and how the others are made. Pure.

Ids made from other ids, those of children and of scheduled runs, contain a ``~``, which no chosen id may contain. In
older journals children are called ``PARENT.N``, which a user may have chosen: before a child is started under an id
that exists, the parents are compared.
"""

import re
import secrets
from typing import Final

MAX_ID: Final = 200
"""Maximum number of characters of a run id."""
ID_SIGNS: Final = "23456789bcdfghjkmnpqrstvwxz"
"""Characters at the end of new run ids: none is easily mistaken for another, and there are no vowels to spell words."""
ID_LENGTH: Final = 12
"""Number of these characters: enough for a hundred million runs without a collision."""
_ID_BITS: Final = 128
"""Random bits for an id: twice as many as it can hold, so that all ids are equally likely."""
MADE: Final = "~"
"""Contained in ids made from other ids, and in no chosen one."""
REDRIVE: Final = "redrive/"
"""Prefix of the key of a dead letter that is sent again."""
_CHOSEN: Final = re.compile(r"[A-Za-z0-9._-]+")
_SENT: Final = re.compile(r".+:([0-9.]+/)?tell\(.*\)#[0-9]+", re.DOTALL)
"""Keys of messages that programs send: the sender's id and its call."""


def text_given(what: str, given: object) -> str:
    """Return a text by which something is looked up.

    Raises:
        TypeError: It is not text, but for instance a handle or a number.
        ValueError: No text in a journal is like it.
    """
    if not isinstance(given, str):
        msg = f"{what} is a str, not {given!r:.250}"
        raise TypeError(msg)
    if not is_text(given):
        msg = f"{what} holds what is not a character: {given!r:.250}"
        raise ValueError(msg)
    return given


def is_text(given: str) -> bool:
    """Return whether a text has a form in UTF-8: whether it holds no half of a surrogate pair."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def id_fault(given: object) -> str | None:
    """Return why an id cannot be chosen, or None if it can."""
    if isinstance(given, str) and len(given) <= MAX_ID and _CHOSEN.fullmatch(given):
        return None
    made = isinstance(given, str) and MADE in given
    why = f"; {MADE!r} stands in the ids of children and of scheduled runs, which nobody chooses" if made else ""
    return f"a run id is 1 to {MAX_ID} letters, digits, '.', '_' or '-', not {given!r:.250}{why}"


def run_id(given: object, workflow: str) -> str:
    """Check a chosen id, or make a new one.

    Raises:
        ValueError: It is empty, too long, or holds other characters than letters, digits, ``.``, ``_`` and ``-``.
    """
    if given is None:
        return f"{workflow}-{_signs(secrets.randbits(_ID_BITS))}"
    if (wrong := id_fault(given)) is not None:
        raise ValueError(wrong)
    assert isinstance(given, str)
    return given


def _signs(number: int) -> str:
    """Write a random number with the signs of ids."""
    signs: list[str] = []
    for _ in range(ID_LENGTH):
        number, digit = divmod(number, len(ID_SIGNS))
        signs.append(ID_SIGNS[digit])
    return "".join(signs)


def child_id(parent: str, number: int) -> str:
    """Return the id of a run's child, given its number."""
    return f"{parent}{MADE}{number}"


def turn_child_id(session: str, turn: int, number: int) -> str:
    """Return the id of a child of a session's turn. No chosen id contains the ``/`` of a session."""
    return f"{session}/{turn}.{number}"


def scheduled_id(schedule: str, moment: str) -> str:
    """Return the id of the run of a schedule that is due at a moment."""
    return f"{schedule}{MADE}{moment}"


def sent_key(sender: str, call: str) -> str:
    """Return the key of a message that a program sends, by which its receiver recognizes repetitions."""
    return f"{sender}:{call}"


def message_key_fault(key: str | None) -> str | None:
    """Return why a message's key cannot be chosen, or None if it can."""
    if key is None or not (key.startswith(REDRIVE) or _SENT.fullmatch(key)):
        return None
    return (
        f"the key {key!r:.250} is of the kind that is made for messages of workflows and for dead letters that are "
        f"sent again; choose another one"
    )
