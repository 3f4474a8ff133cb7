"""Builds the prompt of a model call, with all that the model receives beside it, and asks the model."""

from functools import cache
from typing import Any

from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.models import Model, ModelReply, ModelRequest, resolve_model
from greenroom.actors.models.script import scripted_reply
from greenroom.actors.worker.model_answer import InvalidAnswer, read_answer
from greenroom.messages.core.errors import StepFailed


def request_of(
    definition: ModelDefinition,
    prompt: str,
    *,
    attempt: int = 1,
    feedback: tuple[str, ...] = (),
    key: str = "",
    max_tokens: int | None = None,
) -> ModelRequest:
    """Return the request for one attempt: prompt, instructions, schema of the output, feedback on earlier attempts."""
    form = definition.signature.result
    return ModelRequest(
        prompt=prompt,
        instructions=definition.instructions,
        schema=None if form.annotation is str else form.schema,
        feedback=feedback,
        attempt=attempt,
        idempotency_key=key,
        settings=definition.settings,
        max_tokens=max_tokens,
    )


async def ask(definition: ModelDefinition, request: ModelRequest) -> tuple[Any, ModelReply]:
    """Ask a definition's model. Return the answer as its output type, and the reply that it was read from.

    Raises:
        InvalidAnswer: The answer does not count.
        Exception: Whatever the model raises.
    """
    reply = scripted_reply(definition.name, request)
    if reply is None:
        given: str | Model | None = definition.model
        model = _named(given, definition.title) if given is None or isinstance(given, str) else given
        reply = await model.complete(request)
    return read_answer(definition.signature.result, reply), reply


async def ask_in_place(definition: ModelDefinition, prompt: str) -> Any:
    """Ask once, outside any run.

    Raises:
        StepFailed: The answer does not count.
        Exception: Whatever the model raises.
    """
    try:
        value, _ = await ask(definition, request_of(definition, prompt))
    except InvalidAnswer as error:
        msg = f"{definition.title} gave no valid answer: {error}"
        raise StepFailed(msg, step=definition.name, attempts=1, outcome="invalid") from error
    return value


@cache
def _named(name: str | None, owner: str) -> Model:
    """Return one model per name and process, so that it can keep its connections."""
    return resolve_model(name, owner)
