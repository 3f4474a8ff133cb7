"""What an orchestrator asks a worker about the app that it has loaded."""

from typing import Literal

from pydantic import Field

from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Frame, Json
from greenroom.messages.policy import Budget, Limits, SessionPolicy

__all__ = [
    "AppDescribed",
    "ArgumentsChecked",
    "CheckArguments",
    "CheckEdit",
    "CheckMessage",
    "CheckResult",
    "CheckSignal",
    "Definition",
    "DescribeApp",
    "MessageChecked",
    "ResultChecked",
]


class DescribeApp(Frame):
    """Ask for the manifest of the app this worker has loaded."""

    type: Literal["app.describe"] = "app.describe"
    id: str


class CheckMessage(Frame):
    """Ask whether a message fits a session's handler."""

    type: Literal["message.check"] = "message.check"
    id: str
    session: str
    name: str
    """Of the message's type; empty where the value is to say which."""
    value: Json


class CheckSignal(Frame):
    """Ask whether anything in the app could take a message to one of its runs."""

    type: Literal["signal.check"] = "signal.check"
    id: str
    name: str
    """Of the message's type."""
    value: Json


class CheckArguments(Frame):
    """Ask whether arguments fit a workflow's signature."""

    type: Literal["arguments.check"] = "arguments.check"
    id: str
    workflow: str
    arguments: dict[str, Json]
    version: int | None = None
    """Which of the workflows of that name; None for the newest."""


class CheckResult(Frame):
    """Ask whether a value could be the result of a step."""

    type: Literal["result.check"] = "result.check"
    id: str
    step: str
    """Reference of the definition."""
    value: Json


class CheckEdit(Frame):
    """Ask whether a value could stand in the place of what a workflow asks a person about."""

    type: Literal["edit.check"] = "edit.check"
    id: str
    form: str
    """The model of what is asked about, ``module:qualname``."""
    value: Json


class Definition(Frame):
    """One decorated thing of an app."""

    name: str
    kind: Literal["workflow", "session", "tool", "llm", "evaluator"]
    ref: str
    pool: str = ""
    limits: Limits | None = None
    doc: str = ""
    parameters: tuple[str, ...] = ()
    """Names of the parameters, in order, the shared state left out."""
    version: int = 1
    """Of a workflow: which of those of its name."""
    fingerprint: str = ""
    """Of a workflow: changes with its code, and with the steps that it can reach."""
    input_schema: Json = None
    """Of a workflow: the JSON Schema of its arguments, an object; where the app was asked to describe itself."""
    result_schema: Json = None
    """The same of what it gives."""
    state_schema: Json = None
    """The same of a session's state."""
    messages: dict[str, Json] = Field(default_factory=dict)
    """The same of the messages that a session takes, by their types' names."""


class AppDescribed(Frame):
    """The manifest of an app: what it defines."""

    type: Literal["app.described"] = "app.described"
    id: str
    definitions: tuple[Definition, ...]
    faults: tuple[Fault, ...] = ()
    """Why it cannot be described."""


class ArgumentsChecked(Frame):
    """The answer to ``CheckArguments``: the arguments by name, defaults filled in, or all that is wrong with them."""

    type: Literal["arguments.checked"] = "arguments.checked"
    id: str
    arguments: dict[str, Json] = Field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    unknown_workflow: bool = False
    version: int = 1
    """Of the workflow that was asked."""
    fingerprint: str = ""
    budget: Budget | None = None
    """The workflow's."""


class ResultChecked(Frame):
    """The answer to ``CheckResult`` and ``CheckEdit``: the value in its normal form, or all that is wrong with it."""

    type: Literal["result.checked"] = "result.checked"
    id: str
    value: Json = None
    faults: tuple[Fault, ...] = ()
    unknown_form: bool = False
    """Whether the app has no such model any more, so that the value is as it came."""


class MessageChecked(Frame):
    """The answer to ``CheckMessage`` and ``CheckSignal``: the message in its normal form, or what is wrong with it."""

    type: Literal["message.checked"] = "message.checked"
    id: str
    name: str = ""
    value: Json = None
    policy: SessionPolicy = SessionPolicy()
    """Of the session's handler."""
    faults: tuple[Fault, ...] = ()
    unknown_session: bool = False
