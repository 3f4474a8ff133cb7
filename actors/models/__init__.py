"""Language models as one protocol: a request goes in, a reply comes out. Retries are decided elsewhere."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, runtime_checkable

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.message import Shown
from greenroom.messages.transcript import ToolCall, ToolSchema, TranscriptMessage, UserMessage

PROVIDERS: Final = ("mock",)
"""Every name that a model can be given by."""
DEFAULT_VARIABLE: Final = "GREENROOM_MODEL"
"""Environment variable that names the model of an ``LLM`` without one. Read in the worker."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model.

    Attributes:
        prompt: What the caller wrote last.
        instructions: What the model is told before every conversation.
        schema: JSON schema that the answer must fit, or None where plain text is wanted.
        feedback: What was wrong with earlier answers to the same prompt, oldest first.
        attempt: Number of the attempt, from 1.
        idempotency_key: The same for every attempt of one call.
        settings: The author's settings, as they are.
        messages: The whole conversation, oldest first, prompt included. Without tools and history that is the prompt
            alone.
        tools: Tools that the model may ask for instead of answering.
        max_tokens: Most output tokens that this answer may have, for example because a budget allows no more; None for
            no such limit.
        on_text: Called on the worker's loop with each piece of the answer's text as it arrives, by models that stream;
            None if nobody listens. The reply still holds the whole text.
    """

    prompt: str
    instructions: str = ""
    schema: Mapping[str, Shown] | None = None
    feedback: tuple[str, ...] = ()
    attempt: int = 1
    idempotency_key: str = ""
    settings: Mapping[str, Shown] = field(default_factory=dict[str, Shown])
    messages: tuple[TranscriptMessage, ...] = ()
    tools: tuple[ToolSchema, ...] = ()
    max_tokens: int | None = None
    on_text: Callable[[str], None] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Make a conversation of the prompt, unless there is one."""
        if not self.messages:
            object.__setattr__(self, "messages", (UserMessage(text=self.prompt),))


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model answered.

    Attributes:
        text: The answer.
        finish: Why it ended: by itself, cut short by a limit or a broken stream, or because the model would not answer.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        usd: Price of the call in US dollars; None if it is unknown, which is not 0.
        calls: Tools that the model asks for before it answers.
        model: Name of the model that answered; empty if unknown.
        raw: See ``AssistantMessage.raw``.
    """

    text: str = ""
    finish: Literal["stop", "length", "refusal"] = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    calls: tuple[ToolCall, ...] = ()
    model: str = ""
    raw: Shown = None


@runtime_checkable
class Model(Protocol):
    """Anything that answers requests. Used on the loop of an LLM worker, many requests at once."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer a request.

        Raises:
            RetryAfter: The provider asks to be left alone for a while.
            Fatal: No attempt can succeed: the key is wrong, the money gone.
            Exception: Anything else that went wrong on the way; the step's retry policy decides.
        """
        ...


def check_model(model: object, owner: str) -> None:
    """Refuse what cannot be a model.

    Raises:
        DefinitionError: It is neither a model nor the name of one that is known.
    """
    if isinstance(model, str) and model not in PROVIDERS:
        msg = f"{owner} asks for the model {model!r}, which is not known: there are {', '.join(map(repr, PROVIDERS))}"
        raise DefinitionError(msg)
    if not (model is None or isinstance(model, (str, Model))):
        msg = f"{owner} has a model that is neither a name nor a model: {model!r}"
        raise DefinitionError(msg)


def resolve_model(model: str | Model | None, owner: str) -> Model:
    """Give the model that an author named; in a worker.

    Raises:
        DefinitionError: The name is not known.
    """
    if model is None:
        name = os.environ.get(DEFAULT_VARIABLE) or "mock"
        check_model(name, f"{owner} (through {DEFAULT_VARIABLE})")
        model = name
    if isinstance(model, str):
        check_model(model, owner)
        from greenroom.actors.models.mock import MockModel  # noqa: PLC0415  built on this module

        return MockModel()
    return model
