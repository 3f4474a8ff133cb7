"""The exit code of each error, in one table."""

from typing import Final

from greenroom.messages.core import errors

RUN_FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
UNREACHABLE: Final = 4
CANCELLED: Final = 5
WAITING: Final = 6
"""The run waits for a person."""
TIMEOUT: Final = 124
INTERRUPTED: Final = 130
TERMINATED: Final = 143

EXITS: Final[dict[type[BaseException], int]] = {
    errors.RunFailed: RUN_FAILED,
    errors.StepFailed: RUN_FAILED,
    errors.WorkersUnavailable: RUN_FAILED,
    errors.JournalError: RUN_FAILED,
    errors.CodecError: RUN_FAILED,
    errors.NotSerializable: RUN_FAILED,
    errors.InvalidInput: USAGE,
    errors.DefinitionError: USAGE,
    errors.IdConflict: USAGE,
    errors.HomeInUse: USAGE,
    errors.RetryRefused: USAGE,
    errors.CannotServe: USAGE,
    errors.RunNotFound: NOT_FOUND,
    errors.WorkerNotFound: NOT_FOUND,
    errors.ApprovalNotFound: NOT_FOUND,
    errors.ApprovalClosed: USAGE,
    errors.ScheduleNotFound: NOT_FOUND,
    errors.OrchestratorUnreachable: UNREACHABLE,
    errors.OrchestratorClosed: UNREACHABLE,
    errors.NotAuthorized: UNREACHABLE,
    errors.TurnFailed: RUN_FAILED,
    errors.RunEnded: USAGE,
    errors.RunCancelled: CANCELLED,
    errors.RunParked: WAITING,
    errors.GreenroomError: RUN_FAILED,
    TimeoutError: TIMEOUT,
    KeyboardInterrupt: INTERRUPTED,
    OSError: RUN_FAILED,
}
"""The code of a class also applies to subclasses that are not listed."""


def code_of(error: BaseException) -> int:
    """Return the exit code of an error: that of its nearest class in ``EXITS``, else 1.

    An orchestrator that stopped because its journal failed has the code of the journal's failure: it was reached.
    """
    if isinstance(error, errors.OrchestratorClosed) and isinstance(error.__cause__, errors.JournalError):
        error = error.__cause__
    return next((EXITS[kind] for kind in type(error).__mro__ if kind in EXITS), RUN_FAILED)
