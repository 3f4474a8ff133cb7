"""The LLM actor: runs many model calls at once."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Any

from typing_extensions import override

from greenroom.actors.agent.compaction import WHOLE
from greenroom.actors.api.step_context import context_of, current, running
from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.definitions.registry import lookup
from greenroom.actors.failures.description import describe_exception
from greenroom.actors.models import ModelReply
from greenroom.actors.models.measured import Asked, Measured, asked, usage_of
from greenroom.actors.worker.actor import WorkerActor
from greenroom.actors.worker.channel import Channel, unsendable
from greenroom.actors.worker.models.conversation import ask_in_conversation, conversation_request
from greenroom.actors.worker.models.model_answer import InvalidAnswer, shorten
from greenroom.actors.worker.models.prompt import ask, request_of
from greenroom.actors.worker.models.text_stream import TextStream
from greenroom.actors.worker.output import finish, mark_output
from greenroom.messages.core.errors import CodecError, QuotaExceeded, RetryAfter
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.frames.worker import Abort, Completed, Execute, Failed, FromWorker, ToWorker, WorkerSpec


class ModelActor(WorkerActor):
    """Executes LLM steps, any number at once, on one loop in the main thread."""

    def __init__(self, channel: Channel, spec: WorkerSpec) -> None:
        """Begin without attempts."""
        super().__init__(channel, spec)
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """Running attempts, by token."""
        self._started: dict[str, float] = {}
        """When they started (monotonic clock)."""
        self._aborted: set[str] = set()
        """Tokens of running attempts that were aborted."""
        self._ending: asyncio.Future[None] = self._loop.create_future()
        """Done once no more work arrives: after a stop frame, or with an error of an attempt that ended the actor."""

    @override
    def prepare(self) -> None:
        """Prepare the output streams, so that each line is marked with its attempt."""
        mark_output()

    @override
    def perform(self, message: ToWorker) -> None:
        """Start one attempt."""
        assert isinstance(message, Execute), f"an LLM worker was sent {message.type}"
        self._started[message.token] = time.perf_counter()
        task = self._loop.create_task(self._attempt(message), name=message.token)
        self._tasks[message.token] = task
        task.add_done_callback(self._done)

    @override
    def on_receive(self, message: ToWorker) -> None:
        """Handle one message."""
        if isinstance(message, Abort):
            task = self._tasks.get(message.token)
            if task is not None:
                self._aborted.add(message.token)
                task.cancel()
        else:
            super().on_receive(message)

    @override
    def handle_messages(self) -> None:
        """Handle messages on the loop until ``Stop`` comes and the attempts that run have ended. Main thread only."""
        self._loop.add_reader(self.channel.fileno(), self._hear)
        self._loop.run_until_complete(self._ending)
        if self._tasks:  # running attempts still finish; ``gather`` of none belongs to another loop
            self._loop.run_until_complete(asyncio.gather(*self._tasks.values()))

    def _hear(self) -> None:
        self.inbox.fill()
        while not self.inbox.empty():
            self.on_receive(self.inbox.take())
        if self.actor_stopped.is_set() and not self._ending.done():
            self._loop.remove_reader(self.channel.fileno())
            self._ending.set_result(None)

    def _done(self, task: asyncio.Task[None]) -> None:
        token = task.get_name()
        del self._tasks[token]
        started = self._started.pop(token)
        if task.cancelled() and token in self._aborted:  # answered here, as the attempt may not have started yet
            self._aborted.remove(token)
            failure = Failure(outcome="cancelled", message="the attempt was aborted")
            self.channel.send(Failed(token=token, failure=failure, duration=time.perf_counter() - started))
            return
        self._aborted.discard(token)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if (
            error is not None and not self._ending.done()
        ):  # not an Exception, which would be an answer: this must end the process
            self._ending.set_exception(error)

    async def _attempt(self, message: Execute) -> None:
        """Run one attempt and answer it."""
        token = message.token
        started = self._started[token]
        running.set(context_of(message, self.channel.send))
        usage: dict[str, float] = {}
        answer: FromWorker
        try:
            try:
                result, usage = await self._ask(message)
            finally:
                finish(message.run_id, message.key, message.attempt)
        except InvalidAnswer as error:
            usage = _usage(error.reply, message)
            failure = Failure(outcome="invalid", message=str(error), raw=shorten(error.reply.text))
        except (RetryAfter, QuotaExceeded) as error:  # the provider has refused the request, so it costs nothing
            usage = {"input_tokens": 0, "output_tokens": 0, "usd": 0.0}
            failure = describe_exception(error)
        except Exception as error:  # noqa: BLE001  every failure of a model is the attempt's outcome
            failure = describe_exception(error)
        else:
            answer = Completed(token=token, result=result, duration=time.perf_counter() - started, usage=usage)
            try:
                self.channel.send(answer)
            except CodecError as error:
                failure = describe_exception(unsendable("the answer", error))
            else:
                return
        self.channel.send(Failed(token=token, failure=failure, duration=time.perf_counter() - started, usage=usage))

    async def _ask(self, message: Execute) -> tuple[Any, dict[str, float]]:
        definition = lookup(message.step)
        if not isinstance(definition, ModelDefinition):
            args, kwargs = definition.signature.decode_call(message.arguments)
            asked.set(Asked(plain(message.transcript), message.max_tokens))
            measured: Measured = await definition.fn(*args, **kwargs)
            return definition.signature.result.dump(measured.value), dict(measured.usage)
        ask = self._call if message.transcript is None else self._converse
        text = None if message.stream is None else TextStream(partial(current().emit, channel=message.stream))
        try:
            result, reply = await ask(definition, message, text)
        finally:
            if text is not None:
                text.end()
        return result, _usage(reply, message)

    async def _call(
        self, definition: ModelDefinition, message: Execute, text: TextStream | None
    ) -> tuple[Any, ModelReply]:
        """Ask with a prompt alone."""
        args, kwargs = definition.signature.decode_call(message.arguments)
        prompt = definition.prompt_of(args, kwargs)
        request = request_of(
            definition,
            prompt,
            attempt=message.attempt,
            feedback=message.feedback,
            key=message.idempotency_key,
            timeout=message.timeout,
            on_text=text,
            max_tokens=message.max_tokens,
        )
        value, reply = await ask(definition, request)
        return definition.signature.result.dump(value), reply

    async def _converse(
        self, definition: ModelDefinition, message: Execute, text: TextStream | None
    ) -> tuple[Any, ModelReply]:
        """Ask in a conversation."""
        how: Any = plain(message.arguments)
        summary = bool(how.get("summary"))
        request, part = conversation_request(
            definition, message.transcript, summary=summary, percent=how.get("percent", WHOLE)
        )
        request = replace(
            request,
            attempt=message.attempt,
            feedback=message.feedback,
            idempotency_key=message.idempotency_key,
            timeout=message.timeout,
            on_text=None if summary else text,
            max_tokens=message.max_tokens,
        )
        answer, reply = await ask_in_conversation(
            definition, request, model=_model(message), summary=summary, part=part
        )
        return JsonText(answer.model_dump_json().encode()), reply


def _definition(message: Execute) -> ModelDefinition:
    """Return the definition of an ``LLM`` or a judge."""
    definition = lookup(message.step)
    assert isinstance(definition, ModelDefinition), f"{definition.title} is not an LLM"
    return definition


def _usage(reply: ModelReply, message: Execute) -> dict[str, float]:
    """Return the usage of one answer, at the price that its call was reserved with. What is not known is left out."""
    price = None if reply.usd is not None else _definition(message).calls[_model(message)].price  # may import a list
    return usage_of(reply.input_tokens, reply.output_tokens, reply.usd, price)


def _model(message: Execute) -> int:
    """Return which of the models of an ``LLM`` an attempt asks, from 0."""
    if message.transcript is None:
        return 0
    how: Any = plain(message.arguments)
    number: int = how.get("model", 0)
    return number
