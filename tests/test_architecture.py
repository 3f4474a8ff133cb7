"""docs/ARCHITECTURE.md against the tree, the import contracts, and what a run really calls."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
pytestmark = pytest.mark.timeout(240)
HOP = re.compile(r"^ *(\d+) ([a-z ]+), (\w+) +(\S+\.py) (\S+)", re.MULTILINE)
QUESTIONS = {
    "Where is the delay of a retry computed?": "retry",
    "Where does a death become an attempt's failure?": "attempt",
    "Where do I add a verb of the command line?": "verb",
    "Where do I add a journal?": "journal",
    "Who restarts a dead worker?": "worker",
    "Where is a token checked?": "token",
    "Where does a turn of a session commit?": "turn",
    "Where is a model's prompt built?": "prompt",
    "Where is a schedule's next time computed?": "next_time",
    "Where are secrets redacted?": "redact",
    "Where is a run replayed and compared?": "replay",
    "Where does output of a tool go?": "output",
    "Where is the rate of a model limited?": "rate",
    "Where is a budget checked?": "budget",
    "Where does a message to a run wait?": "message",
    "Where are the limits of a worker set?": "limits",
    "What is the keeper?": "keeper",
}
"""Each question of the tour, and the word of it by which the file is found."""


class Hop(NamedTuple):
    """One line of the diagram."""

    number: str
    process: str
    thread: str
    file: str
    name: str


def hops() -> list[Hop]:
    return [Hop(*found) for found in HOP.findall(PAGE.partition("```text\n")[2].partition("```")[0])]


def crossed_by_the_page() -> dict[str, bool]:
    """Give the files that the page says a step crosses, and of each whether a start crosses it too."""
    block = PAGE.partition("until it is acknowledged")[2].partition("```text\n")[2].partition("```")[0]
    found = {}
    for folder, names in re.findall(r"^([a-z/_]+): ([^:]+)$", block.replace("\n  ", " "), re.MULTILINE):
        found |= {f"{folder}/{name.rstrip('*')}": name.endswith("*") for name in names.split()}
    return found


def folder_of(package: str) -> str:
    """Give a package's folder in the repository."""
    top = max((name for name in FOLDERS if f"{package}.".startswith(f"{name}.")), key=len)
    return f"{FOLDERS[top]}{package.removeprefix(top).replace('.', '/')}/"


@cache
def defined_in(file: str) -> set[str]:
    """Give the functions and classes of a module, and the methods of its classes with their class's name."""

    def names(body: list[ast.stmt], inside: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield inside + node.name
                if isinstance(node, ast.ClassDef):
                    yield from names(node.body, f"{inside}{node.name}.")

    return set(names(ast.parse((ROOT / file).read_text(encoding="utf-8")).body, ""))


# ------------------------------------------------------------ the tree


def test_every_path_on_the_page_exists():
    named = re.findall(r"(?<![\w/.])((?:[a-z_]+/)+[A-Za-z_.0-9]*)", PAGE)
    assert len(set(named)) > 150
    assert sorted({name for name in named if not (ROOT / name).exists()}) == []


@pytest.mark.parametrize("package", PROJECT["tool"]["setuptools"]["packages"])
def test_every_package_is_told_of(package: str):
    assert folder_of(package) in PAGE


def test_every_module_beside_the_rooms_is_named():
    rooms = PAGE.partition("## The rooms")[2].partition("\n## ")[0]
    beside = [
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS.values()
        for path in sorted((ROOT / folder).glob("*.py"))
        if folder != "greenroom" and path.name != "__init__.py"
    ]
    assert len(beside) > 30
    assert [name for name in beside if f"`{name}`" not in rooms] == []


def test_the_layers_are_those_of_the_contracts():
    contracts = [c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    held = {
        folder_of(container): " > ".join(contract["layers"])
        for contract in contracts
        for container in contract["containers"]
    }
    rooms = PAGE.partition("## The rooms")[2].partition("\n## ")[0]
    told = {"greenroom/": re.findall(r"^Layers: `(.+)`$", rooms, re.MULTILINE)[0]}
    told |= dict(re.findall(r"^### (\w+/)$\n\n(?:(?!###|Layers).*\n)+?\nLayers: `(.+)`$", rooms, re.MULTILINE))
    assert told.keys() >= {"actors/", "messages/", "supervision/", "journal/", "workflows/", "dashboard/"}
    assert told == {folder: held[folder] for folder in told}


# ------------------------------------------------------------ the tour


def test_the_tour_answers_each_question_with_a_function_that_exists():
    rows = tour()
    assert {question for question, _, _ in rows} == set(QUESTIONS)
    assert [(file, name) for _, file, name in rows if name not in defined_in(file)] == []


def test_a_word_of_each_question_leads_to_its_file():
    assert [(question, file) for question, file, _ in tour() if QUESTIONS[question] not in file] == []


def tour() -> list[tuple[str, str, str]]:
    """Return question, file and function of each row of the tour."""
    return re.findall(r"^\| ((?:Where|Who|What) .+?\?) \| `(.+?)` \| `(.+?)` \|", PAGE, re.MULTILINE)


def test_functions_and_methods_that_the_text_names_exist():
    named = re.findall(r"`([A-Z]\w+)\.([a-z]\w+)(?:\(.*?\))?`", PAGE)
    assert ("StepJobs", "wrote") in named
    assert sorted({f"{owner}.{name}" for owner, name in named if not has_member(owner, name)}) == []


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """Give all classes of the project by their names, of which a few stand for two."""
    found: dict[str, list[ast.ClassDef]] = {}
    for file in (file for folder in set(FOLDERS.values()) for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


def has_member(owner: str, name: str) -> bool:
    """Return whether a class has such a method, declares such an attribute, or sets one of itself."""
    pattern = re.compile(rf"\bdef {name}\(|\b(?:self\.)?{name}\b *[:=]")
    return any(pattern.search(ast.unparse(node)) for node in classes().get(owner, ()))


# ------------------------------------------------------------ what a run really calls

APP = """
import os, sys, threading, time

ROOT, OUT = os.environ["TRACED_ROOT"] + "/greenroom/", os.environ["TRACED_OUT"]


def note(frame, event, argument):
    name = frame.f_code.co_filename
    if event == "call" and name.startswith(ROOT):
        line = f"{time.monotonic_ns()} {threading.current_thread().name} {name[len(ROOT):]} {frame.f_code.co_qualname}\\n"
        file = os.open(f"{OUT}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # a fork closes all it inherits
        os.write(file, line.encode())
        os.close(file)


threading.setprofile(note)  # of the orchestrator; workers are forks of the zygote, whose main thread imports this
sys.setprofile(note)

from greenroom import Orchestrator, tool, workflow


@tool
def search(query: str) -> str:
    return f"{query} {os.getpid()}"


@workflow
async def look_up(query: str) -> str:
    return f"{await search(query)} {os.getpid()}"


if __name__ == "__main__":
    with Orchestrator(journal=sys.argv[1]) as orchestrator:
        orchestrator.start(look_up, "warm").result()
        begun, run = time.monotonic_ns(), orchestrator.start(look_up, "otters")
        for _ in range(3):
            tool_worker, program_worker = run.result().split()[1:]
            following, run = time.monotonic_ns(), orchestrator.start(look_up, "otters")
            print(begun, time.monotonic_ns(), os.getpid(), program_worker, tool_worker)
            begun = following
        run.result()
"""


class Call(NamedTuple):
    """One call of a function of ours."""

    at: int
    process: str
    thread: str
    file: str
    name: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Call]]:
    """Give the calls of each of three runs with one tool step, made by workers that have made one before.

    A run may be put away after its caller has the result, so the start of the next one is among its calls, too.
    """
    folder = tmp_path_factory.mktemp("traced")
    out = folder / "calls"
    out.mkdir()
    (folder / "app.py").write_text(APP)
    done = subprocess.run(
        [sys.executable, "app.py", "runs.db"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GREENROOM_HOME": str(folder / "home"),
            "TRACED_ROOT": str(ROOT),
            "TRACED_OUT": str(out),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines():
        begun, ended, *pids = line.split()
        calls = []
        for pid, process in zip(pids, ("orchestrator", "program worker", "tool worker"), strict=True):
            for text in (out / pid).read_text().splitlines():
                at, thread, file, name = text.split(" ", 3)
                if int(begun) <= int(at) <= int(ended):
                    calls.append(Call(int(at), process, thread_of(process, thread), file, name))
        found.append(sorted(calls))
    return found


def thread_of(process: str, thread: str) -> str:
    """Give the page's word for a thread."""
    main = "caller" if process == "orchestrator" else "main"
    return {"MainThread": main, "greenroom-reactor": "reactor", "greenroom-journal": "journal"}.get(thread, thread)


@pytest.mark.parametrize("hop", hops(), ids=lambda hop: hop.number)
def test_every_hop_of_the_diagram_is_a_function(hop: Hop):
    assert hop.name in defined_in(hop.file)


def test_a_run_makes_the_hops_of_the_diagram_in_each_thread_in_this_order(runs: list[list[Call]]):
    assert [int(hop.number) for hop in hops()] == list(range(1, 34))
    for calls in runs:
        for place in {(hop.process, hop.thread) for hop in hops()}:
            made = iter([(call.file, call.name) for call in calls if (call.process, call.thread) == place])
            for hop in hops():
                if (hop.process, hop.thread) == place:
                    assert (hop.file, hop.name) in made, f"{place} does not come to hop {hop.number}"  # and takes it


def test_the_page_lists_the_files_that_a_run_with_one_tool_step_crosses(runs: list[list[Call]]):
    told = set(crossed_by_the_page())
    compare(told, [{call.file for call in calls} for calls in runs])
    assert f"one tool step and its result crosses {len(told)}." in " ".join(PAGE.split())


def test_the_page_marks_the_files_that_a_start_crosses_until_it_is_acknowledged(runs: list[list[Call]]):
    told = {file for file, marked in crossed_by_the_page().items() if marked}
    compare(told, [crossed_by_start(calls) for calls in runs])
    assert f"A start crosses {len(told)} files until it is acknowledged" in " ".join(PAGE.split())


def compare(told: set[str], crossed: list[set[str]]) -> None:
    """Compare a list of the page with the files that each run has crossed.

    What some of the runs have crossed and others have not was a timer's doing, such as a look at the workers.
    """
    always, ever = set.intersection(*crossed), set.union(*crossed)
    faults = {"crossed, but not on the page": always - told, "on the page, but not crossed": told - ever}
    assert {what: sorted(files) for what, files in faults.items() if files} == {}


def crossed_by_start(calls: list[Call]) -> set[str]:
    """Give the files that the caller, the journal and the reactor cross until the caller has a handle on its run."""
    begun, back = calls[0].at, next(call.at for call in calls if call.name == "Run.__init__")
    asked = next(call.at for call in calls if call.name == "RunStarter.start")  # before that it has put a run away
    entered = next(call.at for call in calls if call.name == "RunRegistry.enter")
    spans = {"caller": (begun, back), "journal": (begun, back), "reactor": (asked, entered)}
    return {
        call.file
        for call in calls
        if call.process == "orchestrator"
        and call.thread in spans
        and spans[call.thread][0] <= call.at <= spans[call.thread][1]
    }
