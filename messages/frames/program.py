"""What an orchestrator and the program of a run say to each other: outcomes one way, requests the other."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Frame, Json
from greenroom.messages.frames.replay_differences import FORM, Difference
from greenroom.messages.policy import Budget, SessionPolicy, StepKind, StepOptions
from greenroom.messages.records import AttemptRecord

__all__ = [
    "AwaitWriting",
    "Diverge",
    "EmitValue",
    "EndProgram",
    "Halt",
    "ProgramCommand",
    "Raise",
    "RefuseMessage",
    "Resolution",
    "Resolve",
    "Return",
    "ScheduleApproval",
    "ScheduleChild",
    "ScheduleReceive",
    "ScheduleStep",
    "ScheduleTimer",
    "SendMessage",
    "SessionTurn",
    "StartProgram",
    "Turn",
    "Withdraw",
]


class Resolution(Frame):
    """The recorded outcome of something the program awaits. Delivered in journal order, one per loop turn."""

    key: str
    at: float = 0.0
    """When it was recorded."""
    kind: Literal["result", "failure", "timer", "cancel", "written"]
    """``written`` is no recorded outcome: it answers an ``AwaitWriting``."""
    value: Json = None
    failure: Failure | None = None
    reason: Literal["", "exhausted", "fatal", "quarantined", "unknown", "rejected", "cancelled"] = ""
    """For ``failure`` of a step: why it has come to its end."""
    attempts: int = 0
    """How often the step was tried."""
    child_step: str | None = None
    child_attempts: tuple[AttemptRecord, ...] = ()
    """For ``failure`` of a child: its step whose failure ended it, and that step's attempts."""


class SessionTurn(Frame):
    """One message for a session's handler, and the state it begins with."""

    number: int
    name: str
    """Of the message's type."""
    value: Json
    state: Json = None
    """None before the session's first turn has ended."""


class StartProgram(Frame):
    """Run a workflow, feeding it what is recorded already."""

    type: Literal["program.start"] = "program.start"
    run_id: str
    workflow: str
    """Name of the workflow in the worker's app."""
    version: int = 1
    """Which of the workflows of that name; 0 for the newest."""
    fingerprint: str = ""
    """Of the code that the journal was last replayed with; empty where nobody knows."""
    arguments: dict[str, Json]
    started_at: float
    seed: str = ""
    shared: int = 0
    """For a fork: how many outcomes it shares with its origin, whose seed is ``seed``."""
    later_seed: str = ""
    """For a fork: the seed once more outcomes than these are known."""
    history: tuple[Resolution, ...] = ()
    """Recorded outcomes in journal order."""
    known: tuple[str, ...] = ()
    """Keys of everything the journal knows as asked for, awaited still or not, in the order of the journal."""
    emitted: dict[str, int] = Field(default_factory=dict)
    """How often each call of ``emit`` is known, by the call without its number."""
    turn: SessionTurn | None = None
    """The message to deal with, where the program is a session's; ``arguments`` are empty then."""
    digests: tuple[str, ...] = ()
    """What was asked for under each of these keys (see ``differences.digest``), empty texts where nobody compares."""
    form: int = FORM
    """How the arguments are written of which these are the digests."""
    references: dict[str, str] = Field(default_factory=dict)
    """By what reference steps are run that have not ended, by key."""
    withdrawn: tuple[str, ...] = ()
    """Those of these keys that are awaited no longer and will never have an outcome."""
    following: int = 0
    """How many more recorded outcomes come one by one, because one frame would not hold them all."""
    trial: bool = False
    """Only compare: say whether the code asks for what is recorded, and end."""

    @property
    def whole(self) -> bool:
        """Whether ``history`` is all there is. Once it is used up, everything that is known has been asked for."""
        return self.following == 0


class Resolve(Frame):
    """One more outcome for a program that runs in this worker."""

    type: Literal["program.resolve"] = "program.resolve"
    run_id: str
    resolution: Resolution


class EndProgram(Frame):
    """Forget a program at once: its run has ended, is parked, or goes on elsewhere."""

    type: Literal["program.end"] = "program.end"
    run_id: str


class ScheduleStep(Frame):
    """The program awaits a step."""

    type: Literal["schedule.step"] = "schedule.step"
    key: str
    name: str
    kind: StepKind
    step: str
    arguments: Json
    options: StepOptions


class ScheduleTimer(Frame):
    """The program awaits a moment ``seconds`` from now."""

    type: Literal["schedule.timer"] = "schedule.timer"
    key: str
    seconds: float


class ScheduleReceive(Frame):
    """The program awaits a message of one type."""

    type: Literal["schedule.receive"] = "schedule.receive"
    key: str
    name: str


class RefuseMessage(Frame):
    """The program cannot read the message that this key was given."""

    type: Literal["refuse.message"] = "refuse.message"
    key: str
    reason: str


class ScheduleApproval(Frame):
    """The program awaits a person's decision."""

    type: Literal["schedule.approval"] = "schedule.approval"
    key: str
    action: str
    args: Json
    form: str = ""
    """Which of the app's models ``args`` is written from, ``module:qualname``; empty where it is none."""


class EmitValue(Frame):
    """The program adds a value to a stream. It does not wait for an answer."""

    type: Literal["emit"] = "emit"
    key: str
    """Of the call without its number: calls of one task are in order, so that numbers need not be remembered singly."""
    number: int
    """1, 2, 3 ... of the calls of that key."""
    channel: str
    value: Json


class AwaitWriting(Frame):
    """The program emits nothing more until all it has asked for so far is on the disk. Not recorded."""

    type: Literal["await.writing"] = "await.writing"


class SendMessage(Frame):
    """The program sends a message to another run or session. Nothing comes back."""

    type: Literal["send.message"] = "send.message"
    key: str
    to: str
    name: str
    value: Json
    policy: SessionPolicy = SessionPolicy()
    """Of the session's handler, where it goes to one."""


class ScheduleChild(Frame):
    """The program awaits a run of another workflow of its app."""

    type: Literal["schedule.child"] = "schedule.child"
    key: str
    workflow: str
    arguments: dict[str, Json]
    version: int = 1
    fingerprint: str = ""
    budget: Budget | None = None


class Withdraw(Frame):
    """The program no longer awaits this key: its task was cancelled."""

    type: Literal["withdraw"] = "withdraw"
    key: str


class Return(Frame):
    """The workflow returned."""

    type: Literal["return"] = "return"
    result: Json


class Raise(Frame):
    """The workflow raised, ``cancelled`` where that was a cancellation it was asked for."""

    type: Literal["raise"] = "raise"
    failure: Failure
    step: str | None = None
    calls: tuple[str, ...] = ()
    """Keys of the steps and children whose failures it comes from."""
    cancelled: bool = False
    stop: bool = False
    """Whether the session stops here: its policy for messages that it cannot deal with."""


class Halt(Frame):
    """The program cannot begin before a person has mended something; the reason says what."""

    type: Literal["halt"] = "halt"
    reason: str


class Diverge(Frame):
    """The program asked for something else than the journal holds, so it cannot be fed from it."""

    type: Literal["diverge"] = "diverge"
    detail: str
    difference: Difference | None = None
    """Where exactly, once a replay has found it out."""


ProgramCommand: TypeAlias = Annotated[
    ScheduleStep
    | ScheduleTimer
    | ScheduleReceive
    | RefuseMessage
    | ScheduleApproval
    | EmitValue
    | AwaitWriting
    | SendMessage
    | ScheduleChild
    | Withdraw
    | Return
    | Raise
    | Halt
    | Diverge,
    Field(discriminator="type"),
]


class Turn(Frame):
    """A program ran from one resolution until nothing in it was ready, and this is all that it asked for.

    Exactly one turn answers each ``StartProgram`` and each resolution that is not part of its history, so the
    orchestrator knows at every moment which run holds the loop.
    """

    type: Literal["program.turn"] = "program.turn"
    run_id: str
    commands: tuple[ProgramCommand, ...] = ()
    state: Json = None
    """The shared state where this turn changed it, else None."""
    replaying: bool = False
    """True where the program is still being fed from its history. What it asks for waits until that is over."""
    fingerprint: str = ""
    """Of the program's code; said once a replay has gone through."""
    version: int = 0
    """Of the workflow, said at the same time; 0 where there are none."""
    cancels: int = 0
    """How many requests to cancel the program has been told of."""
