"""What workers inherit, what is kept from them, and how it is given."""

import pytest

from greenroom.supervision.policy.worker_environment import Given, inherited, read_given, set_outside, withheld

OUTSIDE = {
    "HOME": "/home/me",
    "PLAIN": "a",
    "APP_KEY": "b",
    "LOGIN": "c",
    "PYTHONHASHSEED": "7",
    "PYTHONWARNINGS": "error",
    "PYTHONSTARTUP": "x.py",
}


def test_everything_is_inherited_but_secrets_and_what_is_meant_for_another_interpreter() -> None:
    assert set(inherited(OUTSIDE, Given())) == {"HOME", "PLAIN", "LOGIN", "PYTHONWARNINGS"}
    assert withheld(OUTSIDE, Given()) == ("APP_KEY",)


def test_what_is_given_by_name_is_passed_on_and_what_has_a_value_of_its_own_has_that() -> None:
    given = read_given(["APP_KEY", "PLAIN=other=1", "NEW_TOKEN=x"])
    outside = set_outside(OUTSIDE, given)
    found = inherited(outside, given)
    assert (found["APP_KEY"], found["PLAIN"], found["NEW_TOKEN"]) == ("b", "other=1", "x")
    assert withheld(outside, given) == ()
    assert read_given({"A": "1"}).values == {"A": "1"}


def test_what_a_pool_was_given_for_itself_is_kept_from_the_others() -> None:
    given = Given(reserved=frozenset({"LOGIN", "HOME"}))
    assert "LOGIN" not in inherited(OUTSIDE, given)
    assert "HOME" in inherited(OUTSIDE, given), "everybody needs it"
    assert withheld(OUTSIDE, given) == ("APP_KEY", "LOGIN")


@pytest.mark.parametrize("wrong", ["APP_KEY", [1], {"A": 1}, 7])
def test_what_is_no_list_of_variables_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="env "):
        read_given(wrong)


@pytest.mark.parametrize("wrong", [["=x"], [""], ["A\0"], {"A=B": "c"}])
def test_what_no_variable_can_be_called_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="no variable can be called"):
        read_given(wrong)
