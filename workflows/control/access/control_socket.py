"""The control socket: commands from other processes of the same user reach the orchestrator through it."""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from greenroom.messages.advice import go_on, serve, start_a_run
from greenroom.messages.codecs.codec import HEADER
from greenroom.messages.codecs.command_codec import COMMANDS, REPLIES
from greenroom.messages.commands import (
    CancelRun,
    Command,
    DecideApproval,
    KillWorker,
    ListWorkers,
    PauseRun,
    Refused,
    Reply,
    RestartWorker,
    ResumeRun,
    ShowApp,
    ShowTree,
    SignalRun,
)
from greenroom.messages.core.errors import CodecError, OrchestratorUnreachable
from greenroom.messages.records.approvals import split_approval_id
from greenroom.supervision.kernel.connection_limit import ConnectionLimit
from greenroom.supervision.kernel.descriptor_limit import share
from greenroom.workflows.control.access.contact import address_of, connect
from greenroom.workflows.home.home import Home, OwnerLock
from greenroom.workflows.home.private_files import writing

ASK_TIMEOUT: Final = 70.0
"""Seconds that a command may take; a start has to load the app first."""
MOST: Final = 128
"""Maximum number of connections at once."""
PARTS: Final = 8
"""Connections may use one of this many parts of the orchestrator's descriptors."""


class ControlSocketServer:
    """Serves the socket on the reactor's loop. One command and one reply per connection.

    Args:
        home: The folder of the socket, which only its owner can read and write. Connections of other users are refused.
        lock: The lock of the home.
        carry_out: Carries out a command.
    """

    def __init__(self, home: Home, lock: OwnerLock, carry_out: Callable[[Command], Awaitable[Reply]]) -> None:
        """Keep the arguments; ``open`` must follow."""
        self._home = home
        self._lock = lock
        self._carry_out = carry_out
        self._server: asyncio.Server | None = None
        self._limit = ConnectionLimit[asyncio.StreamWriter](share(PARTS, MOST), _cut)

    async def open(self) -> None:
        """Start to listen.

        Raises:
            JournalError: The socket cannot be made in the home.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with writing(self._home.socket), address_of(self._home.socket) as address:
                self._home.socket.unlink(missing_ok=True)
                listener.bind(address)
                self._home.socket.chmod(0o600)
        except BaseException:
            listener.close()
            raise
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, backlog=share(PARTS, MOST))

    async def close(self) -> None:
        """Stop listening and remove the socket, unless the home was moved or replaced: what is there is another's."""
        if self._server is not None:
            self._server.close()
            if self._lock.is_in_place():
                self._home.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._limit.open(writer)
        try:
            if _peer(writer) in {os.getuid(), 0}:
                command = await self._read(reader)
                self._limit.start(writer)
                reply = command if isinstance(command, Refused) else await self._carry_out(command)
                writer.write(REPLIES.encode(reply))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the caller has disconnected, or took too long
        except asyncio.CancelledError:
            return  # the loop ends; asyncio prints a traceback for every stream's task that is cancelled
        finally:
            self._limit.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Command | Refused:
        header = await reader.readexactly(HEADER.size)
        length, _ = HEADER.unpack(header)
        if length > COMMANDS.max_bytes:
            return Refused(code="invalid", message=f"a command of {length} bytes is too long")
        try:
            command: Command = COMMANDS.decode_frame(header + await reader.readexactly(length)).message
        except CodecError as error:
            return Refused(code="invalid", message=str(error))
        return command


def _cut(writer: asyncio.StreamWriter) -> None:
    """End a connection at once; reads from it fail."""
    writer.transport.abort()


def _peer(writer: asyncio.StreamWriter) -> int:
    """Return the user id of the process at the other end."""
    credentials = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    return int(struct.unpack("3i", credentials)[1])


def ask(home: Home, command: Command, timeout: float | None = ASK_TIMEOUT) -> Reply:
    """Send a command to the orchestrator of a home, and return its reply. Blocks.

    Raises:
        OrchestratorUnreachable: No orchestrator runs there, it ended before it answered, or it does not answer within
            ``timeout`` seconds.
        JournalError: The home may belong to another user, and so may its orchestrator.
    """
    home.check()
    asked = False
    if not home.is_meant():
        raise OrchestratorUnreachable(_nobody(home, command))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connect(connection, home, timeout)
            connection.settimeout(timeout)
            connection.sendall(COMMANDS.encode(command))
            asked = True
            with connection.makefile("rb") as stream:
                header = stream.read(HEADER.size)
                length = HEADER.unpack(header)[0] if len(header) == HEADER.size else 0
                body = stream.read(length)
        reply: Reply = REPLIES.decode_frame(header + body).message
    except (TimeoutError, BlockingIOError) as error:
        msg = f"the orchestrator of {home.path} does not answer within {timeout:g} s"
        raise OrchestratorUnreachable(msg) from error
    except (OSError, CodecError) as error:
        msg = (
            f"the orchestrator of {home.path} went away before it answered; what it was asked may have been taken: "
            "ask again, with the same id or key, once it runs"
            if asked
            else _nobody(home, command)
        )
        raise OrchestratorUnreachable(msg) from error
    else:
        return reply


def _nobody(home: Home, command: Command) -> str:
    """Return the message that no orchestrator runs, with the command that starts one."""
    own = home.journal.parent == home.path
    where = f"the home {home.path}" if own else f"the journal {home.journal}"
    run_id = ""
    way = f"start one that lasts with {serve()}"
    match command:
        case CancelRun(run_id=run_id) | PauseRun(run_id=run_id) | ResumeRun(run_id=run_id) | SignalRun(run_id=run_id):
            pass
        case DecideApproval(approval=approval):
            run_id = split_approval_id(approval)[0]
        case KillWorker() | RestartWorker() | ListWorkers() | ShowTree() | ShowApp():
            way = f"start one with {start_a_run()} or {serve()}"
        case _:
            pass
    if run_id and "/" not in run_id:  # and so no session's
        way = f"while {go_on(run_id)} has this run go on, there is one"
    return home.placed(f"no orchestrator is running on {where}; {way}")
