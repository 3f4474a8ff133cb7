"""An MCP client that waits for a run which does not end, until its input is closed.

Usage: python -m tests.acceptance.apps.mcp.mcp_client HOME RUN_ID
"""

import asyncio
import sys
from pathlib import Path
from typing import TextIO

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

HOME, RUN_ID = sys.argv[1:]
SERVER = StdioServerParameters(
    command=sys.executable,
    args=["-m", "greenroom", "mcp", "--home", HOME],
    env={"PYTHONPATH": str(Path(__file__).parents[4])},
)


async def main(log: TextIO) -> None:
    """Use the server, whose error output goes to ``log``."""
    async with Client(stdio_client(SERVER, errlog=log)) as client:
        await client.list_tools()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        call = client.call_tool("start_run", {"workflow": "waits", "run_id": RUN_ID, "wait": 60})
        task = asyncio.create_task(call)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        task.cancel()


with Path(HOME, "stderr").open("w") as file:
    asyncio.run(main(file))
