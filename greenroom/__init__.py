"""AI agents as a distributed system: workflows whose steps run in supervised processes and survive their death.

Every public name is here and is loaded when it is first used, so importing this package costs next to nothing.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from greenroom.version import VERSION

# A variable, since a type checker on another system would take all that follows the comparison for unreachable.
_platform: str = sys.platform
if _platform != "linux":
    _message = (
        "greenroom needs Linux: in a checkout, build a container with `docker build -f Containerfile -t greenroom .` "
        "and run the demo with `docker run --rm -it --init greenroom demo`, or, on Windows, install greenroom in WSL 2"
    )
    raise ImportError(_message)

if TYPE_CHECKING:
    from greenroom.actors.agent.conversation import Conversation
    from greenroom.actors.api.approve import approve
    from greenroom.actors.api.deterministic import now, random, uuid4
    from greenroom.actors.api.emit import emit
    from greenroom.actors.api.receive import receive
    from greenroom.actors.api.signal import signal
    from greenroom.actors.api.step_context import current
    from greenroom.actors.models import Model, ModelReply, ModelRequest
    from greenroom.actors.models.embedded.mock import MockModel
    from greenroom.messages.core.errors import (
        AgentFailed,
        ApprovalClosed,
        ApprovalNotFound,
        ContextTooLong,
        DefinitionError,
        EvaluatorFailure,
        Fatal,
        GreenroomError,
        HomeInUse,
        IdConflict,
        InvalidInput,
        JournalError,
        MailboxFull,
        ModelFailed,
        NotAuthorized,
        NotSerializable,
        OrchestratorClosed,
        OrchestratorUnreachable,
        OutcomeUnknown,
        QuotaExceeded,
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
        WorkerNotFound,
        WorkersUnavailable,
    )
    from greenroom.messages.options.call_limits import Breaker, ModelLimit
    from greenroom.messages.options.policy import Budget, Retry
    from greenroom.messages.records.approvals import Approval
    from greenroom.messages.records.evaluation import Score
    from greenroom.messages.records.records import LogLine
    from greenroom.messages.transcript import (
        AssistantMessage,
        ToolCall,
        ToolMessage,
        ToolSchema,
        TranscriptMessage,
        UserMessage,
    )
    from greenroom.supervision.jobs import Pool
    from greenroom.workflows.api.async_orchestrator import AsyncClient, AsyncOrchestrator
    from greenroom.workflows.api.client.client import Client
    from greenroom.workflows.api.handles.async_run import AsyncRun
    from greenroom.workflows.api.handles.async_schedule import AsyncSchedule
    from greenroom.workflows.api.handles.async_session import AsyncSession
    from greenroom.workflows.api.handles.run import Run
    from greenroom.workflows.api.handles.schedule import Schedule
    from greenroom.workflows.api.handles.session import Session
    from greenroom.workflows.api.orchestrator import Orchestrator
    from greenroom.workflows.api.run import run
    from greenroom.workflows.authoring.decorators import evaluator, sleep, tool, workflow
    from greenroom.workflows.authoring.evaluators.judge import Judge, Pairwise
    from greenroom.workflows.authoring.evaluators.panel import Panel
    from greenroom.workflows.authoring.evaluators.person import Person
    from greenroom.workflows.authoring.evaluators.rule import Rule
    from greenroom.workflows.authoring.llm import LLM
    from greenroom.workflows.authoring.mcp import McpServer, McpTool, mcp
    from greenroom.workflows.authoring.session import session
    from greenroom.workflows.authoring.step import Step
    from greenroom.workflows.authoring.workflow import Workflow

__version__ = VERSION

__all__ = [
    "LLM",
    "AgentFailed",
    "Approval",
    "ApprovalClosed",
    "ApprovalNotFound",
    "AssistantMessage",
    "AsyncClient",
    "AsyncOrchestrator",
    "AsyncRun",
    "AsyncSchedule",
    "AsyncSession",
    "Breaker",
    "Budget",
    "Client",
    "ContextTooLong",
    "Conversation",
    "DefinitionError",
    "EvaluatorFailure",
    "Fatal",
    "GreenroomError",
    "HomeInUse",
    "IdConflict",
    "InvalidInput",
    "JournalError",
    "Judge",
    "LogLine",
    "MailboxFull",
    "McpServer",
    "McpTool",
    "MockModel",
    "Model",
    "ModelFailed",
    "ModelLimit",
    "ModelReply",
    "ModelRequest",
    "NotAuthorized",
    "NotSerializable",
    "Orchestrator",
    "OrchestratorClosed",
    "OrchestratorUnreachable",
    "OutcomeUnknown",
    "Pairwise",
    "Panel",
    "Person",
    "Pool",
    "QuotaExceeded",
    "Retry",
    "RetryAfter",
    "RetryRefused",
    "Rule",
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
    "ToolCall",
    "ToolMessage",
    "ToolSchema",
    "TranscriptMessage",
    "TurnFailed",
    "UserMessage",
    "WorkerNotFound",
    "WorkersUnavailable",
    "Workflow",
    "__version__",
    "approve",
    "current",
    "emit",
    "evaluator",
    "mcp",
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
    "AsyncClient": "workflows.api.async_orchestrator",
    "AsyncOrchestrator": "workflows.api.async_orchestrator",
    "AsyncRun": "workflows.api.handles.async_run",
    "AsyncSchedule": "workflows.api.handles.async_schedule",
    "AsyncSession": "workflows.api.handles.async_session",
    "Breaker": "messages.options.call_limits",
    "Budget": "messages.options.policy",
    "Client": "workflows.api.client.client",
    "Conversation": "actors.agent.conversation",
    "Judge": "workflows.authoring.evaluators.judge",
    "LLM": "workflows.authoring.llm",
    "LogLine": "messages.records.records",
    "McpServer": "workflows.authoring.mcp",
    "McpTool": "workflows.authoring.mcp",
    "mcp": "workflows.authoring.mcp",
    "Approval": "messages.records.approvals",
    "approve": "actors.api.approve",
    "AssistantMessage": "messages.transcript",
    "MockModel": "actors.models.embedded.mock",
    "Model": "actors.models",
    "ModelReply": "actors.models",
    "ModelRequest": "actors.models",
    "ToolCall": "messages.transcript",
    "ToolMessage": "messages.transcript",
    "ToolSchema": "messages.transcript",
    "TranscriptMessage": "messages.transcript",
    "UserMessage": "messages.transcript",
    "ModelLimit": "messages.options.call_limits",
    "Orchestrator": "workflows.api.orchestrator",
    "Pairwise": "workflows.authoring.evaluators.judge",
    "Panel": "workflows.authoring.evaluators.panel",
    "Person": "workflows.authoring.evaluators.person",
    "Pool": "supervision.jobs",
    "Retry": "messages.options.policy",
    "Rule": "workflows.authoring.evaluators.rule",
    "Run": "workflows.api.handles.run",
    "Session": "workflows.api.handles.session",
    "Schedule": "workflows.api.handles.schedule",
    "Score": "messages.records.evaluation",
    "Step": "workflows.authoring.step",
    "Workflow": "workflows.authoring.workflow",
    "current": "actors.api.step_context",
    "emit": "actors.api.emit",
    "evaluator": "workflows.authoring.decorators",
    "now": "actors.api.deterministic",
    "random": "actors.api.deterministic",
    "receive": "actors.api.receive",
    "run": "workflows.api.run",
    "session": "workflows.authoring.session",
    "signal": "actors.api.signal",
    "sleep": "workflows.authoring.decorators",
    "tool": "workflows.authoring.decorators",
    "uuid4": "actors.api.deterministic",
    "workflow": "workflows.authoring.decorators",
}
"""The module of each public name that is not an error."""


if not os.path.isdir(os.path.join(__path__[0], "messages")):  # noqa: PTH112, PTH118  pathlib would double this import
    # A checkout without its links, as on file systems that have none: the packages lie beside this one.
    __path__.append(os.path.dirname(__path__[0]))  # noqa: PTH120  see above


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        if (hint := import_module(f"{__name__}.messages.core.other_names").PACKAGE.get(name)) is not None:
            # `from greenroom import NAME` puts a sentence of Python's own in the place of an AttributeError.
            raise ImportError(f"{msg}: {hint}", name=__name__)  # noqa: EM102
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'messages.core.errors')}"), name)
    globals()[name] = value  # so that this function is asked once
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
