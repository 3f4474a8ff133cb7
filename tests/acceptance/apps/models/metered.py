"""Models that cost something, and a model that records when it is asked."""

import asyncio
import json
import os
import time
from pathlib import Path

from greenroom import LLM, Judge, MockModel, Retry, RetryAfter, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest

priced = LLM("priced", model=MockModel(seed=7, latency=(0.02, 0.3), price=(20.0, 80.0), name="priced"))


@workflow
async def pays(calls: int) -> int:
    text = "Otters hold hands. They sleep on their backs. Their fur is dense. " * 20
    return len(await asyncio.gather(*(priced(f"Summarise {number}: {text}") for number in range(calls))))


class Rater:
    """A judge's model: it rates after a moment, and costs as much as it may."""

    name = "rater"
    price = (20.0, 80.0)

    async def complete(self, request: ModelRequest) -> ModelReply:
        await asyncio.sleep(0.02)
        tokens = len(request.prompt + request.instructions) // 3
        written = min(request.max_tokens or 100, 100)
        text = json.dumps({"reason": "r", "score": 0.9})
        usd = (tokens * self.price[0] + written * self.price[1]) / 1e6
        return ModelReply(text, input_tokens=tokens, output_tokens=written, usd=usd)


fair = Judge("fair", rubric="It is about otters.", model=Rater())
strict = Judge("strict", rubric="It is true.", model=Rater(), settings={"max_tokens": 300})
rated = LLM(
    "rated", model=MockModel(seed=7, latency=(0.02, 0.3), price=(20.0, 80.0), name="priced"), accept=[fair, strict]
)


@workflow
async def pays_judges(calls: int) -> int:
    text = "Otters hold hands. They sleep on their backs. Their fur is dense. " * 20
    return len(await asyncio.gather(*(rated(f"Summarise {number}: {text}") for number in range(calls))))


class Recorded:
    """Writes a line for each request; once, when a file says so, it asks to wait."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, request: ModelRequest) -> ModelReply:
        folder = Path(request.prompt.split()[0])
        with (folder / self.name).open("a") as log:
            log.write(f"{time.time()} {os.getpid()}\n")
        await asyncio.sleep(0.05)
        if self.name == "busy":
            try:
                (folder / "refuse").unlink()
            except FileNotFoundError:
                pass
            else:
                with (folder / "refused").open("a") as log:
                    log.write(f"{time.time()}\n")
                raise RetryAfter(1.5, "429")
        if self.name == "silent":
            return ModelReply("done")
        return ModelReply("done", input_tokens=3, output_tokens=2)


busy = LLM("busy", model=Recorded("busy"), retry=Retry(attempts=4, initial=0.01))
other = LLM("other", model=Recorded("other"))


@workflow
async def asks(folder: str, times: int) -> int:
    for number in range(times):
        await asyncio.gather(busy(f"{folder} {number}"), other(f"{folder} {number}"))
    return times


@tool(retry=Retry(attempts=8, initial=0.01, max_delay=0.01))
def unreliable(folder: str) -> str:
    with Path(folder, "calls").open("a") as log:
        log.write(f"{time.time()}\n")
    if not Path(folder, "up").exists():
        raise ConnectionError("down")
    return "up"


@workflow
async def insists(folder: str) -> str:
    return await unreliable(folder)


unknown = LLM("unknown", model=Recorded("unknown"))
declared = LLM("declared", model=Recorded("declared"), price=(1.0, 1_000_000.0))
silent = LLM("silent", model=Recorded("silent"), price=(1.0, 10_000.0), settings={"max_tokens": 10})
scripted = LLM(
    "scripted",
    model=MockModel(
        latency=0.0, price=(1.0, 10_000.0), name="scripted", replies=[ModelReply("x", input_tokens=3, output_tokens=2)]
    ),
)


@workflow
async def spends_silent(folder: str, calls: int) -> str:
    return str([await silent(folder) for _ in range(calls)])


@workflow
async def spends_scripted() -> str:
    return await scripted("x")


@workflow
async def spends_unknown(folder: str) -> str:
    return await unknown(folder)


@workflow
async def spends_unseen(folder: str) -> str:
    """Call the model by a way that its source does not show."""
    return str(await globals()["unknown"](folder))


vague = Judge("vague", rubric="It is about otters.", model=Recorded("unknown"))
judged_unknown = LLM("judged_unknown", model=MockModel(latency=0.0), accept=[vague])


@workflow
async def is_judged_unknown() -> str:
    return await judged_unknown("otters")


@workflow
async def is_judged_unseen() -> str:
    return str(await globals()["judged_unknown"]("otters"))


@workflow
async def spends_declared(folder: str) -> str:
    return await declared(folder)
