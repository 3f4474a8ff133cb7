"""Answers of all kinds of which a share is rated in the background, and judges that wait until they are released.

As a program it is an orchestrator to be killed: python -m tests.acceptance.apps.judges.sampled FOLDER WORKFLOW
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from greenroom import (
    LLM,
    Budget,
    Judge,
    MockModel,
    Orchestrator,
    Panel,
    Retry,
    Rule,
    evaluator,
    receive,
    session,
    tool,
    workflow,
)
from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.messages.transcript import ToolCall
from tests.acceptance.harness import pools

QUICK = Retry(attempts=3, initial=0.01, jitter=0.0)


def folder() -> Path:
    return Path(os.environ["SAMPLED_FOLDER"])


def asked() -> list[dict[str, Any]]:
    """Give the requests to judges, the first one first."""
    log = folder() / "asked"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def release() -> None:
    """Let the judges that wait answer, and all later ones at once."""
    (folder() / "released").touch()


class Patient:
    """A model that notes each request, and answers with a score once it is released."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        with (folder() / "asked").open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), "prompt": request.prompt}) + "\n")
        while not (folder() / "released").exists():  # noqa: ASYNC110  another process says so
            await asyncio.sleep(0.01)
        return ModelReply('{"reason": "it is patient", "score": 0.4}', input_tokens=10, output_tokens=1, usd=0.25)


class Priced:
    """A model that answers at a price."""

    async def complete(self, _request: ModelRequest) -> ModelReply:
        return ModelReply("an answer", input_tokens=10, output_tokens=1, usd=0.25)


patient = Judge("patient", rubric="It is patient.", model=Patient(), retry=QUICK)
garbled = Judge("garbled", rubric="Any.", model=MockModel(latency=0.0, replies=["never JSON"]), retry=QUICK)
strict = Judge(
    "strict",
    rubric="Any.",
    model=MockModel(latency=0.0, replies=[{"reason": "r", "score": 0.8}]),
    threshold=0.9,
    retry=QUICK,
)


@evaluator
def long(text: str, call: dict[str, Any]) -> float:
    return 0.9 if call["args"] or call["kwargs"] else 0.1


@evaluator
def even(number: int) -> bool:
    return number % 2 == 0


@evaluator
def deadly(text: str) -> float:
    """Kill its own process once."""
    try:
        (folder() / "died").touch(exist_ok=False)
    except FileExistsError:
        return 0.5
    os._exit(9)


@evaluator
def held(text: str) -> float:
    """Wait, in a process of its own, until it is released."""
    (folder() / "held").write_text(str(os.getpid()))
    while not (folder() / "released").exists():
        asyncio.run(asyncio.sleep(0.01))
    return 0.6


@evaluator
def gate(text: str) -> bool:
    return True


class Go(BaseModel):
    """Let a run that waits go on."""


panel = Panel("panel", [long, strict], weights=[1, 1])


def writer(name: str, **options: Any) -> LLM[str]:
    return LLM(name, model=MockModel(latency=0.0, replies=["an answer"]), **{"retry": QUICK, **options})


STEPS = {
    "patient": writer("a", sample={patient: 1.0}),
    "garbled": writer("b", sample={garbled: 1.0, long: 1.0}),
    "panel": writer("c", sample={panel: 1.0, Rule.contains("question"): 1.0}),
    "deadly": writer("d", sample={deadly: 1.0}),
    "held": writer("e", accept=[gate], sample={held: 1.0}),
    "gated": writer("f", accept=[gate]),
    "paid": LLM("g", model=Priced(), sample={patient: 1.0, long: 1.0}, retry=QUICK),
    "never": writer("h"),
}


@workflow
async def ask(which: str) -> str:
    return await STEPS[which]("a question")


@workflow(sample={long: 1.0, patient: 1.0})
async def rated(which: str) -> str:
    return await STEPS[which]("a question")


@workflow(budget=Budget(usd=0.25, unknown_price="allow"))
async def thrifty() -> str:
    return await STEPS["paid"]("a question")


@workflow(budget=Budget(usd=0.5, unknown_price="allow"))
async def generous() -> str:
    """Use one answer, and another one once the score of the first has arrived."""
    first = await STEPS["paid"]("a question")
    await receive(Go)
    return first + await STEPS["paid"]("a question")


unhurried = LLM(
    "unhurried",
    model=MockModel(latency=0.0, replies=["an answer"]),
    sample={Judge("slow", rubric="Any.", model=MockModel(latency=2.0, replies=[{"reason": "r", "score": 0.8}])): 1.0},
)


@workflow
async def slow() -> str:
    return await unhurried("a question")


@workflow
async def waiting(which: str) -> str:
    """Use an answer, wait for a message, and use another one."""
    first = await STEPS[which]("a question")
    await receive(Go)
    return first + await STEPS["never"]("a question")


@workflow
async def failing(which: str) -> str:
    await STEPS[which]("a question")
    if not (folder() / "mended").exists():
        raise ValueError("not yet")
    return await STEPS["never"]("a question")


@workflow(sample={long: 1.0})
async def parent(which: str) -> str:
    return await rated(which)


@tool(sample={even: 0.1})
def double(number: int) -> int:
    return number * 2


@workflow
async def many(count: int) -> int:
    return sum(await asyncio.gather(*(double(number) for number in range(count))))


@tool(sample={patient: 1.0, even: 1.0})
def count_words(text: str) -> int:
    return len(text.split())


@workflow(budget=Budget(tokens=20))
async def frugal() -> int:
    """Use an answer whose judge needs more tokens than there are, and another one after a message."""
    first = await count_words("two words")
    await receive(Go)
    return first + await count_words("and three words")


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} are fine"


agent = LLM(
    "agent",
    tools=[look],
    sample={long: 1.0},
    retry=QUICK,
    model=MockModel(
        latency=0.0,
        replies=[
            ModelReply(calls=(ToolCall(id="c1", name="look", arguments='{"what": "otters"}'),)),
            "otters are fine",
        ],
    ),
)


@workflow
async def inquire(question: str) -> str:
    return await agent(question)


class Chat(BaseModel):
    turns: int = 0


class Say(BaseModel):
    text: str


@session(state=Chat, sample={long: 1.0})
async def chat(state: Chat, message: Say) -> str:
    state.turns += 1
    return f"{state.turns}: {await STEPS[message.text]('a question')}"


def main(where: Path, which: str) -> None:
    """Start a run and wait until it is killed."""
    workflows = {"finished": (ask, "patient"), "going on": (waiting, "patient")}
    started, argument = workflows[which]
    with Orchestrator(where / "runs.db", home=where / "home", pools=pools(), env=("SAMPLED_FOLDER",)) as orchestrator:
        run = orchestrator.start(started, argument, id="r")
        if which == "finished":
            run.result(30)
        (where / "used").touch()
        while True:
            asyncio.run(asyncio.sleep(3600))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
