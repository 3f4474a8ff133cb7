"""Questions of the orchestrator to a worker about its app, and the answers."""

from typing import Literal

from pydantic import Field

from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Frame, Json
from greenroom.messages.options.policy import Budget, Limits, SessionPolicy

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
    """Ask for the manifest of the worker's app."""

    type: Literal["app.describe"] = "app.describe"
    id: str


class CheckMessage(Frame):
    """Ask whether a message fits a session's handler."""

    type: Literal["message.check"] = "message.check"
    id: str
    session: str
    name: str
    """Name of the message's type; empty if the value determines it."""
    value: Json


class CheckSignal(Frame):
    """Ask whether anything in the app could receive a message sent to one of its runs."""

    type: Literal["signal.check"] = "signal.check"
    id: str
    name: str
    """Name of the message's type."""
    value: Json


class CheckArguments(Frame):
    """Ask whether arguments fit a workflow's signature."""

    type: Literal["arguments.check"] = "arguments.check"
    id: str
    workflow: str
    arguments: dict[str, Json]
    version: int | None = None
    """Version of the workflow; None for the newest."""


class CheckResult(Frame):
    """Ask whether a value could be the result of a step."""

    type: Literal["result.check"] = "result.check"
    id: str
    step: str
    """Reference of the definition."""
    value: Json


class CheckEdit(Frame):
    """Ask whether a value could replace the arguments of an approval."""

    type: Literal["edit.check"] = "edit.check"
    id: str
    form: str
    """Model of the original arguments, ``module:qualname``."""
    value: Json


class Definition(Frame):
    """One definition of an app."""

    name: str
    kind: Literal["workflow", "session", "tool", "llm", "evaluator"]
    ref: str
    pool: str = ""
    limits: Limits | None = None
    doc: str = ""
    parameters: tuple[str, ...] = ()
    """Names of the parameters, in order, without the shared state."""
    version: int = 1
    """Of a workflow: its version."""
    fingerprint: str = ""
    """Of a workflow: changes with its code, and with the steps that it can reach."""
    input_schema: Json = None
    """Of a workflow: JSON Schema of its arguments, an object. Only set by a description of the app."""
    result_schema: Json = None
    """JSON Schema of its result."""
    state_schema: Json = None
    """Of a session: JSON Schema of its state."""
    messages: dict[str, Json] = Field(default_factory=dict)
    """Of a session: JSON Schemas of the messages that it accepts, by their types' names."""


class AppDescribed(Frame):
    """The manifest of an app: its definitions."""

    type: Literal["app.described"] = "app.described"
    id: str
    definitions: tuple[Definition, ...]
    faults: tuple[Fault, ...] = ()
    """Why the app cannot be described."""


class ArgumentsChecked(Frame):
    """The answer to ``CheckArguments``: the arguments by name with defaults, or everything that is wrong with them."""

    type: Literal["arguments.checked"] = "arguments.checked"
    id: str
    arguments: dict[str, Json] = Field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    unknown_workflow: bool = False
    version: int = 1
    """Version of the workflow."""
    fingerprint: str = ""
    budget: Budget | None = None
    """Budget of the workflow."""
    unpriced: tuple[str, ...] = ()
    """Names of the models that the workflow can reach and whose price is not known."""


class ResultChecked(Frame):
    """The answer to ``CheckResult`` and ``CheckEdit``: the value in its normal form, or everything wrong with it."""

    type: Literal["result.checked"] = "result.checked"
    id: str
    value: Json = None
    faults: tuple[Fault, ...] = ()
    unknown_form: bool = False
    """Whether the app no longer has such a model. The value is then unchanged."""


class MessageChecked(Frame):
    """The answer to ``CheckMessage`` and ``CheckSignal``: the message in its normal form, or all that is wrong."""

    type: Literal["message.checked"] = "message.checked"
    id: str
    name: str = ""
    value: Json = None
    policy: SessionPolicy = SessionPolicy()
    """Policy of the session's handler."""
    faults: tuple[Fault, ...] = ()
    unknown_session: bool = False
