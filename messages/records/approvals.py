"""Decisions of people on approvals, and the ids of approvals."""

import re
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.message import Message, Shown

ApprovalDecision: TypeAlias = Literal["approve", "reject", "edit"]


class Approval(Message):
    """The decision of a person.

    Attributes:
        decision: ``"approve"``, ``"reject"``, or ``"edit"``: approved with other arguments.
        args: The approved arguments: those of the edit, otherwise the original ones.
        comment: The person's reason.
        by: Name of the person.
    """

    decision: ApprovalDecision
    args: Shown = None
    comment: str = ""
    by: str = ""


_BETWEEN: Final = "~~"
"""Separates run and key in an approval's id. Escaped text never contains it."""
_SHORT: Final = {"#": "~.", "/": "~-", "@": "~_"}
"""Escapes of characters that are common in keys. Every other character with a meaning in shells or URLs becomes ``~``
and its bytes in hexadecimal."""
_LONG: Final = {short: sign for sign, short in _SHORT.items()}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_PART: Final = re.compile(r"(?:[A-Za-z0-9._-]|~[._-]|(?:~[0-9A-F]{2})+)+")
_ESCAPES: Final = re.compile(r"~[._-]|(?:~[0-9A-F]{2})+")
_OLD_BETWEEN: Final = ":"
"""Separator in older ids, such as ``release-7:approve#1``. No other id contains it."""


def approval_id(run_id: str, key: str) -> str:
    """Return the id of a run's question, in letters, digits, ``.``, ``_``, ``~``, ``-``: ``release-7~~approve~.1``."""
    return f"{_escaped(run_id)}{_BETWEEN}{_escaped(key)}"


def split_approval_id(approval: str) -> tuple[str, str]:
    """Return the run and the key of an approval's id; both empty if it is not such an id."""
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
