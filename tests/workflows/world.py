"""A whole control plane in one thread: real programs, real decisions, a journal in a list, and seeded accidents."""

import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.program.loop.deterministic_order import make_asyncio_deterministic
from greenroom.actors.program.loop.loop import ProgramLoop
from greenroom.actors.program.program import Program
from greenroom.journal.interface import Stored
from greenroom.messages.codecs.event_codec import decode_event, encode_event
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.events.events import AnyEvent, MessageReceived, RunStarted, SessionOpened
from greenroom.messages.frames.replay_differences import FORM
from greenroom.messages.frames.worker import (
    AwaitWriting,
    Completed,
    Failed,
    ProgramCommand,
    Resolution,
    Resolve,
    Return,
    ScheduleStep,
    StartProgram,
    Turn,
)
from greenroom.messages.options.policy import Limits, Sampling
from greenroom.messages.records.evaluation import Evaluation
from greenroom.supervision.jobs import Answered, Assigned, Job, JobHandle, JobOrder, Lost, PoolKey, Send, Withdraw
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.decisions.replay.run_retry_point import retried
from greenroom.workflows.runs.jobs.program import ProgramJob, WaitingDecisions
from greenroom.workflows.state.fold import apply, fold_all, recall
from greenroom.workflows.state.run_state import RunState

SENDING = 0.1
"""Share of actions that send a message, while there are any."""


RATING = 0.05
"""Share of actions that give an answer its score, while any is being rated."""

make_asyncio_deterministic()  # as in every worker


class World:
    """Runs one workflow to its end while a seeded random generator chooses what happens next.

    Args:
        definition: The workflow, or the handler of a session that has dealt with every message in the end; its steps
            are answered by ``answer``.
        seed: Decides the order of completions, how far the disk lags behind, the deaths of program workers and of the
            orchestrator.
        crashes: Share of actions that are a death.
        deciding: Whether somebody decides, at random moments and at random, what the run asks.
        messages: Sent in this order at random moments, each again until it is on the disk.
        retries: Retry the run whenever it has failed or was cancelled.
        failures: Share of the calls of ``flaky`` that fail for good.
        cancels: Share of actions that cancel the run.
        passivations: Share of actions by which the run is dropped from memory where it only waits, and read again.
        past: What the journal holds already: that of a fork.
        emits: Share of the looks at a running attempt at which it emits instead of ending.
        turn_cancels: Share of actions that cancel the running turn of a session.
        sampling: Has results rated in the background, at random moments and maybe after the end.
    """

    def __init__(  # noqa: PLR0913, PLR0915, PLR0917  everything that may happen
        self,
        definition: WorkflowDefinition | SessionDefinition,
        seed: int,
        crashes: float = 0.1,
        messages: Sequence[BaseModel] = (),
        retries: bool = False,
        failures: float = 0.2,
        cancels: float = 0.0,
        passivations: float = 0.0,
        deciding: bool = False,
        past: Sequence[AnyEvent] = (),
        emits: float = 0.0,
        turn_cancels: float = 0.0,
        sampling: Sampling | None = None,
        **arguments: Any,
    ) -> None:
        self.random = random.Random(seed)
        self.definition = definition
        self.crashes = crashes
        self.retries = retries
        self.failures = failures
        self.cancels = cancels
        self.passivations = passivations
        self.emits = emits
        self.turn_cancels = turn_cancels
        self.sampling = sampling
        self.rating: list[str] = []
        """Answers that are being rated."""
        self.confirmed = 0
        """Notices to attempts that what they emitted is on the disk."""
        self.now = 1_000_000.0
        self.journal: list[bytes] = []
        self.deciding = deciding
        self.marks: set[str] = set()
        """Names of open questions, as the index of the journal has them."""
        self.on_disk = 0
        self.outcomes_on_disk = 0
        self.writing: deque[tuple[int, list[do.Effect]]] = deque()
        """Appends under way: length of the journal with each, and what waits for it."""
        self.completed: set[str] = set()
        """Steps that the disk held as completed when an orchestrator died."""
        self.posted: dict[str, Any] = {}
        """Messages that the program has sent, by key, as somebody received them; what comes twice is the same."""
        self.wakes = 0
        """Recoveries from the newest events of a session alone."""
        begin: AnyEvent
        if isinstance(definition, SessionDefinition):
            begin = SessionOpened(at=self.now, run_id="s/r", app="app", session=definition.name, key="r", form=FORM)
        else:
            begin = RunStarted(
                at=self.now,
                run_id="r",
                app="app",
                workflow=definition.name,
                arguments=arguments,
                fingerprint=definition.fingerprint,
                form=FORM,
            )
        self.state: RunState = fold_all(past or [begin])
        self._record(list(past) or [begin])
        self.on_disk, self.outcomes_on_disk = len(self.journal), len(self.state.resolutions)
        self.unsent = deque(item for item in enumerate(messages) if str(item[0]) not in self.state.message_keys)
        self.unconfirmed: list[tuple[int, BaseModel]] = []
        self.inbox: deque[inputs.Input] = deque()
        self.jobs: list[tuple[str, int, str, int]] = []
        """Attempts to be made: key, number, token, and how many outcomes have to be on the disk before."""
        self.tokens = 0
        self.link, self.decisions = self.new_link()
        self.job: Job | None = None
        """The program's, from its submission on."""
        self.deliveries: deque[Resolution] = deque()
        self.program: Program | None = None
        self.running_turn = False
        self.deaths = 0
        self.passivated = 0
        self.told_ahead = 0
        """Turns taken while what they followed from was still being written."""
        self.decided_early = 0
        """How often somebody decided while the program had something to answer."""
        self.waits = 0
        """How often the program waited for its values to be written."""
        self.most_commands = 0
        """What one turn has asked for at most."""
        self.loop = ProgramLoop(self.idle)
        self.loop.set_debug(False)

    def run(self) -> RunState:
        """Run to the end and give the last state."""
        if len(self.journal) > 1:
            self.happen(inputs.Recover(orphaned=False))
        else:
            self.carry_out(do.StartProgram())  # what follows the commit of a start
        try:
            self.loop.run_forever()
        finally:
            if self.program is not None:
                self.program.end()
            self.loop.close()
        self.check_state()
        return self.state

    # ------------------------------------------------------------ the actor's part

    def _record(self, events: list[AnyEvent]) -> None:
        """Write events that the state knows already."""
        self.journal += map(encode_event, events)
        for _, name, seq in self.state.mark_changes:
            if seq is None:
                self.marks.discard(name)
            else:
                self.marks.add(name)
        self.state.wait_changes.clear()
        self.state.mark_changes.clear()

    def new_link(self) -> tuple[ProgramJob, WaitingDecisions]:
        """Give what a run's actor makes anew: the link to a program, and the decisions that wait for its answers."""
        services: Any = self  # it mints tokens and takes jobs, and a link needs no more
        link = ProgramJob(services, self.state.run_id, self.inbox.append)
        return link, WaitingDecisions(self.state, link)

    def happen(self, happened: inputs.Input) -> None:
        """Take one message through its life."""
        if isinstance(happened, inputs.Signal) and self.state.session is not None and happened.known is None:
            happened = replace(happened, known=self.look_up(happened.key))
        decision = decide(self.state, happened, self.now, self.random.random())
        self._record(decision.events)
        if self.state.ended is None and not self.state.halted:
            self.link.tell(self.state)
        if decision.events:
            self.writing.append((len(self.journal), list(decision.then)))
        elif self.writing:
            self.writing[-1][1].extend(decision.then)
        for effect in decision.now if self.writing else (*decision.now, *decision.then):
            self.carry_out(effect)
        self.take_decisions()

    def take_decisions(self) -> None:
        """Take what people have decided and need not wait for the program."""
        while (decision := self.decisions.take(unread=bool(self.inbox), dozes=False)) is not None:
            self.happen(decision.happened)

    def look_up(self, key: str | None) -> int:
        """Find a message on the disk by its key, as the journal's marks do."""
        events = [decode_event(body) for body in self.journal[: self.on_disk]]
        return next((each.number for each in events if isinstance(each, MessageReceived) and each.key == key), 0)

    def write(self) -> bool:
        """Bring one append to the disk."""
        self.on_disk, then = self.writing.popleft()
        for effect in then:
            self.carry_out(effect)
        return True

    def carry_out(self, effect: do.Effect) -> None:  # noqa: C901, PLR0912  one case per kind of effect
        match effect:
            case do.StartProgram():
                if not self.state.idle:
                    self.link.start(self.state)
            case do.ReleaseSteps():
                self.outcomes_on_disk += 1
            case do.Dispatch(key=key, attempt=attempt):
                if not any(job[0] == key for job in self.jobs):
                    self.jobs.append((key, attempt, self.mint(), len(self.state.resolutions)))
            case do.Judge(key=key, attempt=attempt):
                evaluation = Evaluation(name="judge", score=self.random.random(), passed=False, threshold=1.0)
                self.inbox.append(inputs.StepJudged(key, attempt, (evaluation,)))
            case do.RateAnswer(sample=sample):
                self.rating.append(sample)
            case do.WithdrawStep(key=key):
                self.jobs = [job for job in self.jobs if job[0] != key]
            case do.TellWritten():
                self.link.written()
            case do.ConfirmEmitted():
                self.confirmed += 1
            case do.SendHeld() | do.ExpectWritten():
                pass
            case do.EndProgram():
                self.link.end()
            case do.Announce() if self.retries and self.state.status in {"failed", "cancelled"}:
                self.retry()
            case do.Deliver(key=key):
                if key in self.state.outgoing:
                    letter = self.state.outgoing[key]
                    assert self.posted.setdefault(key, letter.value) == letter.value
                    self.inbox.append(inputs.Delivered(key, None))
            case do.TurnOver():
                self.outcomes_on_disk = 0
            case do.Announce():
                self.loop.stop()
            case inputs.Recover():  # stands for what the registry does once a retry is committed
                self.happen(effect)
            case _:
                raise AssertionError(effect)

    def retry(self) -> None:
        """Let the run go on from what failed, as whoever reads its journal decides."""
        event = retried("r", map(decode_event, self.journal), self.now)
        apply(self.state, event)
        self._record([event])
        self.completed = {step.key for step in self.state.steps.values() if step.status == "completed"}
        self.jobs.clear()
        self.outcomes_on_disk = len(self.state.resolutions)
        self.link, self.decisions = self.new_link()
        self.writing.append((len(self.journal), [inputs.Recover(orphaned=False)]))  # type: ignore[list-item]

    def mint(self) -> str:
        self.tokens += 1
        return str(self.tokens)

    # ------------------------------------------------------------ the program's pool

    def submit(self, _pool: PoolKey, _limits: Limits | None, job: Job) -> JobHandle:
        self.kill_program()
        self.job = job
        return JobHandle(self.tell, job.token)

    def tell(self, message: JobOrder) -> None:
        match message:
            case Send(frame=Resolve() as frame):
                self.deliveries.append(Resolve.model_validate_json(frame.model_dump_json()).resolution)
            case Withdraw():
                self.kill_program()
            case _:
                raise AssertionError(message)

    def assign(self, job: Job) -> bool:
        assert isinstance(job.frame, StartProgram)
        start = StartProgram.model_validate_json(job.frame.model_dump_json())
        self.program = Program(self.loop, self.definition, start)
        self.program.begin()
        self.running_turn = True
        job.reply(Assigned(job.token, "program-1", 1, self.deaths))
        return True

    def deliver(self, program: Program) -> bool:
        self.told_ahead += bool(self.writing)
        program.deliver(self.deliveries.popleft())
        self.running_turn = True
        return True

    def end_turn(self, program: Program, job: Job) -> bool:
        if program.advance():
            return self.die() if program.history and self.random.random() < self.crashes / 4 else True
        self.running_turn = False
        turn = self.with_sampling(Turn.model_validate_json(program.turn().model_dump_json()))
        self.waits += any(isinstance(command, AwaitWriting) for command in turn.commands)
        self.most_commands = max(self.most_commands, len(turn.commands))
        if self.random.random() < self.crashes:  # it dies before anybody hears of its turn
            return self.die()
        job.reply(Answered(job.token, turn))
        return True

    def with_sampling(self, turn: Turn) -> Turn:
        """Give what a program asks for evaluators in the background."""
        if self.sampling is None:
            return turn
        commands: list[ProgramCommand] = []
        for command in turn.commands:
            if isinstance(command, ScheduleStep):
                options = command.options.model_copy(update={"sample": self.sampling})
                commands.append(command.model_copy(update={"options": options}))
            elif isinstance(command, Return):
                commands.append(command.model_copy(update={"sampling": self.sampling}))
            else:
                commands.append(command)
        return turn.model_copy(update={"commands": tuple(commands)})

    def rate(self, sample: str) -> bool:
        """An answer gets its score, or one again that has it."""
        score = self.random.random()
        said = Evaluation(name="kind", score=score, passed=score > 0.5, threshold=0.5, background=True)
        self.happen(inputs.AnswerRated(sample, (said,)))
        return True

    def rate_rest(self) -> None:
        """Rate everything that is left, which may be after the end."""
        for sample in [*self.state.sampled]:
            self.rate(sample)

    def kill_program(self) -> None:
        self.job = None
        self.deliveries.clear()
        if self.program is not None:
            self.program.end()
            self.program = None
            self.running_turn = False

    # ------------------------------------------------------------ time

    def idle(self) -> bool:
        """Nothing is ready: end the turn that has run dry, or let something happen."""
        if self.running_turn and self.program is not None and self.job is not None:
            return self.end_turn(self.program, self.job)
        if self.inbox:
            self.happen(self.inbox.popleft())
            return True
        if self.state.idle and not (self.unsent or self.writing or self.state.outgoing):
            self.loop.stop()
            return True
        if (self.state.ended is not None or self.state.halted) and not self.writing:
            return False
        return self.act()

    def act(self) -> bool:  # noqa: C901, PLR0911, PLR0912  one for each thing that can happen
        if self.random.random() < self.crashes:
            return self.die()
        if self.random.random() < self.cancels:
            self.happen(inputs.Cancel("a whim"))
            return True
        if self.turn_cancels and self.random.random() < self.turn_cancels:
            self.happen(inputs.CancelTurn("a whim"))
            return True
        if self.random.random() < self.passivations and self.only_waits:
            return self.passivate()
        if self.rating and self.random.random() < RATING:
            place = self.random.randrange(len(self.rating))
            return self.rate(self.rating.pop(place) if self.random.random() < 0.8 else self.rating[place])
        if self.job is not None and self.program is None:
            return self.assign(self.job)
        if self.unsent and self.random.random() < SENDING:
            return self.send()
        if self.deciding and self.state.questions and self.random.random() < SENDING:
            return self.decide()
        program = self.program
        if self.writing and self.random.random() < 0.5:
            return self.write()
        if program is not None and self.deliveries and self.random.random() < 0.5:
            return self.deliver(program)
        if ready := [job for job in self.jobs if job[-1] <= self.outcomes_on_disk]:
            job = self.random.choice(ready)
            if self.emits and self.random.random() < self.emits:
                self.emit(*job[:3])
                return True
            self.jobs.remove(job)
            self.finish(*job[:3])
            return True
        if program is not None and self.deliveries:
            return self.deliver(program)
        if self.writing:
            return self.write()
        if self.unsent and not self.state.timers:
            return self.send()
        if self.deciding and self.state.questions and not (self.state.timers and self.random.random() < 0.5):
            return self.decide()
        dues = [*self.state.timers.values(), *(s.retry_at for s in self.state.steps.values() if s.retry_at is not None)]
        assert dues, f"nothing can happen any more: {self.state}"
        self.now = max(self.now, min(dues))
        self.happen(inputs.Tick())
        return True

    def decide(self) -> bool:
        key = self.random.choice(list(self.state.questions))
        decision = self.random.choice(("approve", "reject", "edit"))
        args = [self.random.randrange(9)] if decision == "edit" else None
        self.decisions.add(inputs.Confirmed(inputs.Decide(key, decision, args, by="ada"), lambda *_heard: None))
        self.decided_early += self.link.busy
        self.take_decisions()
        return True

    def send(self) -> bool:
        number, message = self.unsent.popleft()
        if self.state.ended is not None:  # it is refused, and sent again
            self.unsent.appendleft((number, message))
            return self.write()
        self.unconfirmed.append((number, message))
        name, value = type(message).__name__, message.model_dump(mode="json")
        self.happen(inputs.Signal(name, value, key=str(number)))
        return True

    def begin(self, key: str, attempt: int, token: str) -> None:
        step = self.state.steps[key]
        self.now += self.random.random()
        if step.running is None or step.running.token != token:
            self.happen(inputs.StepAssigned(key, attempt, token, "tool-1", 7, 1))

    def emit(self, key: str, attempt: int, token: str) -> None:
        """A running attempt emits a value or two, on the channel of its text if it has one."""
        self.begin(key, attempt, token)
        channel = self.state.steps[key].options.stream or "steps"
        values = ((channel, f"{key} {attempt}"), ("other", attempt))[: self.random.randrange(1, 3)]
        self.happen(inputs.StepEmitted(key, attempt, token, values, confirm=self.random.random() < 0.5))

    def finish(self, key: str, attempt: int, token: str) -> None:
        self.begin(key, attempt, token)
        step = self.state.steps[key]
        luck = self.random.random()
        if luck < self.crashes:
            self.happen(inputs.StepLost(key, attempt, token, Exit(kind="signaled", signal="SIGKILL"), charged=False))
            return
        assert key not in self.completed, f"{key} was on the disk and runs again"
        arguments: Any = plain(step.arguments)
        answer = self.answer(step.name, arguments["args"])
        if isinstance(answer, Failure):
            self.happen(inputs.StepAnswered(key, attempt, token, Failed(token=token, failure=answer, duration=0.0)))
        else:
            self.happen(inputs.StepAnswered(key, attempt, token, Completed(token=token, result=answer, duration=0.0)))

    def answer(self, name: str, args: list[Any]) -> Any:
        """The tools: ``double`` doubles, ``bad`` fails for good, ``flaky`` does either."""
        if name == "flaky" and self.random.random() < self.failures:
            return Failure(outcome="error", type="ValueError", message="flaky", fatal=True)
        if name == "bad":
            return Failure(outcome="error", type="ValueError", message="bad", fatal=True)
        return args[0] * 2

    def die(self) -> bool:
        """The program's worker dies, or the whole orchestrator does and another reads what is on the disk."""
        self.deaths += 1
        job = self.job
        self.kill_program()
        if job is not None and self.random.random() < 0.5:
            job.reply(Lost(job.token, Exit(kind="signaled", signal="SIGKILL"), charged=False))
            return True
        before = as_json(replace(self.state, message_keys={}))
        lost = len(self.journal) - self.on_disk
        del self.journal[self.on_disk :]
        whole = fold_all(decode_event(body) for body in self.journal)
        assert lost or as_json(replace(whole, message_keys={})) == before
        self.state = self.wake(whole)
        self.rating = [*self.state.sampled]
        self.marks = set(self.state.questions)  # they are written and lost with their events
        self.completed = {step.key for step in self.state.steps.values() if step.status == "completed"}
        missing = [item for item in self.unconfirmed if str(item[0]) not in whole.message_keys]
        known = self.unconfirmed[: len(self.unconfirmed) - len(missing)]
        self.unsent.extendleft(reversed([*known[-1:], *missing]))  # whose answer was lost cannot know
        self.unconfirmed.clear()
        self.writing.clear()
        self.inbox.clear()
        self.jobs.clear()
        self.outcomes_on_disk = len(self.state.resolutions)
        self.link, self.decisions = self.new_link()
        if self.state.status in {"failed", "cancelled"}:
            self.retry()
        self.happen(inputs.Recover(orphaned=True))
        return True

    @property
    def only_waits(self) -> bool:
        """Whether nothing of the run is under way."""
        return not (self.jobs or self.writing or self.deliveries or self.state.outgoing or self.program is None)

    def passivate(self) -> bool:
        """The run leaves memory, and comes back from its journal."""
        self.passivated += 1
        self.kill_program()
        self.state = self.wake(fold_all(decode_event(body) for body in self.journal))
        self.outcomes_on_disk = len(self.state.resolutions)
        self.link, self.decisions = self.new_link()
        self.happen(inputs.Recover(orphaned=False))
        return True

    def check_state(self) -> None:
        """Compare the state that decisions have led to with the fold of the journal."""
        whole = fold_all(map(decode_event, self.journal))
        assert as_json(replace(self.state, message_keys={})) == as_json(replace(whole, message_keys={}))

    def wake(self, whole: RunState) -> RunState:
        """Rebuild a session as an orchestrator does, from the events that it needs, and compare that with ``whole``."""
        if whole.wake_seq == 0:
            return whole
        self.wakes += 1
        stored = [Stored(seq, decode_event(body)) for seq, body in enumerate(self.journal, 1)]
        state = recall(stored[0], stored[whole.wake_seq :])
        assert as_json(replace(state, message_keys={})) == as_json(replace(whole, message_keys={}))
        return state


def as_json(state: RunState) -> Any:
    """Give everything a state holds in a form that can be compared."""
    return json.loads(json.dumps(state, default=_plain, sort_keys=True))


def _plain(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, JsonText):
        return value.read()
    return {name: getattr(value, name) for name in value.__slots__}
