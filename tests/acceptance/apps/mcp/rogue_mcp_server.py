"""A server that answers ``read`` properly, and that misbehaves in ``write`` in the way that its arguments name.

With ``at once`` before the mode it misbehaves before it has read anything.

Usage: python rogue_mcp_server.py MODE LOG
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MODE, LOG = sys.argv[1], Path(sys.argv[2])
READ = {"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
WRITE = {"name": "write", "inputSchema": {"type": "object"}}
ORPHAN = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(1000)"
listings = 0


def log(what: str) -> None:
    with LOG.open("ab", buffering=0) as file:
        file.write(f"{what} {os.getpid()}\n".encode())


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(request: dict[str, Any], text: str) -> None:
    say({"id": request["id"], "result": {"content": [{"type": "text", "text": text}]}})


def pour(piece: bytes) -> None:
    """Write without end."""
    while True:
        os.write(1, piece)


def misbehave(mode: str, request: dict[str, Any]) -> None:  # noqa: C901, PLR0912  one case for each way to misbehave
    """Answer a request, or not, as the mode says."""
    match mode:
        case "mute":
            time.sleep(1000)
        case "stops":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "stops when idle":
            answer(request, "written")
            os.kill(os.getpid(), signal.SIGSTOP)
        case "closes its output":
            os.close(1)
            time.sleep(1000)
        case "garbage":
            pour(b"debug: not for this stream\n")
        case "endless line":
            pour(b"x" * 65536)
        case "endless messages":
            pour(b'{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}\n')
        case "endless log":
            while True:
                os.write(2, b"x" * 65536)
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            subprocess.Popen([sys.executable, "-c", ORPHAN]).wait()
            time.sleep(1000)
        case "wrong id":
            answer({"id": "somebody else's"}, "written")
            answer({"id": 10_000}, "written")
        case "answers twice":
            answer(request, "written")
            answer(request, "written again")
        case "no content":
            say({"id": request["id"], "result": {}})
        case "refuses in two lines":
            say({"id": request["id"], "error": {"code": -32000, "message": "no licence\nfor you"}})
        case "exits":
            sys.stderr.write("no licence\n")
            sys.exit(3)
        case "long answer":
            answer(request, "x" * (20 * 2**20))
        case _:
            answer(request, "written")


log("start")
if MODE.startswith("at once "):
    misbehave(MODE.removeprefix("at once "), {"id": 1})
for line in sys.stdin:
    request = json.loads(line)
    match request.get("method"):
        case _ if "id" not in request:
            continue
        case "initialize":
            facts = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
            say({"id": request["id"], "result": {**facts, "serverInfo": {"name": "rogue", "version": "1"}}})
        case "tools/list" if MODE == "last page for ever":
            say({"id": request["id"], "result": {"tools": [READ, WRITE], "nextCursor": "last"}})
        case "tools/list" if MODE == "tools without end":
            tools = [{**READ, "name": f"read{number}"} for number in range(5_000)]
            say({"id": request["id"], "result": {"tools": [READ, WRITE, *tools]}})
        case "tools/list" if MODE == "two names alike":
            say(
                {"id": request["id"], "result": {"tools": [{**READ, "name": "read.all"}, {**READ, "name": "read_all"}]}}
            )
        case "tools/list" if MODE == "refuses to list":
            misbehave("refuses in two lines", request)
        case "tools/list":
            listings += 1
            changed = MODE == "other tools" and listings > 2  # the worker and the agent have asked
            say({"id": request["id"], "result": {"tools": [READ] if changed else [READ, WRITE]}})
        case "tools/call" if request["params"]["name"] == "read":
            log("read")
            answer(request, "some text")
        case "tools/call" if MODE == "other tools":
            say({"id": request["id"], "error": {"code": -32602, "message": "there is no tool write any more"}})
        case "tools/call":
            log("write")
            misbehave(MODE, request)
        case method:
            say({"id": request["id"], "error": {"code": -32601, "message": f"no method {method}"}})
