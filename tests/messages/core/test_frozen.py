"""Values whose methods are shared behave as those of ``dataclass(frozen=True, slots=True)``, but for assignments."""

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from greenroom.messages.core.frozen import frozen


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
