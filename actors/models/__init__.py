"""The protocol of language models: a request goes in, a reply comes out. Retries are handled elsewhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, runtime_checkable

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.message import Shown

PROVIDERS: Final = ("mock",)
"""Names of all built-in models."""
DEFAULT_VARIABLE: Final = "GREENROOM_MODEL"
"""Environment variable that names the model of an ``LLM`` without one. Read in the worker."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model.

    Attributes:
        prompt: The text that the caller wrote.
        instructions: Text sent before every prompt.
        schema: JSON schema that the answer must fit; None for plain text.
        feedback: What was wrong with earlier answers to the same prompt, oldest first.
        attempt: Number of the attempt, from 1.
        idempotency_key: The same for every attempt of one call.
        settings: The author's settings, unchanged.
    """

    prompt: str
    instructions: str = ""
    schema: Mapping[str, Shown] | None = None
    feedback: tuple[str, ...] = ()
    attempt: int = 1
    idempotency_key: str = ""
    settings: Mapping[str, Shown] = field(default_factory=dict[str, Shown])


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The answer of a model.

    Attributes:
        text: The text of the answer.
        finish: Why the text ended: it was complete, it was cut by a limit or a broken stream, or the model refused.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        usd: Price of the call, if known.
    """

    text: str
    finish: Literal["stop", "length", "refusal"] = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0


@runtime_checkable
class Model(Protocol):
    """Anything that answers requests. Used on the loop of an LLM worker, with many requests at once."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer a request.

        Raises:
            RetryAfter: The provider asks to wait before the next request.
            Fatal: No attempt can succeed: the key is wrong, or the account is empty.
            Exception: Any other failure; the step's retry policy decides.
        """
        ...


def check_model(model: object, owner: str) -> None:
    """Raise if a value cannot be used as a model.

    Raises:
        DefinitionError: It is neither a model nor the name of a built-in one.
    """
    if isinstance(model, str) and model not in PROVIDERS:
        msg = f"{owner} asks for the model {model!r}, which is not known: there are {', '.join(map(repr, PROVIDERS))}"
        raise DefinitionError(msg)
    if not (model is None or isinstance(model, (str, Model))):
        msg = f"{owner} has a model that is neither a name nor a model: {model!r}"
        raise DefinitionError(msg)


def resolve_model(model: str | Model | None, owner: str) -> Model:
    """Return the model for a name. Called in a worker.

    Raises:
        DefinitionError: The name is unknown.
    """
    if model is None:
        name = os.environ.get(DEFAULT_VARIABLE) or "mock"
        check_model(name, f"{owner} (through {DEFAULT_VARIABLE})")
        model = name
    if isinstance(model, str):
        check_model(model, owner)
        from greenroom.actors.models.mock import MockModel  # noqa: PLC0415  they import this module

        return MockModel()
    return model
