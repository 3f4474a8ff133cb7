"""MCP servers that a test has replaced: they are not started, and everything around them is real."""

import asyncio
import threading

import pytest

from greenroom import Fatal, RunFailed
from greenroom.actors.models import ModelReply
from greenroom.messages.transcript import ToolCall
from greenroom.testing import kill
from tests.support import eventually
from tests.testing.apps.desk import clerk, desk, look, refund, serve
from tests.testing.apps.weather import look as look_at_the_sky

pytest.importorskip("mcp")
pytestmark = pytest.mark.slow


def asks(name: str, arguments: str) -> ModelReply:
    return ModelReply(calls=(ToolCall(id="c0", name=name, arguments=arguments),))


def read_order(order: int) -> dict[str, str]:
    """Look an order up."""
    return {"result": f"order {order} is a tent"}


def test_an_agent_calls_the_fakes_by_the_names_of_the_servers_tools(orchestrator, tool_fakes, model_scripts):
    tool_fakes.replace_server(desk, {"look": read_order, "refund": lambda order: {"refunded": order}})
    model_scripts.reply(clerk, asks("look", '{"order": 7}'), asks("refund", '{"order": 7}'), "It is done.")
    run = orchestrator.start(serve, "I want my money back", id="r1")
    (question,) = eventually(orchestrator.approvals, 60.0, what="the question")
    orchestrator.decide(question.id, "approve")
    assert run.result(60) == "It is done."
    assert [(call.args, call.kwargs, call.run_id) for call in tool_fakes.calls(desk)] == [
        (("look",), {"order": 7}, "r1"),
        (("refund",), {"order": 7}, "r1"),
    ]
    assert [worker.pool for worker in orchestrator.workers() if worker.pool.startswith("mcp:")]  # a real process


def test_a_fakes_signature_and_docstring_are_the_tools(orchestrator, tool_fakes):
    tool_fakes.replace_server(desk, {"look": read_order}, read_only={"look"})
    (found,) = asyncio.run(desk.tools())
    assert (found.name, found.schema.description, found.read_only) == ("look", "Look an order up.", True)
    assert found.parameters["properties"]["order"]["type"] == "integer"
    assert asyncio.run(desk.call("look", order=3)) == {"result": "order 3 is a tent"}


def test_an_async_fake_is_awaited_and_what_a_fake_raises_is_not_tried_again(orchestrator, tool_fakes):
    async def look_up(order: int) -> str:
        if order == 0:
            msg = "there is no such order"
            raise LookupError(msg)
        return f"order {order}"

    tool_fakes.replace_server(desk, {"look": look_up}, read_only={"look"})
    assert orchestrator.start(look, 5).result(60) == "order 5"
    with pytest.raises(RunFailed, match="there is no such order") as failed:
        orchestrator.start(look, 0).result(60)
    assert [attempt.outcome for attempt in failed.value.attempts] == ["error"]
    with pytest.raises(RunFailed, match="has no tool `refund`; its fake has look"):
        orchestrator.start(refund, 1).result(60)


@pytest.mark.parametrize(
    ("workflow", "name", "result", "calls"), [(refund, "refund", "unknown", 1), (look, "look", "3", 2)]
)
def test_a_death_in_a_call_is_that_of_a_real_server(workflow, name, result, calls, orchestrator, tool_fakes):
    """A call of a tool without hints is not made again; one that only reads is."""
    entered, go = threading.Event(), threading.Event()

    def fake(order: int) -> int:
        if len(tool_fakes.calls(desk)) == 1:
            entered.set()
            go.wait(60)
        return order

    tool_fakes.replace_server(desk, {"look": fake, "refund": fake}, read_only={"look"})
    run = orchestrator.start(workflow, 3)
    assert entered.wait(60)
    kill(run, step=name)
    assert run.result(60) == result
    go.set()
    assert len(tool_fakes.calls(desk)) == calls


def test_what_is_no_server_is_refused_with_the_way_that_there_is(tool_fakes):
    with pytest.raises(TypeError, match="replace_server takes a server made by"):
        tool_fakes.replace_server(look_at_the_sky, {})
    with pytest.raises(TypeError, match="is replaced with replace_server"):
        tool_fakes.replace(desk, lambda: "x")
    with pytest.raises(TypeError, match="cannot be called"):
        tool_fakes.replace_server(desk, {"look": "x"})
    tool_fakes.replace_server(desk, {})
    with pytest.raises(Fatal, match="has no tool `look`"):
        asyncio.run(desk.call("look"))
