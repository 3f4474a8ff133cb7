"""What a person decides of what a run asks: the answer, and the name by which the question is found."""

import re
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.message import Message, Shown

ApprovalDecision: TypeAlias = Literal["approve", "reject", "edit"]


class Approval(Message):
    """What a person has decided.

    Attributes:
        decision: ``"approve"``, ``"reject"``, or ``"edit"``: yes, but with other arguments.
        args: The arguments as they are to be: those of the edit, else those that were asked about.
        comment: Why, in the person's words.
        by: Who it was.
    """

    decision: ApprovalDecision
    args: Shown = None
    comment: str = ""
    by: str = ""


_BETWEEN: Final = "~~"
"""Between a run and a key in an approval's id. What is escaped holds no two of these signs in a row."""
_SHORT: Final = {"#": "~.", "/": "~-", "@": "~_"}
"""Escapes of what keys often hold. Every other sign that a shell or a URL might take for its own is ``~`` and its bytes
in hexadecimal."""
_LONG: Final = {short: sign for sign, short in _SHORT.items()}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_PART: Final = re.compile(r"(?:[A-Za-z0-9._-]|~[._-]|(?:~[0-9A-F]{2})+)+")
_ESCAPES: Final = re.compile(r"~[._-]|(?:~[0-9A-F]{2})+")
_OLD_BETWEEN: Final = ":"
"""The same in ids as they were written once, such as ``release-7:approve#1``. No other id holds one."""


def approval_id(run_id: str, key: str) -> str:
    """Name a run's question, in letters, digits, ``.``, ``_``, ``~`` and ``-``. Example: ``release-7~~approve~.1``."""
    return f"{_escaped(run_id)}{_BETWEEN}{_escaped(key)}"


def split_approval_id(approval: str) -> tuple[str, str]:
    """Give the run and the key of a question; both empty where it is no such name."""
    if _OLD_BETWEEN in approval:
        run_id, _, key = approval.rpartition(_OLD_BETWEEN)
        return run_id, key.replace("%3A", _OLD_BETWEEN).replace("%25", "%")
    run_id, _, key = approval.partition(_BETWEEN)
    if not (_PART.fullmatch(run_id) and _PART.fullmatch(key)):
        return "", ""
    try:
        return _ESCAPES.sub(_read, run_id), _ESCAPES.sub(_read, key)
    except UnicodeDecodeError:
        return "", ""


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda found: _SHORT.get(found[0]) or _hexadecimal(found[0]), text)


def _hexadecimal(sign: str) -> str:
    return "".join(f"~{byte:02X}" for byte in sign.encode())


def _read(found: re.Match[str]) -> str:
    return _LONG.get(found[0]) or bytes.fromhex(found[0].replace("~", "")).decode()
