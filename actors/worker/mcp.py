"""The actor of a worker with an MCP server: starts the server, and sends it one request at a time.

The worker ends with its server. So restarts, their delays, the evidence and the killing of the process tree are those
of any worker. The server's standard error is the worker's own.
"""

import asyncio
import os
import sys
import time
from typing import Any, Final, NoReturn

from typing_extensions import override

from greenroom.actors.failures.description import describe_exception
from greenroom.actors.mcp.connection import Connection, connect
from greenroom.actors.mcp.definition import McpDefinition, server_of_pool
from greenroom.actors.mcp.process import ServerLost, SessionGone
from greenroom.actors.worker.actor import WorkerActor
from greenroom.actors.worker.channel import Channel, unsendable
from greenroom.actors.worker.process.descendants import kill_descendants
from greenroom.actors.worker.tool_fakes import NO_FAKE, FakeFailed, fake_result, fakes
from greenroom.messages.core.errors import CodecError, DefinitionError
from greenroom.messages.frames.worker import (
    CANNOT_START,
    NOT_YET,
    Completed,
    Execute,
    Failed,
    Ready,
    ToWorker,
    WorkerSpec,
)

_LOST: Final = 69
"""Exit code of a worker whose server is lost (``EX_UNAVAILABLE``)."""
_CLOSE_LIMIT: Final = 3.0
"""Seconds after which a worker that was told to stop ends, whether or not its connection is closed."""


class ServerActor(WorkerActor):
    """Executes requests to one MCP server, on one loop in the main thread.

    An ``Abort`` is not passed on: a server may well continue what it was told to stop. The pool kills this worker a
    moment later, and the server with it.
    """

    def __init__(self, channel: Channel, spec: WorkerSpec) -> None:
        """Begin without a server."""
        super().__init__(channel, spec)
        self._loop = asyncio.new_event_loop()
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._leaving: asyncio.Future[None] = self._loop.create_future()
        """Done when connections have to be closed, after the last request."""
        self._holders: list[asyncio.Task[None]] = []
        """One task for each connection that was made."""
        self._fakes = fakes()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        """The request under way. Kept, as the loop itself keeps no tasks alive."""

    @override
    def on_start(self) -> None:
        """Send heartbeats from now on. The worker is ready once its server has answered."""
        self.prepare()
        self.channel.start()

    @override
    def handle_messages(self) -> None:
        """Start the server and handle messages until ``Stop`` comes or the server is lost. Main thread only."""
        self._loop.run_until_complete(self._live(server_of_pool(self.spec.pool)))

    async def _live(self, definition: McpDefinition) -> None:
        if not await self._is_replaced(definition):
            self._connection = await self._connect(definition)
        self.channel.send(Ready())
        self._loop.add_reader(self.channel.fileno(), self._hear)
        await self._stopped
        self._loop.remove_reader(self.channel.fileno())
        if self._task is not None:
            await asyncio.wait([self._task])
        self._loop.call_later(_CLOSE_LIMIT, os._exit, 0)
        self._leaving.set_result(None)
        await asyncio.wait(self._holders)

    async def _is_replaced(self, definition: McpDefinition) -> bool:
        """Return whether a test answers in place of the server, which is not started then."""
        arguments = definition.signature.encode_call(("tools/list", {}), {})
        question = Execute(
            run_id="",
            key="",
            name="tools",
            step=definition.ref,
            attempt=1,
            token="",
            arguments=arguments,
            idempotency_key="",
        )
        return await self._fake_result(question) is not NO_FAKE

    async def _fake_result(self, message: Execute) -> Any:
        return NO_FAKE if self._fakes is None else await asyncio.to_thread(fake_result, self._fakes, message)

    async def _connect(self, definition: McpDefinition) -> Connection:
        """Return a new connection. This process ends if there is none in time, and when it is lost."""
        limit = definition.start_timeout
        mute = ServerLost(
            f"{definition.title} did not answer within {limit:g} s of its start, its start_timeout", final=True
        )
        deadline = self._loop.call_later(limit, self._end, mute)
        made: asyncio.Future[Connection] = self._loop.create_future()
        self._holders.append(self._loop.create_task(self._hold(definition, made)))
        connection = await made
        deadline.cancel()
        return connection

    async def _hold(self, definition: McpDefinition, made: "asyncio.Future[Connection]") -> None:
        """Keep a connection open, in one task from its begin to its end, until this worker is told to stop."""
        try:
            async with connect(definition) as connection:
                connection.lost.add_done_callback(lambda lost: self._end(lost.result()))
                made.set_result(connection)
                await asyncio.shield(self._leaving)
        except Exception as error:  # noqa: BLE001  whatever a server or its transport brings about
            self._end(error)
        except asyncio.CancelledError:  # a transport cancels the task that opened it when it breaks
            self._end(ServerLost(f"the connection to {definition.title} ended"))

    def _hear(self) -> None:
        self.inbox.fill()
        while not self.inbox.empty():
            self.on_receive(self.inbox.take())
        if self.actor_stopped.is_set() and not self._stopped.done():
            self._stopped.set_result(None)

    @override
    def perform(self, message: ToWorker) -> None:
        """Start one attempt."""
        assert isinstance(message, Execute), f"a worker with an MCP server was sent {message.type}"
        self._task = self._loop.create_task(self._attempt(message, time.perf_counter()))

    async def _attempt(self, message: Execute, started: float) -> None:
        """Send one request and answer the orchestrator."""
        try:
            result = await self._result(message)
            self.channel.send(Completed(token=message.token, result=result, duration=time.perf_counter() - started))
        except ServerLost as error:
            self._end(error)
        except FakeFailed as fake:
            failure = fake.failure
        except CodecError as error:
            failure = describe_exception(unsendable("the result", error))
        except Exception as error:  # noqa: BLE001  whatever else a server answers with is the attempt's outcome
            failure = describe_exception(error)
        else:
            return
        self.channel.send(Failed(token=message.token, failure=failure, duration=time.perf_counter() - started))

    async def _result(self, message: Execute) -> Any:
        result = await self._fake_result(message)
        if result is not NO_FAKE:
            return result
        definition = server_of_pool(self.spec.pool)
        if self._connection is None:  # it was replaced when this worker began
            self._connection = await self._connect(definition)
        method, params = definition.signature.decode_call(message.arguments)[0]
        try:
            value = await self._connection.request(method, params, idempotency_key=message.idempotency_key)
        except SessionGone:
            self._connection = await self._connect(definition)
            value = await self._connection.request(method, params, idempotency_key=message.idempotency_key)
        return definition.encode_result(value)

    def _end(self, why: Exception) -> NoReturn:
        """Kill the server with all that is below it, and end this process: a hung server is not closed politely.

        The sentence is written as that of a ``SystemExit``, which the failure of an attempt then quotes. It must be the
        last line that is written, and a server that loses its output may write a traceback.
        """
        kill_descendants()
        sys.stderr.write(f"SystemExit: {' '.join(str(why).split())}\n")
        sys.stderr.flush()
        final = why.final if isinstance(why, ServerLost) else isinstance(why, DefinitionError)
        os._exit(_LOST if self._connection is not None else CANNOT_START if final else NOT_YET)
