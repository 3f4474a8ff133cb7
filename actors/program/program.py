"""One program: the coroutine of a workflow or of a session's turn, fed with recorded outcomes, asking for the rest.

A program does not know whether it is replayed. It asks for things by key; what the journal knows as asked for is not
asked for again, and outcomes come in journal order either way. So a replay takes the same path as the first time, or is
found out the moment it does not.
"""

import asyncio
from collections import deque
from contextvars import copy_context
from hashlib import sha256
from typing import Any
from zlib import crc32

from pydantic import BaseModel

from greenroom.actors.context import program
from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.failures.description import describe_exception
from greenroom.actors.failures.reconstruction import failed
from greenroom.actors.program.emit_backpressure import Valve
from greenroom.actors.program.endings import INTRUDED, NOTHING_LEFT, raised, stuck, throw_away
from greenroom.actors.program.loop import DurableTimer, ProgramLoop
from greenroom.actors.program.replay_comparison import Comparison
from greenroom.actors.program.scope import Scope, scope
from greenroom.actors.program.source_location import waiting_place
from greenroom.actors.program.tasks import PlainFuture, ProgramTask
from greenroom.actors.program.unawaited import Forgotten, never_awaited
from greenroom.actors.values.conversion import state_text, write_state
from greenroom.messages.core.errors import (
    OutcomeUnknown,
    RunCancelled,
    RunFailed,
    StepFailed,
    StepQuarantined,
    StepRejected,
)
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.frames.replay_differences import Difference
from greenroom.messages.frames.worker import (
    AwaitWriting,
    Diverge,
    EmitValue,
    ProgramCommand,
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
from greenroom.messages.policy import Budget, SessionPolicy, StepKind, StepOptions


class Program:
    """Runs one coroutine on a ``ProgramLoop``. All methods are called on that loop's thread."""

    ran_out = False

    def __init__(  # noqa: PLR0915  a field is a statement
        self, loop: ProgramLoop, definition: WorkflowDefinition | SessionDefinition, start: StartProgram
    ) -> None:
        """Prepare to run; nothing of the user's runs before ``begin``."""
        self.run_id = start.run_id
        self._loop = loop
        self._definition = definition
        self._start = start
        self._known = frozenset(start.known)
        self._comparison: Comparison | None = Comparison(start, definition.fingerprint)
        """Looks on until the replay is over."""
        self._recorded = len(start.history) + start.following
        """Outcomes of the replay that have not been delivered yet, those that are still to come among them."""
        self._fingerprint = ""
        """Said with the next turn, once a replay has gone through."""
        self.history: deque[Resolution] = deque(start.history)
        """Recorded outcomes that have not been delivered yet."""
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._timers: dict[str, DurableTimer] = {}
        self._valve = Valve()
        self._asked: set[str] = set()
        """Every key asked for so far. Some are not awaited any more while their outcomes are still on the way."""
        self._tasks: dict[asyncio.Task[Any], None] = {}
        """Those that have not ended, but for the main one, in the order in which they were made."""
        self._context = copy_context()
        """That of the main task; the others have copies of it."""
        self._main: asyncio.Task[Any] | None = None
        self._commands: list[ProgramCommand] = []
        self._unsent: set[str] = set()
        """Keys that this turn asks for."""
        self._dropped: set[str] = set()
        """Those of them that it has withdrawn again: nobody need hear of them."""
        self._held: list[ProgramCommand] = []
        """What a session's turn does to the world outside: it happens when the turn ends, all at once, or never."""
        self._state: BaseModel | None = None
        """What the code works with. Made by ``begin``, as it is code of the user's that makes it."""
        self._told_state: Json = None
        self._read_state: Json = None
        """The newest state that is known to be one that can be read again."""
        self._shows_state = True
        """Whether the code has still a state to be told of."""
        self._now = start.started_at
        self._delivered = 0
        self._cancels = 0
        """Requests to cancel among what has been delivered."""
        self._stops = isinstance(definition, SessionDefinition) and definition.policy.on_failure == "stop"
        self._forgotten: list[Forgotten] = []
        """Calls of its code that were let go of without having been awaited."""
        self._returned = False
        """Whether the code has come to its end without an exception."""
        self.finished = False
        """True once the workflow has returned or raised; no outcome is delivered after that."""
        self.ended = False
        """True once nobody wants to hear of the program any more."""
        self.silent = self._recorded > 0 or bool(start.known) or start.trial

    # ------------------------------------------------------------ driven by the host

    def begin(self) -> None:
        """Start the workflow's coroutine; it runs in the loop's next turn.

        Raises:
            InvalidInput: A session's recorded state does not fit its model any more.
            BaseException: Whatever the model of the state raises.
        """
        self._state = self._definition.first_state(self._start)
        if self._state is not None:
            self._told_state = self._read_state = state_text(self._state)
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
        """Hand over the next recorded outcome; what waits for it runs in the loop's next turn."""
        self._loop.active = self
        if resolution.kind == "written":
            self._valve.written()
            return
        if self._valve.waits:
            self.history.append(resolution)
            return
        self._recorded -= 1
        self._break_silence()
        key = resolution.key
        self._delivered += 1
        self._now = max(self._now, resolution.at)  # clocks are set back now and then
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
                future.set_exception(_exception(resolution))
            else:
                future.set_result(resolution.value)
        elif key not in self._asked and self._comparison is not None:
            self._comparison.has_not_asked(key, self._waits())
            self.finished = True  # it cannot be fed any more
        else:
            assert key in self._asked, "what comes after a replay was asked for in it, or later"

    def advance(self) -> bool:
        """Let the program go on without another word from outside. True where something in it is ready again."""
        if self.finished:
            return False
        if self._valve.waits:
            if self._comparison is not None and self._comparison.asks_for_new:
                self._compare(self._comparison)
            if self.finished or (self._comparison is None and (self._commands or self._valve.asked)):
                return False
            self._loop.active = self
            self._break_silence()
            self._valve.open()  # all that it has emitted is on the disk since an earlier life
            return True
        if self.history:
            self.deliver(self.history.popleft())
            return True
        return False

    def _break_silence(self) -> None:
        """Be heard from here on, where an earlier life has not run what follows to its end.

        It has where the journal knows of something that was not asked for up to here: whatever is asked for until
        nothing is ready any more leaves the program at once.
        """
        if self.silent and self._recorded <= 0 and not self._start.trial:
            self.silent = not self._known <= self._asked

    def turn(self) -> Turn:
        """Give what the program has asked for since the last turn. Called when nothing in it is ready.

        All of a replay is one turn in this sense: what is asked for in it leaves the program once the replay is over
        and has shown no difference.
        """
        self._loop.active = None
        if self._comparison is not None:
            if self._recorded > 0 and not self.finished:
                return Turn(run_id=self.run_id, replaying=True)
            self._compare(self._comparison)
        if self._valve.ask():
            self._commands.append(AwaitWriting())
        if not (self.finished or self._waiting or self._timers or self._valve.waits):
            self.ran_out = True
            self._stop(NOTHING_LEFT)
        changed = self._changed_state()
        commands = tuple(each for each in self._commands if getattr(each, "key", None) not in self._dropped)
        self._commands.clear()
        self._unsent.clear()
        self._dropped.clear()
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

    def intrude(self) -> None:
        """Hear that something from outside wanted to set it going. It was kept from that, and what it did is lost."""
        if not (self.finished or self.ended):
            self._stop(INTRUDED)

    def end(self) -> None:
        """Drop everything; tasks that still wait are thrown away without being heard of again."""
        self.ended = True
        self.silent |= not self.ran_out  # its code goes on elsewhere, and the ``finally`` that runs here never happened
        if self._loop.active is self:
            self._loop.active = None
        self._waiting.clear()
        self._timers.clear()
        for task in [*self._tasks, *([] if self._main is None else [self._main])]:
            throw_away(task, self._context.copy())

    # ------------------------------------------------------------ ProgramPort

    def forgot(self, call: Forgotten) -> None:
        """See ``ProgramPort``."""
        self._forgotten.append(call)

    async def call_step(
        self, *, name: str, kind: StepKind, step: str, arguments: Json, options: StepOptions, key: str | None
    ) -> Json:
        """See ``ProgramPort``."""
        name_key = _scope().key(name, key)
        command = ScheduleStep(key=name_key, name=name, kind=kind, step=step, arguments=arguments, options=options)
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

    async def emit(self, channel: str, value: Json, size: int) -> None:
        """See ``ProgramPort``."""
        if self._start.turn is not None:
            key, number = _scope().call(f"emit({channel})")
            self._held.append(EmitValue(key=key, number=number, channel=channel, value=value))
            return
        await self._valve.enter()
        key, number = _scope().call(f"emit({channel})")
        known = number <= self._start.emitted.get(key, 0)
        if self._comparison is not None:
            self._comparison.emits(key, number, known=known)
            self.finished |= self._comparison.found is not None
        if not known and not self.ended:
            self._commands.append(EmitValue(key=key, number=number, channel=channel, value=value))
        self._valve.passed(size)

    def refuse(self, key: str, reason: str) -> None:
        """See ``ProgramPort``."""
        if not self.ended:
            self._commands.append(RefuseMessage(key=key, reason=reason))

    def send(self, to: str, name: str, value: Json, policy: SessionPolicy | None = None) -> None:
        """See ``ProgramPort``."""
        key = _scope().key(f"tell({to})")
        command = SendMessage(key=key, to=to, name=name, value=value, policy=policy or SessionPolicy())
        if self._start.turn is not None:
            self._held.append(command)
        else:
            self._command(command)

    def set_timer(self, timer: DurableTimer, seconds: float) -> None:
        """See ``ProgramPort``."""
        self._timers[timer.key] = timer
        self._command(ScheduleTimer(key=timer.key, seconds=seconds))

    def drop_timer(self, timer: DurableTimer) -> None:
        """See ``ProgramPort``."""
        if self._timers.pop(timer.key, None) is not None:
            self._withdraw(timer.key)

    def now(self) -> float:
        """See ``ProgramPort``."""
        return self._now

    def elapsed(self) -> float:
        """See ``ProgramPort``."""
        return self._now - self._start.started_at

    def draw(self, what: str) -> bytes:
        """See ``ProgramPort``."""
        start = self._start
        seed = start.later_seed if start.later_seed and self._delivered > start.shared else start.seed
        return sha256(f"{seed}/{_scope().key(what)}".encode()).digest()

    def adopt(self, task: asyncio.Task[Any]) -> None:
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
        """Run the workflow and turn however it ends into the last command."""
        try:
            value = await self._definition.enter(self._start, self._state)
            ending: Return | Raise = Return(result=self._definition.encode_result(value))
            self._write_state()  # which fails here where it is the handler's reply that must not count
            if self._forgotten:
                ending = Raise(failure=never_awaited(self._forgotten), stop=self._stops)
            self._returned = isinstance(ending, Return)
        except (SystemExit, KeyboardInterrupt):  # these end the process, as they end a script
            raise
        except BaseException as error:  # noqa: BLE001  however user code ends is the run's outcome
            ending = raised(error, cancelled=bool(self._cancels), stop=self._stops)
        self._finish(ending)

    def _stop(self, why: str) -> None:
        """Say that the program can never go on."""
        if self._cancels:  # it has done all that it was going to do about that
            self._finish(raised(asyncio.CancelledError(), cancelled=True, stop=self._stops))
            return
        first = "" if self._main is None else waiting_place(self._main)
        places = dict.fromkeys(filter(None, [first, *sorted(map(waiting_place, self._tasks))]))
        self.finished = True
        self._commands.append(stuck(why, tuple(places), session=self._start.turn is not None, stop=self._stops))

    def _watch(self, main: asyncio.Task[None]) -> None:
        """See to it that the program has an ending, however its main task has come to an end."""
        if not (self.finished or self.ended):
            error = asyncio.CancelledError() if main.cancelled() else main.exception()
            if not isinstance(error, (SystemExit, KeyboardInterrupt)):
                error = error or RuntimeError("the program's main task ended without a word")
                self._finish(raised(error, cancelled=bool(self._cancels), stop=self._stops))

    def _finish(self, ending: Return | Raise) -> None:
        """Say that the program is over, and end what it has started and not awaited."""
        if self.ended:
            return
        self.finished = self.ran_out = True
        if self._returned:
            self._commands.extend(self._held)
        self._commands.append(ending)
        for task in tuple(self._tasks):
            task.cancel()

    async def _ask(self, command: ScheduleStep | ScheduleChild | ScheduleReceive | ScheduleApproval) -> Json:
        future: asyncio.Future[Json] = PlainFuture(loop=self._loop)  # nobody else ever sees it
        self._waiting[command.key] = future
        self._command(command)
        try:
            return await future
        except asyncio.CancelledError:
            if self._waiting.pop(command.key, None) is not None:
                self._withdraw(command.key)
                if isinstance(command, ScheduleChild) and command.key not in self._dropped:
                    await self._until_over(command.key)
            raise

    async def _until_over(self, key: str) -> None:
        """Wait for a child that is told to end: it may have to clean up. Only the program's end cuts this short."""
        while not (self.ended or self.finished):
            over: asyncio.Future[Json] = self._loop.create_future()
            self._waiting[key] = over
            try:
                await asyncio.wait([over])
            except asyncio.CancelledError:
                if not over.done():
                    continue
            over.exception()  # it is heard of, however it ended
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
        if command.key not in self._known and not self.ended:
            self._commands.append(command)
            self._unsent.add(command.key)

    def _withdraw(self, key: str) -> None:
        if self._comparison is not None:
            self._comparison.withdraws(key)
        if key in self._unsent:
            self._dropped.add(key)
        elif not (self.ended or self.finished):
            self._commands.append(Withdraw(key=key))

    def _compare(self, comparison: Comparison) -> None:
        """At the end of a replay look whether it has parted from the journal. If it has, say that and nothing else."""
        left = [resolution.key for resolution in self.history if resolution.kind != "cancel"]
        comparison.ends(left, self._waits(), self._ending())
        self._comparison = None
        difference = comparison.found
        if difference is None:
            self._fingerprint = self._definition.fingerprint
            self.silent = self._start.trial
        if difference is not None or self._start.trial:
            self.finished = True
            self._commands = [] if difference is None else [_diverge(difference)]
            self._shows_state = False

    def _ending(self) -> str:
        """Say how the workflow has ended, where it has."""
        if not self.finished:
            return ""
        raised = [command.failure for command in self._commands if isinstance(command, Raise)]
        return f"raises {raised[0].sentence()}" if raised else "returns"

    def _waits(self) -> list[str]:
        return [*self._waiting, *self._timers]

    def _changed_state(self) -> Json:
        """Give the state where it is another than was told. One that cannot be told ends the workflow."""
        if not self._shows_state or (self._start.turn is not None and not self._returned):
            return None
        try:
            state = self._write_state()
        except BaseException as error:  # noqa: BLE001  a serializer of the user's may raise anything
            self._commands = [Raise(failure=describe_exception(error))]
            self.finished, self._shows_state = True, False
            for task in [*self._tasks, *([] if self._main is None else [self._main])]:
                task.cancel()
            return None
        if state == self._told_state:
            return None
        self._told_state = state
        return state

    def _write_state(self) -> Json:
        if self._state is not None:
            owner = f"the state of {self._definition.title}"
            self._read_state = write_state(self._state, owner, self._read_state)
        return self._read_state


def _diverge(difference: Difference) -> Diverge:
    return Diverge(detail=difference.sentence(), difference=difference)


def _scope() -> Scope:
    place = scope.get()
    assert place is not None, "only code inside a program asks for anything"
    return place


def _exception(resolution: Resolution) -> Exception:
    """Turn a recorded failure into what the workflow's code sees raised."""
    failure = resolution.failure
    assert failure is not None
    if resolution.reason == "":
        message = failure.told()
        if failure.outcome == "cancelled":
            cancelled = RunCancelled(message)
            cancelled.call = resolution.key
            return cancelled
        step, attempts = resolution.child_step, resolution.child_attempts
        fallen = RunFailed(message, run_id=str(plain(resolution.value)), step=step, attempts=attempts)
        fallen.call = resolution.key
        return failed(fallen, failure)
    classes: dict[str, type[StepFailed]] = {
        "quarantined": StepQuarantined,
        "unknown": OutcomeUnknown,
        "rejected": StepRejected,
    }
    cls = classes.get(resolution.reason, StepFailed)
    many = f"after {resolution.attempts} attempt{'s' if resolution.attempts != 1 else ''}"
    error = cls(
        f"step {resolution.key} failed {many}: {failure.sentence()}",
        step=resolution.key,
        attempts=resolution.attempts,
        outcome=failure.outcome,
        error=failure.type,
    )
    return failed(error, failure)
