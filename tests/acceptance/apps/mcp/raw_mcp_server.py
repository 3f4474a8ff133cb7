"""A server that speaks just enough of an older protocol to misbehave in the way that its argument names.

Usage: python raw_mcp_server.py MODE
"""

import json
import os
import sys
import time
from typing import Any

MODE = sys.argv[1]
TOOL = {"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}

LOG = {"type": "resource", "resource": {"uri": "file:///log", "text": "sold out"}}
FAILURES: dict[str, dict[str, Any]] = {
    "error like a closed connection": {"error": {"code": -32000, "message": "the shop is closed"}},
    "error with data": {
        "error": {"code": -32603, "message": "Internal error", "data": {"reason": "the shelf is empty"}}
    },
    "error with data alone": {"error": {"code": -32603, "message": "", "data": "the shelf is empty"}},
    "fails in a structure": {"result": {"content": [], "structuredContent": {"reason": "sold out"}, "isError": True}},
    "fails in a resource": {"result": {"content": [LOG], "isError": True}},
}


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def answer(request: dict[str, Any], **body: Any) -> None:
    say(json.dumps({"jsonrpc": "2.0", "id": request["id"], **body}))


def handle(request: dict[str, Any]) -> None:
    """Answer one request."""
    match request["method"]:
        case "initialize":
            server = {"name": "raw", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}
            answer(request, result=result)
        case "tools/list":
            answer(request, result={"tools": [TOOL]})
        case "tools/call" if MODE == "garbage in a call":
            say("debug: writing to the wrong stream")
            time.sleep(1000)
        case "tools/call" if MODE in FAILURES:
            answer(request, **FAILURES[MODE])
        case "tools/call" if MODE == "image":
            content = [{"type": "text", "text": "a dot"}, {"type": "image", "data": "aGk=", "mimeType": "image/png"}]
            answer(request, result={"content": content})
        case "tools/call" if MODE == "closes its output":
            os.close(1)
            time.sleep(1000)
        case "tools/call" if MODE == "asks in the middle of a call":
            asked = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
            say(json.dumps({"jsonrpc": "2.0", "id": "q1", "method": "elicitation/create", "params": asked}))
            reply = json.loads(sys.stdin.readline())
            answer(request, result={"content": [{"type": "text", "text": reply["error"]["message"]}]})
        case method:
            answer(request, error={"code": -32601, "message": f"no method {method}"})


match MODE:
    case "mute":
        time.sleep(1000)
    case "garbage":
        say("Welcome to my server!")
        time.sleep(1000)
    case "exits":
        sys.stderr.write("the licence has run out\n")
        sys.exit(3)
for line in sys.stdin:
    if "id" in (message := json.loads(line)) and "method" in message:
        handle(message)
