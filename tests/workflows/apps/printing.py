"""Steps and workflows that write in every way there is."""

import asyncio
import itertools
import logging
import os
import pdb  # noqa: T100  what is tried
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from loguru import logger
from pydantic import BaseModel

from greenroom import LLM, Retry, Score, current, evaluator, sleep, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest

ONCE = Retry(attempts=1)
log = logging.getLogger("printing")
handled = logging.getLogger("printing.handled")
handled.propagate = False
handled.addHandler(logging.StreamHandler())  # it holds the stream of the process that imports this


def every_way(who: str) -> None:
    print(f"{who} print")
    print(f"{who} error", file=sys.stderr)
    handled.warning("%s handled", who)
    log.warning("%s last resort", who)
    logger.info("{} loguru", who)
    warnings.warn(f"{who} warning", stacklevel=1)
    sys.stdout.buffer.write(f"{who} bytes\n".encode())
    sys.stdout.flush()
    print(f"{who} part", end="")


@tool
def speak(who: str) -> str:
    every_way(who)
    os.write(1, f"\n{who} descriptor\n".encode())
    subprocess.run(["echo", f"{who} child"], check=True)
    if not os.fork():
        os.write(1, f"{who} fork\n".encode())
        os._exit(0)
    os.wait()
    return who


class Talking:
    async def complete(self, request: ModelRequest) -> ModelReply:
        for number in range(3):
            print(f"{request.prompt} says {number}", end="\n" if number < 2 else "")
            await asyncio.sleep(0.01)
        await asyncio.to_thread(print, f"\n{request.prompt} in a thread")
        return ModelReply(text=request.prompt)


ask = LLM("ask", model=Talking())


@evaluator
def judge(text: str) -> Score:
    print(f"{text} judged")
    return Score(1.0)


judged = LLM("judged", model=Talking(), accept=[judge])


@workflow
async def speaking(who: str) -> str:
    every_way(f"{who} flow")
    answer = await speak(who)
    print("ends")
    return answer


@workflow
async def choir(who: str) -> str:
    for number in range(3):
        print(f"{who} before {number}")
        await sleep(0.02)
        print(f"{who} after", number)
    return await ask(who)


@workflow
async def judging(who: str) -> str:
    return await judged(who)


@tool(retry=ONCE)
def odd(kind: str) -> None:
    ODD[kind]()


@workflow
async def oddly(kind: str) -> None:
    await odd(kind)


def dies(end: Callable[[], object]) -> Callable[[], None]:
    def die() -> None:
        os.write(1, b"last words\n")
        print("on a line")
        end()

    return die


def bar() -> None:
    for percent in range(5001):
        sys.stderr.write(f"\r{percent / 50:.0f}% of it")
        sys.stderr.flush()
    sys.stderr.write("\n")
    print("windows\r\nlines\r")


def long_line() -> None:
    for _ in range(100):
        sys.stdout.write("x" * 1024 * 1024)
    sys.stdout.write(" its end\n")


def outlive() -> None:
    subprocess.Popen(["sh", "-c", "echo begun; sleep 60; echo too late"])
    time.sleep(0.2)


def leave_a_thread() -> None:
    def go_on() -> None:
        for number in itertools.count():
            print("tick", number)
            time.sleep(0.001)

    threading.Thread(target=go_on, daemon=True).start()


def hush() -> None:
    secret = os.environ["PRINTED_SECRET"]
    print("whole", secret)
    for part in (secret[:5], secret[5:]):
        print(part, end="", flush=True)
        time.sleep(0.5)
    print()
    os.write(1, b"x" * (8 * 1024 - 3) + secret.encode() + b"\n")


def close() -> None:
    print("before")
    sys.stdout.close()


def replace() -> None:
    print("before")
    sys.stdout = None  # type: ignore[assignment]


def partly() -> None:
    print("begun", end="", flush=True)
    time.sleep(1.0)
    print(" and ended")


ODD: dict[str, Callable[[], object]] = {
    "no text": lambda: os.write(1, b"\xff\xfe is \xc3\xbc\n"),
    "bar": bar,
    "long line": long_line,
    "flood": lambda: [print("line", n) for n in range(100_000)],
    "exit": dies(lambda: os._exit(3)),
    "kill": dies(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "segfault": dies(lambda: os.kill(os.getpid(), signal.SIGSEGV)),
    "outlive": outlive,
    "thread": leave_a_thread,
    "hush": hush,
    "closed": close,
    "replaced": replace,
    "nothing": lambda: None,
    "forged": lambda: os.write(1, b'\0\x1e\0us\x1e0014000b["other","s#1",1]hello\n'),
    "colours": lambda: print("\x1b[2J\x1b]0;title\x07 red\r\x1b[31mred"),
    "partly": partly,
    "breakpoint": lambda: breakpoint(),  # noqa: T100, PLW0108  its frame is the one to be named
    "pdb": lambda: pdb.set_trace(),  # noqa: T100, PLW0108
    "input": lambda: input("your name? "),
}


class Seen(BaseModel):
    attempt: int = 0


@tool(retry=Retry(attempts=3, initial=0.01))
def stumble() -> int:
    print("try", current().attempt)
    if current().attempt < 3:
        raise ValueError(current().attempt)
    return current().attempt


@workflow
async def stumbling() -> int:
    return await stumble()


@workflow
async def asking() -> None:
    breakpoint()  # noqa: T100  what is tried


@tool
def gate(path: str) -> None:
    print("at the gate")
    while not Path(path).exists():
        time.sleep(0.01)


@workflow
async def replayed(path: str) -> str:
    print("one")
    await speak("first")
    print("two")
    await sleep(0.01)
    print("three")
    await gate(path)
    print("four")
    return "through"
