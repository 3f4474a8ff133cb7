"""Descriptions of exceptions as data: what an attempt or a workflow raised, without the exception object."""

import json
import math
import os
import traceback
from types import MemberDescriptorType
from typing import Any, Final, cast

from pydantic import JsonValue

from greenroom.actors.failures.inspection import (
    BY_STATEMENT,
    attribute,
    bounded,
    cause_of,
    class_attribute,
    members_of,
    message_of,
    mro_of,
    name_of,
    notes_of,
)
from greenroom.actors.failures.limit_hints import limit_hint
from greenroom.actors.failures.reconstruction import reconstructed_cause
from greenroom.actors.failures.tracebacks import is_foreign, place, report
from greenroom.messages.core.errors import (
    DefinitionError,
    Fatal,
    GreenroomError,
    InvalidInput,
    NotSerializable,
    RetryAfter,
    RunCancelled,
    RunFailed,
    StepFailed,
    TurnFailed,
)
from greenroom.messages.core.failures import Failure, Outcome
from greenroom.messages.options.policy import class_name
from greenroom.messages.secrets.withheld_hints import hint

_CAUSES: Final = 5
"""Most exceptions of one chain that are searched for the name of a missing variable."""
_UNREACHABLE: Final = frozenset({"ConnectionError", "ConnectError", "ConnectTimeout", "ProxyError", "gaierror"})
"""Names of exceptions that libraries raise if the network cannot be reached."""
_PROXIES: Final = "\nHTTP_PROXY HTTPS_PROXY ALL_PROXY"
_HOPELESS: Final = (Fatal, DefinitionError, InvalidInput, NotSerializable)
"""Exceptions that the same code would only raise again."""
_ELSEWHERE: Final = (StepFailed, RunFailed, TurnFailed)
"""Exceptions about what failed in another process, whose limits and variables are not those of this one."""
_MOST_NAMED: Final = 3
"""Most members of a group that its message names, from the first."""
_MOST_MEMBERS: Final = 20
"""Most members of a group that are recorded, from the first, including those of nested groups."""
_DATA_BYTES: Final = 4 * 1024
"""Largest JSON of an exception's arguments, and of each field, in bytes."""
_FIELDS_BYTES: Final = 8 * 1024
"""Largest JSON of all fields together, in bytes."""
_DEEPEST: Final = 6
"""Deepest nesting of lists and objects in a field."""
_OWN: Final = frozenset({"cause", "fields", "message"})
"""Fields of this package's exceptions that the description holds elsewhere."""


def describe_exception(error: BaseException, outcome: Outcome = "error") -> Failure:
    """Describe an exception so that a retry policy, a journal and a person can use it.

    The traceback shows only frames of user code, of the exception and of its causes. Text is limited to 16 KiB. The
    exception's class is user code, and any access to it may raise; this function never raises.
    """
    cls = type(error)
    fatal = issubclass(cls, _HOPELESS) and not isinstance(error, StepFailed)  # a failed step may succeed later
    try:
        classes = (bounded(class_name(each)) for each in mro_of(cls) if issubclass(each, BaseException))
        failure = Failure(
            outcome=outcome,
            type=name_of(cls),
            message=_with_hint(error),
            traceback=report(error),
            place=place(error),
            classes=tuple(dict.fromkeys(classes)),  # a class combined by ``reconstruction`` has the name of its base
            fatal=fatal,
            retry_after=_pause(error),
            args=_args(error),
            fields=_fields(error),
            notes=notes_of(error),
            members=_members(error, [_MOST_MEMBERS]),
        )
        again = reconstructed_cause(failure)
        lost = again is not None and message_of(again) != message_of(error)
        return failure.model_copy(update={"text_lost": True}) if lost else failure
    except BaseException as broken:  # noqa: BLE001  see above
        missing = f"(the rest is missing, because describing it raises {name_of(type(broken))})"
        message = f"{message_of(error)} {missing}".strip()
        return Failure(outcome=outcome, type=name_of(cls), message=message, fatal=fatal)


def _message(error: BaseException) -> str:
    """Return an exception's text. For a group it names the first members, which the group's own text only counts."""
    message = message_of(error)
    if not isinstance(error, BaseExceptionGroup):
        return message
    members = members_of(cast("BaseExceptionGroup[BaseException]", error))
    named = [f"{name_of(type(each))}: {message_of(each)}".rstrip(": ") for each in members[:_MOST_NAMED]]
    rest = [f"and {len(members) - _MOST_NAMED} more"] if len(members) > _MOST_NAMED else []
    return bounded(f"{message}: {'; '.join([*named, *rest])}")


def _members(error: BaseException, left: list[int]) -> tuple[Failure, ...]:
    """Describe the first members of a group. ``left`` counts down what may be added, including nested groups."""
    if not isinstance(error, BaseExceptionGroup):
        return ()
    found: list[Failure] = []
    for member in members_of(cast("BaseExceptionGroup[BaseException]", error)):
        if left[0] == 0:
            break
        left[0] -= 1
        cls = type(member)
        classes = (bounded(class_name(each)) for each in mro_of(cls) if issubclass(each, BaseException))
        found.append(
            Failure(
                outcome="error",
                type=name_of(cls),
                message=message_of(member),
                place=place(member),
                classes=tuple(dict.fromkeys(classes)),
                args=_args(member),
                fields=_fields(member),
                notes=notes_of(member),
                members=_members(member, left),
            )
        )
    return tuple(found)


def _pause(error: BaseException) -> float | None:
    """Return the seconds that a step asks to wait before the next attempt."""
    if not isinstance(error, RetryAfter) or isinstance(error, StepFailed):
        return None
    return error.seconds if math.isfinite(error.seconds) else None


# ---------------------------------------------------------------- arguments and attributes as data


def _args(error: BaseException) -> tuple[JsonValue, ...]:
    """Return the arguments of an exception, or only its text if they are not JSON or too long."""
    try:
        return tuple(cast("list[JsonValue]", _data(list(attribute(error, "args")))[0]))
    except ValueError:
        return (message_of(error),)


def _fields(error: BaseException) -> dict[str, JsonValue]:
    """Return the attributes of an exception that are JSON and short enough. Each is complete."""
    found = _slots(error)
    found |= attribute(error, "__dict__")
    fields: dict[str, JsonValue] = {}
    left = _FIELDS_BYTES
    for name, value in found.items():
        if type(name) is not str or name.startswith("_") or not name.isidentifier():
            continue
        if not (name in _OWN and isinstance(error, GreenroomError)):
            try:
                plain, size = _data(value)
            except ValueError:
                continue
            if size + len(name) <= left:
                fields[name] = plain
                left -= size + len(name)
    return fields


def _slots(error: BaseException) -> dict[str, Any]:
    """Return what an exception's slots hold, also those of built-in classes, which are None where nothing was set."""
    found: dict[str, Any] = {}
    for cls in reversed(mro_of(type(error))):
        for name, member in list(type.__dict__["__dict__"].__get__(cls).items()):
            if type(member) is MemberDescriptorType and name not in {"obj", "object"}:
                try:
                    value = member.__get__(error)
                except AttributeError:  # the slot was never set
                    continue
                if value is not None or class_attribute(cls, "__flags__") & BY_STATEMENT:
                    found[name] = value
    return found


def _data(value: object) -> tuple[JsonValue, int]:
    """Return a value as JSON, without secrets, and its length as text.

    Raises:
        ValueError: The value is not JSON, or is too large. No code of the user's is called.
    """
    plain = _plain(value, 0, [_DATA_BYTES])
    size = len(json.dumps(plain))
    if size > _DATA_BYTES:
        raise ValueError
    return plain, size


def _plain(value: object, depth: int, left: list[int]) -> JsonValue:
    """Return a value as JSON. ``left`` counts down how many values it may still contain."""
    left[0] -= 1
    kind = type(value)
    if left[0] < 0 or depth > _DEEPEST:
        raise ValueError
    if value is None or kind is bool or (kind is int and abs(cast("int", value)) < 2**53):
        return cast("JsonValue", value)
    if kind is float and math.isfinite(cast("float", value)):
        return cast("JsonValue", value)
    if kind is str and len(cast("str", value)) <= _DATA_BYTES:
        return bounded(cast("str", value))
    if kind in (list, tuple):
        return [_plain(each, depth + 1, left) for each in cast("list[object]", value)]
    if kind is dict and all(type(name) is str for name in cast("dict[object, object]", value)):
        named = cast("dict[str, object]", value)
        return {bounded(name): _plain(each, depth + 1, left) for name, each in named.items()}
    raise ValueError


# ---------------------------------------------------------------- failed calls


def failed_calls(error: BaseException) -> tuple[str, ...]:
    """Return the keys of the failed calls that a workflow's exception comes from.

    That is the exception itself if a step or a child raised it, or any member of a group, or else its cause or context.
    Causes may form a cycle or be thousands deep. So each exception is visited once, and without recursion.
    """
    keys: dict[str, None] = {}
    seen: set[int] = set()
    found = 0
    left: list[tuple[BaseException, int | None]] = [(error, None)]
    """Exceptions to visit. A number marks a group whose members were visited: the calls found before them."""
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
                left.extend((member, None) for member in reversed(members_of(group)))
                continue
        if before in (None, found) and (reason := cause_of(looked)) is not None:
            left.append((reason, None))
    return tuple(keys)


def raising_call(error: BaseException) -> str:
    """Return the key of the step or child that an exception reports; empty if it reports none."""
    name = "step" if isinstance(error, StepFailed) else "call" if isinstance(error, (RunFailed, RunCancelled)) else ""
    key = vars(error).get(name)
    return bounded(key) if isinstance(key, str) else ""


# ---------------------------------------------------------------- one-line descriptions


def explain(error: BaseException) -> str:
    """Return one line on what was raised, and where: ``KeyError: 'colour' (/path/app.py:31)``. Never raises."""
    return describe_exception(error).told()


def explain_without_source(error: BaseException) -> str:
    """Return one line on what was raised, and where, without reading source code. Never raises.

    For exceptions found by Python's garbage collector. The collector may interrupt the parser, which must not be
    re-entered from there. Formatting a traceback's frames would call it.
    """
    place = ""
    try:
        for frame, line in traceback.walk_tb(attribute(error, "__traceback__")):
            if not is_foreign(frame.f_code.co_filename):
                place = f" ({frame.f_code.co_filename}:{line})"
    except BaseException:  # noqa: BLE001, S110  see ``describe_exception``
        pass
    return f"{name_of(type(error))}: {message_of(error)}{place}"


def missing_variable(error: BaseException) -> str:
    """Return advice on how to pass a variable that was withheld from this process, if an exception is about one.

    That is so if its text names a variable, or the text of a cause or context, or the line that raised it. If the
    network cannot be reached, a proxy's URL may be what is missing, as it may hold a password. Empty if nothing was
    withheld, or if all of it failed in another process.
    """
    history = _history(error)
    said = "\n".join(message_of(each) for each in history)
    if any(name_of(cls) in _UNREACHABLE for each in history for cls in mro_of(type(each))):
        said += _PROXIES
    if not history:
        return ""
    frames = traceback.extract_tb(attribute(error, "__traceback__"))[-1:]
    return hint("\n".join([said, *(frame.line or "" for frame in frames)]), os.environ)


def _with_hint(error: BaseException) -> str:
    """Return an exception's text, with advice on the limit that it reports or the variable that it misses."""
    how = next((hint for each in _history(error) if (hint := limit_hint(each))), "") or missing_variable(error)
    message = _message(error)
    return f"{message} ({how})" if message and how else message or how


def _history(error: BaseException) -> list[BaseException]:
    """Return an exception and the first of its causes or contexts, up to one about what failed in another process."""
    found: list[BaseException] = []
    looked: BaseException | None = error
    while looked is not None and len(found) < _CAUSES and all(looked is not each for each in found):
        if isinstance(looked, _ELSEWHERE):
            break
        found.append(looked)
        looked = cause_of(looked)
    return found
