"""Exceptions as data: what an attempt or a workflow raised, without the exception itself."""

import asyncio
import os
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from understudy.messages.errors import (
    DefinitionError,
    Fatal,
    InvalidInput,
    NotSerializable,
    RetryAfter,
    RunCancelled,
    RunFailed,
    StepFailed,
)
from understudy.messages.failures import Failure, Outcome
from understudy.messages.policy import class_name

_ROOTS: Final = {Path(__file__).parent.parent, Path(__file__).resolve().parent.parent}  # a checkout has links to itself
_FOREIGN: Final = (
    "<frozen importlib",
    str(Path(asyncio.__file__).parent),
    *(f"{root / part}{os.sep}" for root in _ROOTS for part in ("actors", "messages", "workflows")),
    *(str(root / "__init__.py") for root in _ROOTS),
)
_TEXT_LIMIT: Final = 16 * 1024
_HOPELESS: Final = (Fatal, DefinitionError, InvalidInput, NotSerializable)
"""What the same code would only raise again."""


def describe_exception(error: BaseException, outcome: Outcome = "error") -> Failure:
    """Describe an exception so that a retry policy, a journal and a person can use it.

    The traceback holds frames of user code only. Text is kept to 16 KiB.
    """
    return Failure(
        outcome=outcome,
        type=type(error).__name__,
        message=_text(_message(error)),
        traceback=_text(user_traceback(error.__traceback__)),
        classes=tuple(class_name(cls) for cls in type(error).__mro__ if issubclass(cls, BaseException)),
        fatal=isinstance(error, _HOPELESS),
        retry_after=error.seconds if isinstance(error, RetryAfter) else None,
    )


def failed_calls(error: BaseException | None) -> tuple[str, ...]:
    """Give the keys of the calls whose failures a workflow's exception comes from.

    That is itself where a step or a child raised it, any in a group, else what it was raised from or while handling.
    """
    match error:
        case StepFailed(step=key) if key:
            return (key,)
        case RunFailed(call=key) | RunCancelled(call=key) if key:
            return (key,)
        case BaseExceptionGroup(exceptions=several):
            keys = [key for each in several for key in failed_calls(each)]
            return tuple(dict.fromkeys(keys)) or failed_calls(_reason(error))
        case None:
            return ()
        case _:
            return failed_calls(_reason(error))


def _reason(error: BaseException) -> BaseException | None:
    return error.__context__ if error.__cause__ is None and not error.__suppress_context__ else error.__cause__


def user_traceback(start: TracebackType | None) -> str:
    """Format the frames of a traceback that are the user's: neither ours nor those of asyncio or the import system."""
    frames = [frame for frame in traceback.extract_tb(start) if not is_foreign(frame.filename)]
    return "".join(traceback.format_list(frames))


def is_foreign(filename: str) -> bool:
    """Say whether code of this file is not the user's, but ours, asyncio's or the import system's."""
    return filename.startswith(_FOREIGN)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001  a class of the user's makes this text
        return f"its text cannot be made, that raises {type(broken).__name__}"


def _text(text: str) -> str:
    """Shorten, and replace what JSON cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")[:_TEXT_LIMIT]
