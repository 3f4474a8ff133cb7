"""Warming up of the libraries of providers in the zygote, so that workers inherit them imported and used.

A request goes through each library as a worker's does, to a transport in memory that answers it. So there is no key, no
socket and, afterwards, no thread.
"""

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

import httpx2
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import infer_provider_class

from greenroom.actors.models import ModelRequest
from greenroom.actors.models.provider import ProviderModel
from greenroom.actors.models.provider_names import library_name
from greenroom.messages.transcript import ToolSchema

_KEY: Final = "none"
"""Stands for a key. Real ones are not in this process."""
_MODEL: Final = "gpt-4o-mini"
"""A model whose price is known, for the answers."""
_TOOL: Final = ToolSchema(name="look", parameters={"type": "object", "properties": {"at": {"type": "string"}}})
_CHAT: Final[dict[str, Any]] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": _MODEL}
_RESPONSE: Final[dict[str, Any]] = {
    "id": "r",
    "object": "response",
    "created_at": 1,
    "model": _MODEL,
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}
_DELTA: Final[dict[str, Any]] = {"item_id": "m", "output_index": 0, "content_index": 0, "delta": "a", "logprobs": []}
_ANSWERS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "completions": (
        {**_CHAT, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
        {**_CHAT, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**_CHAT, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
    ),
    "responses": (
        {"type": "response.created", "sequence_number": 0, "response": {**_RESPONSE, "status": "in_progress"}},
        {"type": "response.output_text.delta", "sequence_number": 1, **_DELTA},
        {"type": "response.completed", "sequence_number": 2, "response": {**_RESPONSE, "status": "completed"}},
    ),
    "messages": (
        {
            "type": "message_start",
            "message": {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "claude-haiku-4-5",
                "content": [],
                "usage": {"input_tokens": 1, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ),
    "streamGenerateContent": (
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
            "modelVersion": "gemini-2.5-flash",
        },
    ),
}
"""Events of a streamed answer, by the last word of the address."""


def warm_up_providers(names: tuple[str, ...]) -> None:
    """Ask each model once, in memory. Starts no thread that stays and leaves no file descriptor open.

    Nothing is raised: what a library objects to is reported by the worker that needs it.

    Args:
        names: Names of models. Models of one provider are warmed up once.
    """
    loop = asyncio.new_event_loop()
    for name in {name.partition(":")[0]: name for name in names}.values():
        with suppress(Exception):
            loop.run_until_complete(_warm_up(name))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())  # OpenAI's library looks at the platform in a thread
    loop.close()


async def _warm_up(name: str) -> None:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(_answer), timeout=60.0) as transport:

        def provider(kind: str) -> Any:
            made: Any = infer_provider_class(kind)
            return made(api_key=_KEY, http_client=transport)

        client: Model = infer_model(library_name(name, {}), provider)
        model = ProviderModel(name, client)
        await model.complete(ModelRequest("a", instructions="b"))
        await model.complete(ModelRequest("a", schema={"type": "object"}, tools=(_TOOL,), timeout=60.0))


def _answer(request: httpx2.Request) -> httpx2.Response:
    last = request.url.path.rpartition("/")[2].rpartition(":")[2]
    events = "".join(f"{_head(event)}data: {json.dumps(event)}\n\n" for event in _ANSWERS.get(last, ()))
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=events)


def _head(event: dict[str, Any]) -> str:
    """Return the line that names an event, where the protocol has it."""
    return f"event: {event['type']}\n" if "type" in event else ""
