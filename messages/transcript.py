"""Transcripts: the messages of a conversation with a model, in a form that belongs to no provider."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.message import Json, Message


class ToolCall(Message):
    """A call of a tool that a model asks for."""

    id: str
    """Identifies the call in its conversation. Chosen by the model's provider."""
    name: str
    arguments: str = "{}"
    """The arguments as the model wrote them: JSON text of an object, unless the model made a mistake."""


class UserMessage(Message):
    """What the caller wrote."""

    role: Literal["user"] = "user"
    text: str


class AssistantMessage(Message):
    """What a model answered: text, calls of tools, or both."""

    role: Literal["assistant"] = "assistant"
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    model: str = ""
    """Name of the model that answered, as its provider reports it."""
    raw: Json = None
    """The answer in its provider's own form, which that provider wants back with the next request: signed reasoning,
    for example. None if the fields above hold everything."""


class ToolMessage(Message):
    """The result of one call of a tool."""

    role: Literal["tool"] = "tool"
    call: str
    """``ToolCall.id`` of the call."""
    name: str
    text: str
    failed: bool = False
    """Whether the text describes a failure."""


TranscriptMessage: TypeAlias = Annotated[UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ToolSchema(Message):
    """A tool as a model sees it."""

    name: str
    description: str = ""
    parameters: Json
    """JSON Schema of the arguments, an object."""
