"""Agents of a model that reads little, on a server of the tests."""

import os
from pathlib import Path

from pydantic import BaseModel

from greenroom import LLM, ContextTooLong, Conversation, Retry, session, tool, workflow

LIMIT = 6000
"""Characters that the model reads."""
PAGE = 1800
"""Characters of a page."""
LAST = 5
"""Number of pages."""
QUICK = Retry(attempts=3, initial=0.01, max_delay=0.02)
LOG = os.environ.get("PAGES_LOG", os.devnull)


@tool
def page(number: int) -> str:
    """Read a page."""
    with Path(LOG).open("a", encoding="utf-8") as file:
        file.write(f"{number}\n")
    return f"<page {number}>" + "." * PAGE


@tool
def book() -> str:
    """Read all pages at once."""
    return "<page 1>" + "." * 2 * LIMIT


reader = LLM("reader", tools=[page], model="openai-chat:small", retry=QUICK)
hopeless = LLM("hopeless", tools=[book], model="openai-chat:small-book", retry=QUICK)
helped = LLM("helped", tools=[book], model="openai-chat:small-book", fallback=["openai-chat:large-book"], retry=QUICK)
listener = LLM("listener", model="openai-chat:small-chat", retry=QUICK)


@workflow
async def read() -> str:
    return await reader("Read all pages.")


@workflow
async def give_up() -> str:
    return await hopeless("Read the book.")


@workflow
async def hand_over() -> str:
    return await helped("Read the book.")


@workflow
async def catch() -> str:
    try:
        return await hopeless("Read the book.")
    except ContextTooLong as error:
        return f"caught: {error}"


class Talk(BaseModel):
    history: Conversation = Conversation()


class Say(BaseModel):
    text: str


@session(state=Talk)
async def listen(state: Talk, message: Say) -> str:
    return await listener(message.text, history=state.history)
