"""Exceptions made again from what is recorded of them, where a workflow or a script awaits what failed elsewhere.

Nothing is imported because a record names it, and nothing of the author's is called: a class is used where this process
has loaded it already, and an object of it is made without its ``__new__`` and ``__init__``.
"""

import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import MemberDescriptorType, ModuleType, new_class
from typing import Any, Final, TypeVar, cast

from greenroom.actors.failures.inspection import attribute, class_attribute, mro_of
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
from greenroom.messages.policy import class_name

E = TypeVar("E", bound="StepFailed | RunFailed | TurnFailed")

_OURS: Final = f"{errors.__name__}."
_APART: Final = (BaseExceptionGroup, StopIteration, StopAsyncIteration, StepFailed, RunFailed, RunCancelled)
"""What the failure of a step is not raised as. Futures refuse the iterators' ends; ``except*`` would take a group
apart, and lose whose failure it is; and ours say which call it was that failed."""
_KEPT: Final = frozenset({"attempts", "call", "cause", "error", "fields", "outcome", "run_id", "step"})
"""Attributes of ours. A class of the author's that puts code in the place of one is not raised as ours besides."""
_BY_STATEMENT: Final = 1 << 9
"""Flag of classes that were not compiled into Python."""


class _Both:
    """The first base of a class that was made to be caught twice: what is basic to an object is not its author's."""

    __getattribute__ = BaseException.__getattribute__
    __setattr__ = BaseException.__setattr__
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init_subclass__(cls) -> None:
        """Ask no other base."""

    def __init__(self, *args: object) -> None:
        """Ask no other base."""

    def __str__(self) -> str:
        """Give the sentence of what is ours."""
        return str(attribute(cast("BaseException", self), "__dict__")["_sentence"])

    def __repr__(self) -> str:
        """Show the same."""
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be copied, and sent to where both classes are."""
        error = cast("BaseException", self)
        bases = class_attribute(type(error), "__bases__")
        return _again, (bases[1], bases[2:], attribute(error, "args")), dict(attribute(error, "__dict__"))


def _again(base: type[Exception], classes: tuple[type, ...], args: tuple[Any, ...]) -> BaseException:
    return _blank(_combined(cast("Any", base), classes) or base, args)


# ---------------------------------------------------------------- what is raised


def failed(error: E, failure: Failure) -> E:
    """Give what to raise for a failure: ``error``, or the same as one of the author's classes besides.

    Args:
        error: What says whose failure it is.
        failure: Why there is no result.
    """
    if failure.args is not None:
        for classes in _choices(_loaded(failure.classes)):
            both = _combined(cast("Any", type(error)), classes)
            if both is not None:
                given = _blank(both, failure.args)
                _fill(given, {name: value for name, value in failure.fields.items() if name not in _KEPT})
                attribute(given, "__dict__").update(attribute(error, "__dict__"), _sentence=str(error))
                return explained(cast("E", given), failure)
    return explained(error, failure)


def explained(error: E, failure: Failure) -> E:
    """Let an error say what was raised elsewhere, and where; it is given back."""
    error.cause = _cause(failure)
    if isinstance(error, RunFailed):
        error.failure = failure
    error.fields = dict(failure.fields)
    if text := failure.report():
        BaseException.__dict__["__cause__"].__set__(error, RemoteTraceback(text, failure.place))
    return error


def pointed(error: E, failure: Failure) -> E:
    """Do the same for a script: what Python prints of it ends with the user's line, below the message."""
    file, _, line = failure.place.rpartition(":")
    start = f'File "{file}", line {line}'
    shown = [each.lstrip(" |+-") for each in failure.report().splitlines()]
    for number, text in enumerate(shown):
        if text == start or text.startswith(f"{start},"):
            source = "".join(shown[number + 1 : number + 2])
            error.add_note(f"  {text}" + (f"\n    {source}" if source and not source.startswith("File ") else ""))
            break
    return explained(error, failure)


def _cause(failure: Failure) -> Exception | None:
    """Give the exception that was raised; None where none was."""
    if not failure.classes:
        return None
    found = _call_failed(failure)
    if found is None:
        args: tuple[Any, ...] = failure.args if failure.args is not None else (failure.message,)
        if failure.members:
            members = [_cause(each) for each in failure.members]
            args = (failure.fields.get("message", failure.message), [each for each in members if each is not None])
        classes = _loaded(failure.classes[:1])
        try:
            found = _blank(classes[0], args)
            _fill(found, failure.fields)
        except (IndexError, TypeError):  # it is not here, or cannot be made without its own code
            found = RemoteError(
                failure.message, kind=failure.type, classes=failure.classes, fields=dict(failure.fields)
            )
    for note in failure.notes:
        BaseException.add_note(found, note)
    if text := failure.report():
        BaseException.__dict__["__cause__"].__set__(found, RemoteTraceback(text, failure.place))
    return found


def _call_failed(failure: Failure) -> Exception | None:
    """Give what a workflow let out of the failure of a step or child; None where it raised something of its own."""
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
    return failed(error, failure.model_copy(update={"classes": beside if named else (), "fields": fields}))


# ---------------------------------------------------------------- classes that are here


def _loaded(names: Sequence[str]) -> list[type[Exception]]:
    """Give those of the classes that this process has loaded, in their order. Nothing is imported to find them."""
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
    """Give the modules that go by a name: a script goes by the name under which workers load its file."""
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
    """Give what an error may be besides ours, the best first: all that was raised, else one class and its bases."""
    fit = [cls for cls in classes if not issubclass(cls, _APART) and not issubclass(StepFailed, cls)]
    whole = [cls for cls in fit if not any(issubclass(other, cls) for other in fit if other is not cls)]
    if len(whole) > 1:
        yield tuple(whole)
    yield from ((cls,) for cls in fit)


@lru_cache(maxsize=256)
def _combined(base: type, classes: tuple[type, ...]) -> type[Exception] | None:
    """Make a class that is caught as ours and as the author's; None where there can be none."""
    for cls in classes:
        if type(cls) not in {type, ABCMeta}:  # the author's code would be called for each class that is made
            return None
        if any(_takes_place(each) for each in mro_of(cls) if class_attribute(each, "__flags__") & _BY_STATEMENT):
            return None
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    try:
        made = new_class(base.__name__, (_Both, base, *classes), {}, lambda space: space.update(names))
        _blank(made, ())
    except TypeError:  # some classes cannot be derived from, or not together
        return None
    return made


def _takes_place(cls: type) -> bool:
    names = class_attribute(cls, "__dict__")
    return any(hasattr(cast("object", type(names[name])), "__set__") for name in _KEPT if name in names)


def _blank(cls: type[Exception], args: tuple[Any, ...]) -> Exception:
    """Make an exception of a class without calling anything of its author's.

    Raises:
        TypeError: That cannot be done.
    """
    basic: Any = cls
    while class_attribute(basic, "__flags__") & _BY_STATEMENT:
        basic = class_attribute(basic, "__base__")
    try:
        error = basic.__new__(cls, *args)
        basic.__init__(error, *args)
    except (TypeError, ValueError):  # not the arguments that it is made with, such as bytes, which are no JSON
        error = basic.__new__(cls)
    BaseException.__dict__["args"].__set__(error, args)
    return cast("Exception", error)


def _fill(error: BaseException, fields: dict[str, Any]) -> None:
    """Set the attributes of an exception where the interpreter keeps them."""
    for name, value in fields.items():
        kept = next((names[name] for each in mro_of(type(error)) if name in (names := vars(each))), None)
        if type(kept) is MemberDescriptorType:
            try:
                kept.__set__(error, value)
            except (AttributeError, TypeError):  # not to be set, or to nothing that is JSON
                continue
        else:
            attribute(error, "__dict__")[name] = value
