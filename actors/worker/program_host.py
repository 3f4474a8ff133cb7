"""The program worker: hosts many programs on one loop, and runs one turn of one program at a time.

Work is done strictly in order of arrival, and the loop is idle between two pieces of work. So exactly one run holds the
loop at any time. The orchestrator can tell which: the first whose turn it has not received yet.
"""

import gc
import socket
import time
from collections import deque

from greenroom.actors.app.queries import Question, answer, fault
from greenroom.actors.context import ProgramPort
from greenroom.actors.definitions.registry import find_workflow
from greenroom.actors.definitions.sessions import find_session
from greenroom.actors.failures.description import describe_exception, explain
from greenroom.actors.program.loop.loop import ProgramLoop
from greenroom.actors.program.loop.loop_guard import refuse_threads
from greenroom.actors.program.loop.unawaited import report_unawaited_calls
from greenroom.actors.program.program import Program
from greenroom.actors.worker.channel import Channel
from greenroom.actors.worker.output import finish, mark_output
from greenroom.messages.core.errors import DefinitionError, FrameTooLarge, InvalidInput
from greenroom.messages.frames.worker import (
    CheckArguments,
    CheckEdit,
    CheckMessage,
    CheckResult,
    CheckSignal,
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
    """Serves one program worker's socket. Everything except the heartbeat runs on the loop, in the main thread."""

    def __init__(self, connection: socket.socket, spec: WorkerSpec) -> None:
        """Take over the connection."""
        self._channel = Channel(connection, spec.heartbeat, self._beat)
        self._loop = ProgramLoop(self._next)
        self._programs: dict[str, Program] = {}
        self._work: deque[tuple[Program, Resolution | None] | Question] = deque()
        """Programs to start (None), outcomes to deliver, and questions to answer, in order of arrival."""
        self._active: Program | None = None
        self._busy: tuple[float, str] | None = None
        """When the running turn or answer began (monotonic clock), and the id of its run or question. Written by the
        loop, read by the heartbeat."""

    def run(self) -> None:
        """Serve until told to stop, or until the orchestrator is gone."""
        gc.disable()  # see collect_garbage
        mark_output()
        self._loop.add_reader(self._channel.fileno(), self._readable)
        self._channel.send(Ready())
        self._channel.start()
        refuse_threads()
        report_unawaited_calls()
        self._loop.run_forever()

    # ------------------------------------------------------------ turns

    def _next(self) -> bool:
        """Complete the turn in which nothing is ready any more. Begin the next and return True if anything is ready."""
        active, self._active = self._active, None
        if active is not None:
            collect_garbage()
            if not active.ended:
                if active.advance():
                    self._active = active
                    return True
                self._close_turn(active)
        while self._loop.intruded:
            self._put_out(self._loop.intruded.popleft())
        while self._work:
            if self._begin(self._work.popleft()):
                return True
        self._busy = None
        return False

    def _begin(self, work: tuple[Program, Resolution | None] | Question) -> bool:
        """Begin the next piece of work. Return True if a program has the loop now."""
        if not isinstance(work, tuple):
            self._busy = (time.monotonic(), work.id)
            self._answer(work)
            collect_garbage()
            return False
        program, resolution = work
        if program.ended:
            return False
        self._busy = (time.monotonic(), program.run_id)
        if resolution is not None:
            program.deliver(resolution)
        elif (reason := _begin(program)) is not None:
            self._forget(program, Halt(reason=reason))
            return False
        self._active = program
        return True

    def _put_out(self, intruded: ProgramPort) -> None:
        """End a program that something from outside tried to wake."""
        program = self._programs.get(intruded.run_id)
        if program is intruded and program is not None and not program.ended:
            program.note_intrusion()
            self._close_turn(program)

    def _close_turn(self, program: Program) -> None:
        try:
            turn = program.turn()
            if program.finished:
                finish(program.run_id)
            self._send(turn)
        except Exception as error:  # noqa: BLE001  its requests or result cannot be written, or are too large
            self._forget(program, Raise(failure=describe_exception(error)))
            return
        if program.finished:
            self._forget(program)

    def _send(self, turn: Turn) -> None:
        """Send a turn, in several frames if one is too short for it."""
        try:
            self._channel.send(turn)
        except FrameTooLarge:
            from greenroom.actors.program.long_turns import parts  # noqa: PLC0415  most workers never need it

            for part in parts(turn):
                self._channel.send(part)

    def _forget(self, program: Program, last: Raise | Halt | Diverge | None = None) -> None:
        """End a program, with a final command unless it has sent one itself."""
        if last is not None:
            self._channel.send(Turn(run_id=program.run_id, commands=(last,)))
        self._end(program)

    def _end(self, program: Program) -> None:
        busy, self._busy = self._busy, (time.monotonic(), program.run_id)
        self._programs.pop(program.run_id, None)
        program.end()
        finish(program.run_id)
        self._busy = busy

    # ------------------------------------------------------------ frames

    def _readable(self) -> None:
        for message in self._channel.read():
            self._take(message)

    def _take(self, message: ToWorker) -> None:
        match message:
            case Resolve(run_id=run_id, resolution=resolution):
                if (program := self._programs.get(run_id)) is not None:
                    self._work.append((program, resolution))
            case StartProgram():
                self._start(message)
            case EndProgram(run_id=run_id):
                if (program := self._programs.get(run_id)) is not None:
                    self._end(program)
            case CheckArguments() | CheckResult() | CheckEdit() | CheckMessage() | CheckSignal() | DescribeApp():
                self._work.append(message)
            case Stop():
                self._loop.leave()
            case _:
                msg = f"a program worker was sent {message.type}"
                raise AssertionError(msg)

    def _start(self, start: StartProgram) -> None:
        try:
            definition = (
                find_workflow(start.workflow, start.version or None)
                if start.turn is None
                else find_session(start.workflow)
            )
            program = Program(self._loop, definition, start)
        except DefinitionError as error:
            self._channel.send(Turn(run_id=start.run_id, commands=(Diverge(detail=str(error)),)))
            return
        self._programs[start.run_id] = program
        self._work.append((program, None))

    def _answer(self, question: Question) -> None:
        """Answer a question, with a fault if the app's code raises or its answer cannot be sent."""
        try:
            self._channel.send(answer(question))
        except BaseException as error:  # noqa: BLE001  any exception must reach the questioner
            self._channel.send(fault(question, error))

    def _beat(self) -> Heartbeat:
        busy = self._busy
        return Heartbeat() if busy is None else Heartbeat(busy=time.monotonic() - busy[0], run_id=busy[1])


def _begin(program: Program) -> str | None:
    """Start a program, or return why it cannot start: user code creates, or reads, its state."""
    try:
        program.begin()
    except InvalidInput as error:  # a session's recorded state no longer fits its model
        return str(error)
    except BaseException as error:  # noqa: BLE001  no exception may end the other programs
        return f"the state it begins with cannot be made: {explain(error)}"
    return None


def collect_garbage() -> None:
    """Run Python's garbage collector if it is due by its own rules. Never called while a program's code runs.

    Collected objects may belong to another program, and their finalizers run in the context of the running code.
    """
    gc.enable()
    made: tuple[set[int], ...] = (set(), set())  # Python checks whether collection is due when an object is created
    gc.disable()
    del made


def serve(connection: socket.socket, spec: WorkerSpec) -> None:
    """Run a program worker until the process ends. Main thread."""
    ProgramHost(connection, spec).run()
