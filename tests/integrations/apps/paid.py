"""Agents of Pydantic AI whose models have prices."""

from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import RequestUsage

from greenroom import workflow
from greenroom.integrations.pydantic_ai import GreenroomDurability

PRICE = (1.0, 10.0)
WRITTEN = 900


async def answer(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Use almost all tokens that it may, and say how many it was told."""
    told = (info.model_settings or {}).get("max_tokens")
    usage = RequestUsage(input_tokens=50, output_tokens=WRITTEN if told is None else min(told, WRITTEN))
    return ModelResponse(parts=[TextPart(str(told))], usage=usage)


class Silent(WrapperModel):
    """A model that does not say what it used."""

    async def request(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await super().request(*args, **kwargs)
        response.usage = RequestUsage()
        return response


def agent(name: str, **options: Any) -> Agent[None, str]:
    durability = GreenroomDurability(model=options.pop("durable", {}))
    model = options.pop("model", FunctionModel)(answer, model_name=name)
    return Agent(model, name=name, capabilities=[durability], **options)


paid = agent("paid", durable={"price": PRICE}, model_settings={"max_tokens": 1000})
open_ended = agent("open_ended", durable={"price": PRICE})
unknown = agent("unknown")
silent = agent(
    "silent",
    model=lambda *args, **named: Silent(FunctionModel(*args, **named)),
    durable={"price": PRICE},
    model_settings={"max_tokens": 10_000},
)


@workflow
async def pays(times: int) -> int:
    """Ask a model of known price several times, and count the answers."""
    return len([(await paid.run(f"Question {number}.")).output for number in range(times)])


@workflow
async def pays_open_ended() -> str:
    """Ask without a limit of one's own."""
    return (await open_ended.run("Question.")).output


@workflow
async def pays_silent(times: int) -> int:
    """Ask a model several times that does not say what it used, and count the answers."""
    return len([(await silent.run(f"Question {number}.")).output for number in range(times)])


@workflow
async def pays_unknown() -> str:
    """Ask a model whose price nobody knows."""
    return (await unknown.run("Question.")).output
