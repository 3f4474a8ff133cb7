"""What runs and messages are called: what people may choose, and what is made so that nobody can have chosen it. Pure.

Ids that are made of others, those of children and of scheduled runs, hold a ``~``, which no chosen id may hold. In
older journals children are called ``PARENT.N``, which somebody may have chosen: who starts a child compares its parent.
"""

import re
import secrets
from typing import Final

MAX_ID: Final = 200
"""Characters a run id may have."""
ID_SIGNS: Final = "23456789bcdfghjkmnpqrstvwxz"
"""What new run ids end in: nothing that is taken for something else, or spells a word."""
ID_LENGTH: Final = 12
"""How many of them: so many that of a hundred million runs no two should ever be called the same."""
MADE: Final = "~"
"""Stands in ids that are made of others, and in none that is chosen."""
REDRIVE: Final = "redrive/"
"""What the key of a message begins with that is a dead letter sent again."""
_CHOSEN: Final = re.compile(r"[A-Za-z0-9._-]+")
_SENT: Final = re.compile(r".+:([0-9.]+/)?tell\(.*\)#[0-9]+", re.DOTALL)
"""Keys of messages that programs send: the sender's id and its call."""


def id_fault(given: object) -> str | None:
    """Say why an id cannot be chosen; None where it can."""
    if isinstance(given, str) and len(given) <= MAX_ID and _CHOSEN.fullmatch(given):
        return None
    made = isinstance(given, str) and MADE in given
    why = f"; {MADE!r} stands in the ids of children and of scheduled runs, which nobody chooses" if made else ""
    return f"a run id is 1 to {MAX_ID} letters, digits, '.', '_' or '-', not {given!r:.250}{why}"


def run_id(given: object, workflow: str) -> str:
    """Check an id, or make one that was never used.

    Raises:
        ValueError: It is empty, too long, or holds other characters than letters, digits, ``.``, ``_`` and ``-``.
    """
    if given is None:
        return f"{workflow}-{''.join(secrets.choice(ID_SIGNS) for _ in range(ID_LENGTH))}"
    if (wrong := id_fault(given)) is not None:
        raise ValueError(wrong)
    assert isinstance(given, str)
    return given


def child_id(parent: str, number: int) -> str:
    """Name a run's child by its number."""
    return f"{parent}{MADE}{number}"


def turn_child_id(session: str, turn: int, number: int) -> str:
    """Name a child of a session's turn; the ``/`` of a session is in no chosen id either."""
    return f"{session}/{turn}.{number}"


def scheduled_id(schedule: str, moment: str) -> str:
    """Name the run of a schedule that is due at a moment."""
    return f"{schedule}{MADE}{moment}"


def sent_key(sender: str, call: str) -> str:
    """Give the key of a message that a program sends, by which its receiver tells a repetition."""
    return f"{sender}:{call}"


def message_key_fault(key: str | None) -> str | None:
    """Say why a message's key cannot be chosen; None where it can."""
    if key is None or not (key.startswith(REDRIVE) or _SENT.fullmatch(key)):
        return None
    return (
        f"the key {key!r:.250} is of the kind that is made for messages of workflows and for dead letters that are "
        f"sent again; choose another one"
    )
