"""Steps of every kind that count how often they began, and one that leaves a trap in its worker's process."""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from greenroom import LLM, MockModel, Retry, Score, evaluator, tool, workflow

ALONE = Retry(attempts=1)


def note(folder: str, word: str) -> None:
    """Add a line to the log of what has begun."""
    descriptor = os.open(Path(folder) / "begun", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{word}\n".encode())
    os.close(descriptor)


@tool(retry=ALONE)
def plain(folder: str, number: int) -> int:
    note(folder, f"plain {number}")
    return number


@tool(once=True, retry=ALONE)
def once(folder: str, number: int) -> int:
    note(folder, f"once {number}")
    return number


@evaluator
def kind(result: str) -> Score:
    return Score(1.0)


model = LLM("model", model=MockModel(latency=0.0), retry=ALONE)
judged = LLM("judged", model=MockModel(latency=0.0), accept=[kind], retry=ALONE)


@tool
def lay_trap(trigger: str, how: str) -> int:
    """Have a thread end this process once a file exists, long after this attempt has ended."""

    def spring() -> None:
        while not Path(trigger).exists():
            time.sleep(0.001)
        if how == "exit":
            os._exit(3)
        elif how == "segfault":
            ctypes.string_at(0)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=spring, daemon=True).start()
    return os.getpid()


@workflow
async def trap(trigger: str, how: str) -> int:
    return await lay_trap(trigger, how)


@workflow
async def use_tool(folder: str, number: int) -> int:
    return await plain(folder, number)


@workflow
async def use_once(folder: str, number: int) -> int:
    return await once(folder, number)


@workflow
async def use_llm(_folder: str, number: int) -> int:
    await model(f"say {number}")
    return number


@workflow
async def use_evaluator(_folder: str, number: int) -> int:
    await judged(f"say {number}")
    return number


@workflow
async def use_program(_folder: str, number: int) -> int:
    return number
