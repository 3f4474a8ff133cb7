"""Scripts: replies that a test has written in advance, used instead of any model in every process.

A folder holds a file ``NAME.json`` per ``LLM``, with its replies in order. Every attempt adds a line to ``NAME.taken``
beside it, under a lock: which reply it took, and what it asked.
"""

import builtins
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.messages.core import errors
from greenroom.messages.core.errors import Fatal, RetryAfter
from greenroom.messages.core.message import Shown
from greenroom.messages.transcript import ToolCall

VARIABLE: Final = "GREENROOM_SCRIPTS"
"""Environment variable that names the folder. Read in the worker."""
_PROMPT: Final = 200
"""Characters of a prompt that an error quotes."""


@dataclass(frozen=True, slots=True)
class Scripted:
    """One reply of a script."""

    text: str = ""
    raises: str | None = None
    """Name of an exception to raise instead, of Python or of this package."""
    delay: float = 0.0
    """Seconds that a ``RetryAfter`` asks for."""
    when: str | None = None
    """Text that the prompt must contain."""
    calls: Sequence[Mapping[str, str]] = ()
    """Tools to ask for: fields of ``ToolCall``."""


def script_path(folder: Path, name: str) -> Path:
    """Return the path of an ``LLM``'s script, for any name."""
    return folder / f"{quote(name, safe='')}.json"


def taken_path(folder: Path, name: str) -> Path:
    """Return the path of the file that lists the replies taken."""
    return script_path(folder, name).with_suffix(".taken")


def exception_class(name: str) -> type[Exception] | None:
    """Return the exception class for a name, of Python or of this package; None for other names."""
    found = getattr(builtins, name, None) or getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def scripted_reply(name: str, request: ModelRequest) -> ModelReply | None:
    """Take the next reply for an ``LLM`` from its script. Return None if it has no script.

    Raises:
        Fatal: The script has no fitting reply left.
        Exception: The exception that the script names.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    try:
        replies = [Scripted(**entry) for entry in json.loads(script_path(Path(folder), name).read_text("utf-8"))]
    except FileNotFoundError:
        return None
    reply = _take(taken_path(Path(folder), name), replies, request)
    if reply is None:
        msg = (
            f"the script of LLM `{name}` has no reply left for attempt {request.attempt} of "
            f"{request.idempotency_key or 'a call'}, whose prompt is {request.prompt[:_PROMPT]!r}: "
            f"it has {len(replies)}"
        )
        raise Fatal(msg)
    if reply.raises is None:
        return ModelReply(reply.text, usd=0.0, calls=tuple(ToolCall(**call) for call in reply.calls))
    if reply.raises == "RetryAfter":
        raise RetryAfter(reply.delay, reply.text)
    raise (exception_class(reply.raises) or RuntimeError)(reply.text)


def _take(path: Path, replies: list[Scripted], request: ModelRequest) -> Scripted | None:
    """Return the first fitting reply that was not taken yet, and record that it is taken."""
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, however this process ends
        file.seek(0)
        taken = {json.loads(line)["reply"] for line in file}
        for number, reply in enumerate(replies):
            if number not in taken and (reply.when is None or reply.when in request.prompt):
                file.write(json.dumps({"reply": number, **_noted(request)}) + "\n")
                return reply
        file.write(json.dumps({"reply": None, **_noted(request)}) + "\n")
        return None


def _noted(request: ModelRequest) -> dict[str, Shown]:
    noted: dict[str, Any] = {
        "prompt": request.prompt,
        "instructions": request.instructions,
        "feedback": list(request.feedback),
        "attempt": request.attempt,
        "idempotency_key": request.idempotency_key,
        "messages": [message.model_dump(mode="json") for message in request.messages],
        "tools": [each.model_dump(mode="json") for each in request.tools],
    }
    return noted
