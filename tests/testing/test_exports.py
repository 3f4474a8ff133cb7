"""A run of production as a test: exported by the command line, replayed with the code as it is now."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom import RunFailed
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.testing import ReplayDiffers, replay_export, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

APP = """
import asyncio
import os
from pathlib import Path
from pydantic import BaseModel
from greenroom import LLM, Retry, approve, emit, now, random, receive, run, session, sleep, tool, uuid4, workflow

writer = LLM("writer")

@tool(retry=Retry(attempts=1))
def note(line: str) -> str:
    with (Path(__file__).parent / "effects").open("a") as file:
        file.write(line + "\\n")
    if line == "bad":
        raise ValueError("no such line")
    return line.upper()

class Totals(BaseModel):
    lines: int = 0

@workflow
async def child(line: str) -> str:
    return await note(line)

@workflow
async def busy(state: Totals, lines: list[str]) -> dict[str, str]:
    found = await asyncio.gather(*(note(line) for line in lines))
    state.lines = len(found)
    await sleep(86_400)
    await emit(found, channel="lines")
    text = await writer("Write about " + " ".join(found))
    by = await run(child, "below")
    stamp = f"{now().isoformat()} {uuid4()} {random():.3f}"
    return {"text": text, "child": by, "stamp": stamp}

async def left(ways: list[str]) -> None:
    try:
        await sleep(86_400)
    finally:
        await asyncio.gather(*(CLEANUPS[way]() for way in ways), return_exceptions=True)

CLEANUPS = {
    "step": lambda: note("clean"),
    "child": lambda: run(child, "clean"),
    "sleep": lambda: sleep(1),
    "receive": lambda: receive(Word),
    "approve": lambda: approve("clean"),
    "emit": lambda: emit("clean"),
    "tell": lambda: chat.tell("ada", Word(word="clean")),
}

@workflow
async def leaves(line: str, ways: list[str]) -> str:
    task = asyncio.create_task(left(ways))
    await asyncio.sleep(0)
    return await note(line)

@workflow
async def fails(line: str) -> str:
    return await note(line)

class Word(BaseModel):
    word: str

@workflow
async def waits(line: str) -> str:
    first = await note(line)
    return first + (await receive(Word)).word

class Chat(BaseModel):
    said: list[str] = []

@session(state=Chat)
async def chat(state: Chat, message: Word) -> str:
    text = await note(message.word)
    state.said = [*state.said, text]
    await emit(text)
    return " ".join(state.said)
"""


class Scene:
    """An app in a folder of its own, and the means to change its code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "exported_app.py"
        self.file.write_text(APP)
        spec = importlib.util.spec_from_file_location("exported_app", self.file)
        self.app = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.app)
        self.home = folder / "home"

    def export(self, run_id: str, code: int = 0) -> Path:
        to = self.folder / "export.jsonl"
        command = [sys.executable, "-m", "greenroom", "--home", self.home, "runs", "export", run_id, "--to", to]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        self.said = done.stdout + done.stderr
        return to

    def change(self, old: str, new: str) -> None:
        assert old in APP
        self.file.write_text(APP.replace(old, new))

    def effects(self) -> list[str]:
        return (self.folder / "effects").read_text().splitlines()


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


@pytest.fixture
def orchestrator_options(tmp_path):
    return {"home": tmp_path / "home"}


def difference(path, workflow) -> str:
    with pytest.raises(ReplayDiffers) as caught:
        replay_export(path, workflow)
    return str(caught.value)


def test_a_completed_run_is_replayed_up_to_its_result_and_nothing_runs(orchestrator, model_scripts, scene):
    busy = scene.app.busy
    model_scripts.reply(scene.app.writer, "A text.")
    run = orchestrator.start(busy, ["a", "b"], id="busy-1")
    assert run.result(60)["text"] == "A text."
    path = scene.export("busy-1")
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    header, *events, end = map(json.loads, path.read_text().splitlines())
    assert (header["greenroom_export"], header["workflow"], header["status"]) == (1, "busy", "completed")
    assert (header["events"], end["end"]) == (len(events), len(events))
    assert decode_event(json.dumps(events[-1]).encode()).type == "run.completed"
    effects = scene.effects()
    assert sorted(effects) == ["a", "b", "below"]  # the first two go on at once
    replay_export(path, busy)
    scene.change("note(line) for line in lines", "note(line)  for line in [*lines]")
    replay_export(str(path), busy)
    for old, new, said in [
        ("note(line) for line in lines", "note(line + '!') for line in lines", 'args[0] was "a" and is "a!"'),
        ('await run(child, "below")', '""', "holds the call of child#1"),
        ('await run(child, "below")', 'await run(child, "above")', 'line was "below" and is "above"'),
        ('"text": text,', '"text": text.upper(),', 'the result.text was "A text." and is "A TEXT."'),
        ('"child": by,', "", 'the result.child was "BELOW" and is gone'),
        ("    return {", '    await note("more")\n    return {', "it returned, but the code now also asks for note#1"),
        ("    return {", "    await emit(1)\n    return {", "it returned, but the code now also asks for emit(default)#1"),
        ("    return {", '    raise KeyError("x")\n    return {', "it returned, but the code now raises KeyError: 'x'"),
        ("await sleep(86_400)", "await asyncio.sleep(0)", "but the code now"),
        ("async def busy(", "async def idle(", "busy"),
        ("import os", "import nothing_of_that_name", "nothing_of_that_name"),
        ("import os", "os = !", "SyntaxError"),
        ("import os", "import os; os._exit(3)", "exited with code 3"),
    ]:  # fmt: skip
        scene.change(old, new)
        found = difference(path, busy)
        assert found.startswith(f"run busy-1 of {path}: ")
        assert said in found
    assert scene.effects() == effects


def test_a_failed_a_waiting_and_a_cancelled_run_are_replayed_too(orchestrator, scene):
    fails, waits = scene.app.fails, scene.app.waits
    with pytest.raises(RunFailed):
        orchestrator.start(fails, "bad", id="f").result(60)
    path = scene.export("f")
    replay_export(path, fails)
    scene.change("return await note(line)\n\nclass Word", 'return "fine"\n\nclass Word')
    assert "holds the call of note#1" in difference(path, fails)
    scene.change(
        "return await note(line)\n\nclass Word",
        "try:\n        return await note(line)\n    except Exception:\n        return line\n\nclass Word",
    )
    assert "it raised StepFailed: " in difference(path, fails)
    assert difference(path, fails).endswith("but the code now returns")
    scene.file.write_text(APP)

    run = orchestrator.start(waits, "w", id="w")
    wait_for(run, status="waiting")
    path = scene.export("w")
    assert "run w is waiting: it is exported as far as it went" in scene.said
    replay_export(path, waits)
    scene.change("(await receive(Word)).word", "(await receive(Word)).word * 2")
    replay_export(path, waits)  # what it has not come to may change
    scene.change("first = await note(line)", "first = await note(line * 2)")
    assert 'was "w" and is "ww"' in difference(path, waits)
    scene.file.write_text(APP)

    run.cancel("enough")
    wait_for(run, status="cancelled")
    replay_export(scene.export("w"), waits)


@pytest.mark.parametrize("line", ["a", "bad"])
def test_what_tasks_ask_for_when_the_end_of_the_workflow_cancels_them_is_no_difference(orchestrator, scene, line):
    leaves = scene.app.leaves
    run = orchestrator.start(leaves, line, [*scene.app.CLEANUPS], id="leaves-1")
    wait_for(run, status="failed" if line == "bad" else "completed")
    assert [step.key for step in run.steps()] == ["note#1"]
    replay_export(scene.export(run.id), leaves)
    assert scene.effects() == [line]


def test_each_message_of_a_session_is_replayed(orchestrator, scene):
    chat, word = scene.app.chat, scene.app.Word
    session = orchestrator.session(chat, "ada")
    for each in ("one", "two", "bad", "three"):
        if each == "bad":
            session.tell(word(word=each))
        else:
            session.ask(word(word=each), timeout=60)
    path = scene.export("chat/ada")
    replay_export(path, chat)
    scene.change('" ".join(state.said)', '", ".join(state.said)')
    assert (
        'message 2: the journal holds that it returned, but the code now returns something else: the result was "ONE TWO" and is "ONE, TWO"'
        in difference(path, chat)
    )
    scene.change("note(message.word)", "note(message.word.strip('e'))")
    assert "message 1: " in difference(path, chat)
    scene.change('    await emit(text)\n    return " "', '    return " "')
    assert difference(path, chat).endswith("it returned, but the code now leaves 1/emit(default)#1 out")
    scene.change("await emit(text)", "await emit(text.lower())")
    assert 'the value was "ONE" and is "one"' in difference(path, chat)
    assert scene.effects() == ["one", "two", "bad", "three"]


def test_a_file_that_is_no_whole_export_or_of_something_else_is_refused(orchestrator, scene, tmp_path):
    fails = scene.app.fails
    assert orchestrator.start(fails, "x", id="x").result(60) == "X"
    path = scene.export("x")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    bad = tmp_path / "bad.jsonl"
    for data, said in [
        (b"", "is not an export of a run, as the verb `runs export` writes it"),
        (b"{}\n", "is not an export"),
        (b"\xff\x00", "is not an export"),
        (whole.replace(b'"greenroom_export":1', b'"greenroom_export":2', 1), r"in format 2, and this version .* update greenroom"),
        (whole[:-20], "is damaged or was cut off"),
        (b"".join(lines[:-1]), "is damaged or was cut off"),
        (b"".join([*lines[:2], *lines[3:]]), "is damaged or was cut off"),
        (whole.replace(b'"x"', b'"y"', 1), "is damaged or was cut off"),
    ]:  # fmt: skip
        bad.write_bytes(data)
        with pytest.raises(ValueError, match=said):
            replay_export(bad, fails)
    with pytest.raises(
        ValueError, match="holds a run of workflow `fails`, and the test replays it with workflow `waits`"
    ):
        replay_export(path, scene.app.waits)
    with pytest.raises(ValueError, match="with session `chat`"):
        replay_export(path, scene.app.chat)
    with pytest.raises(FileNotFoundError):
        replay_export(tmp_path / "none.jsonl", fails)
    scene.export("xx", code=3)
    assert "there is no run 'xx'; did you mean 'x'?" in scene.said
    assert path.read_bytes() == whole
    command = [
        sys.executable,
        "-m",
        "greenroom",
        "--home",
        scene.home,
        "runs",
        "export",
        "x",
        "--to",
        "/no/such/folder/x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "/no/such/folder/x cannot be written: No such file" in done.stderr) == (2, True), (
        done.stderr
    )


def test_a_replay_leaves_no_process_behind(orchestrator, scene):
    assert orchestrator.start(scene.app.fails, "x", id="x").result(60) == "X"
    path = scene.export("x")
    before = {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}
    replay_export(path, scene.app.fails)
    assert {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)} <= before


@pytest.mark.parametrize("given", ["total", None, len])
def test_what_has_no_definition_is_refused(tmp_path: Path, given: Any) -> None:
    with pytest.raises(TypeError, match="a file is replayed with its workflow, or its session's handler"):
        replay_export(tmp_path / "total.jsonl", given)
