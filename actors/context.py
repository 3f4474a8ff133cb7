"""Where code is running: in a program, in a step, or in neither. Found through context variables."""

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from greenroom.messages.core.message import Json
from greenroom.messages.policy import Budget, SessionPolicy, StepKind, StepOptions

if TYPE_CHECKING:
    from greenroom.actors.program.loop import DurableTimer
    from greenroom.actors.program.unawaited import Forgotten


class ProgramPort(Protocol):
    """What code inside a workflow, and the loop under it, ask of their program. Used on the program's own loop only."""

    run_id: str
    silent: bool
    """True while its code does again what it has done in an earlier life, and prints again what it printed then."""
    ended: bool
    """True once nobody wants to hear of it any more."""
    ran_out: bool
    """True once its code has come to its end, or to where it can never go on. Else it is cut short when it is ended."""

    async def call_step(
        self, *, name: str, kind: StepKind, step: str, arguments: Json, options: StepOptions, key: str | None
    ) -> Json:
        """Have a step run elsewhere and wait for its recorded result.

        Raises:
            StepFailed: The step has come to an end without a result.
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
        """Have a child run of a workflow of this app started and wait for its recorded result.

        Raises:
            RunFailed: The child failed.
            RunCancelled: The child was cancelled.
        """
        ...

    async def receive(self, name: str) -> tuple[str, Json]:
        """Wait for the next message of a type; give the key of this wait, and the message."""
        ...

    async def approve(self, action: str, args: Json, form: str) -> Json:
        """Have a person asked and wait for what they decide, an ``Approval`` as JSON; see ``ScheduleApproval``."""
        ...

    async def emit(self, channel: str, value: Json, size: int) -> None:
        """Have a value of ``size`` bytes added to a stream; waits where too much has not been written yet."""
        ...

    def refuse(self, key: str, reason: str) -> None:
        """Have it recorded that the message of a wait could not be read."""
        ...

    def send(self, to: str, name: str, value: Json, policy: SessionPolicy | None = None) -> None:
        """Have a message sent to another run or session: with what the program asks for next, or a turn's end."""
        ...

    def forgot(self, call: "Forgotten") -> None:
        """Hear of a call that its code has let go of without awaiting it."""
        ...

    def set_timer(self, timer: "DurableTimer", seconds: float) -> None:
        """Have a timer recorded that fires ``seconds`` from now."""
        ...

    def drop_timer(self, timer: "DurableTimer") -> None:
        """Forget a timer that nobody waits for."""
        ...

    def now(self) -> float:
        """Give when the newest outcome that the program knows was recorded, in seconds since the Unix epoch."""
        ...

    def draw(self, what: str) -> bytes:
        """Give 32 random bytes, the same ones for the same call on every replay."""
        ...

    def elapsed(self) -> float:
        """Give the seconds from the program's start to ``now``."""
        ...

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        """Note a task as the program's own."""
        ...

    def tasks(self) -> "set[asyncio.Task[Any]]":
        """Give the program's tasks that have not ended."""
        ...


program: ContextVar[ProgramPort | None] = ContextVar("greenroom_program", default=None)
"""The program whose coroutine is running, None outside of workflows."""
