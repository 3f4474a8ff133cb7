"""The process of an MCP server that is started by a command, as a transport for the client of the ``mcp`` package.

The package's own transport closes a server politely, which takes seconds where the server hangs, and tells neither its
death nor garbage apart. Here both end the connection at once with a sentence. Whoever holds the connection then ends
the process with its tree.
"""

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import Final, TypeAlias

import anyio
import psutil
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from greenroom.messages.core.errors import GreenroomError

LONGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Most bytes of one message of a server."""
_READ_AHEAD: Final = 256 * 1024
"""Bytes that are read while earlier messages are handled; a server that writes faster has to wait."""
CLOSE_GRACE: Final = 1.0
"""Seconds that a healthy server has to end by itself after its input was closed."""
_SHOWN: Final = 200
_PASSING: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
"""What may keep the kernel from starting a command now and not a moment later."""

Streams: TypeAlias = tuple[ObjectReceiveStream[SessionMessage | Exception], ObjectSendStream[SessionMessage]]


class ServerLost(GreenroomError):  # noqa: N818  it says what happened
    """The connection to an MCP server has ended, or was never made.

    Attributes:
        final: Whether a server that has never answered would end in the same way if it were started again.
    """

    def __init__(self, what: str, *, final: bool = False) -> None:
        """Say what happened."""
        super().__init__(what)
        self.final = final


class SessionGone(ServerLost):
    """A server reached by URL no longer knows the session, as after its restart. It did nothing for the request."""


class ServerProcess:
    """A server's process: an asynchronous context manager that gives the streams of messages from and to it.

    Args:
        title: Name of the server, for sentences.
        command: The command and its arguments.
        workdir: Folder to work in; None for that of this process.
        lost: Is given what ended the connection, if it was not closed from here.
    """

    def __init__(
        self, title: str, command: tuple[str, ...], workdir: str | None, lost: "asyncio.Future[ServerLost]"
    ) -> None:
        """Start nothing yet."""
        self._title = title
        self._command = command
        self._workdir = workdir
        self._lost = lost
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def __aenter__(self) -> Streams:
        """Start the process.

        Raises:
            ServerLost: The kernel cannot start the command.
        """
        loop = asyncio.get_running_loop()
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  forks in a millisecond; the author's command
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=self._workdir,
                start_new_session=True,  # Ctrl+C in a terminal is for this process, which then ends the server
            )
        except OSError as error:
            msg = f"{self._title} cannot be started by {self._command[0]!r}: {error.strerror}; correct command="
            raise ServerLost(msg, final=error.errno not in _PASSING) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._received, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent, self._to_send = anyio.create_memory_object_stream[SessionMessage](0)
        self._streams = (self._received, received, sent, self._to_send)
        self._ended = loop.create_future()
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._pidfd, self._note_end)  # from here on it may end at any time
        reader = asyncio.StreamReader(limit=_READ_AHEAD)
        self._output, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, self._process.stdin)
        self._writer = asyncio.StreamWriter(transport, protocol, None, loop)
        self._tasks = [loop.create_task(self._read(reader)), loop.create_task(self._write())]
        return received, sent

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the server's input, give it a moment to end, then kill it with every process below it."""
        self._closing = True
        self._writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if error is None and not self._lost.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_GRACE):
                    await asyncio.shield(self._ended)
        for stream in self._streams:
            stream.close()
        self._kill()
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._output.close()
        self._process.wait()  # it was killed, or has ended

    def _kill(self) -> None:
        """Kill the server and all processes below it that can be found from here.

        Where this process is a worker, its supervisor then finds the others.
        """
        with suppress(psutil.Error):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    process.kill()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _lose(self, what: str, *, final: bool = True) -> None:
        if not self._lost.done() and not self._closing:
            self._lost.set_result(ServerLost(f"{self._title} {what}", final=final))
        self._received.close()

    def _note_end(self) -> None:
        """Tell how the process has ended. Its output may stay open, as processes below it inherit that."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        code = self._process.wait()
        if not self._ended.done():
            self._ended.set_result(None)
        if code < 0:
            name = next((each.name for each in signal.Signals if each == -code), f"signal {-code}")
            self._lose(f"was killed by {name}", final=False)
        else:
            self._lose(f"ended with exit code {code}")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Pass on what the server writes, one message a line."""
        lines = _lines(reader)
        while True:
            try:
                line = await anext(lines, b"")
            except ValueError:
                self._lose(f"wrote a line of more than {LONGEST_MESSAGE // 2**20} MiB to its standard output")
                return
            if not line:
                with suppress(TimeoutError):  # its end explains more than the end of its output
                    async with asyncio.timeout(CLOSE_GRACE):
                        await asyncio.shield(self._ended)
                self._lose("closed its standard output")
                return
            if not line.strip():
                continue
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                text = line[:_SHOWN].decode(errors="replace").strip()
                self._lose(
                    f"wrote to its standard output what is not a message of the protocol: {text!r}. Only messages may "
                    "go there: let it write everything else to its standard error"
                )
                return
            try:
                await self._received.send(SessionMessage(message))
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                return

    async def _write(self) -> None:
        """Pass on what the client sends."""
        async for message in self._to_send:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            self._writer.write(text.encode() + b"\n")
            try:
                await self._writer.drain()
            except (BrokenPipeError, ConnectionResetError):
                return  # its end, or that of its output, is noticed elsewhere


async def _lines(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    """Yield the lines of a stream with their ends, and what is left at its end.

    ``readline`` would read ahead up to twice as much as the longest line.

    Raises:
        ValueError: A line is longer than a message may be.
    """
    begun: list[bytes] = []
    size = 0
    while data := await reader.read(_READ_AHEAD):
        first, *rest = data.split(b"\n")
        begun.append(first)
        size += len(first)
        if size > LONGEST_MESSAGE:
            msg = "the line is too long"
            raise ValueError(msg)
        if rest:
            yield b"".join(begun) + b"\n"
            for line in rest[:-1]:
                yield line + b"\n"
            begun, size = [rest[-1]], len(rest[-1])
    if size:
        yield b"".join(begun)
