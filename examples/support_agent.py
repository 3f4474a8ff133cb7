"""A support agent in a session: three tools, one of them behind an MCP server, an approval, a judge and a budget.

    pip install 'greenroom[mcp]'
    python examples/support_agent.py

The built-in mock model answers, without a key and without a network. `GREENROOM_MODEL` names a real one, such as
`openai:gpt-5` or `anthropic:claude-sonnet-4-5`. Each model call and each call of a tool is a step in a process of its
own: kill any of them while the agent works, and the customer gets one answer and one refund.

To talk to it, and to decide about refunds, from other terminals:

    greenroom serve examples/support_agent.py
    greenroom sessions ask examples/support_agent.py:support ada '{"text": "My order A-17 arrived broken."}'
    greenroom approvals list
    greenroom approvals approve ID
"""

import sys
import threading
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import LLM, Budget, Conversation, Judge, Orchestrator, current, mcp, session, tool

ORDERS = {"A-17": 30.0, "B-42": 12.5}
REFUNDS = Path("refunds.log")


class Message(BaseModel):
    """What a customer writes."""

    text: str


class Chat(BaseModel):
    """What the session remembers."""

    history: Conversation = Conversation()
    answered: int = 0


@tool(timeout=5)
def find_order(number: str) -> str:
    """Find an order, and what it cost.

    Args:
        number: Number of the order, such as A-17.
    """
    return f"Order {number} cost {ORDERS[number]:.2f} dollars."


@tool(once=True, approve=True)
def refund(order: str) -> str:
    """Pay the money back for an order that arrived broken.

    Args:
        order: Number of the order.
    """
    with REFUNDS.open("a", encoding="utf-8") as log:
        log.write(f"{current().idempotency_key} {order} {ORDERS[order]:.2f}\n")
    return f"{ORDERS[order]:.2f} dollars for order {order} are on their way."


articles = mcp("help", command=[sys.executable, str(Path(__file__).with_name("help_server.py"))], timeout=10)

kind = Judge("kind", rubric="The answer is polite, and promises nothing that the tools did not report.", threshold=0.4)

agent = LLM(
    "agent",
    instructions="You help the customers of a shop. Look an order up before you pay money back.",
    tools=[find_order, refund, articles],
    accept=[kind],
    on_reject="flag",
    stream="answer",
    settings={"max_tokens": 500},
)


@session(state=Chat, budget=Budget(usd=0.5, attempts=200, unknown_price="allow"))
async def support(state: Chat, message: Message) -> str:
    """Answer one message of a customer."""
    answer = await agent(message.text, history=state.history)
    state.answered += 1
    return answer


def approve_refunds(orchestrator: Orchestrator, over: threading.Event) -> None:
    """Approve every refund, as a person would on the command line."""
    while not over.wait(0.1):
        for question in orchestrator.approvals():
            print(f"{question.action} for {question.args}: approved")
            orchestrator.decide(question.id, "approve", by="the shop")


if __name__ == "__main__":
    with Orchestrator() as orchestrator:
        over = threading.Event()
        person = threading.Thread(target=approve_refunds, args=(orchestrator, over))
        person.start()
        ada = orchestrator.session(support, f"ada-{time.time_ns()}")
        try:
            for text in ("My order A-17 arrived broken. Please refund it.", "Do you have help on late parcels?"):
                print(f"ada: {text}\nagent: {ada.ask(Message(text=text), timeout=120)}")
        finally:
            over.set()
            person.join()
        print(f"{ada.state.answered} answers")
