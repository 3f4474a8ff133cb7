"""Frames between the orchestrator and the program of a run: outcomes in one direction, requests in the other."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Frame, Json
from greenroom.messages.frames.replay_differences import FORM, Difference
from greenroom.messages.options.options_field import Options
from greenroom.messages.options.policy import Budget, Sampling, SessionPolicy, StepKind
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.transcript import TranscriptUse

__all__ = [
    "AwaitWriting",
    "Diverge",
    "EmitValue",
    "EndProgram",
    "Halt",
    "LaterSeed",
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
    """The recorded outcome of something that the program awaits. Delivered in journal order, one per loop turn."""

    key: str
    at: float = 0.0
    """When it was recorded."""
    kind: Literal["result", "failure", "timer", "cancel", "written"]
    """``written`` is not a recorded outcome: it answers an ``AwaitWriting``."""
    value: Json = None
    failure: Failure | None = None
    reason: Literal["", "exhausted", "fatal", "quarantined", "unknown", "rejected", "cancelled"] = ""
    """For ``failure`` of a step: why the step has ended."""
    attempts: int = 0
    """Number of the step's attempts."""
    child_step: str | None = None
    child_attempts: tuple[AttemptRecord, ...] = ()
    """For ``failure`` of a child: the attempts of its step ``child_step``, whose failure ended it."""


class SessionTurn(Frame):
    """A message for a session's handler, and the state with which the turn begins."""

    number: int
    name: str
    """Name of the message's type."""
    value: Json
    state: Json = None
    """None before the session's first turn has ended."""


class LaterSeed(Frame):
    """A seed of a fork, which replaces the one before once more than so many outcomes are known."""

    shared: int
    """Number of outcomes shared with the origin from which the fork, or one of its origins, parted here."""
    seed: str


class StartProgram(Frame):
    """Run a workflow, with the outcomes that are already recorded."""

    type: Literal["program.start"] = "program.start"
    run_id: str
    workflow: str
    """Name of the workflow in the worker's app."""
    version: int = 1
    """Version of the workflow; 0 for the newest."""
    fingerprint: str = ""
    """Fingerprint of the code that the journal was last replayed with; empty if unknown."""
    arguments: dict[str, Json]
    started_at: float
    seed: str = ""
    later_seeds: tuple[LaterSeed, ...] = ()
    """For a fork: the seeds that follow ``seed``, in the order in which they come into use."""
    history: tuple[Resolution, ...] = ()
    """Recorded outcomes in journal order."""
    known: tuple[str, ...] = ()
    """Keys of all recorded requests, still awaited or not, in journal order."""
    emitted: dict[str, int] = Field(default_factory=dict)
    """Number of recorded calls of ``emit``, by key without the number."""
    turn: SessionTurn | None = None
    """The message to handle, if the program is a session's; ``arguments`` are then empty."""
    digests: tuple[str, ...] = ()
    """Digests of the requests with these keys (see ``replay_differences.digest``); empty if they are not compared."""
    form: int = FORM
    """Form in which the arguments with these digests are written."""
    references: dict[str, str] = Field(default_factory=dict)
    """References of the steps that have not ended, by key."""
    withdrawn: tuple[str, ...] = ()
    """Those of these keys that are no longer awaited and never get an outcome."""
    following: int = 0
    """Number of further recorded outcomes that follow one by one, because one frame cannot hold them all."""
    trial: bool = False
    """Only compare: report whether the code repeats the recorded requests, and end."""
    tells_rest: bool = False
    """With ``trial``: also report what the code requests after the recorded requests, or how it ends."""

    @property
    def whole(self) -> bool:
        """Whether ``history`` is complete. Once it is used up, all recorded requests have been repeated."""
        return self.following == 0


class Resolve(Frame):
    """A further outcome for a program in this worker."""

    type: Literal["program.resolve"] = "program.resolve"
    run_id: str
    resolution: Resolution


class EndProgram(Frame):
    """Drop a program at once: its run has ended, is parked, or continues elsewhere."""

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
    options: Options
    transcript: TranscriptUse | None = None
    """Of a model call in a conversation: what the model reads. The result is then a ``ModelAnswer``, unless the
    conversation is that of another library's agent."""


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
    """The program cannot read the message that this key received."""

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
    """Model of the app that ``args`` is an instance of, ``module:qualname``; empty if there is none."""


class EmitValue(Frame):
    """The program adds a value to a stream, without waiting for an answer."""

    type: Literal["emit"] = "emit"
    key: str
    """Key of the call without its number. Calls of one task are in order, so that their count is enough."""
    number: int
    """1, 2, 3 ... among the calls of that key."""
    channel: str
    value: Json
    held: bool = False
    """Whether it was held until the end of a session's turn."""


class AwaitWriting(Frame):
    """The program emits nothing more until all its requests so far are committed. Not recorded."""

    type: Literal["await.writing"] = "await.writing"


class SendMessage(Frame):
    """The program sends a message to another run or session. There is no reply."""

    type: Literal["send.message"] = "send.message"
    key: str
    to: str
    name: str
    value: Json
    policy: SessionPolicy = SessionPolicy()
    """Policy of the session's handler, if it goes to a session."""


class ScheduleChild(Frame):
    """The program awaits a child run of another workflow of its app."""

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
    sampling: Sampling | None = None
    """The evaluators that rate a share of the results in the background, if the definition has any."""


class Raise(Frame):
    """The workflow raised; ``cancelled`` if that was a requested cancellation."""

    type: Literal["raise"] = "raise"
    failure: Failure
    step: str | None = None
    calls: tuple[str, ...] = ()
    """Keys of the failed steps and children that the exception comes from."""
    cancelled: bool = False
    stop: bool = False
    """Whether the session stops here, by its policy for messages that it fails on."""


class Halt(Frame):
    """The program cannot continue until a person has corrected something; the reason says what."""

    type: Literal["halt"] = "halt"
    reason: str


class Diverge(Frame):
    """The program's requests differ from the journal, so it cannot continue from the journal."""

    type: Literal["diverge"] = "diverge"
    detail: str
    difference: Difference | None = None
    """The exact difference, if a replay found it."""


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
    """All requests of a program from one resolution until nothing in it was ready.

    Exactly one turn answers each ``StartProgram`` and each resolution that is not part of its history, so the
    orchestrator always knows which run holds the loop.
    """

    type: Literal["program.turn"] = "program.turn"
    run_id: str
    commands: tuple[ProgramCommand, ...] = ()
    state: Json = None
    """The shared state if this turn changed it, otherwise None."""
    replaying: bool = False
    """True while the program still replays its history. Its requests wait until that is over."""
    fingerprint: str = ""
    """Fingerprint of the program's code. Sent once a replay has succeeded."""
    version: int = 0
    """Version of the workflow, sent with the fingerprint; 0 otherwise."""
    cancels: int = 0
    """Number of requests to cancel that the program has received."""
    more: bool = False
    """Whether the turn goes on in the next frame of the run: all of its commands did not fit into one."""
