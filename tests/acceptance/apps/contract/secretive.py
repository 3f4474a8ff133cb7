"""Tools that look for the secrets of others, and tools that let slip their own.

What they look for begins with ``PREFIX``, which stands nowhere as one text, so that they do not find themselves.
"""

import hashlib
import os
import re
import sys
from pathlib import Path

from greenroom import LLM, Retry, evaluator, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.supervision.kernel import linux

PREFIX = ("sk-plan", "ted-")
ONCE = Retry(attempts=1)
AT_IMPORT = sorted(name for name in os.environ if name.startswith("PLANTED"))


def pattern() -> "re.Pattern[bytes]":
    return re.compile("".join(PREFIX).encode() + b"[0-9a-f]{24}")


def digest(name: str) -> str:
    """Say which value a variable has without saying it."""
    return hashlib.sha256(os.environ.get(name, "").encode()).hexdigest()


class Keyed:
    """A model that has a key, and quotes it when it fails."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        if "fail" in request.prompt:
            key = os.environ["PLANTED_LLM"]
            print(f"calling with {key}", flush=True)
            msg = f"Incorrect API key provided: {key!r}"
            raise PermissionError(msg)
        return ModelReply(digest("PLANTED_LLM"))


writer = LLM("writer", model=Keyed(), retry=ONCE)


@evaluator
def fine(_text: str) -> bool:
    return not any(name.startswith("PLANTED") for name in os.environ)


@tool
def look_around() -> list[str]:
    """Look into everything that a process of this user may look into; say where there was a secret."""
    found, secret = [f"variable {name}" for name in os.environ if name.startswith("PLANTED")], pattern()
    for pid in linux.numbers_in("/proc"):
        for file in ("environ", "cmdline"):
            try:
                data = Path(f"/proc/{pid}/{file}").read_bytes()
            except OSError:
                continue
            if secret.search(data):
                found.append(f"{file} of {pid}, {Path(f'/proc/{pid}/comm').read_text().strip()}")
        found += [f"memory of {pid}, {place}" for place in search_memory(pid)]
    return found


def search_memory(pid: int) -> list[str]:
    """Say in which writable mappings of a process there is a secret; nothing where we may not look."""
    found, secret = [], pattern()
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for line in maps.splitlines():
                bounds, mode, *_ = line.split()
                if mode.startswith("rw"):
                    start, end = (int(bound, 16) for bound in bounds.split("-"))
                    try:
                        memory.seek(start)
                        data = memory.read(end - start)
                    except (OSError, ValueError):
                        continue
                    if secret.search(data):
                        found.append(line)
    except OSError:
        pass
    return found


@tool(env=("PLANTED_TOOL",))
def own_key() -> tuple[str, list[str]]:
    return digest("PLANTED_TOOL"), AT_IMPORT


@tool(env=("PLANTED_TOOL",), retry=ONCE)
def let_slip(how: str) -> None:
    """Say the key in one of many ways, and fail."""
    key = os.environ.pop("PLANTED_TOOL") if how == "popped" else os.environ["PLANTED_TOOL"]
    said = f"the server at https://x:{key}@example.org said no"
    if how in {"raise", "popped"}:
        raise ValueError(said)
    if how == "cause":
        raise RuntimeError(said) from KeyError(key)
    if how == "group":
        raise ExceptionGroup(said, [ValueError(key)])
    if how == "exit":
        sys.exit(said)
    pieces = {
        "halves": [key[:9], key[9:], "\n"],
        "long": ["x" * 65530 + key + "y" * 65530 + "\n"],
        "many": [f"{key} {number}\n" for number in range(5000)],
        "lines": [said + "\n"],
    }
    for piece in pieces[how]:
        os.write(2, piece.encode())
    os.abort()


@tool
def nothing_secret() -> int:
    """Run in the pool of all tools that were given nothing."""
    return os.getpid()


@workflow
async def plainly() -> int:
    return await nothing_secret()


@workflow
async def look() -> list[str]:
    await writer("say which key you have")  # so that there is a worker that has one
    await own_key()
    return await look_around()


@workflow
async def use() -> tuple[str, str, list[str]]:
    mine, at_import = await own_key()
    return await writer("say which key you have"), mine, at_import


@workflow
async def slip(how: str) -> None:
    await let_slip(how)


@workflow
async def refused() -> str:
    return await writer("fail")
