"""The tool actor: runs functions, one attempt at a time, and reports how each ended."""

import asyncio
import inspect
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any, Final, TypeAlias, cast

from typing_extensions import override

from greenroom.actors.api.step_context import context_of, running
from greenroom.actors.definitions.definitions import StepDefinition
from greenroom.actors.definitions.registry import lookup
from greenroom.actors.definitions.signature import every_item
from greenroom.actors.failures.description import describe_exception
from greenroom.actors.program.endings import discard_task
from greenroom.actors.worker.actor import WorkerActor
from greenroom.actors.worker.channel import Channel, unsendable
from greenroom.actors.worker.output import standard_streams
from greenroom.actors.worker.process.descendants import kill_descendants
from greenroom.actors.worker.process.process_state import ProcessState
from greenroom.actors.worker.tool_fakes import NO_FAKE, FakeFailed, fake_result, fakes
from greenroom.messages.core.errors import CodecError
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Completed, Execute, Failed, Judged, ToWorker, WorkerSpec

Answer: TypeAlias = Completed | Failed | Judged

STRAY_GRACE: Final = 1.0
"""Seconds that tasks left behind by an async function have to end. After that they are thrown away."""
_RESERVE_BYTES: Final = 256 * 1024


class _Helpers(ThreadPoolExecutor):
    """The threads of ``asyncio.to_thread``. They end with the attempt that used them."""

    used = False

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in a thread."""
        self.used = True
        return super().submit(fn, *args, **kwargs)


class FunctionActor(WorkerActor):
    """Runs user functions: plain ones directly, ``async`` ones on a loop that it keeps. Main thread."""

    def __init__(self, channel: Channel, spec: WorkerSpec) -> None:
        """Begin without a loop; most tools never need one."""
        super().__init__(channel, spec)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: tuple[str, asyncio.Task[Any]] | None = None
        """The async function that runs, and its token."""
        self._reserve: mmap | None = mmap(-1, _RESERVE_BYTES, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        """Given back when memory is short, so that there is some left to say so."""
        self._helpers: _Helpers | None = None
        """The loop's executor. Made for the first async function, and after one that has used its threads."""

    @override
    def prepare(self) -> None:
        """Prepare to restore what attempts change."""
        self._process_state = ProcessState(self.spec)
        self._streams = standard_streams()
        self._fakes = fakes()

    @override
    def on_start(self) -> None:
        """Report that the worker is ready, and remember the process state before the first message is read."""
        super().on_start()
        self._process_state.remember()

    def call(self, token: str, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a user function in a context of its own, and await its result.

        Raises:
            CancelledError: The attempt was aborted.
            BaseException: Whatever the function raises.
        """
        context = copy_context()
        value = context.run(fn, *args, **kwargs)
        if inspect.isgenerator(value):
            value = context.run(list, value)
        if inspect.isasyncgen(value):
            value = every_item(value)
        return self._await(token, value) if inspect.iscoroutine(value) else value

    def answer(self, message: Answer, refused: Callable[[Failure], Answer]) -> None:
        """Send an answer after restoring the process state. ``refused`` returns the answer for an unsendable result.

        The answer names what could not be restored. The worker is then replaced before the next attempt.
        """
        kill_descendants()
        for stream in self._streams:  # an unfinished line is the attempt's own
            with suppress(Exception):
                stream.flush()
        spoilt = self._process_state.restore()
        try:
            self.channel.send(message.model_copy(update={"spoilt": spoilt}) if spoilt else message)
        except CodecError as error:
            answer = refused(self.failure(unsendable("the result", error)))
            self.channel.send(answer.model_copy(update={"spoilt": spoilt}))

    def failure(self, error: Exception) -> Failure:
        """Describe the exception of an attempt."""
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # frees what the function had allocated
            self._reserve = None
        return describe_exception(error)

    def _await(self, token: str, coroutine: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.add_reader(self.channel.fileno(), self._hear)
        loop = self._loop
        if self._helpers is None:
            self._helpers = _Helpers()
            loop.set_default_executor(self._helpers)
        task = loop.create_task(coroutine)
        self._task = (token, task)
        self._cancel_aborted()
        try:
            return loop.run_until_complete(task)
        finally:
            self._task = None
            strays = asyncio.all_tasks(loop)
            if strays:  # an attempt must leave nothing behind that could run in the next one
                for stray in strays:
                    stray.cancel()
                _, unending = loop.run_until_complete(asyncio.wait(strays, timeout=STRAY_GRACE))
                for stray in unending:
                    discard_task(stray, copy_context())
            if self._helpers.used:
                self._helpers.shutdown(wait=False, cancel_futures=True)
                self._helpers = None

    def _hear(self) -> None:
        """Read messages that arrive while an async function runs. Only an abort matters then."""
        self.inbox.fill()
        self._cancel_aborted()

    def _cancel_aborted(self) -> None:
        if self._task is not None and self.inbox.aborted(self._task[0]):
            self._task[1].cancel()


class ToolActor(FunctionActor):
    """Executes tools."""

    @override
    def perform(self, message: ToWorker) -> None:
        """Run one attempt and answer it."""
        assert isinstance(message, Execute), f"a tool worker was sent {message.type}"
        token = message.token
        started = time.perf_counter()

        def failed(failure: Failure) -> Failed:
            return Failed(token=token, failure=failure, duration=time.perf_counter() - started)

        running.set(context_of(message, self.channel.send))
        answer: Answer
        try:
            result = self._run(message)
        except asyncio.CancelledError:
            if not self.inbox.aborted(token):
                raise
            answer = failed(Failure(outcome="cancelled", message="the attempt was aborted"))
        except FakeFailed as fake:
            answer = failed(fake.failure)
        except Exception as error:  # noqa: BLE001  every failure of user code is the attempt's outcome
            answer = failed(self.failure(error))
        else:
            answer = Completed(token=token, result=result, duration=time.perf_counter() - started)
        self.answer(answer, failed)

    def _run(self, message: Execute) -> Json:
        definition = lookup(message.step)
        assert isinstance(definition, StepDefinition), f"{definition.title} is not a step"
        if self._fakes is not None and definition.kind == "tool":
            result = fake_result(self._fakes, message)
            if result is not NO_FAKE:
                return cast("Json", result)
        args, kwargs = definition.signature.decode_call(message.arguments)
        return self.encode(definition, self.call(message.token, definition.fn, args, kwargs))

    def encode(self, definition: StepDefinition, value: object) -> Json:
        """Return a function's result as JSON."""
        return definition.encode_result(value)
