"""Secrets are taken out of texts wherever they stand whole."""

import json

from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.secrets.redaction import LEAST, MASK, NOTHING, Redactor, secret_values

SECRETS = st.text(min_size=LEAST, max_size=40).filter(lambda text: MASK not in text)


@given(SECRETS, st.text(max_size=30), st.text(max_size=30))
def test_a_secret_is_found_as_it_is_and_as_python_and_json_write_it(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    for text in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]):
        assert text not in redactor.text(before + text + after).replace(MASK, "\ue000") or text in before + after
        assert MASK in redactor.text(before + text + after)
        data = (before + text + after).encode("utf-8", "surrogatepass")
        assert MASK.encode() in Redactor([secret]).data(data) or "surrogate" in repr(secret)


@given(st.lists(SECRETS, min_size=1, max_size=5), st.data())
def test_of_several_secrets_the_longest_goes_first(secrets: list[str], data: st.DataObject) -> None:
    several = [*secrets, secrets[0] + data.draw(SECRETS)]
    text = " ".join(several)
    redacted = Redactor(several).text(text)
    assert not any(secret in redacted for secret in several)


def test_names_decide_and_short_values_stay() -> None:
    environ = {
        "API_KEY": "0123456789",
        "OPENAI_API_KEY": "1123456789",
        "GITHUB_TOKEN": "2123456789",
        "my_secret_thing": "3123456789",
        "DB_PASSWORD": "4123456789",
        "GIVEN": "5123456789",
        "PATH": "/usr/bin:/bin",
        "KEYBOARD": "6123456789",
        "MONKEY": "7123456789",
        "SHORT_KEY": "1234567",
    }
    assert secret_values(environ, ["GIVEN", "SHORT_KEY", "ABSENT"]) == {f"{digit}123456789" for digit in range(6)}


def test_a_key_of_several_lines_is_found_line_by_line() -> None:
    lines = ["-----BEGIN KEY-----", "c2VjcmV0IHNlY3JldCBzZWNyZXQ", "short"]
    redactor = Redactor(["\n".join(lines)])
    assert redactor.text(lines[1]) == MASK
    assert redactor.text("short") == "short"


def test_without_secrets_nothing_changes_and_nobody_is_told_them() -> None:
    assert NOTHING.text("a") == "a"
    assert NOTHING.data(b"\xff") == b"\xff"
    assert repr(Redactor(["0123456789"])) == "<Redactor of secrets>"
