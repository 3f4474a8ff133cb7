"""A run's state: everything a supervisor knows of its run, as plain values. Only ``fold`` changes them."""

from dataclasses import dataclass, field
from typing import Final, Literal

from greenroom.journal.interface import EntryKind, MarkKind
from greenroom.messages.approvals import Approval
from greenroom.messages.core.failures import Failure, Outcome
from greenroom.messages.core.message import Json
from greenroom.messages.evaluation import Evaluation
from greenroom.messages.frames.worker import Resolution
from greenroom.messages.policy import Budget, OnFailure, SessionPolicy, StepKind, StepOptions
from greenroom.messages.records import RunStatus, StepStatus

WALL_KEY: Final = "budget:wall"
"""Key of the durable moment at which a run's time is over."""
CANCEL_KEY: Final = "cancel"
"""Key of the resolution that asks a program to end early."""


@dataclass(slots=True)
class Attempt:
    """One try of one step."""

    number: int
    token: str
    worker: str
    pid: int
    started_at: float
    ended_at: float | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    charged: bool = True
    usage: dict[str, float] = field(default_factory=dict[str, float])
    progress: Json = None
    """What it said last of how far it is."""


@dataclass(slots=True)
class Step:
    """One call of one step."""

    key: str
    name: str
    kind: StepKind
    ref: str
    arguments: Json
    options: StepOptions
    scheduled_at: float
    status: StepStatus = "scheduled"
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    result: Json = None
    evaluations: list[Evaluation] = field(default_factory=list[Evaluation])
    feedback: list[str] = field(default_factory=list[str])
    """What was wrong with earlier results, one sentence each."""
    solo: bool = False
    """The next attempt runs in a fresh worker of its own."""
    forgiven: int = 0
    """Attempts made before the run was last retried: they are on record, and do not count any more."""
    spent: bool = False
    """It was begun before the run was retried, and may be begun once only."""
    generation: int = 0
    """How often the same key has stood for other arguments before, in what was forgotten."""
    retry_at: float | None = None
    flagged: bool = False
    ended_at: float | None = None

    @property
    def open(self) -> bool:
        """True until the step has its result or its failure."""
        return self.ended_at is None

    @property
    def progress(self) -> Json:
        """What the last attempt that reported any said of its progress."""
        return next((each.progress for each in reversed(self.attempts) if each.progress is not None), None)

    @property
    def running(self) -> Attempt | None:
        """The attempt that has not ended, where there is one."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].outcome is None else None

    @property
    def awaits_worker(self) -> bool:
        """True where the next attempt is due, or will be, and has not begun."""
        return self.status in {"scheduled", "retrying"}

    @property
    def next_attempt(self) -> int:
        """Number of the attempt that would come next."""
        return len(self.attempts) + 1


@dataclass(slots=True)
class Child:
    """A run that this one started and awaits."""

    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Json]
    version: int = 1
    fingerprint: str = ""
    budget: Budget | None = None
    open: bool = True
    retry: str | None = None
    """Where it has ended and is to go on all the same: what tells this order from earlier ones."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to a run."""

    name: str
    value: Json
    seq: int = 0
    """Of the event that recorded it."""
    at: float = 0.0
    """When it was recorded."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message from a run to another."""

    to: str
    name: str
    value: Json
    policy: SessionPolicy
    """Of the session that it goes to."""
    seq: int
    """Of the event that recorded it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is to decide."""

    action: str
    args: Json
    seq: int
    """Sequence number of the event."""
    step: str | None
    """Key of the step whose rejected result it is about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a question."""

    approval: Approval | None
    """None where it was withdrawn."""
    question: Question


@dataclass(slots=True)
class RunState:
    """Everything a supervisor knows of its run. Written by ``fold`` alone."""

    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Json]
    started_at: float
    parent: str | None = None
    parent_key: str | None = None
    seed: str = ""
    begun_at: float = 0.0
    """What the program takes for its start."""
    budget: Budget | None = None
    accounts: tuple[str, ...] = ()
    """Ids of the runs whose budgets this one draws on."""
    inherited: int = 0
    """For a fork: how many outcomes come from its origin's past."""
    later_seed: str = ""
    """For a fork: what random numbers follow from once more than these are known."""
    seq: int = 0
    """Number of events folded so far."""
    updated_at: float = 0.0
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    children: dict[str, Child] = field(default_factory=dict[str, Child])
    children_made: int = 0
    """Number of children ever asked for; their ids follow from it."""
    shelved: dict[str, Step] = field(default_factory=dict[str, Step])
    """Steps of a past that was forgotten, by key: should the program ask again, their attempts go on being counted."""
    retried: str | None = None
    """The parent's order by which the run was retried last."""
    timers: dict[str, float] = field(default_factory=dict[str, float])
    """Open waits of the program: key to moment."""
    retries: dict[str, float] = field(default_factory=dict[str, float])
    """Steps that wait for their next attempt: key to moment."""
    timer_keys: set[str] = field(default_factory=set[str])
    """Every timer ever set."""
    received: int = 0
    """Number of messages the run has been sent."""
    mailbox: dict[int, Letter] = field(default_factory=dict[int, "Letter"])
    """Messages that the program has not taken, by number."""
    message_keys: dict[str, int] = field(default_factory=dict[str, int])
    """Keys of messages, with the messages' numbers: all of a run's; of a session's those that came while it is in
    memory, since the journal can be asked for the others."""
    receives: dict[str, str] = field(default_factory=dict[str, str])
    """Calls that await a message, oldest first: key to the name of the message's type."""
    taken: dict[str, tuple[int, Letter] | None] = field(default_factory=dict[str, "tuple[int, Letter] | None"])
    """What calls that awaited a message were given, by key; None where they await no longer."""
    refused: set[str] = field(default_factory=set[str])
    """Those of them that could not read it."""
    questions: dict[str, Question] = field(default_factory=dict[str, "Question"])
    """Open questions to people."""
    answers: dict[str, Answer] = field(default_factory=dict[str, "Answer"])
    """Those that are open no more."""
    escalated: int = 0
    """Steps whose result a person is to decide about."""
    offsets: dict[str, int] = field(default_factory=dict[str, int])
    """Values emitted so far, by channel."""
    emitted: dict[str, int] = field(default_factory=dict[str, int])
    """How often each call of ``emit`` was made, by its key without the number. Values are in the journal alone."""
    sent: dict[str, str] = field(default_factory=dict[str, str])
    """Every message that the program has sent, in short (see ``StartProgram.digests``), by key."""
    outgoing: dict[str, Outgoing] = field(default_factory=dict[str, "Outgoing"])
    """Those of them that have not arrived, oldest first."""
    resolutions: list[Resolution] = field(default_factory=list[Resolution])
    """What the program has been or will be told, in journal order."""
    shared: Json = None
    program: str | None = None
    """The worker that hosts the program, None while there is none."""
    program_crashes: int = 0
    """Deaths of program workers charged to this run."""
    cancel_requested: float | None = None
    """When the run was asked to end early; None where it was not."""
    cancel_reason: str | None = None
    cancel_due: float | None = None
    """When the run is ended without the rest of its cleanup; None without a limit."""
    cancel_heard: bool = False
    """Whether the program has answered the cancellation: until then no attempt begins."""
    halted: Literal["parked", "paused"] | None = None
    """Why nothing new may begin: a person must look, or wants it so."""
    stranded: str = ""
    """The pool that a parked run waits for, where its having given up is why the run is parked."""
    ended: RunStatus | None = None
    ended_at: float | None = None
    reason: str | None = None
    result: Json = None
    failure: Failure | None = None
    failed_step: str | None = None
    failed_calls: tuple[str, ...] = ()
    """Keys of the steps and children from whose failures that of the run comes."""
    version: int = 1
    """Which of the workflows of its name the run was started with."""
    fingerprint: str = ""
    """Of the code that the journal was last replayed with."""
    form: int = 0
    """How arguments are written in the journal; see ``differences.FORM``."""
    diverted: str | None = None
    """Key of the call that a fork may have given other arguments than its program asks with."""
    asked: dict[str, int] = field(default_factory=dict[str, int])
    """What the program has asked for: key to the number of the event that holds it, in the order of the journal."""
    in_flight: int = 0
    """Steps and children that are open."""
    session: str | None = None
    """Key of the session; None for a run."""
    on_failure: OnFailure = "continue"
    """What the session does about a message that takes its worker down again and again."""
    turns: int = 0
    """Number of the newest message that the session is done with."""
    turn_seq: int = 0
    """Sequence number of the event that said so."""
    closing: bool = False
    """Whether the session takes no more messages."""
    wait_changes: list[tuple[str, float | None]] = field(default_factory=list[tuple[str, float | None]])
    """Durable wake-up times set or, with None, cleared since whoever keeps them last took this list away."""
    mark_changes: list[tuple[MarkKind, str, int | None]] = field(default_factory=list[tuple[MarkKind, str, int | None]])
    """The same for events that are found by name: kind, name, and sequence number or, to clear the mark, None."""

    @property
    def status(self) -> RunStatus:
        """Where the run stands, in the public contract's words."""
        if self.ended is not None:
            return self.ended
        if self.halted is not None:
            return self.halted
        if self.idle:
            return "waiting"
        if not self.begun:
            return "pending"
        waits = self.timers or self.receives or self.questions
        asleep = self.in_flight == self.escalated and bool(waits) and not self.holding
        return "waiting" if asleep else "running"

    @property
    def begun(self) -> bool:
        """Whether the program has asked for anything, or a worker has it: then it may have something to clean up."""
        return self.program is not None or bool(self.emitted or self.asked)

    @property
    def holding(self) -> bool:
        """Whether attempts wait for the program to say which of them it still awaits, after a cancellation."""
        return self.cancel_requested is not None and not self.cancel_heard

    @property
    def idle(self) -> bool:
        """Whether this is a session without a message to deal with."""
        return self.session is not None and not self.mailbox

    @property
    def kind(self) -> EntryKind:
        """What it is in the index."""
        return "run" if self.session is None else "session"

    @property
    def letter(self) -> tuple[int, Letter] | None:
        """The message that a session's handler has, or is given next, and its number."""
        return next(iter(self.mailbox.items()), None)

    @property
    def wake_seq(self) -> int:
        """Number of the events from the first on that are not needed to go on, but for the very first.

        A session needs what came after its newest turn, and the messages from before that are still on their way.
        """
        if self.turn_seq == 0:
            return 0
        oldest = [next(iter(self.mailbox.values()), None), next(iter(self.outgoing.values()), None)]
        return min([self.turn_seq, *(item.seq for item in oldest if item is not None)]) - 1

    def known_keys(self) -> tuple[str, ...]:
        """Keys of everything the program has ever asked for, in the order of the journal."""
        return tuple(self.asked)
