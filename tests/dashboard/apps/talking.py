"""An agent, in a run and in a session."""

from pydantic import BaseModel

from greenroom import LLM, Conversation, MockModel, session, tool, workflow


@tool
def find_order(number: str) -> str:
    """Find an order."""
    return f"{number} is on its way"


desk = LLM("desk", model=MockModel(latency=0), tools=[find_order])


@workflow
async def answer(question: str) -> str:
    return await desk(question)


@workflow
async def silent() -> int:
    return 1


class Chat(BaseModel):
    history: Conversation = Conversation()


class Say(BaseModel):
    text: str


@session(state=Chat)
async def chat(state: Chat, message: Say) -> str:
    return await desk(message.text, history=state.history)
