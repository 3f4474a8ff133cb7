"""Questions of tools as text and arguments for a person, and decisions as answers."""

import pytest

from greenroom import Approval, Fatal
from greenroom.actors.mcp.questions import QUESTIONS, answer, question, questions_of


def form(properties: dict[str, object], message: str = "Sure?") -> dict[str, object]:
    params = {"mode": "form", "message": message, "requestedSchema": {"type": "object", "properties": properties}}
    return {"method": "elicitation/create", "params": params}


@pytest.mark.parametrize("result", [None, "text", [1], {}, {"deleted": True}, {QUESTIONS: {}, "more": 1}])
def test_what_a_tool_returns_is_no_question(result):
    assert questions_of(result) is None


def test_questions_come_by_key_with_the_state_of_the_server():
    assert questions_of({QUESTIONS: {"requests": {"q1": form({})}, "state": "s"}}) == ({"q1": form({})}, "s")


@pytest.mark.parametrize(
    ("field", "proposed"),
    [
        ({"type": "boolean"}, True),
        ({"type": "boolean", "default": False}, False),
        ({"type": "string"}, ""),
        ({"type": "integer"}, 0),
        ({"type": "number", "default": 1.5}, 1.5),
        ({"type": "array", "items": {"enum": ["a"]}}, []),
        ({"type": "string", "enum": ["red", "blue"]}, "red"),
        ({"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]}, "r"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, None),
    ],
)
def test_each_field_has_a_value_that_approval_sends(field, proposed):
    assert question("delete", form({"it": field})) == (
        "delete: Sure?" + ({"red": " (it: red|blue)", "r": " (it: r|b)"}.get(str(proposed), "")),
        {"it": proposed},
    )


def test_a_page_to_visit_is_named_and_answered_without_content():
    request = {"method": "elicitation/create", "params": {"mode": "url", "message": "Pay", "url": "https://a.example"}}
    assert question("buy", request) == ("buy: Pay (open https://a.example)", None)
    assert answer(Approval(decision="approve")) == {"action": "accept"}


@pytest.mark.parametrize(
    ("approval", "sent"),
    [
        (Approval(decision="approve", args={"a": 1}), {"action": "accept", "content": {"a": 1}}),
        (Approval(decision="edit", args={"a": 2}), {"action": "accept", "content": {"a": 2}}),
        (Approval(decision="reject", args={"a": 1}), {"action": "decline"}),
    ],
)
def test_a_decision_is_an_answer(approval, sent):
    assert answer(approval) == sent


def test_a_request_for_a_model_is_refused():
    with pytest.raises(Fatal, match="tool `think` asks for sampling/createMessage, which is not offered"):
        question("think", {"method": "sampling/createMessage", "params": {}})
