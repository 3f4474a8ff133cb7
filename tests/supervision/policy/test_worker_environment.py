"""What workers inherit, what is kept from them, and how it is given."""

import pytest

from greenroom.messages.secrets.detection import looks_secret
from greenroom.supervision.policy import worker_environment
from greenroom.supervision.policy.worker_environment import Given, inherited, read_given, set_outside, withheld
from greenroom.supervision.zygote.environments import Environments

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


def test_secrets_are_looked_for_again_only_when_the_environment_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(name: str, value: str) -> bool:
        read.append(name)
        return looks_secret(name, value)

    monkeypatch.setattr(worker_environment, "looks_secret", reading)
    monkeypatch.setenv("PLAIN", "a")
    monkeypatch.setenv("APP_KEY", "the key of an app")
    environments = Environments(Given())
    environ, redactor = environments.of_worker(("APP_KEY",))
    assert environ == {**environments.shared(), "APP_KEY": "the key of an app"}
    assert redactor.text("it has the key of an app") == "it has ***"
    assert "APP_KEY" not in environments.of_worker(())[0]
    read.clear()
    assert environments.of_worker(("APP_KEY",)) == (environ, redactor)
    assert not read

    monkeypatch.setenv("APP_KEY", "its second key")
    monkeypatch.setenv("OTHER_KEY", "withheld")
    changed, redactor = environments.of_worker(("APP_KEY",))
    assert changed["APP_KEY"] == "its second key"
    assert redactor.text("it has its second key") == "it has ***"
    assert set(environments.withheld()) >= {"APP_KEY", "OTHER_KEY"}
    assert read
