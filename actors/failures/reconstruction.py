"""Reconstruction of recorded exceptions, for a workflow or script that awaits what failed in another process.

Nothing is imported because a record names it, and no code of the exception's author is called. A class is used only if
this process has already loaded it. Its instance is created without its ``__new__`` and ``__init__``.
"""

import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import MemberDescriptorType, ModuleType, new_class
from typing import Any, Final, TypeVar, cast

from greenroom.actors.failures.inspection import BY_STATEMENT, attribute, class_attribute, mro_of
from greenroom.messages.core import errors
from greenroom.messages.core.errors import (
    RemoteError,
    RemoteTraceback,
    RunCancelled,
    RunFailed,
    StepFailed,
    TurnFailed,
)
from greenroom.messages.core.failures import Failure
from greenroom.messages.options.policy import class_name

E = TypeVar("E", bound="StepFailed | RunFailed | TurnFailed")

_OURS: Final = f"{errors.__name__}."
_APART: Final = (BaseExceptionGroup, StopIteration, StopAsyncIteration, StepFailed, RunFailed, RunCancelled)
"""Classes that a step's failure is never raised as. Futures reject StopIteration and StopAsyncIteration. ``except*``
would split a group and lose which call failed. This package's own exceptions already name the failed call."""
_KEPT: Final = frozenset({"attempts", "call", "cause", "error", "fields", "outcome", "run_id", "step"})
"""Attributes of this package's exceptions. An author's class that overrides one of them is not combined with ours."""


class _Both:
    """First base of combined classes. Its basic methods take precedence over those of the author's class."""

    __getattribute__ = BaseException.__getattribute__
    __setattr__ = BaseException.__setattr__
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init_subclass__(cls) -> None:
        """Skip the other bases."""

    def __init__(self, *args: object) -> None:
        """Skip the other bases."""

    def __str__(self) -> str:
        """Return the message of this package's exception, or the recorded text of the author's."""
        return str(attribute(cast("BaseException", self), "__dict__")["_sentence"])

    def __repr__(self) -> str:
        """Return the representation of this package's exception."""
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Make copying possible, and pickling to processes that have both classes."""
        error = cast("BaseException", self)
        bases = class_attribute(type(error), "__bases__")
        return _again, (bases[1], bases[2:], attribute(error, "args")), dict(attribute(error, "__dict__"))


def _again(base: type[Exception], classes: tuple[type, ...], args: tuple[Any, ...]) -> BaseException:
    return _blank(_combined(cast("Any", base), classes) or base, args)


# ---------------------------------------------------------------- exceptions to raise


def reconstructed(error: E, failure: Failure) -> E:
    """Return the exception to raise for a failure: ``error``, or one that is also of a class of the author's.

    Args:
        error: The exception that says which call failed.
        failure: Why there is no result.
    """
    if failure.args is not None:
        for classes in _choices(_loaded(failure.classes)):
            both = _combined(cast("Any", type(error)), classes)
            if both is not None:
                given = _blank(both, failure.args)
                _fill(given, {name: value for name, value in failure.fields.items() if name not in _KEPT})
                attribute(given, "__dict__").update(attribute(error, "__dict__"), _sentence=str(error))
                return with_cause(cast("E", given), failure)
    return with_cause(error, failure)


def with_cause(error: E, failure: Failure) -> E:
    """Attach to an error what was raised elsewhere, and where. Return the error."""
    error.cause = reconstructed_cause(failure)
    if isinstance(error, RunFailed):
        error.failure = failure
    error.fields = dict(failure.fields)
    if text := failure.report():
        BaseException.__dict__["__cause__"].__set__(error, RemoteTraceback(text, failure.place))
    return error


def with_location(error: E, failure: Failure) -> E:
    """Do the same for a script: Python's traceback ends with the user's line, below the message."""
    file, _, line = failure.place.rpartition(":")
    start = f'File "{file}", line {line}'
    shown = [each.lstrip(" |+-") for each in failure.report().splitlines()]
    for number, text in enumerate(shown):
        if text == start or text.startswith(f"{start},"):
            source = "".join(shown[number + 1 : number + 2])
            error.add_note(f"  {text}" + (f"\n    {source}" if source and not source.startswith("File ") else ""))
            break
    return with_cause(error, failure)


def reconstructed_cause(failure: Failure) -> Exception | None:
    """Return the exception that was raised; None if there was none."""
    if not failure.classes:
        return None
    found = _call_failed(failure)
    if found is None:
        args: tuple[Any, ...] = failure.args if failure.args is not None else (failure.message,)
        if failure.members:
            members = [reconstructed_cause(each) for each in failure.members]
            args = (failure.fields.get("message", failure.message), [each for each in members if each is not None])
        classes = _loaded(failure.classes[:1])
        try:
            subclass = _with_recorded_text(classes[0]) if failure.text_lost else None
            found = _blank(subclass or classes[0], args)
            if subclass is not None:
                attribute(found, "__dict__")["_sentence"] = failure.message
            _fill(found, failure.fields)
        except (IndexError, TypeError):  # its class is not loaded, or needs its own code to be created
            found = RemoteError(
                failure.message, kind=failure.type, classes=failure.classes, fields=dict(failure.fields)
            )
    for note in failure.notes:
        BaseException.add_note(found, note)
    if text := failure.report():
        BaseException.__dict__["__cause__"].__set__(found, RemoteTraceback(text, failure.place))
    return found


def _call_failed(failure: Failure) -> Exception | None:
    """Return the exception that a workflow let escape from a failed step or child; None if it raised another one."""
    cls: Any = (
        vars(errors).get(failure.classes[0].removeprefix(_OURS)) if failure.classes[0].startswith(_OURS) else None
    )
    if cls is None or not issubclass(cls, (StepFailed, RunFailed)):
        return None
    known = {"run_id": "", **failure.fields} if issubclass(cls, RunFailed) else failure.fields
    taken = {"run_id", "step"} if issubclass(cls, RunFailed) else {"step", "attempts", "outcome", "error"}
    facts: dict[str, Any] = {name: value for name, value in known.items() if name in taken}
    error: StepFailed | RunFailed = cls(failure.message, **facts)
    beside = tuple(name for name in failure.classes if not name.startswith(_OURS))
    fields = {name: value for name, value in failure.fields.items() if name not in _KEPT}
    named = beside[0] not in {"builtins.Exception", "builtins.BaseException"} if beside else False
    return reconstructed(error, failure.model_copy(update={"classes": beside if named else (), "fields": fields}))


# ---------------------------------------------------------------- loaded classes


def _loaded(names: Sequence[str]) -> list[type[Exception]]:
    """Return those classes that this process has loaded, in their order. Nothing is imported."""
    found = (_find(name) for name in names)
    return [cls for cls in found if cls is not None]


def _find(name: str) -> type[Exception] | None:
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        for module in _modules(".".join(parts[:length])):
            names: Any = vars(module)
            cls: Any = None
            for part in parts[length:]:
                cls = names.get(part)
                if not isinstance(cls, type):
                    break
                names = class_attribute(cls, "__dict__")
            else:
                if Exception in mro_of(cls) and class_name(cls) in {name, f"__main__.{'.'.join(parts[length:])}"}:
                    return cast("type[Exception]", cls)
    return None


def _modules(name: str) -> Iterator[ModuleType]:
    """Yield the modules with a name. A script has the name under which workers load its file."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if main is not None and isinstance(file, str) and name in {stem := Path(file).stem, f"app_{stem}"}:
        yield main
    spec = getattr(main, "__spec__", None)
    if main is not None and spec is not None and spec.name == name:
        yield main
    if isinstance(module := sys.modules.get(name), ModuleType):
        yield module


def _choices(classes: list[type[Exception]]) -> Iterator[tuple[type, ...]]:
    """Yield the sets of classes to combine with, best first: all that was raised, or one class and its bases."""
    fit = [cls for cls in classes if not issubclass(cls, _APART) and not issubclass(StepFailed, cls)]
    whole = [cls for cls in fit if not any(issubclass(other, cls) for other in fit if other is not cls)]
    if len(whole) > 1:
        yield tuple(whole)
    yield from ((cls,) for cls in fit)


@lru_cache(maxsize=256)
def _combined(base: type, classes: tuple[type, ...]) -> type[Exception] | None:
    """Create a class that both ours and the author's ``except`` clauses catch; None if that is impossible."""
    for cls in classes:
        if type(cls) not in {type, ABCMeta}:  # creating the class would call the author's code
            return None
        if any(_takes_place(each) for each in mro_of(cls) if class_attribute(each, "__flags__") & BY_STATEMENT):
            return None
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    try:
        made = new_class(base.__name__, (_Both, base, *classes), {}, lambda space: space.update(names))
        _blank(made, ())
    except TypeError:  # some classes cannot be subclassed, or not together
        return None
    return made


def _with_recorded_text(cls: type[Exception]) -> type[Exception] | None:
    """Create a subclass of an author's class whose instances show the recorded text; None if that is impossible."""
    return _combined(cast("Any", cls), ()) if type(cls) in {type, ABCMeta} else None


def _takes_place(cls: type) -> bool:
    names = class_attribute(cls, "__dict__")
    return any(hasattr(cast("object", type(names[name])), "__set__") for name in _KEPT if name in names)


def _blank(cls: type[Exception], args: tuple[Any, ...]) -> Exception:
    """Create an exception of a class without calling code of its author.

    Raises:
        TypeError: That is impossible.
    """
    basic: Any = cls
    while class_attribute(basic, "__flags__") & BY_STATEMENT:
        basic = class_attribute(basic, "__base__")
    try:
        error = basic.__new__(cls, *args)
        basic.__init__(error, *args)
    except (TypeError, ValueError):  # without its arguments, which may be bytes and so not JSON
        error = basic.__new__(cls)
    BaseException.__dict__["args"].__set__(error, args)
    return cast("Exception", error)


def _fill(error: BaseException, fields: dict[str, Any]) -> None:
    """Set the attributes of an exception where the interpreter stores them."""
    for name, value in fields.items():
        kept = next((names[name] for each in mro_of(type(error)) if name in (names := vars(each))), None)
        if type(kept) is MemberDescriptorType:
            try:
                kept.__set__(error, value)
            except (AttributeError, TypeError):  # it cannot be set, or not to a JSON value
                continue
        else:
            attribute(error, "__dict__")[name] = value
