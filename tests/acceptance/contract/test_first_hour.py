"""The first hour of somebody new, at a terminal of 80 columns: what is typed, and what it says."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.terminal import COLUMNS, Terminal
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
FLOWS = """
import logging
import os
import time
from pathlib import Path

from greenroom import Budget, Retry, approve, tool, workflow

QUICK = Retry(attempts=2, initial=0.05)


@tool
def add(a: int, b: int) -> int:
    print("adding", a, "and", b)
    logging.getLogger("sums").warning("it is %s", a + b)
    return a + b


@workflow
async def total(a: int, b: int = 1) -> int:
    print("to work")
    return await add(a, b)


@tool(retry=QUICK)
def divide(a: int, b: int) -> float:
    return a / b


@workflow
async def share(a: int, b: int) -> float:
    return await divide(a, b)


@workflow
async def price(name: str) -> int:
    return {"apple": 3}[name]


@tool
def look(name: str) -> str:
    return os.environ[name]


@workflow
async def setting(name: str) -> str:
    return await look(name)


@tool(retry=QUICK)
def note(line: str) -> None:
    with Path("effects").open("a") as file:
        file.write(line + "\\n")


@tool(retry=QUICK)
def wait(path: str) -> str:
    Path(path + ".awaited").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return path


@workflow
async def gated(path: str) -> str:
    await note("before")
    await wait(path)
    await note("after")
    return "through"


@workflow(budget=Budget(attempts=1))
async def dear() -> str:
    await note("one")
    await note("two")
    return "paid"


@workflow
async def release(version: str) -> str:
    answer = await approve("release", {"version": version})
    return f"{answer.decision} by {answer.by}"
"""
TESTS = """
from flows import add, total


def test_total_with_another_add(orchestrator, tool_fakes):
    tool_fakes.replace(add, lambda a, b: 100 * a + b)
    assert orchestrator.start(total, 1, 2).result() == 102
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "first"
    made.mkdir()
    (made / "flows.py").write_text(FLOWS)
    package = made / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "prices.py").write_text("PRICES = {'pear': 4}\n")
    (package / "flows.py").write_text(
        "from greenroom import workflow\n\nfrom .prices import PRICES\n\n\n"
        "@workflow\nasync def ask(name: str) -> int:\n    return PRICES[name]\n"
    )
    return made


@pytest.fixture
def terminal(folder: Path, tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(folder, tmp_path / "bin")
    yield opened
    opened.close()
    for record in folder.rglob("orchestrator.json"):
        try:
            host = psutil.Process(json.loads(record.read_text())["pid"])
        except psutil.NoSuchProcess:
            continue
        host.send_signal(signal.SIGTERM)
        host.wait(30)


def effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().split() if path.exists() else []


def waits(folder: Path) -> None:
    """Return once the run waits for its file; its first effect is then on record."""
    eventually((folder / "go.awaited").exists, 30, what="the run at its gate")
    assert effects(folder) == ["before"]


def test_a_workflow_of_ones_own_runs_and_what_it_prints_is_seen(terminal: Terminal) -> None:
    said = terminal.type("greenroom run flows.py:total -i a=2 -i b=3 --id sum")
    assert re.search(r"^5$", said.text, re.MULTILINE)
    assert "add#1 │ adding 2 and 3" in said
    assert "it is 5" in said
    assert "│ to work" in said
    said = terminal.type("greenroom run flows.py:total -i a=2 2>/dev/null")
    assert said.text.strip() == "3"
    said = terminal.type("greenroom runs logs sum")
    assert "add#1 │ adding 2 and 3" in said
    assert terminal.type("greenroom runs show sum").width <= COLUMNS
    assert terminal.type("greenroom runs list").width <= COLUMNS


def test_what_is_mistyped_is_said_with_what_was_meant(terminal: Terminal) -> None:
    said = terminal.type("greenroom run flows.py:totl -i a=2", code=3)
    assert "did you mean 'total'" in said.flowing
    said = terminal.type("greenroom run flow.py:total -i a=2", code=2)
    assert "did you mean 'flows.py'" in said.flowing
    said = terminal.type("greenroom run flows.py:total -i a=two", code=2)
    assert re.search(r"\ba: .*integer", said.flowing)


def test_a_failing_tool_and_a_failing_workflow_lead_to_their_lines(terminal: Terminal) -> None:
    said = terminal.type("greenroom run flows.py:share -i a=1 -i b=0 --id bad", code=1)
    line = FLOWS.split("\n").index("    return a / b") + 1
    assert "ZeroDivisionError" in said
    assert re.search(rf'flows\.py", line {line}, in divide', said.flowing), said
    assert re.search(rf'flows\.py", line {line}, in divide', terminal.type("greenroom runs show bad").flowing)
    said = terminal.type("greenroom run flows.py:price -i name=plum --id worse", code=1)
    line = FLOWS.split("\n").index('    return {"apple": 3}[name]') + 1
    assert re.search(rf'flows\.py", line {line}, in price', said.flowing), said
    assert "KeyError: 'plum'" in said
    assert "greenroom/actors" not in said
    shown = terminal.type("greenroom runs show worse")
    assert re.search(rf'flows\.py", line {line}, in price', shown.flowing)
    page = [text for text in shown.text.splitlines() if not text.startswith("    |")]  # the lines of a traceback stay
    assert max(map(len, page)) <= COLUMNS


def test_the_environment_is_there_and_secrets_go_by_name(terminal: Terminal) -> None:
    terminal.type("export CITY=Oslo SHOP_API_KEY=k-123")
    assert '"Oslo"' in terminal.type("greenroom run flows.py:setting -i name=CITY")
    said = terminal.type("greenroom run flows.py:setting -i name=SHOP_API_KEY", code=1)
    assert "--env SHOP_API_KEY" in said.flowing
    said = terminal.type("greenroom run flows.py:setting -i name=SHOP_API_KEY --env SHOP_API_KEY --id key")
    assert "k-123" not in terminal.type("greenroom runs events key")


def test_a_package_is_an_app_by_its_path_and_by_its_name(terminal: Terminal) -> None:
    assert re.search(r"^4$", terminal.type("greenroom run shop/flows.py:ask -i name=pear").text, re.MULTILINE)
    assert re.search(r"^4$", terminal.type("greenroom run shop.flows:ask -i name=pear").text, re.MULTILINE)


def test_a_second_run_is_submitted_and_followers_come_and_go(terminal: Terminal, folder: Path) -> None:
    assert terminal.type("greenroom run flows.py:gated -i path=go --id slow --detach").text.startswith("slow")
    waits(folder)
    assert re.search(r"^3$", terminal.type("greenroom run flows.py:total -i a=2").text, re.MULTILINE)
    terminal.begin("greenroom run --id slow")
    terminal.shows("slow")
    said = terminal.interrupt()
    assert said.code == 130
    assert "run slow goes on in" in said.flowing
    assert "`greenroom run --id slow`" in said.flowing
    terminal.type("touch go")
    assert '"through"' in terminal.type("greenroom run --id slow")
    assert effects(folder) == ["before", "after"]


def test_a_worker_is_killed_and_the_run_goes_on(terminal: Terminal, folder: Path) -> None:
    terminal.type("greenroom run flows.py:gated -i path=go --id slow --detach")
    waits(folder)

    def busy() -> list[dict[str, object]]:
        listed = terminal.type("greenroom actors list -o json 2>/dev/null").text
        return [each for each in json.loads(listed) if each["step"] == "wait#1"]

    worker = eventually(busy, 30, what="the worker of the step")[0]
    assert "wait#1" in terminal.type("greenroom actors tree")
    pid = worker["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    terminal.type("touch go")
    assert '"through"' in terminal.type("greenroom run --id slow")
    shown = terminal.type("greenroom runs show slow")
    assert "crash" in shown
    assert "SIGKILL" in shown
    assert effects(folder) == ["before", "after"]


def test_a_parked_run_is_resumed_as_it_was_said(terminal: Terminal, folder: Path) -> None:
    said = terminal.type("greenroom run flows.py:dear --id dear", code=6)
    command = re.search(r"`(greenroom runs resume dear --budget [^`]+)`", said.flowing)
    assert command is not None, said
    terminal.type(command[1])
    assert '"paid"' in terminal.type("greenroom runs result dear --timeout 30")
    assert effects(folder) == ["one", "two"]


def test_a_person_is_asked_and_answers_by_an_id_that_needs_no_quotes(terminal: Terminal) -> None:
    terminal.begin("greenroom run flows.py:release -i version=7 --id r7")
    terminal.shows("waits for a person")
    assert terminal.interrupt().code == 130
    terminal.type("greenroom run --id r7 --detach")
    said = terminal.type("greenroom runs show r7")
    assert "to decide 'release'" in said.flowing
    approval = re.search(r"approval (\S+)", said.flowing)
    assert approval is not None
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", approval[1])
    terminal.type(f"greenroom approvals approve {approval[1]} --by ada")
    assert '"approve by ada"' in terminal.type("greenroom runs result r7 --timeout 30")
    assert "approved by ada" in terminal.type("greenroom runs show r7").flowing


def test_an_interrupted_run_whose_code_was_changed_says_so_and_goes_on_once_it_fits(
    terminal: Terminal, folder: Path
) -> None:
    terminal.begin("greenroom run flows.py:gated -i path=go --id slow")
    waits(folder)
    said = terminal.interrupt()
    assert said.code == 130
    assert "`greenroom run --id slow`" in said.flowing
    (folder / "flows.py").write_text(FLOWS.replace('await note("before")', "await add(1, 2)"))
    said = terminal.type("greenroom run --id slow", code=6)
    assert "note#1" in said.flowing
    assert "add#1" in said.flowing
    (folder / "flows.py").write_text(FLOWS)
    terminal.type("touch go")
    assert '"through"' in terminal.type("greenroom run --id slow")
    assert effects(folder) == ["before", "after"]


def test_pytest_has_an_orchestrator_and_fakes(terminal: Terminal, folder: Path) -> None:
    (folder / "test_flows.py").write_text(TESTS)
    said = terminal.type("python -m pytest -q -p greenroom.testing.plugin test_flows.py", timeout=120)
    assert "1 passed" in said
