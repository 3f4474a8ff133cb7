"""The state of a run as plain values, which only the fold changes."""

from dataclasses import field
from typing import Final, Literal

from greenroom.journal.interface import EntryKind, MarkKind
from greenroom.messages.core.failures import Failure, Outcome
from greenroom.messages.core.frozen import frozen, mutable
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import LaterSeed, Resolution
from greenroom.messages.options.policy import Budget, OnFailure, SessionPolicy, StepKind, StepOptions
from greenroom.messages.records.approvals import Approval
from greenroom.messages.records.attempts import Reservation
from greenroom.messages.records.evaluation import Evaluation
from greenroom.messages.records.records import RunStatus, StepStatus
from greenroom.messages.transcript import Entry

WALL_KEY: Final = "budget:wall"
"""Key of the durable timer for the end of a run's time."""
CANCEL_KEY: Final = "cancel"
"""Key of the resolution that tells a program of its cancellation."""
UNHEARD: Final[tuple[MarkKind, str]] = ("unheard", "")
"""Kind and name of the mark of a run that waits although its program may have more to do about what has happened. Other
runs that wait are not read when an orchestrator starts, but only when something happens to them."""


@mutable
class Attempt:
    """One attempt of one step."""

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
    reserved: Reservation | None = None
    """What was reserved of budgets when it began."""
    progress: Json = None
    """The progress that it has reported last."""
    channels: list[str] = field(default_factory=list[str])
    """Channels on which it has emitted values, until its result is accepted or these values are discarded."""


@mutable
class Step:
    """One call of one step."""

    key: str
    name: str
    kind: StepKind
    ref: str
    arguments: Json
    options: StepOptions
    scheduled_at: float
    transcript: str | None = None
    """Last entry of the transcript that it reads; None for anything but a model call in a conversation."""
    reads: str | None = None
    """The same for a model call of another library's agent, whose result is no ``ModelAnswer``."""
    status: StepStatus = "scheduled"
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    result: Json = None
    evaluations: list[Evaluation] = field(default_factory=list[Evaluation])
    judging: set[str] = field(default_factory=set[str])
    """Tokens of calls of judges that were made under a budget and have not ended."""
    judges_usage: dict[str, float] = field(default_factory=dict[str, float])
    """What calls of judges have used that no evaluation holds: they are under way, or their evaluation was given up."""
    feedback: list[str] = field(default_factory=list[str])
    """Why earlier results were rejected, one sentence each."""
    solo: bool = False
    """The next attempt runs in a fresh worker of its own."""
    forgiven: int = 0
    """Number of attempts made before the run was last retried, which the retry policy does not count."""
    spent: bool = False
    """Whether it was begun before the run was retried, and may be begun once only."""
    generation: int = 0
    """How often the key has stood for other arguments in a past that a retry has forgotten."""
    retry_at: float | None = None
    flagged: bool = False
    ended_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether the step has neither a result nor a failure yet."""
        return self.ended_at is None

    @property
    def progress(self) -> Json:
        """The progress reported last, by any attempt."""
        return next((each.progress for each in reversed(self.attempts) if each.progress is not None), None)

    @property
    def running(self) -> Attempt | None:
        """The attempt that has not ended, or None."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].outcome is None else None

    @property
    def awaits_worker(self) -> bool:
        """Whether the next attempt is due, or will be, and has not begun."""
        return self.status in {"scheduled", "retrying"}

    @property
    def next_attempt(self) -> int:
        """Number of the attempt that would come next."""
        return len(self.attempts) + 1


@mutable
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
    """Id of the order to retry it, if it has ended and its parent goes on; an order is carried out once."""


@frozen
class ReceivedMessage:
    """A message that a run has received."""

    name: str
    value: Json
    seq: int = 0
    """Of the event that recorded it."""
    at: float = 0.0
    """When it was recorded."""


@frozen
class SentMessage:
    """A message that a run has sent to another."""

    to: str
    name: str
    value: Json
    policy: SessionPolicy
    """Policy of the session that it goes to."""
    seq: int
    """Of the event that recorded it."""


@frozen
class Question:
    """A question to a person."""

    action: str
    args: Json
    seq: int
    """Sequence number of the event that recorded it."""
    step: str | None
    """Key of the step whose rejected result it is about; None if the program asks."""
    outcomes: int
    """Number of outcomes that were known when the program asked; 0 if it did not, and may not have heard of any."""


@frozen
class Answer:
    """The outcome of a question."""

    approval: Approval | None
    """None if the question was withdrawn."""
    question: Question


@frozen
class SampledAnswer:
    """An answer that is to be rated in the background. The event that says so holds the answer itself."""

    seq: int
    """Of that event."""
    key: str
    """Key of the step; empty for the result of the run or turn itself."""
    attempt: int
    turn: int
    """Number of the session's message; 0 in a run."""


@mutable
class RunState:
    """Everything that is known of a run. Written by the fold alone."""

    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Json]
    started_at: float
    parent: str | None = None
    parent_key: str | None = None
    seed: str = ""
    begun_at: float = 0.0
    """The start of the run as its program sees it."""
    budget: Budget | None = None
    accounts: tuple[str, ...] = ()
    """Ids of the runs whose budgets this one draws on."""
    inherited: int = 0
    """For a fork: number of outcomes that come from its origin."""
    later_seeds: tuple[LaterSeed, ...] = ()
    """For a fork: seeds of the random numbers after what it and its origins share with theirs."""
    seq: int = 0
    """Number of events folded so far."""
    updated_at: float = 0.0
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    children: dict[str, Child] = field(default_factory=dict[str, Child])
    children_made: int = 0
    """Number of children asked for so far, from which their ids are made."""
    shelved: dict[str, Step] = field(default_factory=dict[str, Step])
    """Steps of a past that a retry has forgotten, by key. If the program asks again, their attempts still count."""
    retried: str | None = None
    """Id of the parent's order by which the run was retried last."""
    timers: dict[str, float] = field(default_factory=dict[str, float])
    """Due times of the program's open timers, by key."""
    retries: dict[str, float] = field(default_factory=dict[str, float])
    """Due times of the next attempts of steps, by key."""
    timer_keys: set[str] = field(default_factory=set[str])
    """Keys of all timers ever set."""
    received: int = 0
    """Number of messages received."""
    mailbox: dict[int, ReceivedMessage] = field(default_factory=dict[int, "ReceivedMessage"])
    """Messages that the program has not taken, by number, oldest first."""
    message_keys: dict[str, int] = field(default_factory=dict[str, int])
    """Numbers of messages by key. A session has only those received while in memory; the journal has the others."""
    receives: dict[str, str] = field(default_factory=dict[str, str])
    """Type names of awaited messages, by the key of the call, oldest first."""
    taken: dict[str, tuple[int, ReceivedMessage] | None] = field(
        default_factory=dict[str, "tuple[int, ReceivedMessage] | None"]
    )
    """Messages taken, by the key of the call; None if the call awaits none any more."""
    refused: set[str] = field(default_factory=set[str])
    """Keys of calls that could not read their message."""
    questions: dict[str, Question] = field(default_factory=dict[str, "Question"])
    """Open questions to people."""
    answers: dict[str, Answer] = field(default_factory=dict[str, "Answer"])
    """Questions that are closed."""
    escalated: int = 0
    """Number of steps whose result a person decides about."""
    offsets: dict[str, int] = field(default_factory=dict[str, int])
    """Number of values emitted, by channel."""
    emitted: dict[str, int] = field(default_factory=dict[str, int])
    """Number of calls of ``emit``, by their key without the number. The values are in the journal alone."""
    sent: dict[str, str] = field(default_factory=dict[str, str])
    """Digests of all messages sent (see ``StartProgram.digests``), by key."""
    outgoing: dict[str, SentMessage] = field(default_factory=dict[str, "SentMessage"])
    """Messages sent that have not arrived, by key, oldest first."""
    sampled: dict[str, SampledAnswer] = field(default_factory=dict[str, "SampledAnswer"])
    """Answers that are to be rated in the background and have not been, by identity, oldest first."""
    evaluations: list[Evaluation] = field(default_factory=list[Evaluation])
    """Background scores of the run's result."""
    resolutions: list[Resolution] = field(default_factory=list[Resolution])
    """Outcomes for the program, in journal order, whether it was told of them or not."""
    transcripts: dict[str, Entry] = field(default_factory=dict[str, Entry])
    """Entries of all conversations with models, by ``entry_id``. Of a session that was read from its newest turn on,
    the earlier ones may be missing; see ``load``."""
    conversed: bool = False
    """Whether there has ever been such an entry."""
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    """Entries of the conversations of other libraries' agents. A session forgets them with the turn."""
    shared: Json = None
    program: str | None = None
    """The worker that has the program, or None."""
    program_crashes: int = 0
    """Deaths of program workers charged to this run."""
    cancel_requested: float | None = None
    """When the run was cancelled, or None."""
    cancel_reason: str | None = None
    cancel_due: float | None = None
    """When the time for the cleanup is over; None if it has no time limit."""
    cancel_heard: bool = False
    """Whether the program has answered the cancellation. Until then no attempt begins."""
    turn_cancelled: bool = False
    """Whether the session's turn was cancelled and has not ended yet."""
    turn_cancel_reason: str | None = None
    halted: Literal["parked", "paused"] | None = None
    """Why nothing new may begin: the run is parked until a person acts, or a person has paused it."""
    refused_at: float | None = None
    """When the run was paused until an account at a model's provider has quota again; None if it is not."""
    halted_at: float = 0.0
    """When it was parked or paused last."""
    paused_with_parent: bool = False
    """Whether it is paused because its parent was paused or parked."""
    resumed_at: float = 0.0
    """When it was resumed last, after a pause or after it was parked."""
    stranded: str = ""
    """The pool that has given up, if the run is parked for that; empty otherwise."""
    ended: RunStatus | None = None
    ended_at: float | None = None
    reason: str | None = None
    result: Json = None
    failure: Failure | None = None
    failed_step: str | None = None
    failed_calls: tuple[str, ...] = ()
    """Keys of the steps and children whose failures caused that of the run."""
    version: int = 1
    """Version of the workflow that the run was started with."""
    fingerprint: str = ""
    """Fingerprint of the code with which the journal was last replayed."""
    form: int = 0
    """How arguments are written in the journal; see ``replay_differences.FORM``."""
    diverted: set[str] = field(default_factory=set[str])
    """Keys of the calls whose arguments this fork, or those that it was forked from, may have replaced."""
    asked: dict[str, int] = field(default_factory=dict[str, int])
    """Sequence numbers of the events that hold what the program has asked for, by key, in journal order."""
    in_flight: int = 0
    """Number of open steps and children."""
    session: str | None = None
    """Key of the session; None for a run."""
    on_failure: OnFailure = "continue"
    """What the session does after a message has failed."""
    turns: int = 0
    """Number of the newest message that was handled."""
    turn_seq: int = 0
    """Sequence number of the event that ended its turn."""
    closing: int = 0
    """Sequence number of the event after which the session takes no more messages; 0 while it takes them."""
    wait_changes: list[tuple[str, float | None]] = field(default_factory=list[tuple[str, float | None]])
    """Durable timers set or, with None, cleared since the last append."""
    mark_changes: list[tuple[MarkKind, str, int | None]] = field(default_factory=list[tuple[MarkKind, str, int | None]])
    """Marks set or, with None, cleared since the last append: kind, name, and sequence number of the event."""

    @property
    def status(self) -> RunStatus:
        """The status of the run in the public API."""
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
        """Whether the program has asked for anything, or a worker has it, so it may need to clean up."""
        return self.program is not None or bool(self.emitted or self.asked)

    @property
    def holding(self) -> bool:
        """Whether attempts are held back until the program has answered a cancellation."""
        return (self.cancel_requested is not None or self.turn_cancelled) and not self.cancel_heard

    @property
    def idle(self) -> bool:
        """Whether this is a session without a message to handle."""
        return self.session is not None and not self.mailbox

    @property
    def kind(self) -> EntryKind:
        """Its kind in the run index."""
        return "run" if self.session is None else "session"

    @property
    def letter(self) -> tuple[int, ReceivedMessage] | None:
        """The number and the message that a session handles now, or next."""
        return next(iter(self.mailbox.items()), None)

    @property
    def wake_seq(self) -> int:
        """Sequence number up to which no event but the first is needed to go on.

        A session needs what came after its newest turn, the earlier messages that are not handled or delivered, the
        earlier answers that are not rated, and the request to close it.
        """
        if self.turn_seq == 0:
            return 0
        oldest = [
            next(iter(self.mailbox.values()), None),
            next(iter(self.outgoing.values()), None),
            next(iter(self.sampled.values()), None),
        ]
        seqs = [self.turn_seq, *(item.seq for item in oldest if item is not None)]
        if self.closing:
            seqs.append(self.closing)
        return min(seqs) - 1

    def known_keys(self) -> tuple[str, ...]:
        """Return the keys of everything that the program has asked for, in journal order."""
        return tuple(self.asked)
