"""Transcripts: the messages of a conversation with a model, in a form that belongs to no provider."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.json_text import JsonText, plain, text_of
from greenroom.messages.core.message import Json, Message


class ToolCall(Message):
    """A call of a tool that a model asks for."""

    id: str
    """Identifies the call in its conversation. Chosen by the model's provider."""
    name: str
    """Name of the tool."""
    arguments: str = "{}"
    """The arguments as the model wrote them: JSON text of an object, unless the model made a mistake."""


class UserMessage(Message):
    """What the caller wrote."""

    role: Literal["user"] = "user"
    """Tells the kinds of messages apart."""
    text: str
    """The prompt."""


class AssistantMessage(Message):
    """What a model answered: text, calls of tools, or both."""

    role: Literal["assistant"] = "assistant"
    """Tells the kinds of messages apart."""
    text: str = ""
    """What the model has written."""
    calls: tuple[ToolCall, ...] = ()
    """Which tools it asks for."""
    model: str = ""
    """Name of the model that answered, as its provider reports it."""
    raw: Json = None
    """The answer in its provider's own form, which that provider wants back with the next request: signed reasoning,
    for example. None if the fields above hold everything."""


class ToolMessage(Message):
    """The result of one call of a tool."""

    role: Literal["tool"] = "tool"
    """Tells the kinds of messages apart."""
    call: str
    """``ToolCall.id`` of the call."""
    name: str
    """Name of the tool."""
    text: str
    """The result, or a sentence about the failure."""
    failed: bool = False
    """Whether the text describes a failure."""


TranscriptMessage: TypeAlias = Annotated[UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ToolSchema(Message):
    """A tool as a model sees it."""

    name: str
    description: str = ""
    parameters: Json
    """JSON Schema of the arguments, an object."""


class ToolList(Message):
    """The tools of a conversation from here on. Not a message to the model, which gets them beside the messages."""

    role: Literal["tools"] = "tools"
    tools: tuple[ToolSchema, ...]


# ---------------------------------------------------------------- transcripts as a run stores them


class Entry(Message):
    """One entry of a transcript. A run stores it once, whatever number of model calls reads it.

    A transcript is named by its last entry, and each entry names the one before it.
    """

    parent: str = ""
    """``entry_id`` of the entry before this one; empty for the first."""
    message: Json
    """A message, or a ``ToolList``."""
    keep: int | None = None
    """In a summary, how many of the entries before it still stand, and follow it. The summary replaces all older ones.
    None in every other entry."""


def entry_id(entry: Entry) -> str:
    """Return the identity of an entry: the same for the same messages in the same order, in every run."""
    kept = b"" if entry.keep is None else b"\0%d" % entry.keep
    return blake2b(entry.parent.encode() + b"\0" + text_of(entry.message) + kept, digest_size=16).hexdigest()


def newest_first(entries: Mapping[str, Entry], tip: str) -> Iterator[Json]:
    """Yield the messages of a transcript from its last entry back to its first, or back to a summary of older ones.

    Raises:
        LookupError: An entry of it is not among ``entries``, which are by ``entry_id``.
    """
    left: int | None = None  # entries to come until the summaries; None if there are none
    summaries: list[Json] = []
    while tip and left != 0:
        if tip not in entries:
            msg = f"entry {tip} of a transcript is not stored here"
            raise LookupError(msg)
        entry = entries[tip]
        tip = entry.parent
        if entry.keep is None:
            yield entry.message
            left = None if left is None else left - 1
        elif left is None or left > entry.keep:  # else a newer summary has replaced this one
            left = entry.keep
            summaries.insert(0, entry.message)
    yield from summaries


def as_array(messages: Iterable[Json]) -> JsonText:
    """Return messages that come newest first as a JSON array, oldest first, without parsing them."""
    texts = [text_of(message) for message in messages]
    return JsonText(b"[" + b",".join(reversed(texts)) + b"]", checked=True)


class TranscriptUse(Message):
    """The transcript that a model call reads.

    Attributes:
        tip: ``entry_id`` of its last entry.
        new: Entries that the run does not store yet, oldest first. The answer to a model call is stored as the entry
            that follows the call's ``tip``, and is not repeated here.
        library: Library in whose own form the messages are; empty for the messages of this file. Of such a call the
            answer is a value like that of any step, and the next call brings it as an entry.
    """

    tip: str
    new: tuple[Entry, ...] = ()
    library: str = ""


class SummarisedPart(Message):
    """Which part of a conversation a summary is about. Sizes are in characters."""

    read: int
    """Size of the part; 0 if there is none that is worth a summary, and no model was asked."""
    kept: int
    """Number of entries after the part."""
    left: int
    """Their size."""


class ModelAnswer(Message):
    """The result of a model call in a conversation."""

    message: AssistantMessage
    answer: Json = None
    """The answer as a value of the output type, if ``final``."""
    final: bool = True
    """Whether the model has answered, and has not asked for tools."""
    tokens: int = 0
    """Tokens that the call has read and written, which is the length of the conversation so far."""
    part: SummarisedPart | None = None
    """What a summary of a part is about; None in a summary of a whole conversation, and in other answers."""


def read_answer(result: Json) -> ModelAnswer:
    """Return the answer that a model call's result holds."""
    return ModelAnswer.model_validate_json(text_of(result))


def answer_entry(tip: str, answer: ModelAnswer) -> Entry:
    """Return the entry that a model's answer becomes, after the transcript that the model has read."""
    return Entry(parent=tip, message=JsonText(answer.message.model_dump_json().encode()))


def given_answer(value: Json) -> ModelAnswer:
    """Return the answer for a value that a person gives in place of the model."""
    plain_value = plain(value)
    text = plain_value if isinstance(plain_value, str) else text_of(value).decode()
    return ModelAnswer(message=AssistantMessage(text=text), answer=value)
