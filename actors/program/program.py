"""A program: the coroutine of a workflow or of a session's turn. It receives recorded outcomes and requests the rest.

A program does not know whether it is replayed. It requests things by key. What the journal already holds is not
requested again, and outcomes arrive in journal order in both cases. So a replay takes the same path as the first time.
A replay that differs is detected as soon as it does.
"""

import asyncio
from collections import deque
from contextvars import copy_context
from hashlib import sha256
from typing import Any
from zlib import crc32

from greenroom.actors.context import Timer, UnawaitedCall, program
from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.failures.description import describe_exception
from greenroom.actors.program.command_buffer import CommandBuffer
from greenroom.actors.program.emit_backpressure import EmitBackpressure
from greenroom.actors.program.endings import INTRUDED, NOTHING_LEFT, discard_task, raise_command, stuck_command
from greenroom.actors.program.loop.loop import ProgramLoop
from greenroom.actors.program.loop.tasks import PlainFuture, ProgramTask
from greenroom.actors.program.loop.unawaited import never_awaited, never_started
from greenroom.actors.program.recorded_failures import exception_of
from greenroom.actors.program.replay_comparison import Comparison
from greenroom.actors.program.scope import Scope, scope
from greenroom.actors.program.shared_state import SharedState
from greenroom.actors.program.source_location import waiting_place
from greenroom.messages.core.message import Json
from greenroom.messages.frames.replay_differences import Difference
from greenroom.messages.frames.worker import (
    AwaitWriting,
    Diverge,
    EmitValue,
    Raise,
    RefuseMessage,
    Resolution,
    Return,
    ScheduleApproval,
    ScheduleChild,
    ScheduleReceive,
    ScheduleStep,
    ScheduleTimer,
    SendMessage,
    StartProgram,
    Turn,
    Withdraw,
)
from greenroom.messages.options.policy import Budget, SessionPolicy, StepKind, StepOptions
from greenroom.messages.transcript import TranscriptUse


class Program:
    """Runs one coroutine on a ``ProgramLoop``. All methods are called on that loop's thread."""

    ran_out = False
    """See ``ProgramPort``."""

    def __init__(
        self, loop: ProgramLoop, definition: WorkflowDefinition | SessionDefinition, start: StartProgram
    ) -> None:
        """Prepare to run. No user code runs before ``begin``."""
        self.run_id = start.run_id
        self.form = start.form
        self._loop = loop
        self._definition = definition
        self._start = start
        self._known = frozenset(start.known)
        self._comparison: Comparison | None = Comparison(start, definition.fingerprint)
        """Compares the replay with the journal. None once the replay has ended."""
        self._recorded = len(start.history) + start.following
        """Outcomes of the replay that were not delivered yet, including those that still have to arrive."""
        self._fingerprint = ""
        """Sent with the next turn, after a replay that showed no difference."""
        self.history: deque[Resolution] = deque(start.history)
        """Recorded outcomes that were not delivered yet."""
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._timers: dict[str, Timer] = {}
        self._backpressure = EmitBackpressure()
        self._asked: set[str] = set()
        """Every key requested so far. Some are no longer awaited while their outcomes are still on the way."""
        self._tasks: dict[asyncio.Task[Any], None] = {}
        """Tasks that have not ended, without the main one, in order of creation."""
        self._context = copy_context()
        """The context of the main task; the other tasks have copies of it."""
        self._main: asyncio.Task[Any] | None = None
        self._commands = CommandBuffer()
        self._state = SharedState(definition)
        self._now = start.started_at
        self._delivered = 0
        self._cancels = 0
        """Requests to cancel among the delivered outcomes."""
        self._stops = isinstance(definition, SessionDefinition) and definition.policy.on_failure == "stop"
        self._unawaited: list[UnawaitedCall] = []
        """Calls of the code whose coroutines were dropped without being awaited."""
        self._returned = False
        """Whether the code has ended without an exception."""
        self.finished = False
        """True once the workflow has returned or raised. After that no outcome is delivered, nothing asked for."""
        self.ended = False
        """True once the host has dropped the program."""
        self.silent = self._recorded > 0 or bool(start.known) or start.trial

    # ------------------------------------------------------------ driven by the host

    def begin(self) -> None:
        """Start the workflow's coroutine; it runs in the loop's next turn.

        Raises:
            InvalidInput: A session's recorded state no longer fits its model.
            BaseException: Whatever the model of the state raises.
        """
        self._state.begin(self._start)
        self._loop.active = self
        context = self._context
        context.run(program.set, self)
        path = "" if self._start.turn is None else str(self._start.turn.number)
        salt = crc32(self._start.seed.encode())
        place = Scope(path, salt, salt)
        context.run(scope.set, place)
        self._main = ProgramTask(self._run(), place, loop=self._loop, name=self.run_id, context=context)
        self._main.add_done_callback(self._watch)

    def deliver(self, resolution: Resolution) -> None:
        """Deliver the next recorded outcome. The task that waits for it runs in the loop's next turn."""
        self._loop.active = self
        if resolution.kind == "written":
            self._backpressure.written()
            return
        if self._backpressure.waits:
            self.history.append(resolution)
            return
        self._recorded -= 1
        self._break_silence()
        key = resolution.key
        self._delivered += 1
        self._now = max(self._now, resolution.at)  # clocks are sometimes set back
        if resolution.kind == "cancel":
            self._cancels += 1
            if self._main is not None:
                self._main.cancel()
        elif (timer := self._timers.pop(key, None)) is not None:
            timer.fire()
        elif (future := self._waiting.pop(key, None)) is not None:
            if future.done():
                return
            if resolution.kind == "failure":
                future.set_exception(exception_of(resolution))
            else:
                future.set_result(resolution.value)
        elif key not in self._asked and self._comparison is not None:
            self._comparison.has_not_asked(key, self._waits())
            self.finished = True  # no further outcome can be delivered
        else:
            assert key in self._asked, "what comes after a replay was asked for in it, or later"

    def advance(self) -> bool:
        """Let the program continue without a new outcome. Return True if something in it is ready again."""
        if self.finished:
            return False
        if self._backpressure.waits:
            if self._comparison is not None and self._comparison.asks_for_new:
                self._compare(self._comparison)
            if self.finished or (self._comparison is None and (self._commands or self._backpressure.asked)):
                return False
            self._loop.active = self
            self._break_silence()
            self._backpressure.open()  # all that it emitted was committed before a restart
            return True
        if self.history:
            self.deliver(self.history.popleft())
            return True
        return False

    def _break_silence(self) -> None:
        """Stop being silent, unless the code that follows ran to its end before a restart.

        It did if the journal holds a request that was not repeated up to here. All requests leave the program at once
        when nothing in it is ready any more.
        """
        if self.silent and self._recorded <= 0 and not self._start.trial:
            self.silent = not self._known <= self._asked

    def turn(self) -> Turn:
        """Return what the program has requested since the last turn. Called when nothing in it is ready.

        A whole replay counts as one turn. What is requested during it leaves the program once the replay has ended and
        has shown no difference.
        """
        self._loop.active = None
        if self._comparison is not None:
            if self._recorded > 0 and not self.finished:
                return Turn(run_id=self.run_id, replaying=True)
            self._compare(self._comparison)
        if self._backpressure.ask():
            self._commands.add(AwaitWriting())
        if not (self.finished or self._waiting or self._timers or self._backpressure.waits):
            self.ran_out = True
            self._stop(NOTHING_LEFT)
        changed = self._changed_state()
        commands = self._commands.take()
        fingerprint, self._fingerprint = self._fingerprint, ""
        version = self._definition.version if fingerprint else 0
        return Turn(
            run_id=self.run_id,
            commands=commands,
            state=changed,
            fingerprint=fingerprint,
            version=version,
            cancels=self._cancels,
        )

    def note_intrusion(self) -> None:
        """Note that something from outside tried to wake the program. The wake-up was dropped; the program stops."""
        if not (self.finished or self.ended):
            self._stop(INTRUDED)

    def end(self) -> None:
        """Drop the program. Tasks that still wait are thrown away and never run again."""
        self.ended = True
        if not self.ran_out:  # its code continues elsewhere, and the ``finally`` blocks that run here do not count
            self.silent = True
        if self._loop.active is self:
            self._loop.active = None
        self._waiting.clear()
        self._timers.clear()
        for task in [*self._tasks, *([] if self._main is None else [self._main])]:
            discard_task(task, self._context.copy())

    # ------------------------------------------------------------ ProgramPort

    def note_unawaited(self, call: UnawaitedCall) -> None:
        """See ``ProgramPort``."""
        self._unawaited.append(call)

    async def call_step(
        self,
        *,
        name: str,
        kind: StepKind,
        step: str,
        arguments: Json,
        options: StepOptions,
        key: str | None,
        transcript: TranscriptUse | None = None,
    ) -> Json:
        """See ``ProgramPort``."""
        command = ScheduleStep(
            key=_scope().key(name, key),
            name=name,
            kind=kind,
            step=step,
            arguments=arguments,
            options=options,
            transcript=transcript,
        )
        return await self._ask(command)

    async def call_child(
        self,
        *,
        workflow: str,
        arguments: dict[str, Json],
        version: int = 1,
        fingerprint: str = "",
        budget: Budget | None = None,
    ) -> Json:
        """See ``ProgramPort``."""
        key = _scope().key(workflow)
        command = ScheduleChild(
            key=key, workflow=workflow, arguments=arguments, version=version, fingerprint=fingerprint, budget=budget
        )
        return await self._ask(command)

    async def receive(self, name: str) -> tuple[str, Json]:
        """See ``ProgramPort``."""
        if self._start.turn is not None:
            msg = "a session has each message as a turn of its own: receive() is for workflows"
            raise RuntimeError(msg)
        key = _scope().key(f"receive({name})")
        return key, await self._ask(ScheduleReceive(key=key, name=name))

    async def approve(self, action: str, args: Json, form: str) -> Json:
        """See ``ProgramPort``."""
        return await self._ask(ScheduleApproval(key=_scope().key("approve"), action=action, args=args, form=form))

    async def emit(self, channel: str, value: Json, size: int, *, now: bool) -> None:
        """See ``ProgramPort``."""
        in_turn = self._start.turn is not None
        if in_turn and not now:
            key, number = _scope().call(f"emit({channel})")
            self._commands.hold(EmitValue(key=key, number=number, channel=channel, value=value, held=True))
            return
        await self._backpressure.enter()
        # in a turn they are counted apart from the held ones, which are recorded later
        key, number = _scope().call(f"emit_now({channel})" if in_turn else f"emit({channel})")
        known = number <= self._start.emitted.get(key, 0)
        if self._comparison is not None:
            self._comparison.emits(key, number, known=known)
            self.finished |= self._comparison.found is not None
        if not known and not (self.ended or self.finished):
            self._commands.add(EmitValue(key=key, number=number, channel=channel, value=value))
        self._backpressure.passed(size)

    def refuse(self, key: str, reason: str) -> None:
        """See ``ProgramPort``."""
        if not self.ended:
            self._commands.add(RefuseMessage(key=key, reason=reason))

    def send(self, to: str, name: str, value: Json, policy: SessionPolicy | None = None) -> None:
        """See ``ProgramPort``."""
        key = _scope().key(f"tell({to})")
        command = SendMessage(key=key, to=to, name=name, value=value, policy=policy or SessionPolicy())
        if self._start.turn is not None:
            self._commands.hold(command)
        else:
            self._command(command)

    def set_timer(self, timer: Timer, seconds: float) -> None:
        """See ``ProgramPort``."""
        self._timers[timer.key] = timer
        self._command(ScheduleTimer(key=timer.key, seconds=seconds))

    def withdraw_timer(self, timer: Timer) -> None:
        """See ``ProgramPort``."""
        if self._timers.pop(timer.key, None) is not None:
            self._withdraw(timer.key)

    def now(self) -> float:
        """See ``ProgramPort``."""
        return self._now

    def elapsed(self) -> float:
        """See ``ProgramPort``."""
        return self._now - self._start.started_at

    def random_bytes(self, what: str) -> bytes:
        """See ``ProgramPort``."""
        start = self._start
        later = [each.seed for each in start.later_seeds if self._delivered > each.shared]
        seed = later[-1] if later else start.seed
        return sha256(f"{seed}/{_scope().key(what)}".encode()).digest()

    def add_task(self, task: asyncio.Task[Any]) -> None:
        """See ``ProgramPort``."""
        if self._comparison is not None:
            self._comparison.began(task)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    def tasks(self) -> set[asyncio.Task[Any]]:
        """See ``ProgramPort``."""
        return {task for task in (self._main, *self._tasks) if task is not None and not task.done()}

    # ------------------------------------------------------------ inside

    async def _run(self) -> None:
        """Run the workflow, and turn its ending into the last command."""
        try:
            value = await self._definition.enter(self._start, self._state.value)
            sampling = self._definition.sampling
            ending: Return | Raise = Return(
                result=self._definition.encode_result(value), sampling=None if sampling is None else sampling()
            )
            self._state.write()  # raises here if the handler's state is the reason why its reply must not count
            if self._tasks:
                self._unawaited += never_started(self._tasks)
            if self._unawaited:
                ending = Raise(failure=never_awaited(self._unawaited), stop=self._stops)
            self._returned = isinstance(ending, Return)
        except (SystemExit, KeyboardInterrupt):  # these end the process, as in a script
            raise
        except BaseException as error:  # noqa: BLE001  every ending of user code is the run's outcome
            ending = raise_command(error, cancelled=bool(self._cancels), stop=self._stops)
        self._finish(ending)

    def _stop(self, why: str) -> None:
        """Report that the program can never continue."""
        if self._cancels:  # it was cancelled and has done all that it does about that
            self._finish(raise_command(asyncio.CancelledError(), cancelled=True, stop=self._stops))
            return
        first = "" if self._main is None else waiting_place(self._main)
        places = dict.fromkeys(filter(None, [first, *sorted(map(waiting_place, self._tasks))]))
        self.finished = True
        self._commands.add(stuck_command(why, tuple(places), session=self._start.turn is not None, stop=self._stops))

    def _watch(self, main: asyncio.Task[None]) -> None:
        """Make sure that the program has an ending, however its main task ended."""
        if not (self.finished or self.ended):
            error = asyncio.CancelledError() if main.cancelled() else main.exception()
            if not isinstance(error, (SystemExit, KeyboardInterrupt)):
                error = error or RuntimeError("the program's main task ended without a word")
                self._finish(raise_command(error, cancelled=bool(self._cancels), stop=self._stops))

    def _finish(self, ending: Return | Raise) -> None:
        """Report that the program has ended, and cancel tasks that it started and did not await."""
        if self.ended:
            return
        self.finished = self.ran_out = True
        if self._returned:
            self._commands.release()
        self._commands.add(ending)
        for task in tuple(self._tasks):
            task.cancel()

    async def _ask(self, command: ScheduleStep | ScheduleChild | ScheduleReceive | ScheduleApproval) -> Json:
        future: asyncio.Future[Json] = PlainFuture(loop=self._loop)  # user code never sees this future
        self._waiting[command.key] = future
        self._command(command)
        try:
            return await future
        except asyncio.CancelledError:
            if self._waiting.pop(command.key, None) is not None:
                self._withdraw(command.key)
                if isinstance(command, ScheduleChild) and not self._commands.was_withdrawn(command.key):
                    await self._until_over(command.key)
            raise

    async def _until_over(self, key: str) -> None:
        """Wait for a child that was told to end, as it may clean up. Only the program's end cuts this short."""
        while not (self.ended or self.finished):
            over: asyncio.Future[Json] = self._loop.create_future()
            self._waiting[key] = over
            try:
                await asyncio.wait([over])
            except asyncio.CancelledError:
                if not over.done():
                    continue
            over.exception()  # marks the exception as retrieved
            return
        self._waiting.pop(key, None)

    def _command(
        self,
        command: ScheduleStep | ScheduleTimer | ScheduleChild | ScheduleReceive | ScheduleApproval | SendMessage,
    ) -> None:
        self._asked.add(command.key)
        if self._comparison is not None:
            self._comparison.asks(command)
            self.finished |= self._comparison.found is not None
        if command.key not in self._known and not (self.ended or self.finished):
            self._commands.request(command)

    def _withdraw(self, key: str) -> None:
        if self._comparison is not None:
            self._comparison.withdraws(key)
        if not self._commands.withdraw(key) and not (self.ended or self.finished):
            self._commands.add(Withdraw(key=key))

    def _compare(self, comparison: Comparison) -> None:
        """Complete the comparison at the end of a replay. If the replay differs from the journal, report only that."""
        left = [resolution.key for resolution in self.history if resolution.kind != "cancel"]
        comparison.ends(left, self._waits(), self._ending())
        self._comparison = None
        difference = comparison.found
        if difference is not None:
            self._commands.replace(_diverge(difference))
        else:
            self._fingerprint = self._definition.fingerprint
            self.silent = self._start.trial
            if self._start.trial and not self._start.tells_rest:
                self._commands.replace(None)
        if difference is not None or self._start.trial:
            self.finished = True
            self._state.hide()

    def _ending(self) -> str:
        """Return how the workflow has ended; empty if it has not."""
        if not self.finished:
            return ""
        failure = self._commands.failure()
        return "returns" if failure is None else f"raises {failure.sentence()}"

    def _waits(self) -> list[str]:
        return [*self._waiting, *self._timers]

    def _changed_state(self) -> Json:
        """Return the state if it differs from the reported one. A state that cannot be written ends the workflow."""
        if self._start.turn is not None and not self._returned:
            return None
        try:
            return self._state.changed()
        except BaseException as error:  # noqa: BLE001  a serializer of the user's may raise anything
            self._commands.replace(Raise(failure=describe_exception(error)))
            self._state.hide()
            self.finished = True
            for task in [*self._tasks, *([] if self._main is None else [self._main])]:
                task.cancel()
            return None


def _diverge(difference: Difference) -> Diverge:
    return Diverge(detail=difference.sentence(), difference=difference)


def _scope() -> Scope:
    place = scope.get()
    assert place is not None, "only code inside a program asks for anything"
    return place
