"""Messages of Pydantic AI's agents, as a run stores them, read as messages of this package. Pure; imports no library.

What has no place in a transcript is left out: instructions, reasoning, tools that the provider runs itself. Of a prompt
with pictures or files, their kinds are named.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from greenroom.messages.core.json_text import text_of
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import AssistantMessage, ToolCall, ToolMessage, TranscriptMessage, UserMessage


class _Item(BaseModel):
    """One of several things that a prompt consists of."""

    kind: str = "item"
    content: Any = None


class _Part(BaseModel):
    part_kind: str
    content: Any = None
    tool_name: str | None = None
    tool_call_id: str = ""
    args: Any = None
    outcome: str = "success"


class _Prompt(BaseModel):
    content: str | list[str | _Item]


class _Message(BaseModel):
    kind: Literal["request", "response"]
    parts: list[_Part]
    model_name: str | None = None


def read_messages(messages: Iterable[Json]) -> Iterator[TranscriptMessage]:
    """Yield what was said, oldest first. One message of the library may hold several."""
    for message in messages:
        text = text_of(message)
        try:
            read = _Message.model_validate_json(text)
        except ValidationError:  # a value that a person gave in place of an answer
            yield AssistantMessage(text=text.decode())
            continue
        if read.kind == "response":
            yield _response(read)
        else:
            yield from filter(None, map(_part, read.parts))


def _response(message: _Message) -> AssistantMessage:
    texts = [_text(part.content) for part in message.parts if part.part_kind == "text"]
    calls = [
        ToolCall(id=part.tool_call_id, name=part.tool_name or "", arguments=_text(part.args or {}))
        for part in message.parts
        if part.part_kind == "tool-call"
    ]
    return AssistantMessage(text="".join(texts), calls=tuple(calls), model=message.model_name or "")


def _part(part: _Part) -> TranscriptMessage | None:
    """Return what one part of a request says; None for what the library says by itself."""
    kind, tool = part.part_kind, part.tool_name
    if kind == "user-prompt":
        return UserMessage(text=_prompt(_Prompt(content=part.content).content))
    if kind == "retry-prompt" and tool is None:
        return UserMessage(text=_text(part.content))
    if kind in {"tool-return", "retry-prompt"}:
        failed = kind == "retry-prompt" or part.outcome != "success"
        return ToolMessage(call=part.tool_call_id, name=tool or "", text=_text(part.content), failed=failed)
    return None


def _prompt(content: str | list[str | _Item]) -> str:
    items = [content] if isinstance(content, str) else content
    return "\n".join(each if isinstance(each, str) else _described(each) for each in items)


def _described(item: _Item) -> str:
    return item.content if isinstance(item.content, str) else f"[{item.kind}]"


def _text(value: Json) -> str:
    return value if isinstance(value, str) else text_of(value).decode()
