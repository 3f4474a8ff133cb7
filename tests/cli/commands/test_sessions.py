"""Sessions and dead letters from the command line, with an orchestrator running and without."""

import json
import os
import subprocess
import sys

import pytest

from greenroom.messages.core.json_text import plain
from greenroom.workflows.home.home import Home
from greenroom.workflows.queries.reader import JournalQueries
from tests.cli.conftest import ROOT, CommandLine
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TALK = """
from pydantic import BaseModel

from greenroom import session, sleep, workflow


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
    if message.text == "later":
        await sleep(86_400)
    if message.text == "fail":
        raise ValueError("not this")
    state.said.append(message.text)
    return f"{len(state.said)}: {message.text}"


@workflow
async def telling(key: str, text: str) -> str:
    await talk.tell(key, Say(text=text))
    return text
"""


@pytest.fixture
def talk(greenroom: CommandLine) -> str:
    (greenroom.folder / "talk.py").write_text(TALK)
    return "talk.py:talk"


def test_a_question_is_answered_in_json_and_remembered(greenroom: CommandLine, talk: str) -> None:
    assert greenroom.result_of("sessions", "ask", talk, "ada", '{"text": "a"}') == "1: a"
    assert greenroom.result_of("sessions", "ask", talk, "ada", '{"text": "b"}') == "2: b"
    assert greenroom.result_of("sessions", "ask", talk, "bob", '{"n": 3}') == "xxx"
    (greenroom.folder / "message.json").write_text('{"text": "c"}')
    assert greenroom.result_of("sessions", "ask", talk, "ada", "@message.json", "--type", "Say") == "3: c"
    listed = greenroom.result_of("sessions", "list", "-o", "json")
    assert [(each["name"], each["key"], each["status"]) for each in listed] == [
        ("talk", "bob", "waiting"),
        ("talk", "ada", "waiting"),
    ]
    shown = greenroom.result_of("sessions", "show", "talk", "ada", "-o", "json")
    assert shown["state"] == {"said": ["a", "b", "c"]}
    assert [(turn["number"], turn["status"], turn["reply"]) for turn in shown["turns"]] == [
        (1, "answered", "1: a"),
        (2, "answered", "2: b"),
        (3, "answered", "3: c"),
    ]
    table = greenroom("sessions", "show", talk, "ada").out
    assert '{"said": ["a", "b", "c"]}' in table
    assert greenroom.result_of("runs", "list", "-o", "json") == []


def test_a_key_makes_a_repeated_question_the_same(greenroom: CommandLine, talk: str) -> None:
    first = greenroom.result_of("sessions", "ask", talk, "ada", '{"text": "a"}', "--key", "k")
    assert greenroom.result_of("sessions", "ask", talk, "ada", '{"text": "a"}', "--key", "k") == first == "1: a"


def test_what_is_told_is_on_the_disk_and_dealt_with_by_whoever_comes_next(greenroom: CommandLine, talk: str) -> None:
    told = greenroom.result_of("sessions", "tell", talk, "ada", '{"text": "a"}', "-o", "json")
    assert told == {"session": "talk/ada", "message": 1}
    assert greenroom.result_of("sessions", "ask", talk, "ada", '{"text": "b"}') == "2: b"


def test_what_a_turn_waits_for_is_shown_and_the_messages_behind_it_are_counted(
    greenroom: CommandLine, talk: str
) -> None:
    serving = greenroom.start("serve", "talk.py", "--port", "0")
    assert serving.stdout is not None
    assert serving.stdout.readline().startswith("serving on ")
    for text in ("later", "b"):
        greenroom("sessions", "tell", talk, "ada", json.dumps({"text": text}))
    shown: list[str] = eventually(
        lambda: greenroom.result_of("sessions", "show", "talk", "ada", "-o", "json")["waits_for"], 20
    )
    assert [phrase.endswith("UTC (in 24 h)") for phrase in shown] == [True]
    table = greenroom("sessions", "show", "talk", "ada").out
    assert " UTC (in 24 h)\n" in table
    assert "1 not answered yet" in table


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("ask", "talk.py:talk", "ada", '{"text": 1}'), 2, "as Say, message.text: Input should be a valid string"),
        (("ask", "talk.py:talk", "ada", '{"text": "a"}', "--type", "Sing"), 2, "is not a Say or Count"),
        (("ask", "talk.py:tlak", "ada", '{"text": "a"}'), 3, "did you mean `talk`?"),
        (("ask", "talk.py:talk", "a/b", '{"text": "a"}'), 2, "without '/'"),
        (("ask", "talk.py:talk", "ada", "{text"), 2, "it is not JSON"),
        (("ask", "tlak.py:talk", "ada", "{}"), 2, "did you mean 'talk.py'?"),
        (("ask", "talk.py:talk", "ada", '{"text": "fail"}'), 1, "message 1 to session talk/ada failed: ValueError"),
        (("show", "talk", "nobody"), 3, "there is no session 'talk/nobody'"),
        (("close", "talk", "nobody"), 3, "there is no session 'talk/nobody'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_with_its_exit_code(
    greenroom: CommandLine, talk: str, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    greenroom("sessions", "ask", talk, "first", '{"n": 1}')
    done = greenroom("sessions", *arguments, code=code)
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_closing_and_settling_need_an_orchestrator(greenroom: CommandLine, talk: str) -> None:
    greenroom("sessions", "ask", talk, "ada", '{"text": "fail"}', code=1)
    assert "no orchestrator is running" in greenroom("sessions", "close", "talk", "ada", code=4).err
    assert "no orchestrator is running" in greenroom("dead-letters", "drop", "talk/ada", "1", code=4).err


def test_dead_letters_are_listed_sent_again_and_dropped(greenroom: CommandLine, talk: str) -> None:
    assert greenroom.result_of("dead-letters", "list", "-o", "json") == []
    greenroom("sessions", "ask", talk, "ada", '{"text": "fail"}', code=1)
    (letter,) = greenroom.result_of("dead-letters", "list", "-o", "json")
    assert (letter["run_id"], letter["letter"], letter["value"]) == ("talk/ada", "1", {"text": "fail"})
    assert "ValueError: not this" in greenroom("dead-letters", "list").out
    script = (
        "import sys\n"
        "from greenroom import Orchestrator\n"
        "with Orchestrator(home=sys.argv[1]):\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(greenroom.home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=greenroom.folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "open\n"
        assert "sent again" in greenroom("dead-letters", "redrive", "talk/ada", "1").out

        def letters() -> list[str]:
            return [each["letter"] for each in greenroom.result_of("dead-letters", "list", "-o", "json")]

        eventually(lambda: letters() == ["2"], 30)
        assert "was dropped" in greenroom("dead-letters", "drop", "talk/ada", "2").out
        assert "there is no dead letter '2'" in greenroom("dead-letters", "drop", "talk/ada", "2", code=3).err
        assert greenroom.result_of("sessions", "ask", talk, "ada", '{"text": "a"}') == "1: a"
        greenroom("sessions", "close", talk, "ada")
        assert "is closed" in greenroom("sessions", "ask", talk, "ada", '{"text": "b"}', code=2).err
        assert host.stdin is not None
        host.stdin.close()


def test_the_help_of_every_verb_is_there(greenroom: CommandLine) -> None:
    for group in ("sessions", "dead-letters"):
        assert greenroom(group, "--help").out.startswith("Usage:")
    assert json.loads(greenroom("sessions", "list", "-o", "json").out) == []


def test_a_session_that_a_run_opens_as_its_orchestrator_ends_has_the_message_and_nothing_is_complained_of(
    greenroom: CommandLine, talk: str
) -> None:
    texts = [f"text {number}" for number in range(4)]
    for number, text in enumerate(texts):
        ended = greenroom("run", "talk.py:telling", "-i", f"key=k{number}", "-i", f"text={text}", "-q")
        assert json.loads(ended.out) == text
        assert "Error" not in ended.err
    with (
        greenroom.start("run", "app.py:taught") as host,  # it waits, so that there is an orchestrator
        JournalQueries.open(Home(greenroom.home)) as reads,
    ):

        def said() -> list[object]:
            return [plain(reads.session_state(f"talk/k{number}")) for number in range(len(texts))]

        eventually(lambda: said() == [{"said": [text]} for text in texts], 30)
        host.terminate()
        host.communicate(timeout=30)


@pytest.mark.parametrize("verb", [("sessions", "resume", "talk", "ada"), ("runs", "resume", "talk/ada")], ids=" ".join)
def test_a_parked_session_goes_on_by_one_command_without_an_orchestrator(
    greenroom: CommandLine, talk: str, verb: tuple[str, ...]
) -> None:
    file = greenroom.folder / "talk.py"
    assert greenroom.result_of("sessions", "ask", talk, "ada", '{"text": "a"}') == "1: a"
    file.write_text(TALK.replace("    said: list[str] = []", "    said: list[int] = []"))
    refused = greenroom("sessions", "ask", talk, "ada", '{"text": "b"}', code=6).err
    assert "once the cause is mended, it goes on with `greenroom runs resume talk/ada" in refused
    assert "talk/ada is parked again: " in greenroom(*verb, code=6).err
    file.write_text(TALK)
    assert "talk/ada goes on" in greenroom(*verb).out
    shown = greenroom.result_of("sessions", "show", "talk", "ada", "-o", "json")
    assert (shown["status"], shown["waiting"], shown["state"]) == ("waiting", 0, {"said": ["a", "b"]})
    assert greenroom.host() is None, "the orchestrator ends with the session's work"
