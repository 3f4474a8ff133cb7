"""Tools that break a limit when they are told to, and answer otherwise."""

import contextlib
import ctypes
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from greenroom import Retry, StepFailed, tool, workflow

ONCE = Retry(attempts=1)
DAEMON = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(600)"
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@tool(retry=ONCE, crash_attempts=1, timeout=1)
def slow(how: str) -> str:  # noqa: C901, PLR0912  one case for each way
    """Take too long inside C code, die, or leave processes behind."""
    match how:
        case "power":
            return str(10**10**9)[:5]
        case "regex":
            return str(re.match(r"(a+)+$", "a" * 60 + "b"))
        case "exit":
            os._exit(7)
        case "segfault":
            ctypes.string_at(0)
        case "orphans":
            for _ in range(3):
                subprocess.Popen([*SLEEPER, "left behind by unruly"], start_new_session=True)
            time.sleep(600)
        case "daemons":
            for _ in range(3):
                subprocess.run([sys.executable, "-c", DAEMON, "left behind by unruly"], check=True)
            time.sleep(600)
        case "flood":
            while True:
                os.write(1, b"x" * 65536)
        case "flood of lines":
            while True:
                os.write(2, b"y\n" * 32768)
        case _:
            return "fine"
    return ""


@tool(retry=ONCE, crash_attempts=1, timeout=20, memory_mb=300)
def leak(how: str) -> str:
    """Take memory without end."""
    kept = []
    while how == "leak":
        kept.append(bytearray(10 << 20))
    return "fine"


kept: list[object] = []


@tool(retry=ONCE, crash_attempts=1, timeout=20, memory_mb=300)
def fill(piece_bytes: int, items: int) -> list[str]:
    """Keep all memory that there is, in pieces of so many bytes, and have a result that needs some more."""
    with contextlib.suppress(MemoryError):
        while True:
            kept.append(bytearray(piece_bytes))
    return ["x" * 100] * items


@tool(retry=ONCE, crash_attempts=1, timeout=30, cpu=1)
def busy(how: str) -> str:
    """Use the CPU without end, in C code, or in a program."""
    if how == "power":
        return str(10**10**9)[:5]
    if how == "program":
        return str(subprocess.run([sys.executable, "-c", "while True: pass"], check=False).returncode)
    end = time.process_time() + 0.7  # most of what an attempt may use
    while time.process_time() < end:
        pass
    return "fine"


@tool(retry=ONCE, crash_attempts=1, timeout=30, processes=3)
def forks(how: str) -> str:
    """Start processes without end, or as many as it may have."""
    many = 3 if how == "fine" else 60
    started = [subprocess.Popen(SLEEPER) for _ in range(many)]
    time.sleep(0.5 if how == "fine" else 600)
    for process in started:
        process.kill()
        process.wait()
    return "fine"


@tool(retry=ONCE, timeout=30, open_files=40)
def opens(how: str) -> str:
    """Open files without end."""
    kept = []
    while how == "files":
        kept.append(os.open("/dev/null", os.O_RDONLY))
    return "fine"


@tool(retry=ONCE, timeout=30, network=False)
def offline(how: str) -> str:
    """Connect to a port of this machine that listens, itself and through a program."""
    if how.startswith("connect "):
        socket.create_connection(("127.0.0.1", int(how.removeprefix("connect "))), 5).close()
        return "connected"
    if how.startswith("program "):
        port = how.removeprefix("program ")
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        return f"exit code {subprocess.run([sys.executable, '-c', code], capture_output=True, check=False).returncode}"
    return "fine"


@tool(retry=ONCE, workdir=Path(__file__).parent)
def where(how: str) -> str:
    """Say where it works."""
    return f"{how} in {Path.cwd()}"


@tool(retry=ONCE, workdir=Path(__file__).parent / "no-such-folder")
def nowhere(how: str) -> str:
    """Have no folder to work in."""
    return how


TOOLS = {step.name: step for step in (slow, leak, busy, forks, opens, offline, where, nowhere)}


@workflow
async def call(tool_name: str, how: str) -> str:
    """Call one tool; its failure is the result, as an agent would be told."""
    try:
        return await TOOLS[tool_name](how)
    except StepFailed as error:
        return f"failed: {error}"


@workflow
async def overfill(piece_bytes: int, items: int) -> str:
    """Have a result for which there is no memory left."""
    try:
        return str(len(await fill(piece_bytes, items)))
    except StepFailed as error:
        return f"failed: {error}"


@workflow
async def let_fail(tool_name: str, how: str) -> str:
    """Call one tool, and let its failure end the run."""
    return await TOOLS[tool_name](how)


@workflow
async def wrap(tool_name: str, how: str) -> str:
    """Call one tool, and raise another exception from its failure."""
    try:
        return await TOOLS[tool_name](how)
    except StepFailed as error:
        msg = "the day is over"
        raise RuntimeError(msg) from error


@workflow
async def let_child_fail(tool_name: str, how: str) -> str:
    """Let the failure of a child run end this one."""
    return await let_fail(tool_name, how)
