"""Exceptions as data: what an attempt or a workflow raised, without the exception itself."""

import asyncio
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from understudy.messages.errors import Fatal, RetryAfter
from understudy.messages.failures import Failure, Outcome
from understudy.messages.policy import class_name

_OURS: Final = Path(__file__).resolve().parent.parent
_FOREIGN: Final = (str(Path(asyncio.__file__).parent), *(str(_OURS / part) for part in ("actors", "messages", "workflows")))
_TEXT_LIMIT: Final = 16 * 1024


def describe_exception(error: BaseException, outcome: Outcome = "error") -> Failure:
    """Describe an exception so that a retry policy, a journal and a person can use it.

    The traceback holds frames of user code only. Text is kept to 16 KiB.
    """
    return Failure(
        outcome=outcome,
        type=type(error).__name__,
        message=_text(str(error)),
        traceback=_text(user_traceback(error.__traceback__)),
        classes=tuple(class_name(cls) for cls in type(error).__mro__ if issubclass(cls, BaseException)),
        fatal=isinstance(error, Fatal),
        retry_after=error.seconds if isinstance(error, RetryAfter) else None,
    )


def user_traceback(start: TracebackType | None) -> str:
    """Format the frames of a traceback that are the user's: neither ours nor asyncio's."""
    frames = [frame for frame in traceback.extract_tb(start) if not frame.filename.startswith(_FOREIGN)]
    return "".join(traceback.format_list(frames))


def _text(text: str) -> str:
    """Shorten, and replace what JSON cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")[:_TEXT_LIMIT]
