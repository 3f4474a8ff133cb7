"""Failures of an agent's steps, in both directions: to the retry policy, and to the library's code in the workflow."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    ToolFailed,
    UserError,
)

from greenroom.messages.core.errors import RetryAfter, StepFailed
from greenroom.messages.policy import Retry

MODEL_RETRY = Retry(never=(ModelRequestRejectedError, ModelQuotaExceededError, UserError))
"""Default of model steps: what no other attempt can mend is not tried again."""
TOOL_RETRY = Retry(never=(UserError,))
"""Default of all other steps."""
LONGEST_PAUSE = 3600.0
"""Longest wish of a provider for a pause that is followed, in seconds."""


class ModelStepFailed(StepFailed, ModelAPIError):  # noqa: N818  as the names of what it is
    """A model step failed for a reason outside of the library: its process died, or it took too long.

    It is also a ``ModelAPIError``, so that ``ModelFallback`` and the agent's own hooks handle it.
    """

    def __init__(self, failed: StepFailed) -> None:
        """Take over what is known of the failed step."""
        ModelAPIError.__init__(self, "", str(failed))
        StepFailed.__init__(
            self,
            str(failed),
            step=failed.step,
            attempts=failed.attempts,
            outcome=failed.outcome,
            error=failed.error,
        )
        self.cause = failed.cause

    def __str__(self) -> str:
        """Return the sentence of the failed step."""
        return str(self.args[0])


@contextmanager
def provider_wishes() -> Generator[None]:
    """Follow a provider's wish for a pause before the next attempt. In LLM workers."""
    try:
        yield
    except ModelAPIError as error:
        pause = getattr(error, "retry_after", None)
        if pause is None or isinstance(error, RetryAfter):
            raise
        error.seconds = min(float(pause), LONGEST_PAUSE)  # type: ignore[attr-defined]  # see ``_pausing``
        error.__class__ = _pausing(cast("Any", type(error)))
        raise


@cache
def _pausing(cls: Any) -> type[ModelAPIError]:
    """Return the class of errors of ``cls`` that ask for a pause. Handlers of either class catch it."""
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return cast("type[ModelAPIError]", type(cls.__name__, (cls, RetryAfter), names))


@contextmanager
def failed_model() -> Generator[None]:
    """Raise a failed model step as an error that the library knows. In programs."""
    try:
        yield
    except StepFailed as failed:
        if isinstance(failed, (AgentRunError, UserError)):  # rebuilt as the class that the model raised
            raise
        raise ModelStepFailed(failed) from failed


@contextmanager
def failed_tool() -> Generator[None]:
    """Tell the model about a failed tool step. In programs.

    Raises:
        ToolFailed: The step failed; the library shows the model the sentence.
        UserError: The agent is not defined as the library demands, so no model could help.
    """
    try:
        yield
    except StepFailed as failed:
        if isinstance(failed, UserError):
            raise
        raise ToolFailed(str(failed)) from failed
