"""What may be started and talked to says what it takes, and /openapi.json says what everything means."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from greenroom import Orchestrator
from greenroom.dashboard.responses.problems import KINDS
from greenroom.dashboard.server import Server
from tests.dashboard.apps.described import Brief, Memory, Reset, Say

pytestmark = pytest.mark.slow

APP = Path(__file__).parent / "apps" / "described.py"


@pytest.fixture
def described(orchestrator: Orchestrator) -> Iterator[httpx.Client]:
    with Server(orchestrator, [str(APP)], port=0) as server:
        headers = {"Authorization": f"Bearer {server.token.value}"}
        base = f"{server.url}/api/v1"
        with httpx.Client(base_url=base, headers=headers, timeout=50, trust_env=False) as opened:
            yield opened


def test_a_workflow_says_what_it_takes_and_gives(described):
    (found,) = described.get("/workflows").json()
    assert (found["name"], found["app"], found["doc"]) == ("research", str(APP), "Write a brief.")
    assert found["parameters"] == ["topic", "until", "style", "limit", "odd"]
    takes = found["input_schema"]
    assert (takes["type"], takes["required"], takes["additionalProperties"]) == ("object", ["topic"], False)
    topic, until, style, limit, odd = takes["properties"].values()
    assert topic["description"] == "What it is about, in as many words as needed."
    assert takes["$defs"]["Topic"]["properties"]["depth"]["minimum"] == 1
    assert topic["$ref"] == "#/$defs/Topic"
    assert (until["default"], until["description"]) == (None, "The last day")
    assert (style["enum"], style["default"], style["description"]) == (
        ["short", "long"],
        "short",
        "How long it is: short or long.",
    )
    assert (limit["type"], limit["default"], limit["description"]) == ("integer", 3, "At most so many.")
    assert odd == {"default": None}
    assert found["result_schema"] == Brief.model_json_schema(mode="serialization")


def test_a_handler_says_which_messages_it_takes_and_what_it_keeps(described):
    (found,) = described.get("/handlers").json()
    assert (found["name"], found["app"], found["doc"]) == ("talk", str(APP), "Remember what is said.")
    assert found["messages"] == {"Say": Say.model_json_schema(), "Reset": Reset.model_json_schema()}
    assert found["reply_schema"] == {"type": "integer"}
    assert found["state_schema"] == Memory.model_json_schema(mode="serialization")


def test_every_operation_parameter_and_field_is_described(http):
    whole = http.get("/openapi.json").json()
    names = []
    tags = {tag["name"] for tag in whole["tags"]}
    assert all(tag["description"] for tag in whole["tags"])
    for path, methods in whole["paths"].items():
        for operation in methods.values():
            names.append(operation["operationId"])
            assert operation["summary"], path
            assert operation["description"], path
            assert set(operation["tags"]) <= tags, path
            assert operation["tags"], path
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], (path, parameter["name"])
            for status, answer in operation["responses"].items():
                assert answer["description"] not in {"", "Successful Response"}, (path, status)
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalpha() for name in names), "as a generated client calls its functions"
    for name, schema in whole["components"]["schemas"].items():
        for field, meant in schema.get("properties", {}).items():
            assert meant.get("description"), (name, field)
    assert whole["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == list(KINDS)
    assert "examples" in json.dumps(whole["components"]["schemas"]["Start"])


def test_lists_declare_their_links(http):
    whole = http.get("/openapi.json").json()
    listed = {path: methods["get"] for path, methods in whole["paths"].items() if "get" in methods}
    with_cursor = {
        path for path, each in listed.items() if "cursor" in [one["name"] for one in each.get("parameters", ())]
    }
    with_link = {path for path, each in listed.items() if "Link" in each["responses"]["200"].get("headers", {})}
    arrays = {
        path
        for path, each in listed.items()
        for content in [each["responses"]["200"].get("content", {}).get("application/json", {})]
        if content.get("schema", {}).get("type") == "array"
    }
    assert with_cursor == with_link == arrays
    assert len(arrays) == 13
