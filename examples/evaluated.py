"""Answers to customers, judged: a workflow, its evaluators, and cases for ``greenroom eval``.

    greenroom eval examples/evaluated.py:reply --cases examples/evaluated.jsonl --judge panel --judge looked_up

The embedded model answers and judges here, so the scores say nothing. With ``GREENROOM_MODEL`` another model does both.
"""

from greenroom import LLM, Judge, Panel, Rule, Score, evaluator, tool, workflow

ORDERS = {"A-1": "delivered on Monday", "A-2": "still in the warehouse"}


@tool
def find_order(number: str) -> str:
    """Return where an order is."""
    return f"Order {number} is {ORDERS[number]}."


@evaluator
def short(answer: str) -> Score:
    """Answers of up to 400 characters are short."""
    return Score(min(1.0, 400 / max(len(answer), 1)), reason="at most 400 characters")


helpful = Judge("helpful", rubric="The answer says where the order is, and invents nothing.", threshold=0.5)
polite = Rule.excludes("your fault", "obviously", ignore_case=True, name="polite")
panel = Panel("panel", [helpful, short], weights=[3, 1], threshold=0.5)
looked_up = Rule.calls("find_order", most_of={"find_order": 1})

writer = LLM("writer", instructions="Answer the customer in one or two sentences.", accept=[polite, short])


@workflow
async def reply(question: str, order: str) -> str:
    """Answer a question about an order."""
    return await writer(f"{await find_order(order)}\n\nThe customer asks: {question}")
