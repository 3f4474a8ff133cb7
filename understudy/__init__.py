"""AI agents as a distributed system: workflows whose steps run in supervised processes and survive their death.

Every public name is here and is loaded when it is first used, so importing this package costs next to nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from understudy.version import VERSION

if TYPE_CHECKING:
    from understudy.actors.approving import approve
    from understudy.actors.current import current
    from understudy.actors.emitting import emit
    from understudy.actors.models.mock import MockModel
    from understudy.actors.receiving import receive
    from understudy.actors.replayed import now, random, uuid4
    from understudy.actors.sending import signal
    from understudy.messages.approvals import Approval
    from understudy.messages.errors import (
        ApprovalClosed,
        ApprovalNotFound,
        DefinitionError,
        Fatal,
        HomeInUse,
        IdConflict,
        InvalidInput,
        JournalError,
        MailboxFull,
        NotAuthorized,
        NotSerializable,
        OrchestratorClosed,
        OrchestratorUnreachable,
        OutcomeUnknown,
        RetryAfter,
        RetryRefused,
        RunCancelled,
        RunEnded,
        RunFailed,
        RunNotFound,
        RunParked,
        ScheduleBusy,
        ScheduleNotFound,
        SessionClosed,
        StepFailed,
        StepQuarantined,
        StepRejected,
        TurnFailed,
        UnderstudyError,
        WorkerNotFound,
        WorkersUnavailable,
    )
    from understudy.messages.evaluation import Score
    from understudy.messages.policy import Budget, Retry
    from understudy.messages.records import LogLine
    from understudy.supervision.protocol import Pool
    from understudy.workflows.async_run import AsyncRun
    from understudy.workflows.async_schedule import AsyncSchedule
    from understudy.workflows.async_session import AsyncSession
    from understudy.workflows.asynchronous import AsyncClient, AsyncOrchestrator
    from understudy.workflows.client import Client
    from understudy.workflows.conversation import Session
    from understudy.workflows.decorators import LLM, evaluator, sleep, tool, workflow
    from understudy.workflows.handle import Run
    from understudy.workflows.orchestrator import Orchestrator
    from understudy.workflows.run import run
    from understudy.workflows.schedule_handle import Schedule
    from understudy.workflows.session import session
    from understudy.workflows.step import Step
    from understudy.workflows.workflow import Workflow

__version__ = VERSION

__all__ = [
    "LLM",
    "Approval",
    "ApprovalClosed",
    "ApprovalNotFound",
    "AsyncClient",
    "AsyncOrchestrator",
    "AsyncRun",
    "AsyncSchedule",
    "AsyncSession",
    "Budget",
    "Client",
    "DefinitionError",
    "Fatal",
    "HomeInUse",
    "IdConflict",
    "InvalidInput",
    "JournalError",
    "LogLine",
    "MailboxFull",
    "MockModel",
    "NotAuthorized",
    "NotSerializable",
    "Orchestrator",
    "OrchestratorClosed",
    "OrchestratorUnreachable",
    "OutcomeUnknown",
    "Pool",
    "Retry",
    "RetryAfter",
    "RetryRefused",
    "Run",
    "RunCancelled",
    "RunEnded",
    "RunFailed",
    "RunNotFound",
    "RunParked",
    "Schedule",
    "ScheduleBusy",
    "ScheduleNotFound",
    "Score",
    "Session",
    "SessionClosed",
    "Step",
    "StepFailed",
    "StepQuarantined",
    "StepRejected",
    "TurnFailed",
    "UnderstudyError",
    "WorkerNotFound",
    "WorkersUnavailable",
    "Workflow",
    "__version__",
    "approve",
    "current",
    "emit",
    "evaluator",
    "now",
    "random",
    "receive",
    "run",
    "session",
    "signal",
    "sleep",
    "tool",
    "uuid4",
    "workflow",
]

_HOMES = {
    "AsyncClient": "workflows.asynchronous",
    "AsyncOrchestrator": "workflows.asynchronous",
    "AsyncRun": "workflows.async_run",
    "AsyncSchedule": "workflows.async_schedule",
    "AsyncSession": "workflows.async_session",
    "Budget": "messages.policy",
    "Client": "workflows.client",
    "LLM": "workflows.decorators",
    "LogLine": "messages.records",
    "Approval": "messages.approvals",
    "approve": "actors.approving",
    "MockModel": "actors.models.mock",
    "Orchestrator": "workflows.orchestrator",
    "Pool": "supervision.protocol",
    "Retry": "messages.policy",
    "Run": "workflows.handle",
    "Session": "workflows.conversation",
    "Schedule": "workflows.schedule_handle",
    "Score": "messages.evaluation",
    "Step": "workflows.step",
    "Workflow": "workflows.workflow",
    "current": "actors.current",
    "emit": "actors.emitting",
    "evaluator": "workflows.decorators",
    "now": "actors.replayed",
    "random": "actors.replayed",
    "receive": "actors.receiving",
    "run": "workflows.run",
    "session": "workflows.session",
    "signal": "actors.sending",
    "sleep": "workflows.decorators",
    "tool": "workflows.decorators",
    "uuid4": "actors.replayed",
    "workflow": "workflows.decorators",
}
"""The module of each public name that is no error."""

if not os.path.isdir(os.path.join(__path__[0], "messages")):  # noqa: PTH112, PTH118  pathlib would be the largest part of this import
    # A checkout without its links, as on file systems that have none: the packages lie beside this one.
    __path__.append(os.path.dirname(__path__[0]))  # noqa: PTH120  see above


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'messages.errors')}"), name)
    globals()[name] = value  # so that this function is asked once
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
