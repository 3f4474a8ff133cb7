"""An agent of Pydantic AI in conversations of 209,000 tokens, four characters each, with 100 model calls."""

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import UsageLimits

from greenroom import workflow
from greenroom.integrations.pydantic_ai import GreenroomDurability
from tests.acceptance.apps.agents.long_talk import CALLS, CHARACTERS, text

__all__ = ["CALLS", "CHARACTERS", "ask_on", "search_on"]


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Say how many characters were read, in many words, and ask for a tool if there is one."""
    read = sum(len(str(getattr(part, "content", ""))) for message in messages for part in message.parts)
    said = TextPart(text(f"{len(messages)} messages of {read} characters. "))
    if not info.function_tools or len(messages) == 2 * CALLS - 1:
        return ModelResponse(parts=[said])
    return ModelResponse(parts=[said, ToolCallPart("search", {}, tool_call_id=f"c{len(messages)}")])


talker = Agent(FunctionModel(answer), name="talker", capabilities=[GreenroomDurability()])
seeker = Agent(FunctionModel(answer), name="seeker", capabilities=[GreenroomDurability()])


@seeker.tool_plain
def search() -> str:
    """Find many words."""
    return text("Found. ")


@workflow
async def ask_on(calls: int) -> str:
    """Have one run of the agent for each question."""
    history: list[ModelMessage] = []
    last = ""
    for number in range(calls):
        result = await talker.run(text(f"Question {number}. "), message_history=history)
        history, last = result.all_messages(), result.output
    return last


@workflow
async def search_on(calls: int) -> str:
    """Have one run of the agent that calls a tool after each model call but the last."""
    return (await seeker.run(text("Question. "), usage_limits=UsageLimits(request_limit=calls))).output
