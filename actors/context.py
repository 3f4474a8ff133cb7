"""The context in which code runs: in a program, in a step, or in neither. Found through context variables."""

import asyncio
from contextvars import ContextVar
from typing import Any, Protocol

from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.message import Json
from greenroom.messages.options.policy import Budget, SessionPolicy, StepKind, StepOptions
from greenroom.messages.transcript import TranscriptUse


class Timer(Protocol):
    """A timer that the journal records."""

    key: str

    def fire(self) -> None:
        """Run the timer's callback in the loop's next turn."""
        ...


@frozen
class UnawaitedCall:
    """A call that was never awaited."""

    name: str
    file: str
    line: int
    function: str

    @property
    def place(self) -> str:
        """The place of the call, ``/path/app.py:31``."""
        return f"{self.file}:{self.line}"


class ProgramPort(Protocol):
    """What a workflow's code, and the loop that runs it, ask of their program. Used on the program's loop only."""

    run_id: str
    form: int
    """Form in which the run's journal has arguments; see ``replay_differences.FORM``."""
    silent: bool
    """True while the code repeats what it did before a restart, so that what it prints was printed before."""
    ended: bool
    """True once the host has dropped the program."""
    ran_out: bool
    """True once the code has ended, or can never continue. If False when the program is dropped, the code is cut
    short."""

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
        """Request a step, which runs elsewhere, and wait for its recorded result.

        Raises:
            StepFailed: The step ended without a result.
        """
        ...

    async def call_child(
        self,
        *,
        workflow: str,
        arguments: dict[str, Json],
        version: int = 1,
        fingerprint: str = "",
        budget: Budget | None = None,
    ) -> Json:
        """Request a child run of a workflow of this app and wait for its recorded result.

        Raises:
            RunFailed: The child failed.
            RunCancelled: The child was cancelled.
        """
        ...

    async def receive(self, name: str) -> tuple[str, Json]:
        """Wait for the next message of a type. Return the key of this wait, and the message."""
        ...

    async def approve(self, action: str, args: Json, form: str) -> Json:
        """Ask a person and wait for the decision, an ``Approval`` as JSON; see ``ScheduleApproval``."""
        ...

    async def emit(self, channel: str, value: Json, size: int, *, now: bool) -> None:
        """Add a value of ``size`` bytes to a stream. Waits while too many values are not committed yet.

        In a session's turn the value is held until the turn ends, unless ``now``.
        """
        ...

    def refuse(self, key: str, reason: str) -> None:
        """Record that the message of a wait could not be read."""
        ...

    def send(self, to: str, name: str, value: Json, policy: SessionPolicy | None = None) -> None:
        """Send a message to another run or session, with the program's next turn or at the end of a session's turn."""
        ...

    def note_unawaited(self, call: UnawaitedCall) -> None:
        """Note a call whose coroutine the code dropped without awaiting it."""
        ...

    def set_timer(self, timer: Timer, seconds: float) -> None:
        """Record a timer that fires ``seconds`` from now."""
        ...

    def withdraw_timer(self, timer: Timer) -> None:
        """Withdraw a timer that is no longer awaited."""
        ...

    def now(self) -> float:
        """Return when the newest outcome known to the program was recorded, in seconds since the Unix epoch."""
        ...

    def random_bytes(self, what: str) -> bytes:
        """Return 32 random bytes, the same for the same call on every replay."""
        ...

    def elapsed(self) -> float:
        """Return the seconds from the program's start to ``now``."""
        ...

    def add_task(self, task: "asyncio.Task[Any]") -> None:
        """Note a task as one of the program's own."""
        ...

    def tasks(self) -> "set[asyncio.Task[Any]]":
        """Return the program's tasks that have not ended."""
        ...


program: ContextVar[ProgramPort | None] = ContextVar("greenroom_program", default=None)
"""The program whose coroutine is running; None outside workflows."""
