"""Every command that is advised anywhere is run where it is advised, and does what was said.

``SITUATIONS`` holds a situation for each piece of advice in ``messages/advice.py``: the product says it there by itself,
it is typed as it was read, by a shell in the folder where it was read. Other places of the code may not write commands.
"""

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from greenroom.messages import advice
from greenroom.messages.advice import ADVICE, placed
from tests.cli.conftest import ROOT
from tests.cli.forked import Template
from tests.pages import PAGES, read
from tests.support import eventually

APP = """
import os
import time
from pathlib import Path

from greenroom import LLM, Budget, Retry, approve, tool, workflow
from greenroom.actors.models import ModelReply


@tool(retry=Retry(attempts=1))
def note(line: str) -> str:
    with Path("effects").open("a") as file:
        file.write(line + "\\n")
    return line


@tool(retry=Retry(attempts=1))
def fetch() -> str:
    return Path("address").read_text()


@tool(retry=Retry(initial=0.01))
def die() -> str:
    if not Path("address").exists():
        os.kill(os.getpid(), 9)
    return Path("address").read_text()


@tool(retry=Retry(attempts=1))
def wait_for(path: str) -> None:
    with Path("waits").open("a") as waits:
        print("waits", file=waits)  # so all that came before is committed
    while not Path(path).exists():
        time.sleep(0.01)


@workflow
async def one() -> str:
    return await note("one")


@workflow
async def two() -> str:
    await note("first")
    await wait_for("gate")
    return await note("second")


@workflow
async def fetched() -> str:
    return await fetch()


@workflow
async def dying() -> str:
    return await die()


@workflow(budget=Budget(attempts=2))
async def limited() -> int:
    return len([await note(str(number)) for number in range(3)])


class Unpriced:
    async def complete(self, request):
        return ModelReply("done")


asked = LLM("asked", model=Unpriced())


@workflow(budget=Budget(usd=1.0))
async def unpriced() -> str:
    return await globals()["asked"]("anything")


@workflow
async def release() -> str:
    return (await approve("release", {"version": 7})).decision


@workflow
async def tidy() -> str:
    await note("made")
    try:
        await wait_for("gate")
    finally:
        await note("tidied")
        await wait_for("gate")
    return "never"


@tool
def flood() -> None:
    for number in range(400_000):
        print("line", number, "of a flood")
    note.fn("flooded")


@workflow
async def floods() -> None:
    await flood()
"""
SCRIPT = (
    APP
    + """

import sys

from greenroom import Orchestrator, RunParked

with Orchestrator("my runs.db") as orchestrator:
    run = orchestrator.start(globals()[sys.argv[1]], id=sys.argv[2])
    try:
        print(run.result(float(sys.argv[3]) if len(sys.argv) > 3 else None))
    except (RunParked, TimeoutError) as error:
        print(error)
"""
)
SHELL = re.compile(r"[$|&;<>*?~`]")
"""What a shell does not hand on as it stands."""
COMMAND = re.compile(r"`((?:greenroom|chmod|ulimit|pip) [^`]+)`")


def advised(text: str, beginning: str) -> str:
    """Give the one command of a text that begins so."""
    found = [command for command in COMMAND.findall(text) if command.startswith(beginning)]
    assert found, (beginning, text)
    return found[0]


@dataclass
class Reader:
    """A person in a folder, with a shell, who types what is read."""

    folder: Path
    environment: dict[str, str]
    template: Template
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, line: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            ["bash", "-c", line if re.search(r" (\|\||&&) |; ", line) else f"exec {line}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def type(self, line: str, code: int = 0) -> str:
        """Type a line; give what it prints, both streams."""
        if line.startswith("greenroom ") and not SHELL.search(line) and self.template.fits(self.environment):
            ended = self.template.run(shlex.split(line)[1:], self.folder, self.environment)
            exited, out, err = ended.code, ended.out, ended.err
        else:
            process = self.start(line)
            out, err = process.communicate(timeout=60)
            exited = process.returncode
        assert exited == code, (line, exited, out, err)
        assert "Traceback" not in err, err
        return out + err

    def python(self, code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr

    def script(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "script.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def serve(self, *options: str) -> "subprocess.Popen[str]":
        server = self.start(shlex.join(["greenroom", "serve", "app.py", "--port", "0", *options]))
        assert server.stdout is not None
        assert server.stdout.readline().startswith("serving on "), server.stderr and server.stderr.read()
        return server

    def status(self, run_id: str, *options: str) -> str:
        shown = self.start(shlex.join(["greenroom", "runs", "show", run_id, "-o", "json", *options]))
        out, err = shown.communicate(timeout=60)
        assert shown.returncode == 0, err
        return str(json.loads(out)["status"])

    def lines(self) -> list[str]:
        effects = self.folder / "effects"
        return effects.read_text().split() if effects.exists() else []

    def waits(self) -> int:
        """How many attempts have begun to wait for a file."""
        waits = self.folder / "waits"
        return len(waits.read_text().split()) if waits.exists() else 0

    def edit(self, old: str, new: str, name: str = "app.py") -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def stop(self, process: "subprocess.Popen[str]") -> str:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        return out + err


@pytest.fixture
def reader(tmp_path: Path, template: Template) -> Iterator[Reader]:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "greenroom").write_text(f'#!/bin/sh\nexec {sys.executable} -m greenroom "$@"\n')
    (programs / "greenroom").chmod(0o755)
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GREENROOM")}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    found = Reader(folder, environment, template)
    yield found
    for process in found.started:
        if process.poll() is None:
            found.stop(process)
        process.communicate()
    for record in folder.rglob("orchestrator.json"):
        pid = json.loads(record.read_text())["pid"]
        if Path(f"/proc/{pid}/cmdline").exists() and pid != os.getpid():
            os.kill(pid, signal.SIGTERM)


SITUATIONS: dict[str, Callable[[Reader], None]] = {}


def situation(function: Callable[[Reader], None]) -> Callable[[Reader], None]:
    SITUATIONS[function.__name__] = function
    return function


@pytest.mark.parametrize("name", sorted(ADVICE))
def test_what_is_advised_does_what_was_said(name: str, reader: Reader) -> None:
    SITUATIONS[name](reader)


def test_every_situation_is_one_of_a_piece_of_advice() -> None:
    assert set(SITUATIONS) == set(ADVICE)


# ---------------------------------------------------------------- runs


@situation
def start_a_run(reader: Reader) -> None:
    told = reader.type("greenroom runs list --journal 'my runs.db'")
    command = advised(told, "greenroom run ").replace("FILE.py:NAME", "app.py:one")
    assert '"one"' in reader.type(command)
    assert "completed" in reader.type("greenroom runs list --journal 'my runs.db'")


@situation
def read_logs(reader: Reader) -> None:
    """Lines that nobody takes are not all shown, and those that are kept can be read."""
    flooded = reader.start("greenroom run app.py:floods --id x")
    eventually(lambda: reader.lines() == ["flooded"], 60, what="the end of the flood")
    told = flooded.communicate(timeout=60)[1]
    assert "line 0 of" in reader.type(advised(told, "greenroom runs logs"))


@situation
def go_on(reader: Reader) -> None:
    """A script's run is parked in a journal of its own; nothing of it may be repeated anywhere else."""
    told = reader.script("limited", "x")
    command = advised(told, "greenroom run --id")
    assert "--journal" in command
    reader.edit("attempts=2", "attempts=9", "script.py")
    assert "is parked" in reader.type(command, code=6), "its budget is on record, whatever the code says now"
    reader.type(advised(told, "greenroom runs resume x --budget"))
    assert reader.type(command).startswith("3\n")
    assert reader.lines() == ["0", "1", "2"]
    elsewhere = command.partition(" --journal")[0]
    assert "there is no run 'x'" in reader.type(f"{elsewhere} --home other", code=3)
    assert reader.lines() == ["0", "1", "2"]


@situation
def resume(reader: Reader) -> None:
    """The code of a parked run is mended, and nobody has the run."""
    host = reader.start("greenroom run app.py:two --id x --home 'a home'")
    eventually(lambda: reader.waits() == 1, 30)
    reader.stop(host)
    reader.edit('await note("first")', 'await note("other")')
    told = reader.type("greenroom run --id x --home 'a home'", code=6)
    reader.edit('await note("other")', 'await note("first")')
    (reader.folder / "gate").touch()
    said = reader.type(advised(told, "greenroom runs resume x"))
    assert "run x goes on" in said
    assert '"second"' in reader.type(advised(said, "greenroom run --id x"))
    assert reader.lines() == ["first", "second"]


@situation
def resume_all(reader: Reader) -> None:
    host = reader.start("greenroom run app.py:two --id x")
    eventually(lambda: reader.waits() == 1, 30)
    reader.type("greenroom run app.py:two --id y --detach")
    eventually(lambda: reader.waits() == 2, 30)
    assert reader.lines() == ["first", "first"]
    host.kill()
    host.wait(20)
    reader.type(advised(reader.type("greenroom runs list"), "greenroom runs resume --all"))
    (reader.folder / "gate").touch()
    eventually(lambda: reader.status("x") == reader.status("y") == "completed", 40)
    assert reader.lines() == ["first", "first", "second", "second"]


@situation
def raise_budget(reader: Reader) -> None:
    told = reader.type("greenroom run app.py:limited --id x", code=6)
    said = reader.type(advised(told, "greenroom runs resume x --budget"))
    assert reader.type(advised(said, "greenroom run --id x")).startswith("3\n")


@situation
def allow_unknown_price(reader: Reader) -> None:
    told = reader.type("greenroom run app.py:unpriced --id x", code=6)
    said = reader.type(advised(told, "greenroom runs resume x --budget unknown_price=allow"))
    assert reader.type(advised(said, "greenroom run --id x")).startswith('"done"')


@situation
def fork(reader: Reader) -> None:
    host = reader.start("greenroom run app.py:two --id x")
    eventually(lambda: reader.waits() == 1, 30)
    reader.stop(host)
    reader.edit('await note("first")', 'await note("other")')
    (reader.folder / "gate").touch()
    told = reader.type("greenroom run --id x", code=6)
    reader.serve()
    said = reader.type(advised(told, "greenroom runs fork x"))
    new = re.search(r"run (\S+) goes on from run x", said)
    assert new is not None
    assert reader.type(f"greenroom run --id {new[1]}").startswith('"second"')
    assert reader.lines() == ["first", "other", "second"]


@situation
def retry(reader: Reader) -> None:
    reader.serve()
    reader.type("greenroom run app.py:dying --id x", code=1)
    (letter,) = re.findall(r"^x +(\S+)", reader.type("greenroom dead-letters list"), re.MULTILINE)
    told = reader.type(f"greenroom dead-letters redrive x '{letter}'", code=2)
    (reader.folder / "address").write_text("here")
    reader.type(advised(told, "greenroom runs retry x"))
    assert reader.type("greenroom run --id x").startswith('"here"')


@situation
def end_now(reader: Reader) -> None:
    """A run was cancelled, and is parked before it has cleaned up."""
    host = reader.start("greenroom run app.py:tidy --id x")
    eventually(lambda: reader.waits() == 1, 30)
    reader.type("greenroom runs cancel x")
    eventually(lambda: reader.waits() == 2, 30)
    assert reader.lines() == ["made", "tidied"]
    reader.stop(host)
    reader.edit('await note("made")', 'await note("other")')
    told = reader.type("greenroom run --id x", code=6)
    reader.serve()
    reader.type(advised(told, "greenroom runs cancel x"))
    eventually(lambda: reader.status("x") == "cancelled", 30)
    assert reader.lines() == ["made", "tidied"]


@situation
def show_run(reader: Reader) -> None:
    server = reader.serve()
    reader.type("greenroom run app.py:fetched --id x", code=1)
    told = reader.stop(server)
    assert "FileNotFoundError" in reader.type(advised(told, "greenroom runs show x"))


@situation
def show_session(reader: Reader) -> None:
    (reader.folder / "talk.py").write_text(
        "from pydantic import BaseModel\nfrom greenroom import session\n\n\nclass State(BaseModel):\n    said: int = 0\n"
        "\n\nclass Say(BaseModel):\n    text: str\n\n\n@session\nasync def talk(state: State, message: Say) -> str:\n"
        "    state.said += 1\n    return message.text\n"
    )
    reader.type("""greenroom sessions ask talk.py:talk 'a b' '{"text": "hello"}'""")
    told = reader.type("greenroom run --id 'talk/a b'", code=2)
    assert "hello" in reader.type(advised(told, "greenroom sessions show"))


# ---------------------------------------------------------------- people, processes


def asked(reader: Reader) -> tuple[str, "subprocess.Popen[str]"]:
    """Have a run ask and be left alone; give what is said then, and the process that follows the run."""
    told = reader.type("greenroom run app.py:release --id x --timeout 3 --journal 'my runs.db'", code=6)
    following = reader.start(advised(told, "greenroom run --id x"))
    assert following.stderr is not None
    following.stderr.readline()
    eventually(lambda: "root" in reader.type("greenroom actors tree --journal 'my runs.db' || true"), 20)
    return told, following


@situation
def approve(reader: Reader) -> None:
    told, following = asked(reader)
    reader.type(advised(told, "greenroom approvals approve"))
    assert following.communicate(timeout=30)[0] == '"approve"\n'


@situation
def reject(reader: Reader) -> None:
    told, following = asked(reader)
    reader.type(advised(told, "greenroom approvals reject"))
    assert following.communicate(timeout=30)[0] == '"reject"\n'


@situation
def list_approvals(reader: Reader) -> None:
    reader.type("greenroom run app.py:release --id x --timeout 3", code=6)
    told = reader.type("greenroom approvals approve nothing", code=3)
    assert "x~~approve~.1" in reader.type(advised(told, "greenroom approvals list"))


@situation
def list_workers(reader: Reader) -> None:
    reader.serve()
    reader.type("greenroom run app.py:one")
    told = reader.type("greenroom actors kill nobody", code=3)
    assert "tool" in reader.type(advised(told, "greenroom actors list"))


@situation
def serve(reader: Reader) -> None:
    told = reader.type("greenroom actors tree --journal 'my runs.db'", code=4)
    server = reader.start(advised(told, "greenroom serve").replace("FILE.py", "app.py") + " --port 0")
    assert server.stdout is not None
    assert server.stdout.readline().startswith("serving on ")
    assert "root" in reader.type("greenroom actors tree --journal 'my runs.db'")
    reader.stop(server)
    told = reader.python("from greenroom import Client; Client()")
    assert advised(told, "greenroom serve") == "greenroom serve FILE.py"


@situation
def explain(reader: Reader) -> None:
    told = reader.type("greenroom runs show", code=2)
    assert "Usage: greenroom runs show" in reader.type(advised(told, "greenroom runs show --help"))


# ---------------------------------------------------------------- journals


def damage(reader: Reader, sql: str) -> Path:
    """Have a journal with one run, and damage it."""
    reader.type("greenroom run app.py:one --id x")
    path = reader.folder / ".greenroom" / "journal.db"
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()
    return path


@situation
def verify(reader: Reader) -> None:
    path = damage(reader, "UPDATE event_lines SET hash = x'00' WHERE rowid = 1")
    told = reader.type("greenroom runs events x", code=1)
    command = advised(told, "greenroom db verify")
    assert str(path) in shlex.split(command)
    assert "event" in reader.type(command, code=1)


@situation
def reindex(reader: Reader) -> None:
    damage(reader, "UPDATE runs SET status = 'running'")
    told = reader.type("greenroom runs list")
    assert "index" in reader.type(advised(told, "greenroom db verify"), code=1)
    reader.type(advised(told, "greenroom db reindex"))
    assert "is whole" in reader.type("greenroom db verify")
    assert reader.status("x") == "completed"


@situation
def accept_loss(reader: Reader) -> None:
    damage(reader, "DELETE FROM event_lines WHERE run_id = 'x'; DELETE FROM runs WHERE id = 'x'")
    told = reader.type("greenroom run app.py:one --id z", code=1)
    said = reader.type(advised(told, "greenroom db accept-loss"))
    reader.type("greenroom db reindex")
    assert "is whole" in reader.type(advised(said, "greenroom db verify"))
    assert '"one"' in reader.type("greenroom run app.py:one --id z")


# ---------------------------------------------------------------- other programs


@situation
def set_mode(reader: Reader) -> None:
    home = reader.folder / ".greenroom"
    reader.type("greenroom run app.py:one --id x")
    home.chmod(0o777)
    reader.type(advised(reader.type("greenroom runs list", code=1), "chmod"))
    assert reader.status("x") == "completed"
    home.chmod(0o755)
    reader.type(advised(reader.type("greenroom doctor"), "chmod"))
    assert home.stat().st_mode & 0o777 == 0o700
    reader.folder.chmod(0o777)
    reader.type(advised(reader.type("greenroom runs list --journal ./sub/x.db || true"), "chmod"))


@situation
def raise_files(reader: Reader) -> None:
    told = reader.type("ulimit -Sn 512; greenroom doctor")
    command = advised(told, "ulimit")
    assert "ulimit" not in reader.type(f"ulimit -Sn 512; {command} && greenroom doctor")


@situation
def raise_file_size(reader: Reader) -> None:
    told = reader.type("ulimit -Sf 40; greenroom run app.py:one --id x", code=1)
    command = advised(told, "ulimit")
    reader.type(f"ulimit -Sf 40; {command} && greenroom run app.py:one --id x")
    assert reader.status("x") == "completed"


@situation
def raise_processes(reader: Reader) -> None:
    """The stack that each new thread would get here is longer than a process may be."""
    told = reader.type("ulimit -Ss 200000000000; greenroom run app.py:one", code=1)
    assert "no further thread can be started" in told
    assert reader.type(f"{advised(told, 'ulimit')} && ulimit -u").strip() == "4096"


@situation
def install(reader: Reader) -> None:
    """What is installed is one of the extras of the package, and holds what was missing."""
    hidden = "import sys; sys.modules['{}'] = None; from greenroom.__main__ import main; main({})"
    told = {
        "uvicorn": reader.python(hidden.format("uvicorn", "['serve', 'app.py']")),
        "httpx": reader.python("import sys; sys.modules['httpx'] = None; from greenroom import Client; Client()"),
    }
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for module, text in told.items():
        extra = re.fullmatch(r"greenroom\[(\w+)\]", shlex.split(advised(text, "pip install"))[2])
        assert extra is not None
        assert re.search(rf'^{extra[1]} = \[[^\]]*"{module}', project, re.MULTILINE)


# ---------------------------------------------------------------- no advice anywhere else

PACKAGES = ["actors", "dashboard", "journal", "messages", "metrics", "supervision", "workflows", "greenroom/cli"]
WRITTEN = re.compile(r"`(?:greenroom|chmod|ulimit|pip|uv|python3?|kill|export|rm) [^`]*")
EXCEPT = {"messages/advice.py"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in [*PACKAGES, "greenroom/testing"]:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def docstrings(tree: ast.Module) -> set[int]:
    """Give the ids of the nodes that are docstrings, those of attributes included."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def test_no_message_holds_a_command_that_is_not_made_where_all_are() -> None:
    found = [
        (name, node.value)
        for name, tree in sources()
        if name not in EXCEPT
        for known in [docstrings(tree)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in known
        if WRITTEN.search(node.value) or re.search(r"\bgreenroom (?:run|runs|serve|db|send|actors)\b", node.value)
    ]
    assert found == []


VERB = re.compile(r"greenroom(?: [a-z][a-z-]*){1,2}")
EVAL = "greenroom eval examples/evaluated.py:reply --cases examples/evaluated.jsonl --judge panel --judge looked_up"
MENTIONS = {
    "greenroom --journal runs.db runs show order-7": "greenroom runs show y",
    "greenroom --journal PATH runs list": "greenroom runs list",
    "greenroom VERB": "greenroom version",
    "greenroom approvals approve|edit|reject ID": "greenroom approvals reject x~~approve~.1",
    "greenroom run examples/brief.py:brief -i path=REPORT.txt": "greenroom run examples/brief.py:brief -i path=REPORT.txt",
    "greenroom run examples/crashing.py:squares -i count=4 --id squares-4": None,
    "greenroom run examples/crashing.py:squares -i count=8": None,
    'greenroom run examples/hanging.py:check -i \'texts=["aaaa", "aaab"]\'': None,
    "greenroom approvals approve ID": "greenroom approvals reject x~~approve~.1",
    "greenroom chaos run examples/crashing.py:squares -i count=4 --seed 7 --duration 5": None,
    EVAL: None,
    f"{EVAL} --compare before.json --csv trials.csv": None,
    EVAL.replace(" --judge", " --repeat 2 --judge", 1) + " --json before.json": None,
    "greenroom eval examples/evaluated.py:reply --runs all --judge helpful --sample 0.9 -o json": None,
    "greenroom mcp --home DIR": "greenroom mcp --home .greenroom",
    "greenroom mcp --no-decisions": None,
    "greenroom run examples/pydantic_agent.py:support -i 'question=\"My order A17 arrived broken.\"'": None,
    "greenroom runs export ID --to FILE": "greenroom runs export y --to exported.jsonl",
    "greenroom serve --mcp FILE.py": "greenroom serve --mcp app.py --port 0",
    "greenroom serve examples/support_agent.py": "greenroom serve examples/support_agent.py --port 0",
    'greenroom sessions ask examples/support_agent.py:support ada \'{"text": "My order A-17 arrived broken."}\'': (
        'greenroom sessions ask examples/support_agent.py:support ada \'{"text": "Is there help on late parcels?"}\''
    ),
    "greenroom sessions cancel-turn chat ada": None,
    "greenroom sessions resume cart ada": "greenroom sessions resume chat ada",
    "greenroom sessions stream chat ada --channel answer --follow": "greenroom sessions stream chat ada --channel answer",
    "greenroom runs diff A B": "greenroom runs diff x y",
    "greenroom runs logs ID": "greenroom runs logs x",
    "greenroom runs events RUN_ID": "greenroom runs events x",
    "greenroom runs events squares-4 -o json": None,
    "greenroom runs show squares-4": None,
    "greenroom runs transcript ID": "greenroom runs transcript y",
    "greenroom runs resume search --budget attempts=4 --journal runs.db": "greenroom runs resume y --budget attempts=4",
    "greenroom runs resume brief-otters": "greenroom runs resume y",
    "greenroom runs retry": "greenroom runs retry bad",
    "greenroom serve examples/chat.py": "greenroom serve examples/chat.py --port 0",
    "greenroom serve examples/crashing.py": "greenroom serve examples/crashing.py --port 0",
    'greenroom sessions ask examples/chat.py:chat ada \'{"text": "and who are you?"}\'': None,
    "greenroom sessions show chat ada": None,
}
"""Commands in documents and docstrings that are more than a verb's name, each with what is typed for it; None: itself."""


def mentioned() -> set[str]:
    """Give every command in what people read: documents, the docstrings of public names, the help."""
    texts = [read(page) for page in PAGES]
    found = {command for text in texts for command in re.findall(r"`(greenroom [^`\n]+)`", text)}
    for text in texts:
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found |= {line for line in block.splitlines() if line.startswith("greenroom ")}
    trees = [tree for name, tree in sources() if name not in EXCEPT]
    trees += [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "examples").glob("*.py")]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"`(greenroom [a-z][^`]*)`", node.value))
                found |= set(re.findall(r"^ {4}(greenroom [a-z].*?)(?:  +#.*)?$", node.value, re.MULTILINE))
    return found


@pytest.mark.timeout(400)
def test_every_command_in_documents_and_docstrings_is_run(reader: Reader) -> None:
    """Beside a server that has a completed run, one that asks a person, a failed one, and a session."""
    (reader.folder / "examples").symlink_to(ROOT / "examples")
    (reader.folder / "REPORT.txt").write_text("Otters swim. Otters eat fish. They sleep afloat.\n")
    every = mentioned()
    verbs = {command for command in every if VERB.fullmatch(command) and command not in MENTIONS}
    assert every - verbs == set(MENTIONS), "say in MENTIONS what is typed for it"
    for verb in sorted(verbs):
        assert f"Usage: {verb}" in reader.type(f"{verb} --help")
    server = reader.serve()
    reader.type("greenroom run app.py:release --id x --detach")
    reader.type("greenroom run app.py:one --id y")
    reader.type("greenroom run app.py:fetched --id bad", code=1)
    eventually(lambda: "x~~approve~.1" in reader.type("greenroom approvals list"), 20)
    typed = {line or command: command for command, line in MENTIONS.items()}
    after = (
        "runs show",
        "events",
        "sessions show",
        "sessions resume",
        "cancel-turn",
        "sessions stream",
        "--compare",
    )  # what these need
    order = sorted(typed, key=lambda line: (any(words in line for words in after), line))
    for line in order:
        if "serve" not in line:
            reader.type(line)
    reader.stop(server)
    for line in filter(lambda line: "serve" in line, order):
        other = reader.start(line)
        assert other.stdout is not None
        assert other.stdout.readline().startswith("serving on ")
        reader.stop(other)


# ---------------------------------------------------------------- how a command gets to where it leads


def test_options_are_put_into_commands_once_and_quoted() -> None:
    text = f"{advice.go_on('r')} or {advice.verify('/x/my runs.db')} or {advice.explain('runs')} or `other {{}}`"
    once = placed(text, ("--journal", "my runs.db"))
    assert once == (
        "`greenroom run --id r --journal 'my runs.db'` or `greenroom db verify '/x/my runs.db'` or "
        "`greenroom runs --help` or `other {}`"
    )
    assert placed(once, ("--home", "h")) == once
    assert "`greenroom run --id r --home h`" in placed(once, ("--home", "h"), anew=True)
    assert placed(text, ()) == text
    assert advice.approve("r:approve#1") == "`greenroom approvals approve 'r:approve#1'`"


def test_whoever_asks_over_http_is_told_commands_for_any_folder(reader: Reader) -> None:
    reader.serve("--journal", "my runs.db")
    reader.type("greenroom run app.py:limited --id x --journal 'my runs.db'", code=6)
    code = (
        "import sys\nfrom greenroom import Client\n"
        "with Client(home='.greenroom') as client:\n"
        "    run = client.get('x')\n    print(run.record.reason)\n"
        "    try:\n        run.result(5)\n    except Exception as error:\n        print(error)\n"
    )
    told = reader.python(code)
    place = str(reader.folder / "my runs.db")
    assert len(COMMAND.findall(told)) >= 3
    for command in COMMAND.findall(told):
        words: list[Any] = shlex.split(command)
        assert words[words.index("--journal") + 1] == place
