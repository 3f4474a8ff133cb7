"""Agents of Pydantic AI whose models follow a script and whose tools leave lines in a log."""

import asyncio
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, RunContext, ToolFailed
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

try:
    from pydantic_ai.capabilities import ModelFallback
except ImportError:  # newer than the lowest supported version
    ModelFallback = None  # type: ignore[assignment, misc]

from greenroom import Retry, StepFailed, current, receive, session, tool, workflow
from greenroom.integrations.pydantic_ai import GreenroomDurability, ask_approvals
from tests.acceptance.apps.effects import effect

LOG = Path(os.environ.get("AGENTS_LOG", "/dev/null"))
QUICK = Retry(attempts=2, initial=0.01, jitter=0.0)


def note(what: str, **facts: Any) -> None:
    """Leave a line if this is an attempt of a step."""
    effect(LOG, what, **facts)


def returned(messages: list[ModelMessage]) -> list[str]:
    """Give what the tools returned, as the model reads it."""
    parts = [part for message in messages for part in message.parts]
    told = [part for part in parts if isinstance(part, (ToolReturnPart, RetryPromptPart))]
    return [part.model_response() if isinstance(part, RetryPromptPart) else part.model_response_str() for part in told]


def script(*turns: list[ToolCallPart] | str) -> FunctionModel:
    """Make a model that gives these answers one after the other; "{}" in a text is what the tools returned."""

    def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        note("asked")
        turn = turns[min(sum(isinstance(message, ModelResponse) for message in messages), len(turns) - 1)]
        if isinstance(turn, str):
            return ModelResponse(parts=[TextPart(turn.replace("{}", " | ".join(returned(messages))))])
        return ModelResponse(parts=list(turn))

    return FunctionModel(answer, model_name="scripted")


def call(name: str, id: str, **args: Any) -> ToolCallPart:  # noqa: A002  the library's word
    return ToolCallPart(name, args, tool_call_id=id)


# ---------------------------------------------------------------- an answer with half a character


halves = Agent(script("a \ud83e\udda6 b \ud83d"), name="halves", capabilities=[GreenroomDurability()])


@workflow
async def reads_halves() -> str:
    return (await halves.run("go")).output


# ---------------------------------------------------------------- two tools, one after the other and at once


class Anonymous(AbstractCapability[Any]):
    """A capability without an id, for which the library makes one up in each process."""


def instructions() -> str:
    """Be a callback that the library would call in a thread."""
    assert threading.current_thread() is threading.main_thread()
    return "Answer briefly."


clerk = Agent(
    script(
        [call("search", "c1", query="otters"), call("count", "c2", words=["a", "b"])],
        [call("search", "c3", query="seals")],
        "{}",
    ),
    name="clerk",
    instructions=instructions,
    capabilities=[Anonymous(), GreenroomDurability(model={"retry": Retry(attempts=50, initial=0.01, jitter=0.0)})],
)


@clerk.tool_plain
def search(query: str) -> str:
    """Search for something."""
    note("searched", query=query)
    assert threading.current_thread() is threading.main_thread()
    return f"found {query}"


@clerk.tool_plain
async def count(words: list[str]) -> int:
    """Count words."""
    note("counted")
    await asyncio.sleep(0.001)
    return len(words)


@workflow
async def office(question: str) -> str:
    """Ask the clerk once."""
    result = await clerk.run(question)
    return result.output


@workflow
async def twice(question: str) -> list[str]:
    """Ask two clerks at once and one after them, which goes on with what the first one said."""
    first, second = await asyncio.gather(clerk.run(question), clerk.run(question))
    third = await clerk.run("again", message_history=first.all_messages())
    passed = await echo(first.all_messages_json().decode())
    return [first.output, second.output, third.output, str(len(passed) > 0)]


@workflow
async def resumed(question: str) -> list[str]:
    """Ask the clerk, wait for a message, and ask it again."""
    first = await clerk.run(question)
    said = await receive(Said)
    second = await clerk.run(said.text, message_history=first.all_messages())
    return [first.output, second.output]


@tool
def echo(text: str) -> str:
    """Give back a text."""
    return text


# ---------------------------------------------------------------- dependencies


@dataclass
class Customer:
    name: str
    tags: set[str] = field(default_factory=set)


teller = Agent(
    script([call("who", "c1")], "{}"), name="teller", deps_type=Customer, capabilities=[GreenroomDurability()]
)


@teller.tool
def who(ctx: RunContext[Customer]) -> str:
    """Say who the customer is."""
    return f"{ctx.deps.name} {sorted(ctx.deps.tags)} {ctx.tool_call_id} {current().step}"


@workflow
async def greet(name: str) -> str:
    """Run an agent with dependencies."""
    result = await teller.run("hello", deps=Customer(name, {"z", "a", "m"}))
    return result.output


@workflow
async def undescribed(name: str) -> str:
    """Run an agent with dependencies whose type it does not name."""
    return (await clerk.run("hello", deps=Customer(name))).output  # type: ignore[call-overload]


# ---------------------------------------------------------------- tools that fail

clumsy = Agent(
    script(
        [
            call(name, f"c{number}")
            for number, name in enumerate(("raises", "dies", "hangs", "refuses", "small", "pays"))
        ],
        "{}",
    ),
    name="clumsy",
    capabilities=[
        GreenroomDurability(
            tools={
                "raises": {"retry": QUICK},
                "dies": {"crash_attempts": 1},
                "hangs": {"timeout": 0.5, "retry": Retry(attempts=1)},
                "small": {"memory_mb": 300, "retry": Retry(attempts=1)},
                "pays": {"once": True},
            }
        )
    ],
)


@clumsy.tool_plain
def raises() -> str:
    """Raise."""
    msg = "no such index"
    raise LookupError(msg)


@clumsy.tool_plain
def dies() -> str:
    """End the process."""
    os._exit(7)


@clumsy.tool_plain
def hangs() -> str:
    """Never return."""
    threading.Event().wait()
    return ""


@clumsy.tool_plain
def refuses() -> str:
    """Fail as the library's own exception says."""
    msg = "not today"
    raise ToolFailed(msg)


@clumsy.tool_plain
def small() -> str:
    """Need more memory than there is."""
    return str(len(bytearray(1024**3)))


@clumsy.tool_plain
def pays() -> str:
    """Have an effect, and die before saying so."""
    note("paid")
    os._exit(1)


@workflow
async def trouble() -> str:
    """Run an agent whose tools fail in every way."""
    return (await clumsy.run("try")).output


# ---------------------------------------------------------------- models that fail


def limited(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Ask for a pause at first."""
    note("asked")
    if current().attempt == 1:
        raise ModelHTTPError(429, "limited", {"error": "slow down"}, headers={"retry-after": "1"})
    return ModelResponse(parts=[TextPart("at last")])


def broken(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Never answer."""
    note("asked")
    raise ModelHTTPError(401, "broken", {"error": "no key"})


def deadly(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """End the worker."""
    os._exit(9)


def unpaid(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Answer once the account is topped up, which a file says."""
    note("asked")
    if not LOG.with_suffix(".paid").exists():
        raise ModelHTTPError(402, "unpaid", {"error": "pay first"})
    return ModelResponse(parts=[TextPart("paid for")])


poor = Agent(FunctionModel(unpaid), name="poor", capabilities=[GreenroomDurability()])
poorer = Agent(
    FallbackModel(FunctionModel(broken), FunctionModel(unpaid)), name="poorer", capabilities=[GreenroomDurability()]
)


@workflow
async def pay_first(which: str) -> str:
    """Run an agent whose account is empty."""
    return (await {"poor": poor, "poorer": poorer}[which].run("hello")).output


patient = Agent(FunctionModel(limited), name="patient", capabilities=[GreenroomDurability()])
locked = Agent(FunctionModel(broken), name="locked", capabilities=[GreenroomDurability()])
spare = Agent(
    FallbackModel(FunctionModel(broken), script("from the spare")), name="spare", capabilities=[GreenroomDurability()]
)


if ModelFallback is not None:
    relayed = Agent(
        FunctionModel(deadly, model_name="deadly"),
        name="relayed",
        capabilities=[
            ModelFallback("spare"),
            GreenroomDurability(models={"spare": script("from the second")}, model={"retry": Retry(attempts=1)}),
        ],
    )

    poor_relay = Agent(
        FunctionModel(unpaid, model_name="unpaid"),
        name="poor_relay",
        capabilities=[
            ModelFallback("spare", "last"),
            GreenroomDurability(models={"spare": FunctionModel(broken), "last": FunctionModel(unpaid)}),
        ],
    )

    @workflow
    async def relay_unpaid() -> str:
        """Run an agent whose first and last model belong to an empty account."""
        return (await poor_relay.run("hello")).output

    @workflow
    async def relay() -> str:
        """Run an agent whose first model kills its worker."""
        return (await relayed.run("hello")).output


@workflow
async def wait_a_little() -> str:
    """Run an agent whose provider asks for a pause."""
    return (await patient.run("hello")).output


@workflow
async def locked_out() -> str:
    """Run an agent without a key, and see the error as the library has it."""
    try:
        return (await locked.run("hello")).output
    except ModelHTTPError as error:
        attempts = error.attempts if isinstance(error, StepFailed) else "no step"
        return f"{error.status_code} {error.model_name} {error.body} after {attempts}"


@workflow
async def fallen_back() -> str:
    """Run an agent whose first model refuses."""
    return (await spare.run("hello")).output


# ---------------------------------------------------------------- approvals

treasurer = Agent(
    script([call("pay", "c1", amount=5), call("pay", "c2", amount=7)], "{}"),
    name="treasurer",
    capabilities=[GreenroomDurability()],
)


@treasurer.tool_plain(requires_approval=True)
def pay(amount: int) -> str:
    """Pay an amount."""
    note("paid", amount=amount)
    return f"paid {amount}"


careful = Agent(
    script([call("pay", "c1", amount=5), call("pay", "c2", amount=7)], "{}"),
    name="careful",
    output_type=[str, DeferredToolRequests],
    capabilities=[GreenroomDurability(ask=False)],
)
careful.tool_plain(requires_approval=True)(pay)


@workflow
async def spend() -> str:
    """Run an agent whose tool asks for an approval."""
    return (await treasurer.run("pay")).output


@workflow
async def spend_by_hand() -> str:
    """Take what needs an approval from the result, ask, and go on."""
    first = await careful.run("pay")
    assert isinstance(first.output, DeferredToolRequests)
    decided = await ask_approvals(first.output)
    second = await careful.run(message_history=first.all_messages(), deferred_tool_results=decided)
    assert isinstance(second.output, str)
    return second.output


# ---------------------------------------------------------------- agents below agents

scholar = Agent(
    script([call("search", "s1", query="deep")], "{}"), name="scholar", capabilities=[GreenroomDurability()]
)
scholar.tool_plain(search)

editor = Agent(
    script([call("study", "c1", topic="x"), call("study", "c2", topic="y")], "{}"),
    name="editor",
    capabilities=[GreenroomDurability(tools={"study": False})],
)


@editor.tool_plain
async def study(topic: str) -> str:
    """Have a scholar study a topic, in the workflow."""
    result = await scholar.run(topic)
    return f"{await echo(topic)}: {result.output}"


@workflow
async def publish() -> str:
    """Run an agent that runs others."""
    return (await editor.run("write")).output


# ---------------------------------------------------------------- a session, events, a model by its name


class Chat(BaseModel):
    history: str = "[]"


class Said(BaseModel):
    text: str


@session(state=Chat)
async def talk(state: Chat, message: Said) -> str:
    """Answer with an agent that remembers."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter  # noqa: PLC0415  used here alone

    result = await clerk.run(message.text, message_history=ModelMessagesTypeAdapter.validate_json(state.history))
    state.history = result.all_messages_json().decode()
    return result.output


async def listen(ctx: RunContext[Any], events: Any) -> None:
    """Count what an agent does."""
    async for event in events:
        note("heard", event=event.event_kind)


loud = Agent(
    TestModel(custom_output_text="quiet"), name="loud", capabilities=[GreenroomDurability(event_stream_handler=listen)]
)
loud.tool_plain(search)


@workflow
async def aloud() -> str:
    """Run an agent whose events have a handler."""
    return (await loud.run("hello")).output


named = Agent("openai:gpt-5", name="named", capabilities=[GreenroomDurability(model={"retry": Retry(attempts=1)})])


@workflow
async def unkeyed() -> str:
    """Run an agent of a provider whose key only LLM workers could have."""
    try:
        return (await named.run("hello")).output
    except StepFailed as error:
        return str(error)


@workflow
async def improvised() -> str:
    """Make an agent where no worker could find it."""
    agent = Agent(TestModel(), name="improvised", capabilities=[GreenroomDurability()])
    return (await agent.run("hello")).output
