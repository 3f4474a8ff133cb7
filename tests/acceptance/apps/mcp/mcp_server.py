"""An MCP server whose tools log each call to a file and then behave as their names say.

Usage: python mcp_server.py LOG [http PORT]
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp.types import ToolAnnotations
from pydantic import BaseModel

LOG = Path(sys.argv[1])
READ_ONLY = ToolAnnotations(read_only_hint=True)
server = MCPServer("served")


def log(what: str, **facts: Any) -> int:
    """Append one line in a single write; return how many lines there were of this kind before."""
    before = sum(json.loads(line)["what"] == what for line in LOG.read_text().splitlines()) if LOG.exists() else 0
    with LOG.open("ab", buffering=0) as file:
        file.write(json.dumps({"what": what, "pid": os.getpid(), "at": time.time(), **facts}).encode() + b"\n")
    return before


@server.tool(annotations=READ_ONLY)
def read_file(path: str) -> str:
    """Read a file."""
    log("read_file", path=path)
    return f"content of {path}"


@server.tool(annotations=READ_ONLY, structured_output=False)
def plain_text(path: str) -> str:
    log("plain_text")
    return f"text of {path}"


@server.tool()
def refund(order: int) -> dict[str, int]:
    """Give money back."""
    log("refund", order=order)
    return {"refunded": order}


@server.tool(annotations=READ_ONLY)
def dies_first(order: int) -> int:
    """Die in the first call, and answer from then on."""
    if log("dies_first") == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return order


@server.tool()
def dies_after_its_effect(order: int) -> int:
    log("dies_after_its_effect", order=order)
    os.kill(os.getpid(), signal.SIGKILL)
    return order


@server.tool(annotations=READ_ONLY)
def stops_first(order: int) -> int:
    """Stop the process in the first call, and answer from then on."""
    if log("stops_first") == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    return order


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def spins_first(order: int) -> int:
    """Never let the server's loop go in the first call, and answer from then on."""
    if log("spins_first") == 0:
        while True:
            pass
    return order


@server.tool()
def raises() -> str:
    log("raises")
    msg = "the disk is on fire"
    raise ToolError(msg)


@server.tool()
def leaves_processes_behind(order: int) -> int:
    """Start a process in a session of its own that holds the server's output, then die."""
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    log("leaves_processes_behind", child=child.pid)
    os.kill(os.getpid(), signal.SIGKILL)
    return order


@server.tool(annotations=READ_ONLY)
def waits(gate: str) -> str:
    """Wait until a file exists."""
    log("waits")
    while not Path(gate).exists():
        time.sleep(0.01)
    return "opened"


def wait_for(what: str, gate: str) -> str:
    log(what)
    while not Path(gate).exists():
        time.sleep(0.01)
    return f"{what}: done"


@server.tool(annotations=READ_ONLY, structured_output=False)
def look(gate: str) -> str:
    """Wait until a file exists, and change nothing."""
    return wait_for("look", gate)


@server.tool(annotations=ToolAnnotations(idempotent_hint=True), structured_output=False)
def put(gate: str) -> str:
    """Wait until a file exists, after an effect that may come twice."""
    return wait_for("put", gate)


@server.tool(structured_output=False)
def pay(gate: str) -> str:
    """Wait until a file exists, after an effect that must not come twice."""
    return wait_for("pay", gate)


class Confirmation(BaseModel):
    confirm: bool
    reason: str = "none"


def ask_to_delete(path: str) -> Elicit[Confirmation]:
    return Elicit(f"Delete {path}?", Confirmation)


@server.tool()
def delete(path: str, confirmed: Annotated[Confirmation, Resolve(ask_to_delete)]) -> dict[str, Any]:
    log("delete", path=path, confirm=confirmed.confirm, reason=confirmed.reason)
    return {"deleted": confirmed.confirm, "reason": confirmed.reason}


@server.tool()
def variables() -> list[str]:
    return sorted(os.environ)


if __name__ == "__main__":
    log("start", ppid=os.getppid())
    if len(sys.argv) > 2:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[3]))
    else:
        server.run()
