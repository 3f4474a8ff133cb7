"""Models of providers, through the library Pydantic AI: one request per attempt, and whole answers only."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import Model as Client
from pydantic_ai.models import ModelRequestParameters, infer_model
from pydantic_ai.settings import ModelSettings

from greenroom.actors.models import ModelReply, ModelRequest, check_usage
from greenroom.actors.models.answer_limit import limit_answers
from greenroom.actors.models.characters import WholePieces, make_whole, whole
from greenroom.actors.models.hidden_errors import reveal_errors
from greenroom.actors.models.provider_errors import is_refusal, translated
from greenroom.actors.models.provider_names import PROVIDERS, check_environment, is_own_server, library_name
from greenroom.actors.models.transcripts import calls_of, messages_of, parameters_of, raw_of, text_of
from greenroom.messages.core.errors import Fatal, ModelFailed
from greenroom.messages.secrets.redaction import redactor_of, secret_values

_clients: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Client]]] = WeakKeyDictionary()
"""The clients of this process, by loop, since a connection belongs to one, and by name. A worker has one loop."""


class ProviderModel:
    """A model of a provider. Used on one or several loops; each process has one client per loop and name.

    Args:
        name: The model, such as ``openai:gpt-5``.
        client: What asks the provider; None for one with the key of this process.
    """

    def __init__(self, name: str, client: Client | None = None) -> None:
        """Keep the arguments. Nothing is read from the environment before the first request."""
        self.name = name
        self._given = client
        self._provider = PROVIDERS[name.partition(":")[0]]

    def __repr__(self) -> str:
        """Return the name."""
        return f"<model {self.name}>"

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Send one request, and return its answer once it is complete.

        Raises:
            RetryAfter: The provider asks to wait.
            QuotaExceeded: The account has no credit or quota left.
            ContextTooLong: The conversation is longer than the model can read.
            Fatal: The same request cannot succeed: no key, a wrong one, no such model, wrong settings.
            ModelFailed: Another attempt may succeed.
        """
        client = self._given or self._client()
        messages, parameters = messages_of(request, client.system), parameters_of(request)
        try:
            response = await _ask(client, messages, _settings(request), parameters, request.on_text)
        except Exception as error:  # noqa: BLE001  an IndexError may be an answer that cannot be read
            if is_refusal(error):
                return ModelReply("", "refusal", model=client.model_name)
            failure = self._translated(error)
            raise failure from failure.__cause__
        refused = response.finish_reason == "content_filter"
        if not refused:
            self._check_complete(response)
        self._check_usage(response)
        return ModelReply(
            _refusal(response) if refused else text_of(response, request.schema),
            "refusal" if refused else "length" if response.finish_reason == "length" else "stop",
            response.usage.input_tokens,
            response.usage.output_tokens,
            self._price(response),
            calls_of(response),
            response.model_name or client.model_name,
            raw_of(response),
        )

    def _client(self) -> Client:
        """Return the client of this process for the model.

        Raises:
            Fatal: The environment lacks a key or an address.
        """
        clients = _clients.setdefault(asyncio.get_running_loop(), {})
        found = clients.get(self.name)
        if found is None:
            check_environment(self.name, os.environ)
            try:
                found = clients[self.name] = infer_model(library_name(self.name, os.environ))
                limit_answers(found.provider)
                reveal_errors(found.provider)
            except ImportError as error:  # a broken installation, since the library was found before
                msg = f"the library of the model {self.name!r} cannot be imported ({error}): {self._provider.install}"
                raise Fatal(msg) from None
            except Exception as error:  # noqa: BLE001  whatever the library objects to in the environment
                raise self._translated(error) from None
        return found

    def _translated(self, error: Exception) -> Exception:
        redactor = redactor_of(secret_values(os.environ, self._provider.keys))
        address = "" if is_own_server(self._provider, os.environ) else self._provider.base_url
        return translated(error, self.name, self._provider.keys, redactor.text, address)

    def _check_complete(self, response: ModelResponse) -> None:
        """Raise if an answer ended before its end: providers close a broken stream as they close a complete one.

        Raises:
            ModelFailed: It did.
        """
        if not (response.provider_details or {}).get("finish_reason"):
            msg = f"the connection to the model {self.name!r} ended before the whole answer came"
            raise ModelFailed(msg)
        if response.state != "complete":
            msg = f"the model {self.name!r} paused before its answer was complete"
            raise ModelFailed(msg)
        if response.finish_reason == "error":
            msg = f"the model {self.name!r} ended its answer with an error"
            raise ModelFailed(msg)

    def _check_usage(self, response: ModelResponse) -> None:
        """Raise if a server counts tokens that there cannot be.

        Raises:
            ModelFailed: It does.
        """
        try:
            check_usage(response.usage.input_tokens, response.usage.output_tokens, None)
        except (TypeError, ValueError) as error:
            msg = f"the answer of the model {self.name!r} cannot be read: {error}"
            raise ModelFailed(msg) from error

    def _price(self, response: ModelResponse) -> float | None:
        """Return the price of an answer in US dollars; None if it is unknown.

        Servers other than the provider's own have no price, even if they name a model that has one. Nor has an answer
        without tokens, whose usage the server has not counted.
        """
        if not (response.usage.input_tokens or response.usage.output_tokens):
            return None
        if not is_own_server(self._provider, os.environ) or not response.model_name:
            return None
        with suppress(ValueError, LookupError):  # no usage was reported, or the price of the model is not known
            return float(response.cost().total_price)
        return None


async def _ask(
    client: Client,
    messages: list[ModelMessage],
    settings: ModelSettings,
    parameters: ModelRequestParameters,
    on_text: Callable[[str], None] | None,
) -> ModelResponse:
    """Send one request and read its answer to the end."""
    async with model_request_stream(
        client, messages, model_settings=settings, model_request_parameters=parameters, instrument=False
    ) as stream:
        pieces = None if on_text is None else WholePieces(on_text)
        async for event in stream:
            if pieces is not None and (text := _text(event)):
                pieces.add(text)
        if pieces is not None:
            pieces.end()
        response = stream.get()
        make_whole(response)
        return response


def _refusal(response: ModelResponse) -> str:
    """Return the words in which a model would not answer."""
    told = (response.provider_details or {}).get("refusal")
    return whole(told) if isinstance(told, str) else text_of(response, None)


def _text(event: ModelResponseStreamEvent) -> str:
    """Return the piece of text that an event of a stream adds; empty if it adds none."""
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def _settings(request: ModelRequest) -> ModelSettings:
    """Return the author's settings, bounded by what this attempt may use. The library repeats no request."""
    settings: dict[str, Any] = {**request.settings, "max_retries": 0}
    if request.timeout is not None:
        settings.setdefault("timeout", request.timeout)
        settings["request_timeout"] = min(request.timeout, settings.get("request_timeout", request.timeout))
    if request.max_tokens is not None:
        settings["max_tokens"] = min(request.max_tokens, settings.get("max_tokens", request.max_tokens))
    return cast("ModelSettings", settings)
