"""A whole control plane in one thread: real programs, real decisions, a journal in a list, and seeded accidents."""

import json
import random
from collections import deque
from typing import Any

from understudy.actors.definitions import WorkflowDefinition
from understudy.actors.loop import ProgramLoop
from understudy.actors.program import Program
from understudy.messages.codec import decode_event, encode_event
from understudy.messages.events import AnyEvent, RunStarted
from understudy.messages.failures import Exit, Failure
from understudy.messages.frames import Completed, Failed, Resolution, StartProgram, Turn
from understudy.workflows import inputs as do
from understudy.workflows.decide import decide
from understudy.workflows.decision import Moment
from understudy.workflows.fold import fold, fold_all
from understudy.workflows.state import RunState


class World:
    """Runs one workflow to its end while a seeded random generator chooses what happens next.

    Args:
        definition: The workflow; its steps are answered by ``answer``.
        seed: Decides the order of completions, the deaths of program workers and of the orchestrator.
        crashes: Share of actions that are a death.
    """

    def __init__(self, definition: WorkflowDefinition, seed: int, crashes: float = 0.1, **arguments: Any) -> None:
        self.random = random.Random(seed)
        self.definition = definition
        self.crashes = crashes
        self.now = 1_000_000.0
        self.journal: list[bytes] = []
        self.state: RunState = self._record(
            None, [RunStarted(at=self.now, run_id="r", app="app", workflow=definition.name, arguments=arguments)]
        )
        self.jobs: list[tuple[str, int, str]] = []
        self.tokens = 0
        self.released = 0
        self.deliveries: deque[Resolution] = deque()
        self.program: Program | None = None
        self.running_turn = False
        self.deaths = 0
        self.executed: list[str] = []
        self.loop = ProgramLoop(self.idle)
        self.loop.set_debug(False)

    def run(self) -> RunState:
        """Run to the end and give the last state."""
        self.happen(do.Begin())
        try:
            self.loop.run_forever()
        finally:
            if self.program is not None:
                self.program.end()
            self.loop.close()
        return self.state

    # ------------------------------------------------------------ the supervisor's part

    def _record(self, state: RunState | None, events: list[AnyEvent]) -> RunState:
        for event in events:
            body = encode_event(event)
            self.journal.append(body)
            state = fold(state, decode_event(body))
        assert state is not None
        state.wait_changes.clear()
        return state

    def happen(self, happened: do.Input) -> None:
        """Take one message through its life."""
        decision = decide(self.state, happened, Moment(self.now, self.random.random()))
        self._record(self.state, decision.events)
        for effect in (*decision.now, *decision.then):
            self.carry_out(effect)

    def carry_out(self, effect: do.Effect) -> None:
        match effect:
            case do.StartProgram():
                self.start_program()
            case do.ResolveProgram():
                self.deliveries.append(self.state.resolutions[self.released])
                self.released += 1
            case do.Dispatch(key=key, attempt=attempt):
                if not any(job[0] == key for job in self.jobs):
                    self.tokens += 1
                    self.jobs.append((key, attempt, str(self.tokens)))
            case do.WithdrawStep(key=key):
                self.jobs = [job for job in self.jobs if job[0] != key]
            case do.EndProgram():
                self.kill_program()
            case do.Announce():
                self.loop.stop()
            case _:
                raise AssertionError(effect)

    def start_program(self) -> None:
        self.kill_program()
        self.deliveries.clear()
        start = StartProgram(
            run_id="r",
            workflow=self.definition.name,
            arguments=self.state.arguments,
            started_at=self.state.started_at,
            history=tuple(self.state.resolutions[: self.released]),
            known=self.state.known_keys(),
        )
        self.program = Program(self.loop, self.definition, StartProgram.model_validate_json(start.model_dump_json()))
        self.program.begin()
        self.running_turn = True
        self.happen(do.ProgramAssigned("program-1", 1, self.deaths))

    def kill_program(self) -> None:
        if self.program is not None:
            self.program.end()
            self.program = None
            self.running_turn = False

    # ------------------------------------------------------------ time

    def idle(self) -> bool:
        """Nothing is ready: end the turn that has run dry, or let something happen."""
        program = self.program
        if self.running_turn and program is not None:
            if program.history and not program.finished:
                if self.random.random() < self.crashes / 4:
                    return self.die()
                program.deliver(program.history.popleft())
                return True
            self.running_turn = False
            turn = Turn.model_validate_json(program.turn().model_dump_json())
            if self.random.random() < self.crashes:  # it dies before anybody hears of its turn
                return self.die()
            self.happen(do.ProgramTurn(turn))
            return True
        if self.state.ended is not None or self.state.parked:
            return False
        return self.act()

    def act(self) -> bool:
        if self.random.random() < self.crashes:
            return self.die()
        if self.program is not None and self.deliveries and self.random.random() < 0.5:
            self.program.deliver(self.deliveries.popleft())
            self.running_turn = True
            return True
        if self.jobs:
            self.finish(self.jobs.pop(self.random.randrange(len(self.jobs))))
            return True
        if self.program is not None and self.deliveries:
            self.program.deliver(self.deliveries.popleft())
            self.running_turn = True
            return True
        dues = [*self.state.timers.values(), *(s.retry_at for s in self.state.steps.values() if s.retry_at is not None)]
        assert dues, f"nothing can happen any more: {self.state}"
        self.now = max(self.now, min(dues))
        self.happen(do.Tick())
        return True

    def finish(self, job: tuple[str, int, str]) -> None:
        key, attempt, token = job
        step = self.state.steps[key]
        self.now += self.random.random()
        if step.running is None or step.running.token != token:
            self.happen(do.StepAssigned(key, attempt, token, "tool-1", 7, 1))
        luck = self.random.random()
        if luck < self.crashes:
            self.happen(do.StepLost(key, attempt, token, Exit(kind="signaled", signal="SIGKILL"), charged=False))
            return
        self.executed.append(key)
        arguments: Any = step.arguments
        answer = self.answer(step.name, arguments["args"])
        if isinstance(answer, Failure):
            self.happen(do.StepAnswered(key, attempt, token, Failed(token=token, failure=answer, duration=0.0)))
        else:
            self.happen(do.StepAnswered(key, attempt, token, Completed(token=token, result=answer, duration=0.0)))

    def answer(self, name: str, args: list[Any]) -> Any:
        """The tools: ``double`` doubles, ``bad`` fails for good."""
        if name == "bad":
            return Failure(outcome="error", type="ValueError", message="bad", fatal=True)
        return args[0] * 2

    def die(self) -> bool:
        """The program's worker dies, or the whole orchestrator does and another reads the journal."""
        self.deaths += 1
        self.kill_program()
        if self.random.random() < 0.5:
            self.happen(do.ProgramLost(Exit(kind="signaled", signal="SIGKILL"), charged=False))
            return True
        before = as_json(self.state)
        self.state = fold_all(decode_event(body) for body in self.journal)
        assert as_json(self.state) == before
        self.released = len(self.state.resolutions)
        self.jobs.clear()
        self.deliveries.clear()
        self.happen(do.Recover(orphaned=True))
        return True


def as_json(state: RunState) -> Any:
    """Give everything a state holds in a form that can be compared."""
    return json.loads(json.dumps(state, default=_plain, sort_keys=True))


def _plain(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return {name: getattr(value, name) for name in value.__slots__}
