"""Questions that a tool of an MCP server asks in the middle of a call, and their answers. Pure."""

from collections.abc import Mapping
from typing import Any, Final, cast

from greenroom.messages.core.errors import Fatal
from greenroom.messages.records.approvals import Approval

QUESTIONS: Final = "greenroom:input_required"
"""The only name in the result of a call that asks instead of returning: its value has ``requests`` by key and the
server's ``state``."""
_ZERO: Final[Mapping[str, Any]] = {"string": "", "integer": 0, "number": 0, "boolean": True, "array": []}


def questions_of(result: Any) -> tuple[dict[str, Any], str | None] | None:
    """Return the questions in the result of a call by key, and the server's state; None if the call has returned."""
    if not isinstance(result, dict) or cast("dict[str, Any]", result).keys() != {QUESTIONS}:
        return None
    asked = cast("dict[str, Any]", result)[QUESTIONS]
    return asked["requests"], asked["state"]


def question(tool: str, request: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return what to ask a person, and the answer that is sent if the person approves without editing.

    The answer has each field that the server asks for: its default, the first allowed value, or an empty one. A field
    that is true or false is true, as approval says yes.

    Raises:
        Fatal: The server asks for something that no person can answer.
    """
    params = request["params"]
    if request["method"] != "elicitation/create":
        msg = f"tool `{tool}` asks for {request['method']}, which is not offered to MCP servers"
        raise Fatal(msg)
    if params.get("mode") == "url":
        return f"{tool}: {params['message']} (open {params['url']})", None
    properties: dict[str, Any] = params["requestedSchema"].get("properties", {})
    choices = {name: _allowed(field) for name, field in properties.items()}
    hints = [f"{name}: {'|'.join(map(str, allowed))}" for name, allowed in choices.items() if allowed]
    text = f"{tool}: {params['message']}" + (f" ({'; '.join(hints)})" if hints else "")
    return text, {name: _proposed(field) for name, field in properties.items()}


def _allowed(field: Mapping[str, Any]) -> list[Any]:
    """Return the values that a field may have, if it says so."""
    listed = field.get("enum") or [each.get("const") for each in field.get("oneOf", field.get("anyOf", ()))]
    return [value for value in listed if value is not None]


def _proposed(field: Mapping[str, Any]) -> Any:
    if "default" in field:
        return field["default"]
    allowed = _allowed(field)
    return allowed[0] if allowed else _ZERO.get(field.get("type", ""))


def answer(approval: Approval) -> dict[str, Any]:
    """Return a person's decision as the answer to a server's question."""
    if approval.decision == "reject":
        return {"action": "decline"}
    return {"action": "accept"} if approval.args is None else {"action": "accept", "content": approval.args}
