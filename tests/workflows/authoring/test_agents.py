"""What authors may give an agent as tools, and what models see of them."""

import asyncio
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from greenroom import LLM, Conversation, DefinitionError, MockModel, NotSerializable, evaluator, mcp, tool, workflow
from greenroom.messages.core.json_text import plain
from greenroom.workflows.authoring.agent_tools import CallableTool, tool_name


class Place(BaseModel):
    town: str
    street: str = ""


@tool
def deliver(number: int, to: Place, how: Literal["car", "bike"] = "bike") -> str:
    """Deliver a parcel.

    It is brought to the door.

    Args:
        number: Number of the parcel.
        how: The vehicle.

    Returns:
        A receipt.
    """
    return f"{number} to {to.town} by {how}"


@tool
def load(van: str, /, *numbers: int, **weights: float) -> str:
    """Load a van."""
    return f"{van}: {numbers}, {weights}"


@workflow
async def inquire(question: str) -> str:
    """Ask around."""
    return question


shop = mcp("deliver", command=["a-shop"])


@evaluator
def fine(_text: str) -> bool:
    return True


def test_a_model_sees_the_docstring_and_the_parameters():
    schema = CallableTool(deliver).schema
    assert schema.name == "deliver"
    assert schema.description == "Deliver a parcel.\n\nIt is brought to the door."
    parameters = plain(schema.parameters)
    assert parameters["required"] == ["number", "to"]
    assert parameters["properties"]["number"] == {"type": "integer", "description": "Number of the parcel."}
    assert parameters["properties"]["how"] == {
        "enum": ["car", "bike"],
        "type": "string",
        "default": "bike",
        "description": "The vehicle.",
    }
    assert parameters["properties"]["to"]["$ref"] in {f"#/$defs/{name}" for name in parameters["$defs"]}
    assert parameters["additionalProperties"] is False


def test_a_model_gives_collected_arguments_as_a_list_and_an_object():
    called = CallableTool(load)
    assert plain(called.schema.parameters) == {
        "type": "object",
        "properties": {
            "van": {"type": "string"},
            "numbers": {"type": "array", "items": {"type": "integer"}},
            "weights": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        "required": ["van"],
        "additionalProperties": False,
    }
    arguments = called.read({"van": "blue", "numbers": [4, 5], "weights": {"a": 1.5}})
    assert plain(asyncio.run(called.call("1", arguments))) == "blue: (4, 5), {'a': 1.5}"


def test_workflows_and_llms_are_tools_too():
    assert CallableTool(inquire).schema.description == "Ask around."
    sub = LLM("sub agent", instructions="You help.")
    schema = CallableTool(sub).schema
    assert schema.name == "sub_agent"
    assert plain(schema.parameters)["required"] == ["prompt"]


def test_names_are_what_providers_accept():
    assert tool_name("a b/c.d") == "a_b_c_d"
    assert len(tool_name("x" * 100)) == 64


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tools": [len]}, "a tool is a function with @tool or @workflow"),
        ({"tools": ["deliver"]}, "a tool is a function with @tool or @workflow"),
        ({"tools": [deliver, deliver]}, "two tools of the name `deliver`"),
        ({"tools": [shop, shop]}, "has the MCP server `deliver` twice among its tools: leave one of them out"),
        ({"tools": [deliver, inquire.fn]}, "a tool is a function with @tool or @workflow"),
        ({"max_turns": 0}, "max_turns=0"),
        ({"max_turns": True}, "max_turns=True"),
        ({"compact_at": "many"}, "compact_at='many'"),
        ({"fallback": ["no-such-provider"]}, "no-such-provider"),
        ({"fallback": [3]}, "3"),
        ({"accept": [deliver]}, "accept"),
    ],
)
def test_what_an_agent_cannot_have(options, sentence):
    with pytest.raises(DefinitionError) as caught:
        LLM("agent", **options)
    assert sentence in str(caught.value)


def test_a_server_may_have_the_name_of_a_tool_as_models_do_not_see_it():
    assert LLM("agent", tools=[shop, deliver]).name == "agent"


def test_what_asks_for_approval():
    with pytest.raises(DefinitionError, match="approve='always'"):
        tool(approve="always")(lambda: None)

    def large(number: int, to: Place, how: str) -> bool:
        return number > 10 and isinstance(to, Place) and how == "bike"

    asking = CallableTool(tool(approve=large)(deliver.fn))
    assert asking.asks_approval(asking.read({"number": 11, "to": {"town": "Ems"}}))
    assert not asking.asks_approval(asking.read({"number": 10, "to": {"town": "Ems"}}))
    assert not CallableTool(deliver).asks_approval({})
    assert not CallableTool(inquire).asks_approval({})


async def _answer(agent: LLM[str]) -> str:
    return await agent("Deliver parcel 7")


def test_an_agent_runs_in_place_outside_a_workflow():
    import asyncio  # noqa: PLC0415

    answer = asyncio.run(_answer(LLM("inplace", tools=[deliver], model=MockModel(latency=0.0))))
    assert "7" in answer


@pytest.mark.parametrize(
    ("llm", "history"),
    [
        (LLM("plain_text", model=MockModel(latency=0.0)), None),
        (LLM("with_tools", model=MockModel(latency=0.0), tools=[deliver]), None),
        (LLM("with_fallback", model=MockModel(latency=0.0), fallback=["mock"]), None),
        (LLM("with_history", model=MockModel(latency=0.0)), Conversation()),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
@pytest.mark.parametrize("prompt", [None, ["What is this?", b"\x89PNG"]])
def test_a_prompt_that_is_no_text_is_refused_alike_by_every_llm(
    llm: LLM[str], history: Conversation | None, prompt: Any
) -> None:
    with pytest.raises(NotSerializable, match=rf"^argument `prompt` of LLM `{llm.name}` does not fit str: "):
        asyncio.run(_ask(llm, prompt, history))


async def _ask(llm: LLM[str], prompt: Any, history: Conversation | None) -> str:
    return await llm(prompt, history=history)
