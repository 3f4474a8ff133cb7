"""Values whose methods are shared behave as those of ``dataclass(frozen=True, slots=True)``, but for assignments."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from greenroom.messages.core.frozen import frozen, mutable


@frozen
class Nothing:
    """Without a field."""


@frozen
class One:
    """With one field."""

    first: Any


@frozen
class Parent:
    """With a field that counts not, and one that is not shown."""

    first: Any
    second: str = "x"
    third: Any = field(default=None, compare=False, repr=False)


@frozen
class Child(Parent):
    """With one field more."""

    fourth: tuple[Any, ...] = ()


@frozen
class OwnMethods:
    """With methods of its own."""

    first: int

    def __repr__(self) -> str:
        return "mine"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7


@mutable
class Changing:
    """With every kind of field, and more to do when an instance is made."""

    first: Any
    second: list[int] = field(default_factory=list[int])
    third: str = field(default="x", kw_only=True)
    fourth: int = field(init=False)

    def __post_init__(self) -> None:
        self.fourth = len(self.second)


class Inherited(Changing):
    """Without fields of its own; never makes an instance of its parent first."""

    def __init__(self) -> None:
        super().__init__(1, [2])


@dataclass(frozen=True, slots=True)
class Written:
    """Like ``Parent``, with the methods that the standard library writes."""

    first: Any
    second: str = "x"
    third: Any = field(default=None, compare=False, repr=False)


def test_values_with_equal_fields_are_equal_and_have_one_hash() -> None:
    for make in (Nothing, lambda: One(1), lambda: Parent(1), lambda: Child(1, fourth=(2,))):
        assert make() == make()
        assert hash(make()) == hash(make())
    assert Parent(1, third=2) == Parent(1, third=3)
    assert hash(Parent(1, third=[])) == hash(Written(1, third=[]))


def test_other_values_differ() -> None:
    assert One(1) != One(2)
    assert Parent(1) != Parent(1, "y")
    assert Child(1) != Child(1, fourth=(2,))


def test_values_of_other_classes_differ() -> None:
    assert Parent(1) != Child(1)
    assert Child(1) != Parent(1)
    others: list[object] = [Written(1), 1]
    assert Parent(1) not in others
    assert One(1) not in others


def test_a_field_that_equals_nothing_equals_itself_as_in_a_tuple() -> None:
    nan = float("nan")
    assert One(nan) == One(nan)
    assert Parent(nan) == Parent(nan)


def test_a_value_with_a_field_without_hash_has_none() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(One([]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Parent([]))


def test_a_value_shows_its_fields() -> None:
    assert repr(Nothing()) == "Nothing()"
    assert repr(Parent(1, third=3)) == repr(Written(1, third=3)).replace("Written", "Parent")
    assert repr(Child("a", fourth=(One(None),))) == "Child(first='a', second='x', fourth=(One(first=None),))"


def test_a_value_that_holds_itself_can_be_shown() -> None:
    held: list[Any] = []
    value = One(held)
    held.append(value)
    assert repr(value) == "One(first=[...])"


def test_methods_of_the_class_stay() -> None:
    assert (repr(OwnMethods(1)), hash(OwnMethods(1)), OwnMethods(1) == 3) == ("mine", 7, True)


def test_values_have_slots_and_can_be_copied_replaced_and_matched() -> None:
    value = Parent(1, third=3)
    assert not hasattr(value, "__dict__")
    assert copy.copy(value).third == copy.deepcopy(value).third == 3
    assert replace(value, second="y") == Parent(1, "y")
    assert Parent.__match_args__ == Written.__match_args__


def test_what_an_instance_is_made_from_is_as_for_any_dataclass() -> None:
    assert (Inherited().fourth, Inherited().first) == (1, 1)
    one, other = Changing(1, [2, 3], third="y"), Changing(1)
    assert (one.second, one.third, one.fourth) == ([2, 3], "y", 2)
    assert (other.second, other.third, other.fourth) == ([], "x", 0)
    assert Changing(1).second is not other.second
    with pytest.raises(TypeError, match=r"Changing.__init__\(\) missing 1 required positional argument: 'first'"):
        Changing()  # type: ignore[call-arg]
    with pytest.raises(
        TypeError, match=r"Changing.__init__\(\) takes from 2 to 3 positional arguments but 4 were given"
    ):
        Changing(1, [], "z")  # type: ignore[call-arg, misc]


def test_a_mutable_value_can_be_changed_compared_and_copied_but_not_hashed() -> None:
    value = Changing(1)
    value.first = 2
    assert value == Changing(2)
    assert value != Changing(1)
    assert copy.deepcopy(value) == copy.copy(value) == value
    assert repr(value) == "Changing(first=2, second=[], third='x', fourth=0)"
    assert not hasattr(value, "__dict__")
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)


def test_the_first_instance_of_a_class_may_be_made_by_several_threads_at_once() -> None:
    @frozen
    class New:
        first: int
        second: int = 0

    together = threading.Barrier(8)

    def make(number: int) -> Any:
        together.wait()
        return New(number, second=number)

    with ThreadPoolExecutor(8) as pool:
        assert [each.second for each in pool.map(make, range(8))] == list(range(8))
