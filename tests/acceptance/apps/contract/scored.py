"""An evaluator that makes its scores of whatever it has."""

from typing import Any

from greenroom import Score, evaluator, tool, workflow

REASONS: dict[str, Any] = {"none": None, "number": 7}


@evaluator
def reasoned(word: str) -> Score:
    return Score(0.9, reason=REASONS[word])


@tool(accept=[reasoned])
def say(word: str) -> str:
    return word


@workflow
async def rated(word: str) -> str:
    return await say(word)
