"""A provider of a model on this machine, whose requests are counted and can be held."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Provider:
    """A server that speaks the protocol of OpenAI's chat completions and plays the example's model."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        """Number of tool results in each request, in order of arrival."""
        self.held: set[int] = set()
        """Requests with so many tool results are not answered before ``go``."""
        self.waits = threading.Semaphore(0)
        self.go = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                body = json.dumps(provider.answer(asked)).encode()
                try:
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # the process that asked was killed
                    return

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        results = [message["content"] for message in asked["messages"] if message["role"] == "tool"]
        self.requests.append(len(results))
        if len(results) in self.held:
            self.waits.release()
            self.go.wait(60)
        message: dict[str, Any] = {"role": "assistant", "content": None}
        if len(results) < 2:
            name = ("find_order", "refund")[len(results)]
            arguments = {"order": "A17"} | ({"amount": float(results[0])} if results else {})
            function = {"name": name, "arguments": json.dumps(arguments)}
            message["tool_calls"] = [{"id": f"call-{len(results) + 1}", "type": "function", "function": function}]
        else:
            message["content"] = f"I am sorry. {results[1]}."
        finish = "stop" if message["content"] else "tool_calls"
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
