"""Model calls in a conversation: the request for a transcript, and what its answer means."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from greenroom.actors.agent.compaction import SUMMARISE, WHOLE, oldest_part
from greenroom.actors.agent.conversation import Conversation
from greenroom.actors.agent.loop import AskModel, ModelCall
from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.actors.values.conversion import ValueConverter
from greenroom.actors.worker.models.model_answer import InvalidAnswer, read_answer
from greenroom.actors.worker.models.prompt import output_schema, reply_of
from greenroom.messages.core.errors import InvalidInput, StepFailed
from greenroom.messages.core.json_text import shown, text_of
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import (
    AssistantMessage,
    ModelAnswer,
    SummarisedPart,
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


def conversation_request(
    definition: ModelDefinition, transcript: Json, *, summary: bool = False, percent: int = WHOLE
) -> tuple[ModelRequest, SummarisedPart | None]:
    """Return the request for a model call, without what differs between its attempts.

    Args:
        definition: The agent.
        transcript: The entries of the conversation, oldest first.
        summary: Whether plain text is wanted, and no tools.
        percent: How much of the conversation a summary is about. The question for a summary of the whole is the last
            entry; that for a part is added here.

    Returns:
        The request, and what it is about if that is a part.
    """
    messages: list[TranscriptMessage] = []
    tools: tuple[ToolSchema, ...] = ()
    entries: Sequence[TranscriptMessage | ToolList] = _ENTRIES.validate_json(text_of(transcript))
    part: SummarisedPart | None = None
    if percent != WHOLE:
        entries, part = oldest_part(entries, percent)
        entries = (*entries, UserMessage(text=SUMMARISE))
    for entry in entries:
        if isinstance(entry, ToolList):
            tools = entry.tools
        else:
            messages.append(entry)
    request = ModelRequest(
        prompt=next((each.text for each in reversed(messages) if isinstance(each, UserMessage)), ""),
        instructions=definition.instructions,
        schema=None if summary else output_schema(definition),
        settings=definition.settings,
        messages=shown(tuple(messages)),
        tools=() if summary else shown(tools),
        timeout=definition.options.timeout,
    )
    return request, part


async def ask_in_conversation(
    definition: ModelDefinition,
    request: ModelRequest,
    *,
    model: int = 0,
    summary: bool = False,
    part: SummarisedPart | None = None,
) -> tuple[ModelAnswer, ModelReply]:
    """Ask a model of an agent. Return what it answered, and the reply that it was read from.

    Args:
        definition: The agent.
        request: The request.
        model: Which of its models: 0 for the first, 1 for the first fallback.
        summary: Whether the answer is a summary, and not of the output type.
        part: What part of the conversation the summary is about. If it is empty no model is asked.

    Raises:
        InvalidAnswer: The answer does not count.
        Exception: Whatever the model raises.
    """
    if part is not None and not part.read:
        return ModelAnswer(message=AssistantMessage(), part=part), ModelReply(usd=0.0)
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
    else:
        read_answer(_summary_form(), reply)
    return ModelAnswer(message=message, answer=value, tokens=tokens, part=part), reply


@cache
def _summary_form() -> ValueConverter:
    return ValueConverter(str, "a summary")


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
        request, part = conversation_request(definition, transcript, summary=call.summary, percent=call.percent)
        try:
            answer, _ = await ask_in_conversation(
                definition, request, model=call.model, summary=call.summary, part=part
            )
        except InvalidAnswer as error:
            msg = f"{definition.title} gave no valid answer: {error}"
            raise StepFailed(msg, step=definition.name, attempts=1, outcome="invalid") from error
        entry = answer_entry(call.transcript.tip, answer)
        entries[entry_id(entry)] = entry
        return answer

    return ask
