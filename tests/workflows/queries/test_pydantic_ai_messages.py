"""Messages of Pydantic AI as messages of a transcript."""

from greenroom.messages.transcript import AssistantMessage, ToolCall, ToolMessage, UserMessage
from greenroom.workflows.queries.transcripts.pydantic_ai_messages import read_messages


def request(*parts):
    return {"kind": "request", "parts": list(parts)}


def test_a_prompt_of_several_items_names_what_is_no_text():
    items = ["Look:", {"kind": "image-url", "url": "https://x/y.png"}, {"kind": "text-content", "content": "a cat"}]
    messages = [request({"part_kind": "user-prompt", "content": items})]
    assert list(read_messages(messages)) == [UserMessage(text="Look:\n[image-url]\na cat")]


def test_what_the_library_says_by_itself_is_left_out():
    messages = [
        request({"part_kind": "system-prompt", "content": "Be brief."}, {"part_kind": "user-prompt", "content": "Hi."}),
        {
            "kind": "response",
            "parts": [{"part_kind": "thinking", "content": "Hm."}, {"part_kind": "text", "content": "A"}],
        },
    ]
    assert list(read_messages(messages)) == [UserMessage(text="Hi."), AssistantMessage(text="A")]


def test_results_of_tools_and_what_was_wrong_are_told_apart():
    call = {"part_kind": "tool-call", "tool_name": "find", "args": '{"q": 1}', "tool_call_id": "c1"}
    returned = {"part_kind": "tool-return", "tool_name": "find", "content": {"n": 2}, "tool_call_id": "c1"}
    refused = {
        "part_kind": "tool-return",
        "tool_name": "pay",
        "content": "no",
        "tool_call_id": "c2",
        "outcome": "denied",
    }
    wrong = {"part_kind": "retry-prompt", "tool_name": "find", "content": [{"msg": "x"}], "tool_call_id": "c3"}
    again = {"part_kind": "retry-prompt", "tool_name": None, "content": "Answer with a number."}
    messages = [{"kind": "response", "parts": [call], "model_name": "m"}, request(returned, refused, wrong, again)]
    assert list(read_messages(messages)) == [
        AssistantMessage(calls=(ToolCall(id="c1", name="find", arguments='{"q": 1}'),), model="m"),
        ToolMessage(call="c1", name="find", text='{"n":2}'),
        ToolMessage(call="c2", name="pay", text="no", failed=True),
        ToolMessage(call="c3", name="find", text='[{"msg":"x"}]', failed=True),
        UserMessage(text="Answer with a number."),
    ]


def test_a_value_that_is_no_message_is_shown_as_it_is():
    assert list(read_messages(["Soon."])) == [AssistantMessage(text='"Soon."')]
