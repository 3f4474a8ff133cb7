"""An agent written with Pydantic AI, made durable by one line. Kill any of its processes: the refund is paid once.

    pip install 'greenroom[pydantic-ai]'
    python examples/pydantic_agent.py
    greenroom run examples/pydantic_agent.py:support -i 'question="My order A17 arrived broken."'

By default a scripted model answers, without a key and without a network. `GREENROOM_MODEL` names a real one, such as
`openai:gpt-5` or `anthropic:claude-sonnet-4-5`; its key is for LLM workers alone.

Each request to the model and each call of a tool is a step of the run in a process of its own. `refunds.log` has one
line per refund, whatever was killed meanwhile.
"""

import os
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from greenroom import Orchestrator, current, workflow
from greenroom.integrations.pydantic_ai import GreenroomDurability

PRICES = {"A17": 30.0, "B42": 12.5}


def scripted(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Answer as a model would: look the order up, refund it, say so."""
    results = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if not results:
        return ModelResponse(parts=[ToolCallPart("find_order", {"order": "A17"}, tool_call_id="call-1")])
    if len(results) == 1:
        arguments = {"order": "A17", "amount": results[0].content}
        return ModelResponse(parts=[ToolCallPart("refund", arguments, tool_call_id="call-2")])
    return ModelResponse(parts=[TextPart(f"I am sorry. {results[1].content}.")])


agent = Agent(
    os.environ.get("GREENROOM_MODEL") or FunctionModel(scripted),
    name="support",
    instructions="Help customers. Look an order up before you refund what it cost.",
    capabilities=[GreenroomDurability()],  # the one line
)


@agent.tool_plain
def find_order(order: str) -> float:
    """Return what an order has cost, in dollars."""
    return PRICES[order]


@agent.tool_plain
def refund(order: str, amount: float) -> str:
    """Pay money back."""
    with Path("refunds.log").open("a") as ledger:
        ledger.write(f"{current().idempotency_key} {order} {amount:.2f}\n")
    return f"{amount:.2f} dollars for order {order} are on their way"


@workflow
async def support(question: str) -> str:
    """Answer one customer."""
    result = await agent.run(question)
    return result.output


if __name__ == "__main__":
    with Orchestrator() as orchestrator:
        run = orchestrator.start(support, "My order A17 arrived broken.")
        print(run.result(timeout=120))
        for step in run.steps():
            print(f"{step.key:32} {step.kind:4} pid {step.attempts[-1].pid}")
