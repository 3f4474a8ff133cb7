"""Exceptions as data: what an attempt or a workflow raised, without the exception itself."""

import asyncio
import math
import os
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast

from understudy.actors.redacting import redact
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
from understudy.messages.withholding import hint

_ROOTS: Final = {Path(__file__).parent.parent, Path(__file__).resolve().parent.parent}  # a checkout has links to itself
_FOREIGN: Final = (
    "<frozen importlib",
    str(Path(asyncio.__file__).parent),
    *(f"{root / part}{os.sep}" for root in _ROOTS for part in ("actors", "messages", "workflows")),
    *(str(root / "__init__.py") for root in _ROOTS),
)
_TEXT_LIMIT: Final = 16 * 1024
_CAUSES: Final = 5
"""Exceptions behind an exception that are looked at for a missing variable."""
_UNREACHABLE: Final = frozenset({"ConnectionError", "ConnectError", "ConnectTimeout", "ProxyError", "gaierror"})
"""Names of what libraries raise where they cannot reach the network."""
_PROXIES: Final = "\nHTTP_PROXY HTTPS_PROXY ALL_PROXY"
_HOPELESS: Final = (Fatal, DefinitionError, InvalidInput, NotSerializable)
"""What the same code would only raise again."""


def describe_exception(error: BaseException, outcome: Outcome = "error") -> Failure:
    """Describe an exception so that a retry policy, a journal and a person can use it.

    The traceback holds frames of user code only. Text is kept to 16 KiB. An exception is an object of the user's, and
    whatever is asked of it may raise. This never does.
    """
    cls = type(error)
    try:
        return Failure(
            outcome=outcome,
            type=_name(cls),
            message=_with_hint(error),
            traceback=_ends(user_traceback(_attribute(error, "__traceback__"))),
            classes=tuple(_text(class_name(each)) for each in _mro(cls) if issubclass(each, BaseException)),
            fatal=issubclass(cls, _HOPELESS),
            retry_after=error.seconds if isinstance(error, RetryAfter) and math.isfinite(error.seconds) else None,
        )
    except BaseException as broken:  # noqa: BLE001  see above
        message = f"it cannot be described, because that raises {_name(type(broken))}"
        return Failure(outcome=outcome, type=_name(cls), message=message, fatal=issubclass(cls, _HOPELESS))


def failed_calls(error: BaseException) -> tuple[str, ...]:
    """Give the keys of the calls whose failures a workflow's exception comes from.

    That is itself where a step or a child raised it, any in a group, else what it was raised from or while handling.
    Causes may form a circle or be thousands deep: each exception is looked at once, without recursion.
    """
    keys: dict[str, None] = {}
    seen: set[int] = set()
    found = 0
    left: list[tuple[BaseException, int | None]] = [(error, None)]
    """Exceptions to look at; with a number, a group whose members have been, and how many calls were found before."""
    while left:
        looked, before = left.pop()
        if before is None:
            if id(looked) in seen:
                continue
            seen.add(id(looked))
            if key := raising_call(looked):
                keys[key] = None
                found += 1
                continue
            if isinstance(looked, BaseExceptionGroup):
                group = cast("BaseExceptionGroup[BaseException]", looked)
                left.append((group, found))
                left.extend((member, None) for member in reversed(_members(group)))
                continue
        if before in (None, found) and (reason := _reason(looked)) is not None:
            left.append((reason, None))
    return tuple(keys)


def raising_call(error: BaseException) -> str:
    """Give the key of the step or child that an exception tells of, empty where it tells of none."""
    name = "step" if isinstance(error, StepFailed) else "call" if isinstance(error, (RunFailed, RunCancelled)) else ""
    key = vars(error).get(name)
    return _text(key) if isinstance(key, str) else ""


def _members(group: BaseExceptionGroup[BaseException]) -> tuple[BaseException, ...]:
    return BaseExceptionGroup.__dict__["exceptions"].__get__(group)  # type: ignore[no-any-return]


def _reason(error: BaseException) -> BaseException | None:
    cause: BaseException | None = _attribute(error, "__cause__")
    if cause is not None or _attribute(error, "__suppress_context__"):
        return cause
    return _attribute(error, "__context__")  # type: ignore[no-any-return]


def _attribute(error: BaseException, name: str) -> Any:
    """Give what the interpreter keeps of an exception, whatever its class has put in the place of it."""
    return BaseException.__dict__[name].__get__(error)


def _name(cls: type) -> str:
    return _text(type.__dict__["__name__"].__get__(cls))


def _mro(cls: type) -> tuple[type, ...]:
    return type.__dict__["__mro__"].__get__(cls)  # type: ignore[no-any-return]


def user_traceback(start: TracebackType | None) -> str:
    """Format the frames of a traceback that are the user's: neither ours nor those of asyncio or the import system."""
    return "".join(traceback.format_list(_user_frames(start)))


def explain(error: BaseException) -> str:
    """Say in one line what was raised, and where: ``KeyError: 'colour' (/path/app.py:31)``. Never raises."""
    failure = describe_exception(error)
    try:
        frames = _user_frames(_attribute(error, "__traceback__"))
    except BaseException:  # noqa: BLE001  see ``describe_exception``
        frames = []
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{failure.sentence()}{place}"


def mention(error: BaseException) -> str:
    """Say in one line what was raised, and where, without reading source code. Never raises.

    For what Python's collector finds. It may interrupt the parser, which must not be called again from there, and the
    frames of a traceback cannot be formatted without it.
    """
    place = ""
    try:
        for frame, line in traceback.walk_tb(_attribute(error, "__traceback__")):
            if not is_foreign(frame.f_code.co_filename):
                place = f" ({frame.f_code.co_filename}:{line})"
    except BaseException:  # noqa: BLE001, S110  see ``describe_exception``
        pass
    return f"{_name(type(error))}: {_message(error)}{place}"


def missing_variable(error: BaseException) -> str:
    """Say how to give a variable that was kept from this process, where an exception is about one; else nothing.

    It is where it names one, or one that it was raised from or while handling does, or the line that raised it. Where
    the network cannot be reached, the way to a proxy may be what is missing: it may hold a password.
    """
    history = _history(error)
    said = "\n".join(_message(each) for each in history)
    if any(_name(cls) in _UNREACHABLE for each in history for cls in _mro(type(each))):
        said += _PROXIES
    frames = traceback.extract_tb(_attribute(error, "__traceback__"))[-1:]
    return hint("\n".join([said, *(frame.line or "" for frame in frames)]), os.environ)


def _with_hint(error: BaseException) -> str:
    """Give an exception's text, and how to give the variable that it misses."""
    message, how = _message(error), missing_variable(error)
    return f"{message} ({how})" if how else message


def _history(error: BaseException) -> list[BaseException]:
    """Give an exception, and what it comes from, as far as a person would look."""
    found: list[BaseException] = []
    looked: BaseException | None = error
    while looked is not None and len(found) < _CAUSES and all(looked is not each for each in found):
        found.append(looked)
        looked = _reason(looked)
    return found


def _user_frames(start: TracebackType | None) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(start) if not is_foreign(frame.filename)]


def is_foreign(filename: str) -> bool:
    """Say whether code of this file is not the user's, but ours, asyncio's or the import system's."""
    return filename.startswith(_FOREIGN)


def _message(error: BaseException) -> str:
    try:
        return _text(str(error))
    except BaseException as broken:  # noqa: BLE001  a class of the user's makes this text
        return f"its text cannot be made, that raises {_name(type(broken))}"


def _ends(text: str) -> str:
    """Shorten a long text in its middle: a traceback says most at its ends."""
    text, half = redact(text), _TEXT_LIMIT // 2
    return _text(text if len(text) <= _TEXT_LIMIT else f"{text[: half - 8]}\n  ...\n{text[-half:]}")


def _text(text: str) -> str:
    """Take out secrets, shorten, and replace what JSON cannot carry. A subclass of ``str`` has no say in it."""
    plain = redact(str.__getitem__(text, slice(None)))  # first: a cut could leave a part of a secret
    return plain[:_TEXT_LIMIT].encode("utf-8", "replace").decode("utf-8")
