"""A chat with an agent whose model is on a server of the tests, and whose tool waits at a gate."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import LLM, Conversation, Retry, session, tool


class Chat(BaseModel):
    history: Conversation = Conversation()


class Say(BaseModel):
    text: str


@tool(retry=Retry(attempts=4, initial=0.01, max_delay=0.05))
def brood(folder: str) -> str:
    """Take until a file is there."""
    with Path(folder, "brood.reached").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    while not Path(folder, "brood").exists():
        time.sleep(0.005)
    return "brooded enough"


talker = LLM(
    "talker",
    tools=[brood],
    stream="answer",
    model="openai-chat:talker",
    retry=Retry(attempts=6, initial=0.01, max_delay=0.05),
)


@session(state=Chat)
async def chat(state: Chat, message: Say) -> str:
    return await talker(message.text, history=state.history)
