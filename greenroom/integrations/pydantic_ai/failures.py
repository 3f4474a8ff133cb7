"""Failures of an agent's steps, in both directions: to the retry policy, and to the library's code in the workflow."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, cast

from pydantic_ai.exceptions import (
    AgentRunError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    ToolFailed,
    UserError,
)

from greenroom.messages.core.errors import Fatal, OutcomeUnknown, QuotaExceeded, RetryAfter, StepFailed
from greenroom.messages.options.policy import Retry

RETRY: Final = Retry(never=(UserError,))
"""Default of an agent's steps. An agent that is not defined as the library demands is not tried again."""
LONGEST_PAUSE: Final = 3600.0
"""Longest wish of a provider for a pause that is followed, in seconds."""
_UNPAID: Final = 402
_REJECTED: Final = frozenset({400, 401, 403, 404, 422})
"""Statuses of requests that no repetition mends, from models that raise no category of their own."""


class ModelStepFailed(ModelAPIError, StepFailed):  # noqa: N818  named as the exceptions of steps are
    """A model step failed for a reason outside of the library: its process died, or it took too long.

    It is also a ``ModelAPIError``, so that ``ModelFallback`` and the agent's own hooks handle it.
    """

    def __init__(self, failed: StepFailed) -> None:
        """Take over what is known of the failed step."""
        super().__init__("", str(failed))
        vars(self).update(vars(failed))


@contextmanager
def marked_for_retry() -> Generator[None]:
    """Mark what a model raises with what it means for the next attempt. In LLM workers.

    A provider's wish for a pause is followed. A request that the provider rejects is not made again, and one for which
    the account has no quota left is made again once a person resumes the run. Of several models that fall back to each
    other, the last one decides about quota.
    """
    try:
        yield
    except FallbackExceptionGroup as group:
        if _is_unpaid(group.exceptions[-1]):
            group.__class__ = _also(cast("Any", type(group)), QuotaExceeded)
        raise
    except ModelAPIError as error:
        pause: float | None = getattr(error, "retry_after", None)
        if _is_unpaid(error):
            error.__class__ = _also(cast("Any", type(error)), QuotaExceeded)
        elif isinstance(error, ModelRequestRejectedError) or getattr(error, "status_code", None) in _REJECTED:
            error.__class__ = _also(cast("Any", type(error)), Fatal)
        elif pause is not None:
            error.__class__ = _also(cast("Any", type(error)), RetryAfter)
            error.__dict__["seconds"] = min(pause, LONGEST_PAUSE)
        raise


def _is_unpaid(error: Exception) -> bool:
    return isinstance(error, ModelQuotaExceededError) or getattr(error, "status_code", None) == _UNPAID


@cache
def _also(cls: Any, mark: type[Exception]) -> Any:
    """Return the class of errors that are of ``cls`` and have a mark too. Handlers of either class catch them."""
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, (cls, mark), names)


def falls_back(context: Any) -> bool:
    """Return whether the capability ``ModelFallback`` has a model left for the present request. In programs.

    Args:
        context: The library's context of the run.
    """
    left: list[object] = []

    def look(capability: object) -> None:
        left.extend(getattr(capability, "_remaining", ()) if type(capability).__name__ == "ModelFallback" else ())

    root = getattr(context, "root_capability", None)
    if root is not None:
        root.apply(look)
    return bool(left)


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
        why = str(failed).removeprefix(f"step {failed.step} ")
        unknown = " It is unknown whether it took effect." if isinstance(failed, OutcomeUnknown) else ""
        msg = f"the tool {why}.{unknown}"
        raise ToolFailed(msg) from failed
