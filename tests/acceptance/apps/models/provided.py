"""Models of a provider, whose server and key are in the environment."""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from greenroom import LLM, ContextTooLong, Retry, evaluator, tool, workflow

PREFIX = ("sk-", "planted-")
"""Start of the keys of these tests, in two parts so that the whole is in no memory because of this file."""
QUICK = Retry(attempts=40, initial=0.001, max_delay=0.01)


class Brief(BaseModel):
    title: str
    bullets: list[str]


AT_IMPORT = sorted(name for name, value in os.environ.items() if "".join(PREFIX) in value)

writer = LLM("writer", output=Brief, model="openai-chat:test-model", retry=QUICK)
flaky = LLM("flaky", output=Brief, model="openai-chat:flaky", retry=QUICK)
broken = LLM("broken", model="openai-chat:broken", retry=QUICK)
unpaid = LLM("unpaid", model="openai-chat:quota", retry=QUICK)
long = LLM("long", model="openai-chat:too-long", retry=QUICK)
claude = LLM("claude", model="anthropic:answers", retry=QUICK)


def planted() -> list[str]:
    """Return where this process has a key: variables, and its first environment."""
    mark = "".join(PREFIX)
    found = [name for name, value in os.environ.items() if mark in value]
    return sorted(found) + [mark for _ in range(Path("/proc/self/environ").read_bytes().count(mark.encode()))]


@tool
def look() -> list[str]:
    return planted()


@evaluator
def judged(_value: str) -> bool:
    return not planted()


checked = LLM("checked", model="openai-chat:answers", accept=[judged], on_reject="fail")


@workflow
async def write(prompt: str) -> Brief:
    return await writer(prompt)


@workflow
async def write_flaky(prompt: str) -> Brief:
    return await flaky(prompt)


@workflow
async def find_keys() -> dict[str, Any]:
    return {"tool": await look(), "program": planted(), "import": AT_IMPORT, "checked": await checked("hi")}


@workflow
async def recovers() -> str:
    return await broken("hi")


@workflow
async def pays() -> str:
    return await unpaid("hi")


@workflow
async def reads() -> str:
    try:
        return await long("hi")
    except ContextTooLong as error:
        return str(error)


@workflow
async def asks_claude() -> str:
    return await claude("hi")
