"""The program worker: hosts many programs on one loop and takes them through their turns, one turn at a time.

Work is done strictly in the order in which it arrived, and the loop is idle between two pieces of it. So at every
moment exactly one run holds the loop, and the orchestrator can tell which: the first whose turn it has not seen yet.
"""

import socket
import time
from collections import deque

from understudy.actors.app import describe
from understudy.actors.channel import Channel
from understudy.actors.definitions import check_arguments, check_result, find_workflow
from understudy.actors.failure import describe_exception
from understudy.actors.loop import ProgramLoop
from understudy.actors.program import Program
from understudy.actors.sessions import check_message, find_session
from understudy.messages.errors import CodecError, DefinitionError, InvalidInput
from understudy.messages.frames import (
    AppDescribed,
    CheckArguments,
    CheckMessage,
    CheckResult,
    DescribeApp,
    Diverge,
    EndProgram,
    Halt,
    Heartbeat,
    Raise,
    Ready,
    Resolution,
    Resolve,
    StartProgram,
    Stop,
    ToWorker,
    Turn,
    WorkerSpec,
)


class ProgramHost:
    """Serves one program worker's socket. Everything but the heartbeat runs on the loop, in the main thread."""

    def __init__(self, connection: socket.socket, spec: WorkerSpec) -> None:
        """Take over the connection."""
        self._channel = Channel(connection, spec.heartbeat, self._beat)
        self._loop = ProgramLoop(self._next)
        self._programs: dict[str, Program] = {}
        self._work: deque[tuple[Program, Resolution | None]] = deque()
        """Programs to begin (None) and outcomes to deliver, in order of arrival."""
        self._active: Program | None = None
        self._busy: tuple[float, str] | None = None
        """When the running turn began (monotonic) and whose it is. Written by the loop, read by the heartbeat."""

    def run(self) -> None:
        """Serve until told to stop, or until the orchestrator is gone."""
        self._loop.add_reader(self._channel.fileno(), self._readable)
        self._channel.send(Ready())
        self._channel.start()
        self._loop.run_forever()

    # ------------------------------------------------------------ turns

    def _next(self) -> bool:
        """Close the turn that has run dry and begin the next one. True where something is ready again."""
        active, self._active = self._active, None
        if active is not None and not active.ended:
            if active.advance():
                self._active = active
                return True
            self._close_turn(active)
        while self._work:
            program, resolution = self._work.popleft()
            if program.ended:
                continue
            self._busy = (time.monotonic(), program.run_id)
            self._active = program
            if resolution is None:
                program.begin()
            else:
                program.deliver(resolution)
            return True
        self._busy = None
        return False

    def _close_turn(self, program: Program) -> None:
        try:
            self._channel.send(program.turn())
        except CodecError as error:  # what it asks for or gives cannot be written, or is too large
            program.finished = True
            failure = describe_exception(error)
            self._channel.send(Turn(run_id=program.run_id, commands=(Raise(failure=failure),)))
        if program.finished:
            program.end()
            self._programs.pop(program.run_id, None)

    # ------------------------------------------------------------ frames

    def _readable(self) -> None:
        for message in self._channel.read():
            self._take(message)

    def _take(self, message: ToWorker) -> None:  # noqa: C901  one case per kind of frame
        match message:
            case Resolve(run_id=run_id, resolution=resolution):
                if (program := self._programs.get(run_id)) is not None:
                    self._work.append((program, resolution))
            case StartProgram():
                self._start(message)
            case EndProgram(run_id=run_id):
                if (program := self._programs.pop(run_id, None)) is not None:
                    program.end()
            case CheckArguments(id=id_, workflow=name, arguments=arguments, version=version):
                self._channel.send(check_arguments(id_, name, arguments, version))
            case CheckResult(id=id_, step=ref, value=value):
                self._channel.send(check_result(id_, ref, value))
            case CheckMessage(id=id_, session=session, name=name, value=value):
                self._channel.send(check_message(id_, session, name, value))
            case DescribeApp(id=id_):
                self._channel.send(AppDescribed(id=id_, definitions=describe()))
            case Stop():
                self._loop.stop()
            case _:
                msg = f"a program worker was sent {message.type}"
                raise AssertionError(msg)

    def _start(self, start: StartProgram) -> None:
        try:
            if start.turn is None:
                program = Program(self._loop, find_workflow(start.workflow, start.version or None), start)
            else:
                program = Program(self._loop, find_session(start.workflow), start)
        except DefinitionError as error:
            self._channel.send(Turn(run_id=start.run_id, commands=(Diverge(detail=str(error)),)))
            return
        except InvalidInput as error:  # a session's recorded state, by a model that has changed
            self._channel.send(Turn(run_id=start.run_id, commands=(Halt(reason=str(error)),)))
            return
        self._programs[start.run_id] = program
        self._work.append((program, None))

    def _beat(self) -> Heartbeat:
        busy = self._busy
        return Heartbeat() if busy is None else Heartbeat(busy=time.monotonic() - busy[0], run_id=busy[1])


def serve(connection: socket.socket, spec: WorkerSpec) -> None:
    """Be a program worker for the rest of this process's life. Main thread."""
    ProgramHost(connection, spec).run()
