"""Conversations in the form of the library that asks providers, and its answers in ours."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from greenroom.actors.models import ModelRequest as Request
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Shown
from greenroom.messages.transcript import AssistantMessage, ToolCall, ToolMessage, ToolSchema

ANSWER: Final = "give_final_answer"
"""Name of the tool by whose call a model gives an answer that fits a schema."""
_ANSWER_TITLE: Final = "The final answer, which ends the conversation."
_WRAPPED: Final = "response"
"""Name of the property that holds an answer whose schema is not that of an object."""
_ANSWERED: Final = "The answer was received."
"""Result of a call that gave an answer. Providers refuse a conversation with a call without a result."""
_FEEDBACK: Final = "Earlier answers to this were not accepted, for these reasons. Answer again, and avoid them.\n\n"
_REFUSED: Final = re.compile(r"[^a-zA-Z0-9_-]")
"""What most providers refuse in the name of a call, and some of them in its id."""
_LONGEST: Final = 64
"""Most characters of a name or an id that all of them accept."""
_STRICT_IDS: Final = frozenset({"anthropic", "bedrock"})
"""Providers that refuse a conversation for its ids. Others want back the ids that their models have given."""
_NOT_KEPT: Final = {"usage", "timestamp", "run_id", "metadata", "failed_attempts", "finish_reason", "state"}
"""Fields of an answer that no provider wants back."""


# ---------------------------------------------------------------- from ours


def parameters_of(request: Request) -> ModelRequestParameters:
    """Return the tools of a request, and the form of its answer.

    A model answers with text, with a call of the tool ``ANSWER``, or in a mode for JSON, whichever its provider does
    best. With tools it may call those instead.
    """
    tools = [_tool(each) for each in request.tools]
    if request.schema is None:
        return ModelRequestParameters(function_tools=tools)
    schema = _as_object(request.schema)
    return ModelRequestParameters(
        function_tools=tools,
        output_mode="auto",
        output_object=OutputObjectDefinition(json_schema=schema, name=ANSWER),
        output_tools=[
            ToolDefinition(name=ANSWER, parameters_json_schema=schema, description=_ANSWER_TITLE, kind="output")
        ],
        allow_text_output=False,
    )


def _tool(tool: ToolSchema) -> ToolDefinition:
    parameters = cast("dict[str, Any]", plain(tool.parameters))
    return ToolDefinition(name=tool.name, parameters_json_schema=parameters, description=tool.description)


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object"


def _as_object(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of an object, as providers accept no others: one with a single property if necessary."""
    if _is_object(schema):
        return dict(schema)
    inner = {name: value for name, value in schema.items() if name != "$defs"}
    shared = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return {"type": "object", "properties": {_WRAPPED: inner}, "required": [_WRAPPED], **shared}


def messages_of(request: Request, system: str) -> list[ModelMessage]:
    """Return the conversation of a request, with the feedback on earlier answers as its last text.

    Args:
        request: The request.
        system: Name of the provider that is asked, which gets back its own parts of earlier answers.
    """
    found: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    tools = {tool.name for tool in request.tools} | {ANSWER}
    ids: set[str] | None = set() if system in _STRICT_IDS else None
    unanswered: list[tuple[str, ToolCallPart]] = []
    """The calls that have no result yet, each with the id that the model gave it."""
    for message in request.messages:
        match message:
            case AssistantMessage():
                _close(found, parts, unanswered, request.instructions)
                response, unanswered = _sendable(_response(message, system), tools, ids)
                found.append(response)
                parts = []
            case ToolMessage():
                parts.append(_return(message, unanswered, tools))
            case _:
                parts.append(UserPromptPart(message.text))
    if request.feedback:
        parts.append(UserPromptPart(_FEEDBACK + "\n".join(f"- {each}" for each in request.feedback)))
    _close(found, parts, unanswered, request.instructions)
    return found


def _close(
    found: list[ModelMessage],
    parts: list[ModelRequestPart],
    unanswered: list[tuple[str, ToolCallPart]],
    instructions: str,
) -> None:
    """Add what was said since the last answer, with a result for each of its calls."""
    given = [ToolReturnPart(call.tool_name, _ANSWERED, call.tool_call_id) for _, call in unanswered]
    if given or parts:
        results = [part for part in parts if isinstance(part, ToolReturnPart)]
        others = [part for part in parts if not isinstance(part, ToolReturnPart)]
        found.append(ModelRequest([*results, *given, *others], instructions=instructions or None))


def _return(message: ToolMessage, unanswered: list[tuple[str, ToolCallPart]], tools: set[str]) -> ToolReturnPart:
    """Return the result of a call under the id that the call is sent with, and count the call as answered."""
    outcome: Any = "failed" if message.failed else "success"
    at = next((at for at, (given, _) in enumerate(unanswered) if given == message.call), None)
    id_ = message.call if at is None else unanswered.pop(at)[1].tool_call_id
    return ToolReturnPart(_name(message.name, tools), message.text, id_, outcome=outcome)


def _response(message: AssistantMessage, system: str) -> ModelResponse:
    """Return an earlier answer: as its provider gave it, if that provider reads it again, otherwise what it said."""
    own = _own(plain(message.raw), system)
    if own is not None:
        return own
    parts: list[ModelResponsePart] = [TextPart(message.text)] if message.text else []
    parts += [ToolCallPart(call.name, call.arguments, call.id) for call in message.calls]
    return ModelResponse(parts or [TextPart("")], model_name=message.model or None)


def _sendable(
    response: ModelResponse, tools: set[str], ids: set[str] | None
) -> tuple[ModelResponse, list[tuple[str, ToolCallPart]]]:
    """Return an answer whose calls a provider accepts, and these calls, each with the id that the model gave it.

    Models invent names of tools, such as ``functions.search``, and other providers' ids may be used twice. A provider
    that refuses them refuses every later request of the conversation too.

    Args:
        response: The answer.
        tools: Names of the tools that the provider is told of.
        ids: The ids in the conversation so far, to which those of the answer are added; None to leave ids as they are.
    """
    parts: list[ModelResponsePart] = []
    calls: list[tuple[str, ToolCallPart]] = []
    for part in response.parts:
        if isinstance(part, ToolCallPart):
            id_ = part.tool_call_id if ids is None else _id(part.tool_call_id, ids)
            name = _name(part.tool_name, tools)
            call = replace(cast("ToolCallPart", part), tool_name=name, tool_call_id=id_)
            calls.append((part.tool_call_id, call))
            parts.append(call)
        else:
            parts.append(part)
    return replace(response, parts=parts), calls


def _name(name: str, tools: set[str]) -> str:
    """Return the name of a call, without what providers refuse if there is no such tool."""
    return name if name in tools else _REFUSED.sub("_", name)[:_LONGEST] or "_"


def _id(given: str, ids: set[str]) -> str:
    """Return the id of a call, without what providers refuse and unlike all ids before, and add it to them."""
    start = _REFUSED.sub("_", given)
    found, number = start[:_LONGEST] or "_", 1
    while found in ids:
        number += 1
        found = f"{start[: _LONGEST - 8]}-{number}"
    ids.add(found)
    return found


def _own(raw: Shown, system: str) -> ModelResponse | None:
    if not isinstance(raw, dict) or raw.get("provider_name") != system:
        return None
    try:
        (response,) = ModelMessagesTypeAdapter.validate_python([raw])
    except (ValidationError, ValueError):  # another version of the library wrote it
        return None
    return response if isinstance(response, ModelResponse) else None


# ---------------------------------------------------------------- to ours


def calls_of(response: ModelResponse) -> tuple[ToolCall, ...]:
    """Return the calls of tools in an answer, with the arguments as the model wrote them."""
    return tuple(
        ToolCall(id=part.tool_call_id, name=part.tool_name, arguments=_arguments(part))
        for part in response.parts
        if isinstance(part, ToolCallPart) and part.tool_name != ANSWER
    )


def _arguments(part: ToolCallPart) -> str:
    if isinstance(part.args, str):
        return part.args or "{}"
    return json.dumps(part.args or {}, ensure_ascii=False)


def text_of(response: ModelResponse, schema: Mapping[str, Any] | None) -> str:
    """Return the text of an answer: JSON of the value if a schema was given and the model kept to it."""
    if schema is None:
        return "".join(_texts(response.parts))
    answers = [part for part in response.parts if isinstance(part, ToolCallPart) and part.tool_name == ANSWER]
    text = _arguments(answers[0]) if answers else _unfenced("".join(_texts(response.parts)))
    return text if _is_object(schema) else _unwrapped(text)


def _texts(parts: Iterable[ModelResponsePart]) -> Iterable[str]:
    return (part.content for part in parts if isinstance(part, TextPart))


def _unwrapped(text: str) -> str:
    """Return the JSON of an answer that ``_as_object`` has wrapped; the text itself if it is anything else."""
    try:
        value: Any = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict) and list(cast("dict[str, Any]", value)) == [_WRAPPED]:
        return json.dumps(value[_WRAPPED], ensure_ascii=False)
    return text


def _unfenced(text: str) -> str:
    """Return a text without the code fence in which many models put JSON that was asked for in words."""
    lines = text.strip().splitlines()
    fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1] == "```"  # noqa: PLR2004  two fences
    return "\n".join(lines[1:-1]) if fenced else text


def raw_of(response: ModelResponse) -> Shown:
    """Return what a provider wants back beside text and calls, such as signed reasoning; None if there is nothing."""
    if all(isinstance(part, (TextPart, ToolCallPart)) and not part.provider_details for part in response.parts):
        return None
    (raw,) = ModelMessagesTypeAdapter.dump_python([response], mode="json", exclude_none=True)
    return {name: value for name, value in raw.items() if name not in _NOT_KEPT}
