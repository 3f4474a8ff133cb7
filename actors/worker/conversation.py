"""Model calls in a conversation: the request for a transcript, and what its answer means."""

from typing import Any, Final

from pydantic import TypeAdapter

from greenroom.actors.agent.conversation import Conversation
from greenroom.actors.agent.loop import AskModel, ModelCall
from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.actors.worker.model_answer import InvalidAnswer, read_answer
from greenroom.actors.worker.prompt import output_schema, reply_of
from greenroom.messages.core.errors import InvalidInput, StepFailed
from greenroom.messages.core.json_text import text_of
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import (
    AssistantMessage,
    ModelAnswer,
    ToolList,
    ToolSchema,
    TranscriptMessage,
    UserMessage,
    answer_entry,
    as_array,
    entry_id,
    newest_first,
)

_ENTRIES: Final[TypeAdapter[list[TranscriptMessage | ToolList]]] = TypeAdapter(list[TranscriptMessage | ToolList])


def conversation_request(definition: ModelDefinition, transcript: Json, *, summary: bool = False) -> ModelRequest:
    """Return the request for a model call, without what differs between its attempts.

    Args:
        definition: The agent.
        transcript: The entries of the conversation, oldest first.
        summary: Whether plain text is wanted, and no tools.
    """
    messages: list[TranscriptMessage] = []
    tools: tuple[ToolSchema, ...] = ()
    for entry in _ENTRIES.validate_json(text_of(transcript)):
        if isinstance(entry, ToolList):
            tools = entry.tools
        else:
            messages.append(entry)
    return ModelRequest(
        prompt=next((each.text for each in reversed(messages) if isinstance(each, UserMessage)), ""),
        instructions=definition.instructions,
        schema=None if summary else output_schema(definition),
        settings=definition.settings,
        messages=tuple(messages),
        tools=() if summary else tools,
        timeout=definition.options.timeout,
    )


async def ask_in_conversation(
    definition: ModelDefinition, request: ModelRequest, *, model: int = 0, summary: bool = False
) -> tuple[ModelAnswer, ModelReply]:
    """Ask a model of an agent. Return what it answered, and the reply that it was read from.

    Args:
        definition: The agent.
        request: The request.
        model: Which of its models: 0 for the first, 1 for the first fallback.
        summary: Whether the answer is a summary, and not of the output type.

    Raises:
        InvalidAnswer: The answer does not count.
        Exception: Whatever the model raises.
    """
    reply = await reply_of(definition, request, model)
    message = AssistantMessage(text=reply.text, calls=reply.calls, model=reply.model, raw=reply.raw)
    tokens = reply.input_tokens + reply.output_tokens
    if reply.calls and reply.finish == "stop":
        if not request.tools:
            msg = "the answer asks for tools, and there are none: answer without them"
            raise InvalidAnswer(msg, reply)
        return ModelAnswer(message=message, final=False, tokens=tokens), reply
    value: Any = None
    if not summary:
        form = definition.answer
        value = definition.signature.result.dump(definition.result_of(read_answer(form, reply)))
    elif not reply.text.strip():
        msg = "the summary is empty"
        raise InvalidAnswer(msg, reply)
    return ModelAnswer(message=message, answer=value, tokens=tokens), reply


def asker_in_place(definition: ModelDefinition, history: Conversation | None) -> AskModel:
    """Return what asks an agent's models in this process, once each, outside any run.

    Args:
        definition: The agent.
        history: The conversation, which holds its entries itself.
    """
    entries = {} if history is None else history.entries()

    async def ask(call: ModelCall) -> ModelAnswer:
        for entry in call.transcript.use().new:
            entries[entry_id(entry)] = entry
        try:
            transcript = as_array(newest_first(entries, call.transcript.tip))
        except LookupError:
            msg = "the history belongs to a run or session, and can only be used there"
            raise InvalidInput(msg) from None
        request = conversation_request(definition, transcript, summary=call.summary)
        try:
            answer, _ = await ask_in_conversation(definition, request, model=call.model, summary=call.summary)
        except InvalidAnswer as error:
            msg = f"{definition.title} gave no valid answer: {error}"
            raise StepFailed(msg, step=definition.name, attempts=1, outcome="invalid") from error
        entry = answer_entry(call.transcript.tip, answer)
        entries[entry_id(entry)] = entry
        return answer

    return ask
