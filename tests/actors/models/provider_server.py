"""A server on loopback that speaks the protocols of providers, and misbehaves as it is told.

The name of the model that a request asks for chooses what happens: ``openai-chat:answers``, ``anthropic:rate-limited``.
"""

import asyncio
import json
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Self

ENDS = b"\r\n"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    reader: asyncio.StreamReader = field(repr=False)

    @property
    def protocol(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2].partition(":")[0]


Behaviour = Callable[[asyncio.StreamWriter, Request], Awaitable[None]]


@dataclass
class ProviderServer:
    """The server; it runs in a thread with a loop of its own."""

    requests: list[Request] = field(default_factory=list)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    url: str = ""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def counts(self) -> Counter[str]:
        return Counter(request.body.get("model", "") for request in self.requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        try:
            while (request := await self._read(reader)) is not None:
                self.requests.append(request)
                await self._behaviour(request)(writer, request)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, EndOfAnswer):
            pass
        finally:
            writer.close()

    def _behaviour(self, request: Request) -> Behaviour:
        model = request.body.get("model", "")
        return self.behaviours.get(model) or BEHAVIOURS.get((request.protocol, model)) or BEHAVIOURS["any", model]

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        head = await reader.readuntil(ENDS + ENDS)
        first, *lines = head.decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = first.split()[1].partition("?")[0]
        sent = json.loads(body or b"{}")
        if ":streamGenerateContent" in path:
            sent["model"] = path.rpartition("/")[2].partition(":")[0]
        return Request(path, headers, sent, reader)


class EndOfAnswer(Exception):  # noqa: N818  what it is
    """Ends the connection after what was written."""


# ---------------------------------------------------------------- answers


def respond(
    status: int, body: object, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> Behaviour:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    async def behave(writer: asyncio.StreamWriter, _request: Request) -> None:
        head = {"content-type": kind, "content-length": str(len(data)), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + data)

    return behave


def stream(*events: object, named: bool = False, then: Behaviour | None = None, pause: float = 0.0) -> Behaviour:
    """Send server-sent events in chunks, then end the answer well, or as ``then`` does."""

    async def behave(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for event in events:
            text = event if isinstance(event, str) else json.dumps(event)
            kind = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
            data = f"{kind}data: {text}\n\n".encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + ENDS)
            await writer.drain()
            await asyncio.sleep(pause)
        if then is None:
            writer.write(b"0\r\n\r\n")
        else:
            await then(writer, request)

    return behave


async def hang(_writer: asyncio.StreamWriter, request: Request) -> None:
    await request.reader.read()  # until the client leaves
    raise EndOfAnswer


async def cut(writer: asyncio.StreamWriter, _request: Request) -> None:
    """End the connection in the middle of an answer."""
    raise EndOfAnswer


async def reset(writer: asyncio.StreamWriter, _request: Request) -> None:
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    raise EndOfAnswer


async def short_body(writer: asyncio.StreamWriter, _request: Request) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\ndata: {}\n\n")
    raise EndOfAnswer


# ---------------------------------------------------------------- chat completions


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def call(name: str, arguments: str, id_: str = "call_1", index: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]}


def chat(
    *pieces: str, finish: str | None = "stop", model: str = "m", usage: dict[str, int] | None = USAGE
) -> Behaviour:
    last = [chunk(usage=usage, choices=[], model=model)] if usage else []
    ended = [chunk(finish=finish, model=model)] if finish else []
    texts = [chunk({"role": "assistant", "content": piece}, model=model) for piece in pieces]
    return stream(*texts, *ended, *last, "[DONE]")


def error(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


async def by_schema(writer: asyncio.StreamWriter, request: Request) -> None:
    """Answer in the form that is asked for: by a call of the last tool, or in text."""
    tools = request.body.get("tools", [])
    if tools:
        await stream(
            chunk(call(tools[-1]["function"]["name"], '{"title": "Otters", "bullets": ["kelp"]}')),
            chunk(finish="tool_calls"),
            "[DONE]",
        )(writer, request)
    else:
        await chat('{"title": "Otters", ', '"bullets": ["kelp"]}')(writer, request)


async def calls_answer_with_list(writer: asyncio.StreamWriter, request: Request) -> None:
    name = request.body["tools"][-1]["function"]["name"]
    events = chunk(call(name, '{"response": [1, 2]}')), chunk(finish="tool_calls"), "[DONE]"
    await stream(*events)(writer, request)


HTML = "<html><body><h1>502 Bad Gateway</h1>nginx</body></html>"
LONG_CONTEXT = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."

BEHAVIOURS: dict[tuple[str, str], Behaviour] = {
    ("any", "rate-limited"): respond(429, error("slow down", "rate_limit_exceeded"), {"retry-after": "7"}),
    ("any", "rate-limited-fraction"): respond(429, error("slow down"), {"retry-after": "1.5"}),
    ("any", "rate-limited-ms"): respond(429, error("slow down"), {"retry-after-ms": "250"}),
    ("any", "rate-limited-date"): respond(429, error("slow"), {"retry-after": "Wed, 01 Jan 2098 00:00:00 GMT"}),
    ("any", "rate-limited-silent"): respond(429, error("slow down")),
    ("any", "quota"): respond(
        429, error("You exceeded your current quota", "insufficient_quota", "insufficient_quota")
    ),
    ("any", "unpaid"): respond(402, error("payment required")),
    ("any", "invalid-key"): respond(400, error("API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")),
    ("any", "wrong-key"): respond(401, error("Incorrect API key provided: KEY", "invalid_api_key")),
    ("any", "forbidden"): respond(403, error("not allowed")),
    ("any", "missing"): respond(404, error("The model `missing` does not exist", "model_not_found")),
    ("any", "too-long"): respond(400, error(LONG_CONTEXT, "context_length_exceeded")),
    ("any", "bad-request"): respond(400, error("temperature is not supported")),
    ("any", "filtered"): respond(400, error("flagged by our policy", "content_filter")),
    ("any", "context-size"): respond(
        400,
        error("the request exceeds the available context size, try increasing it", kind="exceed_context_size_error"),
    ),
    ("any", "too-large"): respond(413, error("request too large")),
    ("any", "conflict"): respond(409, error("conflict")),
    ("any", "broken"): respond(500, error("internal", kind="server_error")),
    ("any", "gateway"): respond(502, HTML, kind="text/html"),
    ("any", "unavailable"): respond(503, error("unavailable"), {"retry-after": "2"}),
    ("any", "overloaded"): respond(529, error("overloaded", kind="overloaded_error")),
    ("any", "resets"): reset,
    ("any", "short-body"): short_body,
    ("any", "hangs"): hang,
    ("any", "moved"): respond(302, "", {"location": "https://login.example.com/"}),
    ("any", "moved-for-good"): respond(308, "", {"location": "/elsewhere"}),
    ("any", "page"): respond(200, HTML, kind="text/html"),
    ("any", "garbage"): stream("{not json", "[DONE]"),
    ("any", "plain-json"): respond(200, {"hello": "world"}),
    ("any", "error-in-200"): respond(200, error("it broke", "server_error")),
    ("any", "limit-in-200"): respond(200, {"error": {"message": "slow down", "code": 429}}),
    # chat completions
    ("completions", "answers"): chat("Hello, ", "world."),
    ("completions", "gpt-4o-mini"): chat("Hello, ", "world.", model="gpt-4o-mini-2024-07-18"),
    ("completions", "halves"): chat("a \ud83e", "\udda6 b", " \ud83d c", " \ud83d"),
    ("completions", "call-in-halves"): stream(
        chunk(call("search", '{"query": "\ud83e')),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '\udda6"}'}}]}),
        chunk(finish="tool_calls"),
        "[DONE]",
    ),
    ("completions", "unmeasured"): chat("Hello.", model="gpt-4o-mini-2024-07-18", usage=None),
    ("completions", "counts-too-much"): chat("Hello.", usage={**USAGE, "prompt_tokens": 10**30}),
    ("completions", "counts-nothing"): chat("Hello.", model="gpt-4o-mini-2024-07-18", usage=dict.fromkeys(USAGE, 0)),
    ("completions", "cut"): stream(chunk({"role": "assistant", "content": "Hel"}), then=cut),
    ("completions", "unfinished"): chat("Hello, ", finish=None),
    ("completions", "drips"): stream(*[chunk({"content": "a"})] * 1000, pause=0.05),
    ("completions", "no-choices"): respond(200, {"id": "x", "object": "chat.completion", "choices": []}),
    ("completions", "no-choices-stream"): stream(chunk(choices=[]), "[DONE]"),
    ("completions", "error-event"): stream(
        chunk({"content": "Hel"}), error("overloaded", "server_error", "server_error")
    ),
    ("completions", "refuses"): stream(chunk({"refusal": "I cannot."}), chunk(finish="stop"), "[DONE]"),
    ("completions", "filters"): chat("Hel", finish="content_filter"),
    ("completions", "truncated"): chat("Hello, ", finish="length"),
    ("completions", "bad-arguments"): stream(chunk(call("search", '{"query": ')), chunk(finish="tool_calls"), "[DONE]"),
    ("completions", "two-calls"): stream(
        chunk(call("search", '{"query": "a"}', "c1")),
        chunk(call("search", '{"query": "b"}', "c2", index=1)),
        chunk(finish="tool_calls"),
        chunk(usage=USAGE, choices=[]),
        "[DONE]",
    ),
    ("completions", "by-schema"): by_schema,
    ("completions", "list-by-tool"): calls_answer_with_list,
    ("completions", "empty"): chat(""),
}


# ---------------------------------------------------------------- OpenAI's Responses API


def response(status: str, output: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 11,
        "output_tokens": 7,
        "total_tokens": 18,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return {
        "id": "r1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": status,
        "output": output or [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        **more,
    }


def responses(*pieces: str, last: dict[str, Any] | None, item: dict[str, Any] | None = None) -> Behaviour:
    events: list[dict[str, Any]] = [{"type": "response.created", "response": response("in_progress")}]
    if pieces:
        message = {"type": "message", "id": "m1", "role": "assistant", "status": "in_progress", "content": []}
        events.append({"type": "response.output_item.added", "output_index": 0, "item": message})
    place = {"item_id": "m1", "output_index": 0, "content_index": 0, "logprobs": []}
    events += [{"type": "response.output_text.delta", "delta": piece, **place} for piece in pieces]
    if item is not None:
        events.append({"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}})
        arguments = {"item_id": item["id"], "output_index": 0, "arguments": item["arguments"], "name": item["name"]}
        events.append({"type": "response.function_call_arguments.delta", "delta": item["arguments"], **arguments})
        events.append({"type": "response.function_call_arguments.done", **arguments})
        events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events += [] if last is None else [last]
    return stream(*[{**event, "sequence_number": number} for number, event in enumerate(events)], named=True)


COMPLETED = {"type": "response.completed", "response": response("completed")}
INCOMPLETE = {
    "type": "response.incomplete",
    "response": response("incomplete", incomplete_details={"reason": "max_output_tokens"}),
}
FAILED = {"type": "response.failed", "response": response("failed", error={"code": "server_error", "message": "broke"})}
SEARCH = {
    "type": "function_call",
    "id": "f1",
    "call_id": "call_1",
    "name": "search",
    "status": "completed",
    "arguments": '{"query": ',
}
BEHAVIOURS |= {
    ("responses", "answers"): responses("Hello, ", "world.", last=COMPLETED),
    ("responses", "halves"): responses("a \ud83e", "\udda6 b", " \ud83d c", " \ud83d", last=COMPLETED),
    ("responses", "unfinished"): responses("Hello, ", last=None),
    ("responses", "truncated"): responses("Hello, ", last=INCOMPLETE),
    ("responses", "error-event"): responses("Hel", last=FAILED),
    ("responses", "bad-arguments"): responses(last=COMPLETED, item=SEARCH),
}


# ---------------------------------------------------------------- Anthropic


BEGINNING = {
    "type": "message_start",
    "message": {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1},
    },
}


def message(*events: dict[str, Any], stop: str | None = "end_turn") -> Behaviour:
    ended = {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": {"output_tokens": 7},
    }
    last = [ended, {"type": "message_stop"}] if stop else []
    return stream(BEGINNING, *events, *last, named=True)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *[{"type": "text_delta", "text": piece} for piece in pieces])


THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "Otters..."},
    {"type": "signature_delta", "signature": "c2lnbmVk"},
)
USES = block(
    1,
    {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {}},
    {"type": "input_json_delta", "partial_json": '{"query": "otters"}'},
)
BROKEN_USE = block(
    0,
    {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {}},
    {"type": "input_json_delta", "partial_json": '{"query": '},
)
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
BEHAVIOURS |= {
    ("messages", "answers"): message(*text(0, "Hello, ", "world.")),
    ("messages", "halves"): message(*text(0, "a \ud83e", "\udda6 b", " \ud83d c", " \ud83d")),
    ("messages", "unfinished"): message(*text(0, "Hello, "), stop=None),
    ("messages", "truncated"): message(*text(0, "Hello, "), stop="max_tokens"),
    ("messages", "refuses"): message(*text(0, "I can"), stop="refusal"),
    ("messages", "pauses"): message(*text(0, "Hello, "), stop="pause_turn"),
    ("messages", "error-event"): stream(BEGINNING, *text(0, "Hel"), OVERLOADED, named=True),
    ("messages", "thinks"): message(*THINKING, *USES, stop="tool_use"),
    ("messages", "bad-arguments"): message(*BROKEN_USE, stop="tool_use"),
    ("messages", "quota"): respond(
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
    ),
    ("messages", "too-long"): respond(
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 300000 tokens > 200000 maximum"},
        },
    ),
}


# ---------------------------------------------------------------- Google


BEHAVIOURS |= {
    ("flash", "flash"): stream(
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello."}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
            "modelVersion": "gemini-2.5-flash",
        }
    ),
    ("cut-flash", "cut-flash"): stream(
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}}], "modelVersion": "cut-flash"}
    ),
}
