"""An agent with tools that leave marks outside, so that a call that ran twice is seen."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from greenroom import LLM, Conversation, MockModel, Retry, evaluator, session, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.messages.transcript import ToolCall
from tests.acceptance.apps.effects import append
from tests.acceptance.apps.limits import unruly

HASTE = Retry(attempts=2, initial=0.01, jitter=0.0)


def asks(*calls: tuple[str, str]) -> ModelReply:
    return ModelReply(
        calls=tuple(ToolCall(id=f"c{n}", name=name, arguments=text) for n, (name, text) in enumerate(calls))
    )


class Report(BaseModel):
    title: str
    found: int


@tool
def note(text: str, log: str) -> str:
    """Write a line."""
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return f"noted {text}"


@tool(approve=True)
def pay(amount: int, log: str) -> str:
    """Pay."""
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"paid {amount}\n")
    return f"paid {amount}"


@tool(timeout=1, retry=Retry(attempts=1))
def spin() -> int:
    """Compute for ever."""
    return 10**10**9


@tool(retry=Retry(attempts=1))
def fall() -> int:
    """End the process."""
    os._exit(7)


@tool(once=True)
def fall_once() -> int:
    """End the process."""
    os._exit(7)


def model(*replies: object) -> MockModel:
    return MockModel(latency=0.0, replies=replies)


@workflow
async def report(log: str) -> Report:
    return await reporter(f"Report on otters. {log}")


# The replies of a model are made with the app, in every process alike; the log's path comes through the environment.
LOG = os.environ.get("AGENT_LOG", "/dev/null")
ARGUMENTS = '{{"text": "{}", "log": "' + LOG + '"}}'

reporter = LLM(
    "reporter",
    output=Report,
    tools=[note],
    model=model(
        asks(("note", ARGUMENTS.format("one")), ("note", ARGUMENTS.format("two"))),
        asks(("note", ARGUMENTS.format("three"))),
        Report(title="otters", found=3),
    ),
)

cashier = LLM("cashier", tools=[pay], model=model(asks(("pay", '{"amount": 5, "log": "' + LOG + '"}')), "well"))
helper = LLM("helper", tools=[note], model=model(asks(("note", ARGUMENTS.format("helped"))), "I have helped"))
boss = LLM("boss", tools=[helper, report], model=model(asks(("helper", '{"prompt": "help"}')), "all done"))
faller = LLM(
    "faller",
    tools=[fall, fall_once, spin],
    model=model(asks(("fall", "{}")), asks(("fall_once", "{}")), asks(("spin", "{}")), "I give up"),
)
unsure = LLM(
    "unsure",
    model=MockModel(latency=0.0, replies=[ConnectionError("down")]),
    retry=HASTE,
    fallback=[model("from the second")],
)


@workflow
async def buy() -> str:
    return await cashier("buy")


@workflow
async def lead() -> str:
    return await boss("lead")


@workflow
async def tumble() -> str:
    return await faller("fall")


@workflow
async def ask_unsure() -> str:
    return await unsure("who are you?")


def unruly_calls(*hows: tuple[str, str]) -> list[ModelReply]:
    return [asks((name, '{"how": "' + how + '"}')) for name, how in hows]


HOWS = (
    ("slow", "power"),
    ("slow", "regex"),
    ("slow", "exit"),
    ("slow", "segfault"),
    ("slow", "orphans"),
    ("leak", "leak"),
)
patient = LLM(
    "patient",
    tools=[unruly.slow, unruly.leak],
    model=model(*unruly_calls(*HOWS, ("slow", "fine")), "I have seen it all"),
)


@workflow
async def endure() -> str:
    return await patient("endure")


@tool
def brood(folder: str) -> str:
    """Take until a file is there."""
    append(Path(folder, "brood.reached"), str(os.getpid()))
    while not Path(folder, "brood").exists():
        time.sleep(0.005)
    return "thought"


class Chat(BaseModel):
    history: Conversation = Conversation()


class Say(BaseModel):
    text: str


talker = LLM(
    "talker", tools=[note], model=model("one", asks(("note", ARGUMENTS.format("said"))), "two", "three", "four")
)


@session(state=Chat)
async def chat(state: Chat, message: Say) -> str:
    return await talker(message.text, history=state.history)


circler = LLM("circler", tools=[note], model=model(asks(("note", ARGUMENTS.format("again")))))


class Frank:
    """A model of the user's own that calls its first tool once, then repeats what it has noted about that call."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        form: Any = request.tools[0].parameters
        if len(request.messages) == 1:
            text = json.dumps(dict.fromkeys(form["required"], LOG))
            return ModelReply(calls=(ToolCall(id="c", name="note", arguments=text),), raw={"asked": form["required"]})
        asked: Any = request.messages[1]
        return ModelReply(json.dumps([asked.raw["asked"], form]))


frank = LLM("frank", tools=[note], output=list[Any], model=Frank())


@workflow
async def speak_frankly() -> list[Any]:
    return await frank("go")


@workflow
async def circle() -> str:
    return await circler("go")


@evaluator
def signed(text: str, call: dict[str, Any]) -> bool:
    """Accept what is signed, and repeats the question."""
    return text.endswith("Yours, the desk") and call["args"][0] in text


signing: dict[str, Any] = {
    "tools": [note],
    "accept": [signed],
    "retry": HASTE,
    "model": model(asks(("note", ARGUMENTS.format("x"))), "no", "hello? hello! Yours, the desk"),
}
signer = LLM("signer", **signing)
escalating = LLM("escalating", **{**signing, "on_reject": "escalate"})


@workflow
async def sign(escalate: bool) -> str:
    history = Conversation()
    answer = await (escalating if escalate else signer)("hello?", history=history)
    assert history.tip
    return answer


streamer = LLM(
    "streamer",
    tools=[brood],
    stream="answer",
    model=MockModel(
        latency=0.3,
        replies=[
            "These are the words of the first answer, one after another.",
            replace(asks(("brood", '{"folder": "' + str(Path(LOG).parent) + '"}')), text="I think about it."),
            "These are the words of the last answer.",
        ],
    ),
)


@session(state=Chat)
async def talk(state: Chat, message: Say) -> str:
    return await streamer(message.text, history=state.history)
