"""Conversations of agents, printed for people and for programs."""

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow

TALKING = Path(__file__).parents[2] / "dashboard" / "apps" / "talking.py"


@pytest.fixture
def talking(greenroom: CommandLine) -> CommandLine:
    source = TALKING.read_text().replace("is on its way", r"is on its way,\x1b[2J")
    (greenroom.folder / "talking.py").write_text(source)
    return greenroom


def test_a_conversation_is_printed_with_who_says_what(talking):
    talking("run", "talking.py:answer", "-i", "question=Where is A-17?", "--id", "asked")
    assert talking("runs", "transcript", "asked").out.split("\n\n") == [
        "user\n  Where is A-17?",
        'model\n  -> find_order(number="A-17")',
        "tool find_order\n  A-17 is on its way,\\x1b[2J",
        "model\n  A-17 is on its way,\\x1b[2J\n",
    ]
    first = talking.result_of("runs", "transcript", "asked", "desk#1/model#1", "-o", "json")
    assert [message["role"] for message in first] == ["user", "assistant"]
    assert '-> find_order(number="A-17")' in talking("runs", "show", "asked").out
    assert "its calls are desk#1/model#1, desk#1/model#2" in talking("runs", "transcript", "asked", "x", code=2).err
    talking("runs", "transcript", "nobody", code=3)


def test_what_has_no_conversation_says_so(talking):
    talking("run", "talking.py:silent", "--id", "mute")
    said = talking("runs", "transcript", "mute")
    assert (said.out, said.err) == ("", "greenroom: mute has no conversation with a model\n")


def test_a_session_has_one_over_all_turns(talking):
    for text in ("Hello.", "Bye."):
        talking("sessions", "ask", "talking.py:chat", "ada", f'{{"text": "{text}"}}')
    asked = [
        m["text"]
        for m in talking.result_of("sessions", "transcript", "chat", "ada", "-o", "json")
        if m["role"] == "user"
    ]
    assert asked == ["Hello.", "Bye."]
    talking("sessions", "transcript", "chat", "bob", code=3)
