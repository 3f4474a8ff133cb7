"""Builds the prompt of a model call, with all that the model receives beside it, and asks the model."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.models import Model, ModelReply, ModelRequest, check_named
from greenroom.actors.models.provider_names import EMBEDDED
from greenroom.actors.models.script import scripted_reply
from greenroom.actors.worker.models.model_answer import InvalidAnswer, read_answer
from greenroom.messages.core.errors import StepFailed


def request_of(
    definition: ModelDefinition,
    prompt: str,
    *,
    attempt: int = 1,
    feedback: tuple[str, ...] = (),
    key: str = "",
    timeout: float | None = None,
    on_text: Callable[[str], None] | None = None,
    max_tokens: int | None = None,
) -> ModelRequest:
    """Return the request for one attempt: prompt, instructions, schema of the output, feedback on earlier attempts."""
    return ModelRequest(
        prompt=prompt,
        instructions=definition.instructions,
        schema=output_schema(definition),
        feedback=feedback,
        attempt=attempt,
        idempotency_key=key,
        settings=definition.settings,
        timeout=timeout,
        on_text=on_text,
        max_tokens=max_tokens,
    )


def output_schema(definition: ModelDefinition) -> Any:
    """Return the JSON schema of a definition's output, or None for plain text."""
    form = definition.answer
    return None if form.annotation is str else form.schema


async def ask(definition: ModelDefinition, request: ModelRequest) -> tuple[Any, ModelReply]:
    """Ask a definition's model. Return the step's result, and the reply that it was read from.

    Raises:
        InvalidAnswer: The answer does not count.
        Exception: Whatever the model raises.
    """
    reply = await reply_of(definition, request)
    return definition.result_of(read_answer(definition.answer, reply)), reply


async def reply_of(definition: ModelDefinition, request: ModelRequest, number: int = 0) -> ModelReply:
    """Ask a definition's model, or with ``number`` above 0 one that it falls back to. Return the reply as it is.

    Raises:
        Exception: Whatever the model raises.
    """
    scripted = scripted_reply(definition.name, request)
    if scripted is not None:
        if request.on_text is not None:
            request.on_text(scripted.text)
        return scripted
    given: str | Model | None = definition.models[number]
    model = _named(given, definition.title) if given is None or isinstance(given, str) else given
    return await model.complete(request)


async def ask_in_place(definition: ModelDefinition, prompt: str) -> Any:
    """Ask once, outside any run.

    Raises:
        StepFailed: The answer does not count.
        Exception: Whatever the model raises.
    """
    try:
        value, _ = await ask(definition, request_of(definition, prompt, timeout=definition.options.timeout))
    except InvalidAnswer as error:
        msg = f"{definition.title} gave no valid answer: {error}"
        raise StepFailed(msg, step=definition.name, attempts=1, outcome="invalid") from error
    return value


@cache
def _named(name: str | None, owner: str) -> Model:
    """Return one model per name and process, so that it can keep its connections."""
    return resolve_model(name, owner)


def resolve_model(model: str | Model | None, owner: str) -> Model:
    """Return the model that an author named.

    Raises:
        DefinitionError: The name is not known, or the library of its provider is not installed.
    """
    name = check_named(model, owner)
    if not name:
        return cast("Model", model)
    if name == EMBEDDED:
        from greenroom.actors.models.embedded.mock import MockModel  # noqa: PLC0415  real models do not need it

        return MockModel()
    from greenroom.actors.models.provider import ProviderModel  # noqa: PLC0415  its library is large

    return ProviderModel(name)
