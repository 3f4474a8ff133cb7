"""Where code is running: in a program, in a step, or in neither. Found through context variables."""

from contextvars import ContextVar
from typing import Protocol

from understudy.messages.base import Json
from understudy.messages.policy import StepKind, StepOptions


class ProgramPort(Protocol):
    """What code inside a workflow may ask of the host of its program. Used on the program's own loop only."""

    run_id: str

    async def call_step(
        self, *, name: str, kind: StepKind, step: str, arguments: Json, options: StepOptions, key: str | None
    ) -> Json:
        """Have a step run elsewhere and wait for its recorded result.

        Raises:
            StepFailed: The step has come to an end without a result.
        """
        ...

    async def call_child(self, *, app: str, workflow: str, arguments: dict[str, Json], run_id: str | None) -> Json:
        """Have a child run started and wait for its recorded result.

        Raises:
            RunFailed: The child failed.
            RunCancelled: The child was cancelled.
        """
        ...


program: ContextVar[ProgramPort | None] = ContextVar("understudy_program", default=None)
"""The program whose coroutine is running, None outside of workflows."""
