"""Sessions and dead letters from the command line, with an orchestrator running and without."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT, CommandLine
from tests.support import eventually

pytestmark = pytest.mark.timeout(120)

TALK = """
from pydantic import BaseModel

from understudy import session


class Memory(BaseModel):
    said: list[str] = []


class Say(BaseModel):
    text: str


class Count(BaseModel):
    n: int


@session(state=Memory)
async def talk(state: Memory, message: Say | Count) -> str:
    if isinstance(message, Count):
        return "x" * message.n
    if message.text == "fail":
        raise ValueError("not this")
    state.said.append(message.text)
    return f"{len(state.said)}: {message.text}"
"""


@pytest.fixture
def talk(understudy: CommandLine) -> str:
    (understudy.folder / "talk.py").write_text(TALK)
    return "talk.py:talk"


def test_a_question_is_answered_in_json_and_remembered(understudy: CommandLine, talk: str) -> None:
    assert understudy.result_of("sessions", "ask", talk, "ada", '{"text": "a"}') == "1: a"
    assert understudy.result_of("sessions", "ask", talk, "ada", '{"text": "b"}') == "2: b"
    assert understudy.result_of("sessions", "ask", talk, "bob", '{"n": 3}') == "xxx"
    (understudy.folder / "message.json").write_text('{"text": "c"}')
    assert understudy.result_of("sessions", "ask", talk, "ada", "@message.json", "--type", "Say") == "3: c"
    listed = understudy.result_of("sessions", "list", "-o", "json")
    assert [(each["name"], each["key"], each["status"]) for each in listed] == [
        ("talk", "bob", "waiting"),
        ("talk", "ada", "waiting"),
    ]
    shown = understudy.result_of("sessions", "show", "talk", "ada", "-o", "json")
    assert shown["state"] == {"said": ["a", "b", "c"]}
    assert [(turn["number"], turn["status"], turn["reply"]) for turn in shown["turns"]] == [
        (1, "answered", "1: a"),
        (2, "answered", "2: b"),
        (3, "answered", "3: c"),
    ]
    table = understudy("sessions", "show", talk, "ada").out
    assert '{"said": ["a", "b", "c"]}' in table
    assert understudy.result_of("runs", "list", "-o", "json") == []


def test_a_key_makes_a_repeated_question_the_same(understudy: CommandLine, talk: str) -> None:
    first = understudy.result_of("sessions", "ask", talk, "ada", '{"text": "a"}', "--key", "k")
    assert understudy.result_of("sessions", "ask", talk, "ada", '{"text": "a"}', "--key", "k") == first == "1: a"


def test_what_is_told_is_on_the_disk_and_dealt_with_by_whoever_comes_next(understudy: CommandLine, talk: str) -> None:
    told = understudy.result_of("sessions", "tell", talk, "ada", '{"text": "a"}', "-o", "json")
    assert told == {"session": "talk/ada", "message": 1}
    assert understudy.result_of("sessions", "ask", talk, "ada", '{"text": "b"}') == "2: b"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("ask", "talk.py:talk", "ada", '{"text": 1}'), 2, "as Say, message.text: Input should be a valid string"),
        (("ask", "talk.py:talk", "ada", '{"text": "a"}', "--type", "Sing"), 2, "is no Say or Count"),
        (("ask", "talk.py:tlak", "ada", '{"text": "a"}'), 3, "did you mean `talk`?"),
        (("ask", "talk.py:talk", "a/b", '{"text": "a"}'), 2, "without '/'"),
        (("ask", "talk.py:talk", "ada", "{text"), 2, "it is no JSON"),
        (("ask", "tlak.py:talk", "ada", "{}"), 2, "did you mean 'talk.py'?"),
        (("ask", "talk.py:talk", "ada", '{"text": "fail"}'), 1, "message 1 to session talk/ada failed: ValueError"),
        (("show", "talk", "nobody"), 3, "there is no session 'talk/nobody'"),
        (("close", "talk", "nobody"), 3, "there is no session 'talk/nobody'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_with_its_exit_code(
    understudy: CommandLine, talk: str, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    understudy("sessions", "ask", talk, "first", '{"n": 1}')
    done = understudy("sessions", *arguments, code=code)
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_closing_and_settling_need_an_orchestrator(understudy: CommandLine, talk: str) -> None:
    understudy("sessions", "ask", talk, "ada", '{"text": "fail"}', code=1)
    assert "no orchestrator is running" in understudy("sessions", "close", "talk", "ada", code=4).err
    assert "no orchestrator is running" in understudy("dead-letters", "drop", "talk/ada", "1", code=4).err


def test_dead_letters_are_listed_sent_again_and_dropped(understudy: CommandLine, talk: str) -> None:
    assert understudy.result_of("dead-letters", "list", "-o", "json") == []
    understudy("sessions", "ask", talk, "ada", '{"text": "fail"}', code=1)
    (letter,) = understudy.result_of("dead-letters", "list", "-o", "json")
    assert (letter["run_id"], letter["letter"], letter["value"]) == ("talk/ada", "1", {"text": "fail"})
    assert "ValueError: not this" in understudy("dead-letters", "list").out
    script = (
        "import sys\n"
        "from understudy import Orchestrator\n"
        "with Orchestrator(home=sys.argv[1]):\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(understudy.home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=understudy.folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "open\n"
        assert "sent again" in understudy("dead-letters", "redrive", "talk/ada", "1").out

        def letters() -> list[str]:
            return [each["letter"] for each in understudy.result_of("dead-letters", "list", "-o", "json")]

        eventually(lambda: letters() == ["2"], 30)
        assert "was dropped" in understudy("dead-letters", "drop", "talk/ada", "2").out
        assert "there is no dead letter '2'" in understudy("dead-letters", "drop", "talk/ada", "2", code=3).err
        assert understudy.result_of("sessions", "ask", talk, "ada", '{"text": "a"}') == "1: a"
        understudy("sessions", "close", talk, "ada")
        assert "is closed" in understudy("sessions", "ask", talk, "ada", '{"text": "b"}', code=2).err
        assert host.stdin is not None
        host.stdin.close()


def test_the_help_of_every_verb_is_there(understudy: CommandLine) -> None:
    for group in ("sessions", "dead-letters"):
        assert understudy(group, "--help").out.startswith("Usage:")
    assert json.loads(understudy("sessions", "list", "-o", "json").out) == []
