"""Tools as an agent calls them, and their outcomes as text for the model."""

from difflib import get_close_matches
from typing import Any, Final, Protocol, cast

from pydantic_core import from_json

from greenroom.messages.core.errors import GreenroomError, OutcomeUnknown, StepFailed
from greenroom.messages.core.json_text import plain, text_of
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import ToolCall, ToolSchema

LONGEST_TEXT: Final = 50_000
"""Most characters of a result that a model is given."""


class AgentTool(Protocol):
    """A tool that an agent may call. Used in the program, or where an agent is called in place."""

    @property
    def schema(self) -> ToolSchema:
        """The tool as the model sees it."""
        ...

    def read(self, arguments: dict[str, Any]) -> dict[str, Json]:
        """Return arguments in their normal form.

        Raises:
            InvalidInput: They do not fit the tool; every wrong one is named.
        """
        ...

    def asks_approval(self, arguments: dict[str, Json]) -> bool:
        """Return whether a person must approve this call."""
        ...

    async def call(self, label: str, arguments: dict[str, Json]) -> Json:
        """Call the tool.

        Args:
            label: Distinguishes this call from others of the same tool, in the keys of its steps.
            arguments: As ``read`` returns them.

        Raises:
            Exception: The tool failed.
        """
        ...


class BadCall(Exception):  # noqa: N818  the model's mistake, not an error of this package
    """A model asks for something that cannot be called; the message tells it why."""


def read_arguments(tool: AgentTool, call: ToolCall) -> dict[str, Json]:
    """Return the arguments of a call.

    Raises:
        BadCall: They are not JSON, not an object, or do not fit the tool.
    """
    try:
        arguments: Any = from_json(call.arguments or "{}", allow_inf_nan=False)
    except ValueError as error:
        msg = f"the arguments of {call.name} are not JSON: {error}"
        raise BadCall(msg) from None
    if not isinstance(arguments, dict):
        msg = f"the arguments of {call.name} are not a JSON object with the parameters by name"
        raise BadCall(msg)
    try:
        return tool.read(cast("dict[str, Any]", arguments))
    except GreenroomError as error:
        raise BadCall(str(error)) from None


def unknown_tool(name: str, known: list[str]) -> str:
    """Return a sentence for a model that asks for a tool that does not exist."""
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"there is no tool {name!r}, only {', '.join(known) or 'none at all'}{hint}"


def result_text(result: Json) -> str:
    """Return a result as text for the model: text as it is, other values as JSON."""
    value = plain(result)
    return shorten(value if isinstance(value, str) else text_of(result).decode())


def failure_text(error: Exception) -> str:
    """Return a failure as text for the model."""
    if isinstance(error, OutcomeUnknown):
        return shorten(
            f"the call was interrupted and its outcome is unknown: it may have taken effect, or not. "
            f"Do not repeat it unless you can check that it did not. ({error})"
        )
    if isinstance(error, (StepFailed, GreenroomError, TimeoutError)):
        return shorten(f"the call failed: {error}")
    return shorten(f"the call failed: {type(error).__name__}: {error}")


def shorten(text: str) -> str:
    """Return the start and the end of a long text."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
