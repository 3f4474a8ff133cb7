"""What the loop of a program worker refuses to users' code, and whom nothing from outside sets going."""

import asyncio
import contextvars
import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.program.loop.deterministic_order import make_asyncio_deterministic
from greenroom.actors.program.loop.loop import ProgramLoop
from greenroom.actors.program.loop.loop_guard import OPEN
from greenroom.actors.program.program import Program
from greenroom.messages.frames.worker import Halt, Resolution, Return, ScheduleTimer, StartProgram, Turn
from greenroom.workflows.authoring.decorators import workflow

make_asyncio_deterministic()  # as in every worker

Body = Callable[[], Coroutine[Any, Any, Any]]


class Stage:
    """Hosts a few programs the way a worker does; time goes on when told to."""

    def __init__(self) -> None:
        self.turns: dict[str, list[Turn]] = {}
        self.loop = ProgramLoop(self._idle)
        self.programs: dict[str, Program] = {}
        self._active: Program | None = None
        self._waits: Callable[[], bool] = lambda: True

    def play(self, run_id: str, definition: WorkflowDefinition) -> Turn:
        """Start a program and give its first turn."""
        start = StartProgram(run_id=run_id, workflow=definition.name, arguments={}, started_at=0.0)
        program = self.programs[run_id] = Program(self.loop, definition, start)
        self.turns[run_id] = []
        program.begin()
        return self._go_on(program)

    def fire(self, run_id: str, key: str) -> Turn:
        """Have a timer of a program fire, and give the turn that follows."""
        program = self.programs[run_id]
        program.deliver(Resolution(key=key, kind="timer"))
        return self._go_on(program)

    def listen(self, until: Callable[[], bool]) -> None:
        """Run the loop with nothing to do until something is true that another thread brings about."""
        self._waits = until
        self._active = None
        self.loop.run_forever()

    def forget(self, run_id: str) -> None:
        """End a program and have whatever is left of it freed."""
        self.programs.pop(run_id).end()
        self.listen(lambda: True)  # the loop still knows of it
        gc.collect()

    def close(self) -> None:
        for program in self.programs.values():
            program.end()
        self.loop.close()

    def _go_on(self, program: Program) -> Turn:
        self._active, self._waits = program, lambda: True
        self.loop.run_forever()
        return self.turns[program.run_id][-1]

    def _idle(self) -> bool:
        active, self._active = self._active, None
        if active is not None:
            self.turns[active.run_id].append(active.turn())
        while self.loop.intruded:
            program = self.programs.get(self.loop.intruded.popleft().run_id)
            if program is not None:
                program.note_intrusion()
                self.turns[program.run_id].append(program.turn())
        if not self._waits():
            return False
        self.loop.stop()
        return True


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Give a stage."""
    made = Stage()
    yield made
    made.close()


def defined(body: Body) -> WorkflowDefinition:
    """Make a workflow of a coroutine function inside a test."""

    @workflow(name=body.__name__)
    async def made() -> Any:
        return await body()

    return made.definition  # type: ignore[attr-defined, no-any-return]


def halted(turn: Turn) -> str:
    """Give the reason for which a turn halts its program."""
    (halt,) = [command for command in turn.commands if isinstance(command, Halt)]
    return halt.reason


# ---------------------------------------------------------------- what is refused


def methods() -> list[str]:
    return [name for name in dir(asyncio.SelectorEventLoop) if name[0] != "_"]


@pytest.mark.parametrize("name", [name for name in methods() if name not in OPEN])
def test_a_program_may_use_no_method_of_the_loop_that_a_replay_could_not_repeat(stage: Stage, name: str) -> None:
    async def asks() -> str:
        with pytest.raises(RuntimeError, match="a workflow may not .*@tool"):
            getattr(asyncio.get_running_loop(), name)()
        return "refused"

    turn = stage.play("r", defined(asks))
    assert turn.commands == (Return(result="refused"),)


def test_what_is_open_exists() -> None:
    assert set(methods()) >= OPEN - {"slow_callback_duration"}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.create_subprocess_shell("true"),
        lambda: asyncio.open_connection("127.0.0.1", 9),
        lambda: asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0),
        lambda: asyncio.open_unix_connection("/nowhere"),
        lambda: asyncio.get_running_loop().getaddrinfo("localhost", 80),
        lambda: asyncio.get_running_loop().shutdown_asyncgens(),
    ],
)
def test_what_asyncio_makes_of_them_is_refused_too(stage: Stage, ask: Body) -> None:
    async def asks() -> str:
        with pytest.raises(RuntimeError, match="a workflow may not .*@tool"):
            await ask()
        return "refused"

    assert stage.play("r", defined(asks)).commands == (Return(result="refused"),)


# ---------------------------------------------------------------- who is set going by whom


@contextmanager
def another_thread(act: Callable[[], object]) -> Iterator[threading.Event]:
    """Have something done by a thread that was there before any program; the event says that it is done."""
    go, done = threading.Event(), threading.Event()

    def run() -> None:
        go.wait(20)
        act()
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield go
        assert done.wait(20)
    finally:
        go.set()
        thread.join()


WAYS: dict[str, Callable[[asyncio.AbstractEventLoop, "asyncio.Future[int]"], object]] = {
    "call_soon_threadsafe": lambda loop, future: loop.call_soon_threadsafe(future.set_result, 1),
    "call_soon": lambda loop, future: loop.call_soon(future.set_result, 1),
    "call_later": lambda loop, future: loop.call_soon_threadsafe(loop.call_later, 0, future.set_result, 1),
    "the future itself": lambda _loop, future: future.set_result(1),
    "an exception": lambda loop, future: loop.call_soon_threadsafe(future.set_exception, ValueError("x")),
    "its cancellation": lambda loop, future: loop.call_soon_threadsafe(future.cancel),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_thread_does_to_a_waiting_program_halts_it_with_its_line(
    stage: Stage, capfd: pytest.CaptureFixture[str], way: str
) -> None:
    futures: list[asyncio.Future[int]] = []

    async def waits() -> int:
        futures.append(asyncio.get_running_loop().create_future())
        return await asyncio.wait_for(futures[0], 20)

    turn = stage.play("r", defined(waits))
    assert [type(command) for command in turn.commands] == [ScheduleTimer]
    with another_thread(lambda: WAYS[way](stage.loop, futures[0])) as go:
        go.set()
        stage.listen(lambda: len(stage.turns["r"]) > 1)
    assert "something outside of its journal wanted to wake its code" in halted(stage.turns["r"][1])
    assert f"it waits at {__file__}:" in halted(stage.turns["r"][1])
    futures.clear()
    stage.forget("r")
    assert capfd.readouterr().err == "", "that is all there is to say"


def test_a_signal_does_not_set_a_program_going(stage: Stage) -> None:
    futures: list[asyncio.Future[int]] = []

    async def waits() -> int:
        futures.append(asyncio.get_running_loop().create_future())
        return await asyncio.wait_for(futures[0], 20)

    stage.play("r", defined(waits))
    before = signal.signal(signal.SIGUSR2, lambda *_: futures[0].set_result(1))
    sent: list[int] = []

    def until() -> bool:
        if not sent:  # it comes when the loop is about to wait: Python would look at a later one only after the wait
            sent.append(signal.SIGUSR2)
            signal.raise_signal(signal.SIGUSR2)
        return len(stage.turns["r"]) > 1

    try:
        stage.listen(until)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert "wanted to wake its code" in halted(stage.turns["r"][1])


def test_a_program_does_not_set_another_one_going(stage: Stage) -> None:
    shared = asyncio.Event()

    async def waits() -> bool:
        async with asyncio.timeout(20):
            return await shared.wait()

    async def sets() -> None:
        shared.set()

    stage.play("waits", defined(waits))
    assert stage.play("sets", defined(sets)).commands == (Return(result=None),)
    assert "wanted to wake its code" in halted(stage.turns["waits"][1])


def test_what_belongs_to_no_program_harms_none(stage: Stage) -> None:
    async def waits() -> None:
        await asyncio.sleep(20)

    called = threading.Event()

    def act() -> None:
        stage.loop.call_soon_threadsafe(lambda: 1 / 0)
        coroutine = waits()
        made = asyncio.run_coroutine_threadsafe(coroutine, stage.loop)
        with pytest.raises(RuntimeError, match="may not start tasks"):
            made.result(20)
        stage.loop.call_soon_threadsafe(called.set)

    turn = stage.play("r", defined(waits))
    with another_thread(act) as go:
        go.set()
        stage.listen(called.is_set)
    assert len(stage.turns["r"]) == 1
    (timer,) = turn.commands
    assert isinstance(timer, ScheduleTimer)
    assert stage.fire("r", timer.key).commands == (Return(result=None),)


def test_what_a_program_sets_going_is_its_own_whatever_context_it_is_given(stage: Stage) -> None:
    def names() -> list[str]:
        task = asyncio.current_task()
        return [] if task is None else [task.get_name()]

    async def pause() -> str:
        await asyncio.sleep(1)
        return "paused"

    async def mixes() -> list[str]:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(pause(), context=contextvars.Context())
        future: asyncio.Future[str] = loop.create_future()
        loop.call_soon(future.set_result, "soon", context=contextvars.Context())
        late: asyncio.Future[asyncio.Task[str]] = loop.create_future()
        loop.call_later(1, lambda: late.set_result(asyncio.create_task(pause())), context=contextvars.Context())
        loop.call_soon_threadsafe(names)
        return [await future, await task, await (await late)]

    turn = stage.play("r", defined(mixes))
    keys = [command.key for command in turn.commands if isinstance(command, ScheduleTimer)]
    assert keys == ["timer#1", "1/timer#1"]
    turns = [stage.fire("r", key) for key in keys]
    (last,) = [command.key for turn in turns for command in turn.commands if isinstance(command, ScheduleTimer)]
    assert last == "2/timer#1"
    assert stage.fire("r", last).commands == (Return(result=["soon", "paused", "paused"]),)


# ---------------------------------------------------------------- nothing left to wait for


async def _event() -> None:
    await asyncio.Event().wait()


async def _future() -> None:
    await asyncio.get_running_loop().create_future()


async def _lock() -> None:
    lock = asyncio.Lock()
    async with lock, lock:
        pass


async def _each_other() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def wait_for(number: int) -> None:
        await asyncio.sleep(0)
        await tasks[number]

    tasks[:] = [asyncio.create_task(wait_for(1)), asyncio.create_task(wait_for(0))]
    await asyncio.wait(tasks)


async def _queue() -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(9):
            group.create_task(asyncio.Queue[int]().get())


async def _finally() -> None:
    try:
        raise ValueError("x")
    finally:
        await _event()


@pytest.mark.parametrize(
    "body", [_event, _future, _lock, _each_other, _queue, _finally], ids=lambda body: body.__name__
)
def test_a_program_that_has_nothing_left_to_wait_for_halts_and_says_where(stage: Stage, body: Body) -> None:
    reason = halted(stage.play("r", defined(body)))
    assert "no step, timer, message, approval or child run is left" in reason
    assert f"it waits at {__file__}:" in reason


def test_a_program_is_not_stuck_while_anything_is_on_its_way(stage: Stage) -> None:
    async def waits() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(1, event.set)
        await event.wait()
        await _event()

    assert [type(command) for command in stage.play("r", defined(waits)).commands] == [ScheduleTimer]
    assert "waits for something that can never come" in halted(stage.fire("r", "timer#1"))


# ---------------------------------------------------------------- generators that are left open


def test_a_generator_that_a_program_leaves_open_is_closed_in_it_and_never_by_the_collector(stage: Stage) -> None:
    closed: list[str] = []

    async def numbers(name: str) -> Any:
        try:
            yield 1
        finally:
            closed.append(name)

    async def leaves() -> None:
        async for _ in numbers("at once"):
            break
        async for _ in (kept := numbers("in a circle")):
            break
        circle: list[Any] = [kept]
        circle.append(circle)
        del circle, kept
        await asyncio.sleep(1)

    async def other() -> None:
        gc.collect()
        await asyncio.sleep(0)

    gc.disable()
    try:
        stage.play("leaves", defined(leaves))
        assert closed == ["at once"]
        assert stage.play("other", defined(other)).commands == (Return(result=None),)
        assert closed == ["at once"]
    finally:
        gc.enable()


# ---------------------------------------------------------------- what has failed and was not heard of


async def _fails() -> None:
    raise ValueError("what nobody heard of")


async def _gathered() -> None:
    await asyncio.gather(_fails(), asyncio.sleep(20), return_exceptions=True)


async def _waited_for() -> None:
    await asyncio.wait([asyncio.create_task(_fails()), asyncio.create_task(asyncio.sleep(20))])


async def _looked_at_later() -> None:
    task = asyncio.create_task(_fails())
    await asyncio.sleep(20)
    await task


async def _future_of_its_own() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError("what nobody heard of"))
    await asyncio.sleep(20)
    await future


async def _gathered_for_later() -> None:
    gathered = asyncio.gather(_fails())
    await asyncio.sleep(20)
    await gathered


UNHEARD = [_gathered, _waited_for, _looked_at_later, _future_of_its_own, _gathered_for_later]


@pytest.mark.parametrize("body", UNHEARD, ids=lambda body: body.__name__)
def test_nothing_is_said_of_what_a_dropped_program_would_have_heard_of_later(
    stage: Stage, capfd: pytest.CaptureFixture[str], body: Body
) -> None:
    assert [type(command) for command in stage.play("r", defined(body)).commands] == [ScheduleTimer]
    stage.forget("r")
    assert capfd.readouterr().err == ""


def test_a_failed_task_that_a_program_leaves_behind_at_its_end_is_told_of(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    async def leaves() -> None:
        kept.append(asyncio.create_task(_fails()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    kept: list[asyncio.Task[None]] = []
    assert stage.play("r", defined(leaves)).commands == (Return(result=None),)
    kept.clear()
    stage.forget("r")
    said = capfd.readouterr().err
    assert said.startswith("ProgramTask exception was never retrieved")
    assert "ValueError: what nobody heard of" in said


def test_what_has_failed_in_a_program_that_can_never_go_on_is_told_of(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    async def waits() -> None:
        event = asyncio.Event()

        async def sets() -> None:
            await _fails()
            event.set()

        task = asyncio.create_task(sets())
        await event.wait()
        await task

    assert "waits for something that can never come" in halted(stage.play("r", defined(waits)))
    stage.forget("r")
    assert "ValueError: what nobody heard of" in capfd.readouterr().err
