"""Workflows that call tools of an MCP server. ``MCP_LOG`` names the file in which the server logs its calls."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from greenroom import LLM, OutcomeUnknown, StepFailed, mcp, tool, workflow
from tests.acceptance.apps.agents.agents import asks, model

SERVER = Path(__file__).with_name("mcp_server.py")
RAW = Path(__file__).with_name("raw_mcp_server.py")
LOG = os.environ.get("MCP_LOG", os.devnull)
command = [sys.executable, str(SERVER), LOG]
ENV = ["ACCEPTANCE_MARK"]

server = mcp("served", command=command, env=ENV, timeout=20)
hasty = mcp("hasty", command=command, env=ENV, timeout=2)
bold = mcp("bold", command=command, env=ENV, timeout=2, retry_calls={"dies_after_its_effect"}, crash_attempts=2)
keyed = mcp("keyed", command=command, env=["ACCEPTANCE_MARK", "SERVED_API_KEY"])

raw = {
    mode: mcp(mode.replace(" ", "-"), command=[sys.executable, str(RAW), mode], env=ENV, timeout=20, crash_attempts=2)
    for mode in (
        "garbage in a call",
        "error like a closed connection",
        "error with data",
        "error with data alone",
        "fails in a structure",
        "fails in a resource",
        "image",
        "closes its output",
        "asks in the middle of a call",
    )
}


seeing = LLM("seeing", tools=[raw["image"]], model=model(asks(("read", "{}")), "I go on"))


@workflow
async def sees() -> str:
    return await seeing("Look at it.")


@tool
def read_file(path: str) -> str:
    """Read a file without a server."""
    return f"{path} of no server"


choosing = LLM(
    "choosing",
    tools=[server, hasty, read_file],
    model=model(
        asks(
            ("served_read_file", '{"path": "a"}'), ("hasty_read_file", '{"path": "b"}'), ("read_file", '{"path": "c"}')
        ),
        "I go on",
    ),
)


@workflow
async def chooses() -> str:
    return await choosing("Read them all.")


@workflow
async def calls_raw(mode: str) -> Any:
    return await raw[mode].call("read")


@workflow
async def calls(tool: str, arguments: dict[str, Any]) -> Any:
    return await server.call(tool, **arguments)


@workflow
async def calls_hastily(tool: str, arguments: dict[str, Any]) -> Any:
    return await hasty.call(tool, **arguments)


@workflow
async def calls_boldly(tool: str, arguments: dict[str, Any]) -> Any:
    return await bold.call(tool, **arguments)


@workflow
async def goes_on(tool: str, arguments: dict[str, Any]) -> list[Any]:
    """Call a tool, say how that failed, and use the server again."""
    try:
        await server.call(tool, **arguments)
    except OutcomeUnknown as error:
        failed = f"unknown: {error}"
    except StepFailed as error:
        failed = f"failed after {error.attempts}: {error}"
    else:
        failed = ""
    return [failed, (await server.call("read_file", path="next"))["result"]]


@workflow
async def lists() -> list[list[Any]]:
    tools = await server.tools()
    assert tools is await server.tools()
    return [[tool.name, tool.read_only, tool.idempotent, tool.destructive, tool.parameters] for tool in tools]


@workflow
async def at_once(count: int) -> list[Any]:
    results = await asyncio.gather(*(server.call("read_file", path=str(number)) for number in range(count)))
    return [result["result"] for result in results]


@workflow
async def cancels(seconds: float, gate: str) -> str:
    try:
        async with asyncio.timeout(seconds):
            await server.call("waits", gate=gate)
    except TimeoutError:
        return str((await server.call("read_file", path="after"))["result"])
    return "not cancelled"


@workflow
async def environments() -> list[bool]:
    found = [(await each.call("variables"))["result"] for each in (server, keyed)]
    return ["SERVED_API_KEY" in names for names in found]
