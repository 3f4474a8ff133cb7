"""Language models as one protocol: a request goes in, a reply comes out. Retries are decided elsewhere."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, runtime_checkable

from greenroom.actors.models.provider_names import EMBEDDED, check_installed, check_name
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.former_name import FORMER
from greenroom.messages.core.message import Shown
from greenroom.messages.frames.worker import MOST_USED
from greenroom.messages.transcript import ToolCall, ToolSchema, TranscriptMessage, UserMessage

DEFAULT_VARIABLE: Final = "GREENROOM_MODEL"
"""Environment variable that names the model of an ``LLM`` without one. Read in the worker."""
_FORMER_VARIABLE: Final = DEFAULT_VARIABLE.replace("GREENROOM", FORMER.upper())
"""The same under this package's former name."""


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
        timeout: Seconds that the attempt may take; None for no limit.
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
    timeout: float | None = None
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

    Raises:
        TypeError: Tokens are not whole numbers, or the price is not a number.
        ValueError: One of them is below 0, not finite, or more than there can be.
    """

    text: str = ""
    finish: Literal["stop", "length", "refusal"] = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    calls: tuple[ToolCall, ...] = ()
    model: str = ""
    raw: Shown = None

    def __post_init__(self) -> None:
        """Check what the answer says to have used, since budgets count it."""
        check_usage(self.input_tokens, self.output_tokens, self.usd)


def check_usage(input_tokens: object, output_tokens: object, usd: object) -> None:
    """Raise if a model says to have used what nobody can use. A number below 0 would enlarge budgets.

    Raises:
        TypeError: Tokens are not whole numbers, or the price is not a number.
        ValueError: One of them is below 0, not finite, or more than there can be.
    """
    for name, tokens in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if not isinstance(tokens, int):
            msg = f"{name} of a model's answer must be a whole number, not {tokens!r:.80}"
            raise TypeError(msg)
        if not 0 <= tokens <= MOST_USED:
            msg = f"{name} of a model's answer must be between 0 and {MOST_USED}"
            raise ValueError(msg)
    if usd is None:
        return
    if not isinstance(usd, (int, float)):
        msg = f"the price of a model's answer must be a number of US dollars or None, not {usd!r:.80}"
        raise TypeError(msg)
    if not 0 <= usd <= MOST_USED:  # false for NaN too
        msg = f"the price of a model's answer must be between 0 and {MOST_USED} US dollars"
        raise ValueError(msg)


@runtime_checkable
class Model(Protocol):
    """Anything that answers requests. Used on the loop of an LLM worker, many requests at once."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer a request.

        Raises:
            RetryAfter: The provider asks to be left alone for a while.
            QuotaExceeded: The account has no credit or quota left: the run waits until a person resumes it.
            Fatal: No attempt can succeed: the key is wrong, or there is no such model.
            ModelFailed: Something went wrong on the way. The step's retry policy decides, as for any exception.
        """
        ...


def check_model(model: object, owner: str) -> None:
    """Raise if an object cannot be a model. Whether a provider's library is installed is checked by ``check_named``.

    Raises:
        DefinitionError: It is neither a model nor the name of one.
    """
    if isinstance(model, str):
        check_name(model, owner)
    elif not (model is None or isinstance(model, Model)):
        msg = f"{owner} has a model that is neither a name nor a model: {model!r}"
        raise DefinitionError(msg)


def default_name() -> str:
    """Return the name of the model of an ``LLM`` without one, from this process's environment."""
    return os.environ.get(DEFAULT_VARIABLE) or os.environ.get(_FORMER_VARIABLE) or EMBEDDED


def check_named(model: object, owner: str) -> str:
    """Return the name of the model that is meant, after a check that this installation can ask it.

    Args:
        model: A name, None for the default, or a model, whose name is empty.
        owner: What asks for the model, for errors.

    Raises:
        DefinitionError: The name is not known, or the library of its provider is not installed.
    """
    if model is None:
        model, owner = default_name(), f"{owner} (through {DEFAULT_VARIABLE})"
    if not isinstance(model, str):
        return ""
    check_name(model, owner)
    check_installed(model, owner)
    return model
