"""A server for MCP over HTTP, in a thread of the test, that misbehaves in ``write`` in the way that its path names.

With ``at-once-`` before the mode, each request is answered so.
"""

import gzip
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

READ = {"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
WRITE = {"name": "write", "inputSchema": {"type": "object"}}
BOMB = gzip.compress(b" " * 2**30, 9)


class RogueServer(ThreadingHTTPServer):
    """Counts calls by the name of the tool, and connections."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        self.calls: list[str] = []
        self.connections = 0
        self.elsewhere = self
        """Where redirects lead to."""
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Rogue)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        found = super().get_request()
        self.connections += 1
        return found

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients go away."""


@contextmanager
def rogue() -> Iterator[RogueServer]:
    """Serve until the end of the block."""
    with RogueServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class Rogue(BaseHTTPRequestHandler):
    """One connection."""

    server: RogueServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Offer no stream."""
        self.send_error(405)

    def do_POST(self) -> None:
        """Answer a message."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mode = self.path.lstrip("/")
        if mode.startswith("at-once-"):
            self.misbehave(mode.removeprefix("at-once-"), request)
            return
        match request["method"]:
            case _ if "id" not in request:
                self.respond(202, b"")
            case "initialize":
                facts = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
                self.answer(request, result={**facts, "serverInfo": {"name": "rogue", "version": "1"}})
            case "tools/list":
                self.answer(request, result={"tools": [READ, WRITE]})
            case "tools/call":
                name = request["params"]["name"]
                self.server.calls.append(name)
                if name == "write":
                    self.misbehave(mode, request)
                else:
                    self.answer(request, result={"content": [{"type": "text", "text": "some text"}]})
            case method:
                self.answer(request, error={"code": -32601, "message": f"no method {method}"})

    def misbehave(self, mode: str, request: dict[str, Any]) -> None:  # noqa: C901, PLR0912  one case for each way
        """Answer as the mode says."""
        match mode:
            case "mute":
                self.server.over.wait()
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case "redirect":
                self.send_response(307)
                self.send_header("Location", f"http://127.0.0.1:{self.server.elsewhere.server_port}/")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "no-message":
                self.respond(200, b'{"jsonrpc": "2.0", "id": 1, "wrong": "a secret"}', "application/json")
            case "page":
                self.respond(200, b"<html>Welcome</html>", "text/html")
            case "cut":
                self.begin("application/json", **{"Content-Length": "1000"})
                self.wfile.write(b'{"jsonrpc": "2.0"')
                self.close_connection = True
            case "endless-body":
                self.pour("application/json", b" " * 65536)
            case "endless-event":
                self.pour("text/event-stream", b"data: " + b"x" * 65536 + b"\n")
            case "endless-line":
                self.pour("text/event-stream", b"x" * 65536)
            case "endless-comments":
                self.pour("text/event-stream", b": still here\n\n")
            case "bomb":
                self.begin("application/json", **{"Content-Encoding": "gzip", "Content-Length": str(len(BOMB))})
                with suppress(OSError):
                    self.wfile.write(BOMB)
            case "wrong-id":
                self.answer({"id": 10_000}, result={"content": [{"type": "text", "text": "written"}]})
            case "long-answer":
                self.answer(request, result={"content": [{"type": "text", "text": "x" * (3 * 2**20)}]}, events=True)
            case "busy" | "busy-event":
                error = {"code": -32000, "message": "the queue is full"}  # the code of a connection that has ended
                self.answer(request, error=error, events=mode == "busy-event")
            case "shut-down":
                self.answer(request, error={"code": -32000, "message": "Connection closed"})
            case status:
                self.respond(int(status), b"no")

    def answer(self, request: dict[str, Any], *, events: bool = False, **body: Any) -> None:
        """Answer properly."""
        text = json.dumps({"jsonrpc": "2.0", "id": request["id"], **body}).encode()
        if events:
            self.respond(200, b"data: " + text + b"\n\n", "text/event-stream")
        else:
            self.respond(200, text, "application/json")

    def respond(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        """Send a whole response."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self, kind: str, **headers: str) -> None:
        """Begin a response."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def pour(self, kind: str, piece: bytes) -> None:
        """Send without end."""
        self.close_connection = True
        self.begin(kind)
        with suppress(OSError):
            while not self.server.over.is_set():
                self.wfile.write(piece)
