"""Real command lines in real processes, each test with a home and a folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.forked import Answer, Template
from tests.support import ROOT, eventually

APP = """
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import Retry, receive, tool, workflow

ONCE = Retry(attempts=1)


@tool(retry=ONCE)
def add(a: int, b: int) -> int:
    return a + b


@tool(retry=ONCE)
def note(path: str, line: str) -> str:
    with Path(path).open("a") as file:
        file.write(line + "\\n")
    return line


@tool(retry=ONCE)
def wait_for(path: str) -> bool:
    Path(path + ".awaited").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return True


@tool(retry=ONCE)
def explode(why: str) -> None:
    raise ValueError(why)


@workflow
async def total(a: int, b: int = 1) -> int:
    return await add(a, b)


@workflow
async def greet(name: str, tags: list[str] = []) -> dict[str, object]:
    return {"hello": name, "tags": tags}


@workflow
async def gate(path: str, effects: str) -> str:
    await note(effects, "before")
    await wait_for(path)
    await note(effects, "after")
    return "through"


class Lesson(BaseModel):
    word: str


@workflow
async def taught() -> str:
    return (await receive(Lesson)).word


@workflow
async def broken() -> None:
    await explode("no luck")
"""


@dataclass
class CommandLine:
    """Runs ``greenroom`` in ``folder``; every answer is checked for what no answer may hold."""

    folder: Path
    home: Path
    template: Template
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, str(ROOT / "main.py"), *arguments]
        environment = os.environ | {"GREENROOM_HOME": str(self.home)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **pipes | options)
        self.started.append(process)
        return process

    def __call__(self, *arguments: str, given: str | None = None, code: int = 0, timeout: float = 50) -> Answer:
        answer = self._run(arguments, given, timeout)
        assert "Traceback" not in answer.err, answer
        assert answer.code == code, answer
        return answer

    def _run(self, arguments: tuple[str, ...], given: str | None, timeout: float) -> Answer:
        environment = os.environ | {"GREENROOM_HOME": str(self.home)}
        if self.template.fits(environment):
            return self.template.run(
                arguments, self.folder, environment, script=ROOT / "main.py", given=given or "", timeout=timeout
            )
        process = self.start(*arguments)
        out, err = process.communicate(given, timeout=timeout)
        return Answer(process.returncode, out, err)

    def result_of(self, *arguments: str, **options: Any) -> Any:
        return json.loads(self(*arguments, **options).out)

    def host(self) -> psutil.Process | None:
        """Give the orchestrator that is alive on the home, whoever started it."""
        try:
            pid = json.loads((self.home / "orchestrator.json").read_text())["pid"]
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    opened = Template()
    yield opened
    opened.close()


@pytest.fixture
def greenroom(tmp_path: Path, template: Template) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path, tmp_path / "home", template)
    (tmp_path / "app.py").write_text(APP)
    yield line
    for process in line.started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()
    host = line.host()
    if host is not None:
        host.send_signal(signal.SIGINT)
        eventually(lambda: line.host() is None, 20, what="the end of the orchestrator in the background")


@pytest.fixture
def gate(greenroom: CommandLine) -> "Gate":
    return Gate(greenroom.folder / "open", greenroom.folder / "effects")


@dataclass
class Gate:
    """A run that has had one effect and waits for a file before it has the other."""

    path: Path
    effects: Path

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("app.py:gate", "-i", f"path={self.path}", "-i", f"effects={self.effects}")

    def lines(self) -> list[str]:
        return self.effects.read_text().split() if self.effects.exists() else []

    def reached(self) -> None:
        """Wait until the run waits; its first effect is then on record, so that a kill repeats nothing."""
        eventually(self.path.with_name(f"{self.path.name}.awaited").exists, 30, what="the run at its gate")
        assert self.lines() == ["before"]

    def open(self) -> None:
        self.path.touch()
