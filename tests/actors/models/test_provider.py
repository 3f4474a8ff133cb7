"""A server that misbehaves in each way that is known, and what becomes of it: one request, and one outcome."""

import asyncio
import json
import re
import socket
from dataclasses import replace
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError

from greenroom.actors.failures.description import describe_exception
from greenroom.actors.failures.reconstruction import reconstructed
from greenroom.actors.models import answer_limit
from greenroom.actors.models.provider_errors import pause_of
from greenroom.actors.models.provider_names import PROVIDERS
from greenroom.messages.core.errors import (
    ContextTooLong,
    Fatal,
    ModelFailed,
    QuotaExceeded,
    RetryAfter,
    StepFailed,
)
from greenroom.messages.transcript import AssistantMessage, ToolMessage, ToolSchema, UserMessage
from tests.actors.models.asking import ask
from tests.actors.models.conftest import KEYS
from tests.actors.models.provider_server import ProviderServer, Request, chat, error, respond

ALL = ("openai-chat", "openai-responses", "anthropic")
SEARCH = ToolSchema(
    name="search",
    description="Find things.",
    parameters={"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
BRIEF = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "bullets": {"type": "array", "items": {"type": "string"}}},
    "required": ["title", "bullets"],
}


# ---------------------------------------------------------------- errors

FAILURES: list[tuple[str, tuple[str, ...], type[Exception], str]] = [
    ("rate-limited", ALL, RetryAfter, "limits the rate of requests (slow down)"),
    ("quota", ALL, QuotaExceeded, "has no credit or quota left"),
    ("unpaid", ALL, QuotaExceeded, "top it up or raise its limit"),
    ("wrong-key", ALL, Fatal, "does not accept the key (status 401)"),
    (
        "invalid-key",
        ALL,
        Fatal,
        "does not accept the key (status 400) (API key not valid. Please pass a valid API key.",
    ),
    ("forbidden", ALL, Fatal, "(status 403) (not allowed): check the key in"),
    ("missing", ALL, Fatal, "does not know the model"),
    ("too-long", ALL, ContextTooLong, "is longer than the model"),
    ("bad-request", ALL, Fatal, "rejected the request (status 400) (temperature is not supported)"),
    ("too-large", ALL, ContextTooLong, "can read (request too large): shorten it"),
    ("context-size", ALL, ContextTooLong, "shorten it, or use a model that reads more"),
    ("conflict", ALL, ModelFailed, "(status 409)"),
    ("broken", ALL, ModelFailed, "has an error of its own (status 500) (internal)"),
    ("gateway", ALL, ModelFailed, "(status 502)"),
    ("unavailable", ALL, RetryAfter, "(status 503)"),
    ("overloaded", ALL, ModelFailed, "(status 529)"),
    ("error-event", ALL, ModelFailed, "has an error of its own"),
    ("resets", ALL, ModelFailed, "broke before the whole answer came"),
    (
        "counts-too-much",
        ("openai-chat",),
        ModelFailed,
        "cannot be read: input_tokens of a model's answer must be between",
    ),
    ("short-body", ALL, ModelFailed, "broke before the whole answer came"),
    ("cut", ("openai-chat",), ModelFailed, "broke before the whole answer came"),
    ("page", ALL, ModelFailed, "cannot be read"),
    ("garbage", ALL, ModelFailed, "cannot be read"),
    ("plain-json", ALL, ModelFailed, "cannot be read"),
    ("error-in-200", ALL, ModelFailed, "has an error of its own (status 500) (it broke)"),
    ("limit-in-200", ALL, RetryAfter, "limits the rate of requests (slow down)"),
    ("no-choices", ("openai-chat",), ModelFailed, "cannot be read"),
    ("no-choices-stream", ("openai-chat",), ModelFailed, "ended before the whole answer came"),
    ("unfinished", ALL, ModelFailed, "ended before the whole answer came"),
    ("cut-flash", ("google",), ModelFailed, "ended before the whole answer came"),
    ("pauses", ("anthropic",), ModelFailed, "paused before its answer was complete"),
]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        pytest.param(f"{provider}:{model}", kind, words, id=f"{provider}:{model}")
        for model, providers, kind, words in FAILURES
        for provider in providers
    ],
)
def test_each_failure_has_its_outcome_after_one_request(
    server: ProviderServer, name: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        ask(name, timeout=30.0)
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert repr(name) in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("provider", [*ALL, "google"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_without_end_is_left_before_it_fills_the_memory(server, monkeypatch, provider, status) -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter, _request: Request) -> None:
        nonlocal sent
        kind = "text/event-stream" if status == 200 else "application/json"
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\ndata: ".encode())
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    monkeypatch.setattr(answer_limit, "MOST_BYTES", 2**20)
    monkeypatch.setenv("GOOGLE_API_KEY", "a key")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    server.behaviours["endless"] = flood
    with pytest.raises(ModelFailed, match="it sent more than 1 MiB"):
        ask(f"{provider}:endless", timeout=30.0)
    assert sent < 64 * 2**20


@pytest.mark.parametrize(
    ("name", "variable"), [("openai:missing", "OPENAI_BASE_URL"), ("ollama:missing", "OLLAMA_BASE_URL")]
)
def test_a_server_that_does_not_know_a_model_may_have_another_address(server, name, variable) -> None:
    with pytest.raises(Fatal, match=rf"does not know the model .*; {variable} must lead to its API"):
        ask(name)


@pytest.mark.parametrize(
    ("name", "variable", "end"),
    [
        ("openai:MODEL", "OPENAI_BASE_URL", "with `/v1` at the end for most servers"),
        ("anthropic:MODEL", "ANTHROPIC_BASE_URL", "without a version such as `/v1` at the end"),
        ("google:MODEL", "GOOGLE_GEMINI_BASE_URL", "without a version such as `/v1` at the end"),
    ],
)
@pytest.mark.parametrize("model", ["missing", "page", "moved", "moved-for-good"])
def test_an_address_that_leads_elsewhere_is_named_with_the_form_that_it_needs(
    server, monkeypatch, name, variable, end, model
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "a key")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    with pytest.raises((Fatal, ModelFailed)) as caught:
        ask(name.replace("MODEL", model))
    assert f"{variable} must lead to its API, {end}" in str(caught.value)
    if model.startswith("moved"):
        assert "redirects to another address (status 30" in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "variable"), [("openai:answers", "OPENAI_BASE_URL"), ("vllm:answers", "VLLM_BASE_URL")]
)
def test_a_server_that_is_not_there_is_named_by_its_variable(server, monkeypatch, name, variable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv(variable, f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ModelFailed, match=rf"cannot be reached .*: check that a server runs at {variable}"):
        ask(name)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("model", ["hangs"])
def test_a_server_that_says_nothing_is_left_when_the_time_is_over(server, provider, model) -> None:
    ask(f"{provider}:answers", timeout=30.0)  # what is imported at first use is not counted
    with pytest.raises(ModelFailed, match="did not answer in time"):
        ask(f"{provider}:{model}", timeout=0.5)
    assert len(server.requests) == 2


def test_an_answer_that_drips_without_end_is_left_when_the_time_is_over(server) -> None:
    with pytest.raises(ModelFailed, match="did not answer in time"):
        ask("openai-chat:drips", timeout=0.5)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("model", "seconds"),
    [
        ("rate-limited", 7.0),
        ("rate-limited-fraction", 1.5),
        ("rate-limited-ms", 0.25),
        ("rate-limited-date", 3600.0),
        ("rate-limited-silent", 0.0),
        ("unavailable", 2.0),
    ],
)
def test_the_pause_that_a_provider_asks_for_is_kept_up_to_an_hour(server, model, seconds) -> None:
    for provider in ALL:
        with pytest.raises(RetryAfter) as caught:
            ask(f"{provider}:{model}")
        assert caught.value.seconds == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1e9"}, 3600.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Foo 2098 00:00:00 GMT"}, None),
        ({"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0.0),
        ({"retry-after": "9", "retry-after-ms": "1500"}, 1.5),
        ({}, None),
    ],
)
def test_a_pause_is_read_in_every_form_and_nonsense_is_none(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_of(ModelHTTPError(429, "m", headers=headers)) == seconds
    assert pause_of(ModelHTTPError(429, "m", retry_after=4.0)) == 4.0
    assert pause_of(ModelAPIError("m", "no status")) is None


def test_a_server_that_is_not_there_was_sent_nothing(server, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(ModelFailed, match="cannot be reached") as caught:
        ask("openai-chat:answers")
    assert not caught.value.sent
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert server.requests == []


def test_failures_keep_their_facts_on_the_way_to_a_workflow(server) -> None:
    for model, cls in [("broken", ModelFailed), ("quota", QuotaExceeded), ("too-long", ContextTooLong)]:
        with pytest.raises(cls) as caught:
            ask(f"openai-chat:{model}")
        failure = describe_exception(caught.value)
        assert failure.fatal == issubclass(cls, Fatal)
        again = reconstructed(StepFailed("it failed", step="w#1"), failure)
        assert isinstance(again, cls)
        assert isinstance(again.cause, cls)
        if cls is ModelFailed:
            assert (again.cause.status, again.cause.sent) == (500, True)


def test_no_error_holds_the_key(server) -> None:
    for number, provider in enumerate(ALL):
        key = KEYS["ANTHROPIC_API_KEY" if provider == "anthropic" else "OPENAI_API_KEY"]
        for status in (400, 401, 500):
            server.behaviours["echo"] = respond(status, error(f"{'x' * 480} your key is {key}"))
            with pytest.raises((Fatal, ModelFailed)) as caught:
                ask(f"{provider}:echo")
            failure = describe_exception(caught.value)
            assert "planted" not in failure.model_dump_json()
            assert "planted" not in str(caught.value)
            assert caught.value.__suppress_context__
        assert server.counts()["echo"] == 3 * (number + 1)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("name", ["openai-chat:answers", "openai-responses:answers", "anthropic:answers"])
def test_a_whole_answer_has_its_text_and_usage_and_its_pieces_are_told(server, name) -> None:
    pieces: list[str] = []
    reply = ask(name, on_text=pieces.append)
    assert (reply.text, reply.finish, reply.calls, reply.raw) == ("Hello, world.", "stop", (), None)
    assert (reply.input_tokens, reply.output_tokens) == (11, 7)
    assert pieces == ["Hello, ", "world."]
    assert reply.model
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["openai-chat:halves", "openai-responses:halves", "anthropic:halves"])
def test_an_emoji_that_comes_in_halves_is_joined_and_a_lone_half_is_replaced(server, name) -> None:
    pieces: list[str] = []
    reply = ask(name, on_text=pieces.append)
    assert reply.text == "a \N{OTTER} b \ufffd c \ufffd"
    assert pieces == ["a ", "\N{OTTER} b", " \ufffd c", " ", "\ufffd"]


def test_arguments_that_come_in_halves_of_an_emoji_are_joined(server) -> None:
    (call,) = ask("openai-chat:call-in-halves", tools=(SEARCH,)).calls
    assert json.loads(call.arguments) == {"query": "\N{OTTER}"}


@pytest.mark.parametrize("provider", ["ollama", "vllm"])
def test_servers_that_speak_chat_need_an_address_alone(server, monkeypatch, provider) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert ask(f"{provider}:answers").text == "Hello, world."
    assert [request.path for request in server.requests] == ["/v1/chat/completions"]
    monkeypatch.delenv(f"{provider.upper()}_BASE_URL")
    with pytest.raises(Fatal, match=f"set {provider.upper()}_BASE_URL where the orchestrator runs"):
        ask(f"{provider}:answers")


def test_openai_at_another_address_means_chat_completions(server, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask("openai:answers").text == "Hello, world."
    assert [request.path for request in server.requests] == ["/v1/chat/completions"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("openai-chat:refuses", "I cannot."),
        ("openai-chat:filters", "Hel"),
        ("openai-chat:filtered", ""),
        ("openai-responses:filtered", ""),
        ("anthropic:refuses", "I can"),
    ],
)
def test_refusals_and_filters_are_replies_and_no_errors(server, name, text) -> None:
    reply = ask(name)
    assert (reply.finish, reply.text) == ("refusal", text)
    assert len(server.requests) == 1


@pytest.mark.parametrize("provider", ALL)
def test_an_answer_that_the_limit_cut_says_so(server, provider) -> None:
    assert ask(f"{provider}:truncated").finish == "length"


@pytest.mark.parametrize("provider", ALL)
def test_the_arguments_of_a_call_are_as_the_model_wrote_them(server, provider) -> None:
    reply = ask(f"{provider}:bad-arguments", tools=(SEARCH,))
    (call,) = reply.calls
    assert (call.name, call.arguments) == ("search", '{"query": ')
    assert reply.text == ""


def test_several_calls_are_told_in_their_order(server) -> None:
    reply = ask("openai-chat:two-calls", tools=(SEARCH,))
    assert [(call.id, json.loads(call.arguments)["query"]) for call in reply.calls] == [("c1", "a"), ("c2", "b")]
    function = server.requests[0].body["tools"][0]["function"]
    assert (function["name"], function["description"]) == ("search", "Find things.")


# ---------------------------------------------------------------- answers that fit a schema


@pytest.mark.parametrize("tools", [(), (SEARCH,)])
def test_an_answer_that_fits_a_schema_is_json_with_and_without_tools(server, tools) -> None:
    reply = ask("openai-chat:by-schema", schema=BRIEF, tools=tools)
    assert json.loads(reply.text) == {"title": "Otters", "bullets": ["kelp"]}
    assert (reply.calls, reply.raw) == ((), None)


def test_a_model_may_call_a_tool_before_it_gives_an_answer_that_fits(server) -> None:
    reply = ask("openai-chat:two-calls", schema=BRIEF, tools=(SEARCH,))
    assert [call.name for call in reply.calls] == ["search", "search"]
    assert reply.text == ""
    names = [tool["function"]["name"] for tool in server.requests[0].body["tools"]]
    assert names == ["search", "give_final_answer"]


def test_a_schema_that_is_no_object_is_wrapped_on_the_way_and_unwrapped_again(server) -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/Number"}, "$defs": {"Number": {"type": "integer"}}}
    assert json.loads(ask("openai-chat:list-by-tool", schema=schema).text) == [1, 2]
    parameters = server.requests[0].body["tools"][0]["function"]["parameters"]
    assert parameters["type"] == "object"
    assert "Number" in parameters["$defs"]


def test_json_in_plain_text_is_taken_from_models_that_call_no_tool(server) -> None:
    server.behaviours["talks"] = chat('```json\n{"title": "a", "bullets": []}\n```')
    assert json.loads(ask("openai-chat:talks", schema=BRIEF).text) == {"title": "a", "bullets": []}
    server.behaviours["talks"] = chat("I would rather talk.")
    assert ask("openai-chat:talks", schema=BRIEF).text == "I would rather talk."


# ---------------------------------------------------------------- requests


def sent(server: ProviderServer) -> list[dict[str, Any]]:
    return server.requests[-1].body["messages"]


def test_instructions_history_prompt_and_feedback_are_sent_in_this_order(server) -> None:
    history = (
        UserMessage(text="Find otters."),
        AssistantMessage(text="I look.", calls=({"id": "c1", "name": "search", "arguments": '{"query": "otters"}'},)),
        ToolMessage(call="c1", name="search", text="kelp", failed=False),
        AssistantMessage(text="Kelp."),
        UserMessage(text="And now?"),
    )
    ask("openai-chat:answers", instructions="Be brief.", messages=history, feedback=("too long", "too dull"))
    messages = sent(server)
    assert [message["role"] for message in messages] == [
        *("system", "user", "assistant", "tool", "assistant"),
        *("user", "user"),
    ]
    assert messages[0]["content"] == "Be brief."
    called = messages[2]["tool_calls"][0]["function"]
    assert (called["name"], json.loads(called["arguments"])) == ("search", {"query": "otters"})
    assert (messages[3]["tool_call_id"], messages[3]["content"]) == ("c1", "kelp")
    assert messages[5]["content"] == "And now?"
    assert messages[6]["content"].endswith("- too long\n- too dull")


AWKWARD = ("search", "functions.search", "", "s\u00f8k", "two words", "x" * 200)
"""Names that models have given to their calls; the first one is a tool."""
TWICE = ("c1", "c1", "functions.search:0", "functions.search:0", "functions_search_0", "i" * 100, "i" * 100)
"""Ids that models have given to their calls, within one answer and in each of several."""


@pytest.mark.parametrize("name", AWKWARD)
def test_a_name_that_a_model_has_invented_does_not_end_its_conversation(server, name) -> None:
    history = (
        UserMessage(text="a"),
        AssistantMessage(calls=({"id": "c1", "name": name},)),
        ToolMessage(call="c1", name=name, text="there is no such tool", failed=True),
    )
    ask("openai-chat:answers", messages=history, tools=(SEARCH,))
    used = [sent(server)[1]["tool_calls"][0]["function"]["name"]]
    ask("anthropic:answers", messages=history, tools=(SEARCH,))
    used.append(sent(server)[1]["content"][0]["name"])
    assert used[0] == used[1]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", used[0])
    assert (used[0] == name) == (name == "search")


def test_ids_of_other_models_are_unlike_each_other_and_accepted_by_those_that_are_strict(server) -> None:
    turn = (
        AssistantMessage(calls=tuple({"id": id_, "name": "search"} for id_ in TWICE)),
        *[ToolMessage(call=id_, name="search", text=str(number)) for number, id_ in enumerate(TWICE)],
    )
    history = (UserMessage(text="a"), *turn, *turn)
    ask("anthropic:answers", messages=history, tools=(SEARCH,))
    _, *turns = sent(server)
    calls = [block["id"] for message in turns[::2] for block in message["content"]]
    results = [block["tool_use_id"] for message in turns[1::2] for block in message["content"]]
    assert calls == results
    assert len(set(calls)) == len(calls) == 2 * len(TWICE)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id_) for id_ in calls)
    assert calls[0] == "c1"
    ask("openai-chat:answers", messages=history, tools=(SEARCH,))  # which wants them back as they were
    assert [call["id"] for call in sent(server)[1]["tool_calls"]] == list(TWICE)


def test_a_call_without_a_result_is_given_one_since_providers_refuse_others(server) -> None:
    history = (
        UserMessage(text="a"),
        AssistantMessage(calls=({"id": "c1", "name": "search"},)),
        UserMessage(text="never mind"),
    )
    ask("openai-chat:answers", messages=history)
    assert [message["role"] for message in sent(server)] == ["user", "assistant", "tool", "user"]


def test_signed_reasoning_goes_back_to_its_provider_and_to_no_other(server) -> None:
    reply = ask("anthropic:thinks", tools=(SEARCH,))
    json.dumps(reply.raw)  # it is stored
    answer = AssistantMessage(text=reply.text, calls=reply.calls, model=reply.model, raw=reply.raw)
    again = AssistantMessage.model_validate(answer.model_dump())
    result = ToolMessage(call=reply.calls[0].id, name="search", text="kelp")
    history = (UserMessage(text="hi"), again, result)
    ask("anthropic:answers", messages=history, tools=(SEARCH,))
    blocks = sent(server)[1]["content"]
    assert blocks[0] == {"type": "thinking", "thinking": "Otters...", "signature": "c2lnbmVk"}
    assert (blocks[1]["type"], blocks[1]["id"], blocks[1]["input"]) == ("tool_use", "toolu_1", {"query": "otters"})
    ask("openai-chat:answers", messages=history, tools=(SEARCH,))
    assert "Otters..." not in json.dumps(sent(server))
    assert sent(server)[1]["tool_calls"][0]["id"] == "toolu_1"


def test_settings_reach_the_provider_and_max_tokens_is_bounded(server) -> None:
    ask("openai-chat:answers", settings={"temperature": 0.5, "max_tokens": 500}, max_tokens=100)
    body = server.requests[-1].body
    assert body["temperature"] == 0.5
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 100
    ask("openai-chat:answers", settings={"max_tokens": 50}, max_tokens=100)
    body = server.requests[-1].body
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 50


# ---------------------------------------------------------------- prices


def test_a_local_server_has_no_price_even_if_it_names_a_model_that_has_one(server) -> None:
    assert ask("openai-chat:gpt-4o-mini").usd is None


def test_the_providers_own_server_has_a_price_if_the_model_and_the_usage_are_known(server, monkeypatch) -> None:
    own = {name: replace(each, host="127.0.0.1") for name, each in PROVIDERS.items()}
    monkeypatch.setattr("greenroom.actors.models.provider.PROVIDERS", own)
    reply = ask("openai-chat:gpt-4o-mini")
    assert reply.usd == pytest.approx(11 * 0.15e-6 + 7 * 0.6e-6)
    assert ask("openai-chat:answers").usd is None  # no price is known
    assert ask("openai-chat:unmeasured").usd is None  # nor is the usage
    assert ask("openai-chat:counts-nothing").usd is None  # nor here, though the server says that it is 0


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai:gpt-5", "OPENAI_API_KEY"),
        ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY"),
        ("google:gemini-2.5-flash", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("openrouter:x/y", "OPENROUTER_API_KEY"),
    ],
)
def test_a_missing_key_is_one_sentence_before_any_request(server, monkeypatch, name, variable) -> None:
    for each in [*KEYS, "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"]:
        monkeypatch.delenv(each, raising=False)
    with pytest.raises(Fatal, match=f"needs a key: set {variable} where the orchestrator runs"):
        ask(name)
    assert server.requests == []
