"""Exceptions made again from their records: of whose class they are, and what is never called for it."""

# ruff: noqa: N818  the authors' names for their errors

import builtins
import copy
import pickle  # noqa: TID251  that users do it
import subprocess
import sys
from abc import ABC
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn, Self

import pytest
from pydantic import BaseModel, ValidationError

from greenroom.actors.failures.description import describe_exception
from greenroom.actors.failures.reconstruction import reconstructed
from greenroom.messages.core.errors import (
    Fatal,
    OutcomeUnknown,
    RemoteError,
    RemoteTraceback,
    RetryAfter,
    RunFailed,
    StepFailed,
)
from greenroom.messages.core.failures import Failure

BUILTINS = [
    cls
    for cls in vars(builtins).values()
    if isinstance(cls, type) and issubclass(cls, Exception) and cls not in {StopIteration, StopAsyncIteration}
]


class Base(Exception):
    pass


class Demanding(Base):
    def __new__(cls, _one: int, _two: int) -> Self:
        return super().__new__(cls)

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} of {two}")
        self.one = one


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Shouting(KeyError):
    def __str__(self) -> str:
        return "LOUD"


@dataclass
class Data(Exception):
    code: int


class Both(Demanding, OSError):
    pass


class Abstract(Exception, ABC):
    pass


class Refuses(Exception):
    """Nothing of this may run where it is made again."""

    ready = True

    def _refuse(self, *_args: object, **_named: object) -> NoReturn:
        raise AssertionError("the author's code was called")

    def __init_subclass__(cls, **_named: object) -> None:
        raise AssertionError("the author's code was called")

    def close(self) -> None:
        """Have everything refused from now on."""
        for name in ("__init__", "__setattr__", "__getattribute__", "__str__", "__repr__", "__eq__", "__reduce__"):
            setattr(Refuses, name, Refuses._refuse)


class Meta(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        if name != "Registered":
            raise AssertionError("the author's code was called")
        return super().__new__(mcs, name, bases, space)


class Registered(Exception, metaclass=Meta):
    pass


class Taken(Base):
    @property
    def step(self) -> str:
        return "theirs"

    @step.setter
    def step(self, value: str) -> None: ...


def recorded(error: BaseException) -> Failure:
    """Give the failure as it comes out of the journal."""
    return Failure.model_validate_json(describe_exception(error).model_dump_json())


def raised_for(error: BaseException) -> Any:
    failure = recorded(error)
    return reconstructed(StepFailed(f"step a#1 failed: {failure.sentence()}", step="a#1", attempts=2), failure)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Demanding(1, 2), Demanding),
        (Slotted(4), Slotted),
        (Shouting("x"), Shouting),
        (Data(3), Data),
        (Both(1, 2), Both),
        (Abstract("x"), Abstract),
        (Taken("x"), Base),
        (Registered("x"), StepFailed),
        (OSError(2, "gone", "file"), FileNotFoundError),
        (RetryAfter(5.0), RetryAfter),
        (Fatal("x"), Fatal),
    ],
)
def test_a_failure_is_caught_as_ours_and_as_the_authors(error: Exception, kind: type[Exception]) -> None:
    found = raised_for(error)
    assert isinstance(found, StepFailed)
    assert isinstance(found, kind)
    assert str(found).startswith("step a#1 failed: ")
    assert (found.step, found.attempts, type(found).__name__) == ("a#1", 2, "StepFailed")
    assert type(found.cause) is type(error)
    assert found.cause.args == error.args
    assert vars(found.cause).items() >= {k: v for k, v in vars(error).items() if isinstance(v, (int, str))}.items()
    again = describe_exception(found)
    assert (again.type, again.fatal, again.retry_after) == ("StepFailed", False, None)


@pytest.mark.parametrize("cls", BUILTINS, ids=lambda cls: cls.__name__)
def test_every_builtin_class_is_caught_by_its_name(cls: type[Exception]) -> None:
    given: Any = {
        UnicodeDecodeError: ("utf-8", b"x", 0, 1, "why"),
        UnicodeEncodeError: ("utf-8", "x", 0, 1, "why"),
        UnicodeTranslateError: ("x", 0, 1, "why"),
        ExceptionGroup: ("several", [ValueError("x")]),
    }
    found = raised_for(cls(*given.get(cls, ("why",))))
    assert isinstance(found, StepFailed)
    assert isinstance(found, cls) is not issubclass(cls, ExceptionGroup)
    with pytest.raises(StepFailed, match="step a#1"):
        raise found


def test_fields_are_there_wherever_their_class_keeps_them() -> None:
    slotted, data, missing = (raised_for(each) for each in (Slotted(4), Data(3), OSError(2, "gone", "file")))
    assert slotted.code == slotted.cause.code == 4
    assert data.code == data.cause.code == 3
    assert (missing.errno, missing.filename) == (missing.cause.errno, missing.cause.filename) == (2, "file")
    assert (slotted.fields, data.fields) == ({"code": 4}, {"code": 3})


def test_a_field_that_is_none_is_there_too() -> None:
    slotted, output = raised_for(Slotted(None)), raised_for(subprocess.CalledProcessError(1, ["ls"]))
    assert slotted.code is slotted.cause.code is None
    assert output.stderr is output.stdout is output.cause.stderr is output.cause.stdout is None
    assert "filename" not in raised_for(OSError("why")).fields  # those of built-in classes are None without a record


class Refused(Exception):
    def __init__(self, answer: object, status: int) -> None:
        super().__init__(answer, status)
        self.answer = answer
        self.status = status

    def __str__(self) -> str:
        return f"{self.answer.__dict__['reason']} ({self.status})"


def test_a_cause_has_the_text_that_was_raised_also_where_it_is_made_of_what_is_not_recorded() -> None:
    answer = type("Answer", (), {})()
    answer.reason = "too late"
    for error in [
        Refused(answer, 409),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"),
        subprocess.CalledProcessError(1, ["ls"]),
        KeyError("k"),
    ]:
        cause = raised_for(error).cause
        for same in (cause, copy.copy(cause)):
            assert isinstance(same, type(error))
            assert (type(same).__name__, str(same)) == (type(error).__name__, str(error))
            assert repr(same)
    assert raised_for(Refused(answer, 409)).cause.status == 409
    assert type(raised_for(KeyError("k")).cause) is KeyError


def test_what_cannot_be_derived_from_is_caught_by_its_base() -> None:
    class Model(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"number": "x"})
    found = raised_for(caught.value)
    assert (isinstance(found.cause, RemoteError), found.cause.kind) == (True, "ValidationError")
    assert isinstance(found, ValueError)


@pytest.mark.parametrize("error", [StopIteration(4), StopAsyncIteration(4), ExceptionGroup("g", [ValueError("x")])])
def test_what_a_coroutine_cannot_raise_stays_ours_alone(error: Exception) -> None:
    assert type(raised_for(error)) is StepFailed


def test_a_base_catches_what_is_derived_from_it_elsewhere() -> None:
    elsewhere = type("Derived", (Base, LookupError), {"__module__": "not.loaded.here"})
    failure = recorded(elsewhere("x"))
    before = set(sys.modules)
    found = reconstructed(StepFailed("s", step="a#1"), failure)
    assert isinstance(found, Base)
    assert isinstance(found, LookupError)
    assert isinstance(found.cause, RemoteError)
    assert (found.cause.kind, found.cause.classes[0]) == ("Derived", "not.loaded.here.Derived")
    assert set(sys.modules) == before


def test_nothing_is_imported_and_no_module_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("lazy_errors")
    asked: list[str] = []
    module.__getattr__ = asked.append  # type: ignore[method-assign]
    module.Number = 5  # type: ignore[attr-defined]
    module.Exits = SystemExit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lazy_errors", module)
    asked.clear()
    sys.modules.pop("wsgiref.util", None)
    before = set(sys.modules) - {"lazy_errors"}
    for name in ("lazy_errors.Missing", "lazy_errors.Number", "lazy_errors.Exits", "wsgiref.util.Thing", "os.system"):
        failure = Failure(outcome="error", type="X", message="x", classes=(name,), args=("x",))
        found = reconstructed(StepFailed("s", step="a#1"), failure)
        assert type(found) is StepFailed
        assert isinstance(found.cause, RemoteError)
    assert set(sys.modules) - before == {"lazy_errors"}
    assert asked == []


def test_nothing_of_the_authors_is_called() -> None:
    error = Refuses("x")
    failure = recorded(error)
    error.close()
    found = reconstructed(StepFailed("s", step="a#1"), failure)
    assert isinstance(found, Refuses)
    assert (str(found), found.step, found == found, len({found})) == ("s", "a#1", True, 1)  # noqa: PLR0124
    assert type(found.cause) is Refuses


def test_a_failure_of_an_older_journal_is_raised_as_it_was_then() -> None:
    old = {"outcome": "error", "type": "ValueError", "message": "x", "classes": ["builtins.ValueError"]}
    old["traceback"] = '  File "/app.py", line 3, in f\n    raise ValueError("x")\n'
    failure = Failure.model_validate_json(__import__("json").dumps(old))
    found = reconstructed(StepFailed("s", step="a#1"), failure)
    assert type(found) is StepFailed
    assert isinstance(found.cause, ValueError)
    assert failure.report().splitlines()[-1] == "ValueError: x"
    assert "line 3, in f" in str(found.__cause__)


def test_a_crash_has_no_exception() -> None:
    found = reconstructed(StepFailed("s", step="a#1"), Failure(outcome="crash", message="died"))
    assert (type(found), found.cause, found.__cause__) == (StepFailed, None, None)


def test_the_same_classes_give_the_same_class_and_keep_what_is_ours() -> None:
    first, second = raised_for(Data(1)), raised_for(Data(2))
    assert type(first) is type(second)
    unknown = reconstructed(OutcomeUnknown("s", step="a#1"), recorded(Data(1)))
    assert isinstance(unknown, OutcomeUnknown)
    assert isinstance(unknown, Data)


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_it_can_be_copied_and_sent(again: Any) -> None:
    found = raised_for(OSError(2, "gone"))
    other = again(found)
    assert type(other) is type(found)
    assert (str(other), other.step, other.args) == (str(found), "a#1", (2, "gone"))


def test_the_cause_of_a_run_is_the_failed_step_and_the_authors_error() -> None:
    step = raised_for(Data(7))
    found = reconstructed(RunFailed("run r failed", run_id="r"), recorded(step))
    assert isinstance(found, Data)
    assert not isinstance(found, StepFailed)
    assert isinstance(found.cause, StepFailed)
    assert isinstance(found.cause, Data)
    assert (found.cause.step, type(found.cause.cause), found.cause.cause.code) == ("a#1", Data, 7)


def test_a_group_has_its_members_again() -> None:
    step = raised_for(Data(7))
    inner = ExceptionGroup("inner", [Slotted(1), step])
    cause = raised_for(ExceptionGroup("outer", [ValueError("x"), inner])).cause
    assert isinstance(cause, ExceptionGroup)
    assert (cause.message, type(cause.exceptions[0])) == ("outer", ValueError)
    mine, rest = cause.split(Data)
    assert [type(each) for each in rest.exceptions[1].exceptions] == [Slotted]
    (found,) = mine.exceptions[0].exceptions
    assert (found.step, found.code, found.cause.code) == ("a#1", 7, 7)
    wide = raised_for(ExceptionGroup("g", [ValueError(str(number)) for number in range(500)])).cause
    assert len(wide.exceptions) == 20


def test_fields_are_data_short_and_without_what_is_none() -> None:
    error = Base("x", {"deep": [1, (2.5, None)]})
    error.number, error.text, error.long, error.what = 1, "t", "x" * 5000, object()  # type: ignore[attr-defined]
    error.nan, error.huge, error._own = float("nan"), 10**30, 1  # type: ignore[attr-defined]
    error.loop = []  # type: ignore[attr-defined]
    error.loop.append(error.loop)  # type: ignore[attr-defined]
    error.wide = [[[0] * 4000] * 4000] * 4000  # type: ignore[attr-defined]  # 64 thousand millions, were they counted
    failure = recorded(error)
    assert failure.args == ("x", {"deep": [1, [2.5, None]]})
    assert failure.fields == {"number": 1, "text": "t"}
    assert recorded(Base(object())).args == (str(error.args[0]),) or recorded(Base(b"x")).args == ("b'x'",)


class Hides(Exception):
    """Puts something of its own in the place of what Python sets on every exception."""

    __cause__ = property(lambda _self: None)  # type: ignore[assignment]


def test_a_class_that_replaces_what_python_sets_is_raised_all_the_same() -> None:
    found = reconstructed(StepFailed("s", step="a#1"), recorded(Hides("x")))
    assert isinstance(found, Hides)
    assert isinstance(BaseException.__dict__["__cause__"].__get__(found), RemoteTraceback)
