"""A step that kills what its process, and everybody else's, was forked from; and a step that only takes its time."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from greenroom import LLM, MockModel, Retry, Score, evaluator, tool, workflow


def zygote() -> int:
    return os.getppid()


def keeper() -> int:
    return psutil.Process(zygote()).ppid()


def kill_parent() -> None:
    subprocess.run(["sh", "-c", f"kill -9 {zygote()}"], check=False)


def kill_keeper() -> None:
    os.kill(keeper(), signal.SIGKILL)


def kill_group_of_parent() -> None:
    os.killpg(os.getpgid(zygote()), signal.SIGKILL)


def terminate_both() -> None:
    os.kill(keeper(), signal.SIGTERM)
    os.kill(zygote(), signal.SIGTERM)


def kill_all() -> None:
    os.kill(-1, signal.SIGKILL)


def stop_both_and_kill() -> None:
    os.kill(keeper(), signal.SIGSTOP)
    os.kill(zygote(), signal.SIGSTOP)
    os.kill(zygote(), signal.SIGKILL)


DEEDS: dict[str, Callable[[], None]] = {
    deed.__name__: deed
    for deed in (kill_parent, kill_keeper, kill_group_of_parent, terminate_both, stop_both_and_kill, kill_all)
}


@tool(retry=Retry(attempts=4, initial=0.05, jitter=0.0))
def kill(deed: str) -> str:
    DEEDS[deed]()
    time.sleep(60)
    return "it did not help"


@tool(retry=Retry(attempts=1))
def patient(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@tool
def stop(folder: str) -> str:
    """Stop the zygote once, and go on."""
    if not (Path(folder) / "stopped").exists():
        (Path(folder) / "stopped").touch()
        os.kill(zygote(), signal.SIGSTOP)
    return "stopped"


@workflow
async def killer(deed: str) -> str:
    return await kill(deed)


@workflow
async def neighbour(seconds: float) -> float:
    return await patient(seconds) + await patient(seconds)


@workflow
async def stopper(folder: str) -> str:
    return await stop(folder)


@workflow
async def program_killer() -> None:
    await patient(0.0)
    os.kill(zygote(), signal.SIGKILL)
    signal.pause()


@evaluator
def deadly(result: str) -> Score:
    os.kill(zygote(), signal.SIGKILL)
    time.sleep(60)
    return Score(1.0)


judged = LLM("judged", model=MockModel(latency=0.0), accept=[deadly], on_reject="fail", on_evaluator_error="flag")


@workflow
async def evaluator_killer() -> str:
    return await judged("say something")
