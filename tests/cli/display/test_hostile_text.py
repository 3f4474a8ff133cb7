"""What tools, models and users write reaches a terminal through one printer, which makes it harmless."""

import ast
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenroom.cli.display.values import emit, facts, note, say, table
from greenroom.journal.interface import Stored
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.events.schedules import Plan, ScheduleCreated
from greenroom.messages.options.policy import StepOptions
from greenroom.workflows.home.home import Home
from greenroom.workflows.queries.reindex import line_of
from tests.support import ROOT

CONTROLS = "".join(map(chr, (*range(1, 32), 0x7F, *range(0x80, 0xA0))))
BIDI = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200e\u200f\u061c"
UNSEEN = "\u200b\u200c\u2060\ufeff\u2028\u2029\u00ad"
HOSTILE = (
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\ \x1b]52;c;ZXZpbA==\x07 \x1b[2J\x1b[31m\rFORGED a\nFORGED b\r\n"
    f"FORGED c \x9b31m [red]markup[/red] [link=http://evil.example]x[/link] :skull: {CONTROLS}{BIDI}{UNSEEN}"
)
FORBIDDEN = (set(CONTROLS) | set(BIDI) | set(UNSEEN)) - {"\n", "\r"}
VERBS: tuple[tuple[str, ...], ...] = (
    ("runs", "list"),
    ("runs", "show", "bad"),
    ("runs", "events", "bad"),
    ("runs", "stream", "bad"),
    ("runs", "result", "bad"),
    ("runs", "result", "good"),
    ("runs", "diff", "bad", "good"),
    ("runs", "show", HOSTILE.replace("\0", "")),
    ("sessions", "list"),
    ("sessions", "show", "chat", "anna"),
    ("approvals", "list"),
    ("dead-letters", "list"),
    ("schedules", "list"),
    ("schedules", "show", "nightly"),
    ("metrics",),
    ("db", "verify"),
    ("send", "bad", HOSTILE, "1"),
    ("run", HOSTILE),
)
SCRIPT = """
import json, sys
from greenroom.cli.app import main
for arguments in json.loads(sys.argv[1]):
    print("=====", flush=True)
    main(arguments)
"""


def write_journal(home: Path) -> None:
    """Write a journal with text of others in every place that there is."""
    Home(home).create()
    failure = Failure(outcome="error", type=HOSTILE, message=HOSTILE, traceback=HOSTILE, raw=HOSTILE)
    begin: dict[str, Any] = {"at": 1.0, "app": f"/app{HOSTILE}.py", "workflow": HOSTILE}
    step: dict[str, Any] = {"at": 2.0, "key": f"{HOSTILE}#1"}
    runs: dict[str, list[Any]] = {
        "bad": [
            ev.RunStarted(**begin, run_id="bad", arguments={HOSTILE: HOSTILE}),
            ev.ValueEmitted(at=2.0, key="emit#1", number=1, channel="default", offset=0, value={HOSTILE: [HOSTILE]}),
            ev.StepScheduled(**step, name=HOSTILE, kind="tool", step=HOSTILE, arguments=HOSTILE, options=StepOptions()),
            ev.AttemptStarted(**step, attempt=1, token="1:1", worker=HOSTILE, pid=7, incarnation=1),
            ev.AttemptEnded(**step, attempt=1, token="1:1", outcome="error", failure=failure),
            ev.StepFailed(**step, reason="quarantined", failure=failure),
            ev.RunFailed(at=3.0, failure=failure, step=f"{HOSTILE}#1"),
        ],
        "good": [
            ev.RunStarted(**begin, run_id="good", arguments={}),
            ev.RunCompleted(at=2.0, result={HOSTILE: HOSTILE}),
        ],
        "asks": [
            ev.RunStarted(**begin, run_id="asks", arguments={}),
            ev.ApprovalAsked(at=2.0, key=f"{HOSTILE}#1", action=HOSTILE, args={HOSTILE: HOSTILE}, reason=HOSTILE),
        ],
        "chat/anna": [
            ev.SessionOpened(at=1.0, run_id="chat/anna", app=HOSTILE, session="chat", key="anna"),
            ev.MessageReceived(at=2.0, number=1, name=HOSTILE, value=HOSTILE, key=HOSTILE),
            ev.TurnFailed(
                at=3.0, number=1, name=HOSTILE, value=HOSTILE, failure=failure, state={HOSTILE: HOSTILE}, received=1
            ),
        ],
        "@nightly": [
            ScheduleCreated(
                at=1.0,
                name="nightly",
                plan=Plan(app=HOSTILE, workflow=HOSTILE, arguments={HOSTILE: HOSTILE}, every=60.0),
                anchor=1.0,
                due=61.0,
            )
        ],
    }
    journal = SqliteJournal(home / "journal.db")
    for run_id, events in runs.items():
        stored = [Stored(seq, event) for seq, event in enumerate(events, 1)]
        append = line_of(run_id, stored)
        errors: list[object] = []
        object.__setattr__(append, "expected", 0)
        object.__setattr__(append, "events", events)
        object.__setattr__(append, "done", errors.append)
        journal.append(append)
    journal.close()
    assert errors == [None]


def on_a_terminal(home: Path, *options: str) -> list[str]:
    """Give what each verb writes to a terminal, both streams, one after the other."""
    calls = [["--home", str(home), *verb, *options] for verb in VERBS]
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "dumb", "COLUMNS": "200", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", SCRIPT, json.dumps(calls)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = bytearray()
        while chunk := _read(ours):
            said += chunk
        assert process.wait(60) == 0
    os.close(ours)
    _, *parts = said.decode().replace("\r\n", "\n").split("=====\n")
    assert len(parts) == len(VERBS)
    return parts


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "home"
    write_journal(path)
    return path


@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [(), ("-o", "json")], ids=["people", "json"])
def test_nothing_that_others_wrote_reaches_a_terminal_as_more_than_text(home, options):
    for verb, said in zip(VERBS, on_a_terminal(home, *options), strict=True):
        assert not FORBIDDEN & set(said), (verb, sorted(FORBIDDEN & set(said)), said)
        assert "\r" not in said, (verb, said)
        assert not any(line.lstrip().startswith("FORGED") for line in said.splitlines()), (verb, said)
        assert "Traceback" not in said, (verb, said)
        if verb == ("runs", "show", "bad"):
            assert "[red]markup[/red] [link=http://evil.example]x[/link] :skull:" in said
    assert "evil.example" in "".join(on_a_terminal(home, *options))


def test_json_is_the_same_value_on_a_terminal_and_in_a_pipe(home):
    said = on_a_terminal(home, "-o", "json")[VERBS.index(("runs", "result", "good"))]
    assert json.loads(said) == {HOSTILE: HOSTILE}
    command = [sys.executable, str(ROOT / "main.py"), "--home", str(home), "runs", "result", "good"]
    assert json.loads(subprocess.run(command, capture_output=True, check=True, timeout=50).stdout) == {HOSTILE: HOSTILE}


def test_half_a_surrogate_pair_is_escaped_json(capfdbinary):
    emit({"half": "a\ud800b"})
    assert json.loads(capfdbinary.readouterr().out) == {"half": "a\ud800b"}


def test_lines_of_people_and_of_the_log_hold_one_line_each(capsys):
    say(HOSTILE)
    facts([("name", HOSTILE)])
    table(("one", "two"), [(HOSTILE, HOSTILE)])
    note("first\nFORGED")
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1 + 1 + 2
    assert captured.err == "greenroom: first\n    FORGED\n"
    assert not FORBIDDEN & set(captured.out)


SPEAKING = {"print", "echo", "secho", "Console", "style", "prompt", "confirm", "write"}


PRINTERS = {"display/values.py", "display/stream.py"}
"""What makes text harmless; ``stream`` does so for text that comes in pieces."""


def test_no_verb_writes_past_the_printer():
    """Apart from the demo's app, which is an app like any user's, and from bytes for a pipe."""
    folder = ROOT / "greenroom" / "cli"
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*.py")}
    assert {*PRINTERS, "commands/demo/app.py", "commands/runs/run.py"} <= files.keys()
    found: list[str] = []
    for name, file in files.items():
        if name in PRINTERS or name == "commands/demo/app.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                owner = ast.unparse(node.func)
                if called in SPEAKING and owner != "os.write":
                    found.append(f"{name}:{node.lineno}: {owner}")
    assert found == []
