"""Calls of tools by the built-in model: each fitting tool once, with arguments from the prompt."""

import re
from random import Random
from typing import Any, Final, cast

from pydantic_core import to_json

from greenroom.actors.models import ModelRequest
from greenroom.actors.models.embedded.extract import read_prompt, words
from greenroom.actors.models.embedded.filling import Filler
from greenroom.messages.core.json_text import plain
from greenroom.messages.transcript import ToolCall, ToolMessage, ToolSchema, TranscriptMessage, UserMessage

_NAMED: Final = re.compile(r"\b(?=[\w-]*\d)[A-Za-z\d][\w-]*\b")
"""Words of a prompt that name something by a number, such as A-17."""
_IDENTIFIERS: Final = frozenset({"id", "number", "code", "key", "order", "invoice", "ticket", "reference"})
"""Words in the names of parameters that take such a word."""


def mock_calls(request: ModelRequest, random: Random) -> tuple[ToolCall, ...]:
    """Return the calls that the model asks for before it answers; none once it has results for this prompt."""
    if not request.tools or tool_results(request):
        return ()
    asked = set(words(request.prompt))
    fitting = [
        tool for tool in request.tools if asked & set(words(f"{tool.name.replace('_', ' ')} {tool.description}"))
    ]
    return tuple(
        ToolCall(id=f"call_{index}", name=tool.name, arguments=_arguments(request, tool, random))
        for index, tool in enumerate(fitting or request.tools[:1], 1 + _calls_before(request))
    )


def tool_results(request: ModelRequest) -> list[str]:
    """Return the results of the tools that were called since the last prompt."""
    return [message.text for message in _since_prompt(request) if isinstance(message, ToolMessage)]


def _since_prompt(request: ModelRequest) -> list[TranscriptMessage]:
    newest: list[TranscriptMessage] = []
    for message in request.messages:
        newest = [] if isinstance(message, UserMessage) and message.text == request.prompt else [*newest, message]
    return newest


def _calls_before(request: ModelRequest) -> int:
    return sum(isinstance(message, ToolMessage) for message in request.messages)


def _arguments(request: ModelRequest, tool: ToolSchema, random: Random) -> str:
    schema = cast("dict[str, Any]", plain(tool.parameters))
    needed = {name: each for name, each in schema.get("properties", {}).items() if name in schema.get("required", ())}
    arguments: Any = Filler({**schema, "properties": needed}, read_prompt(request.prompt), random).fill()
    named = _NAMED.findall(request.prompt)
    for name, each in needed.items():
        if named and each.get("type") == "string" and set(name.split("_")) & _IDENTIFIERS:
            arguments[name] = named.pop(0) if len(named) > 1 else named[0]
    return to_json(arguments).decode()
