"""A workflow and a session that need a tool worker."""

from pydantic import BaseModel

from greenroom import session, tool, workflow


class Said(BaseModel):
    words: list[str] = []


class Word(BaseModel):
    text: str


@tool
def shout(text: str) -> str:
    return text.upper()


@workflow
async def loud(text: str) -> str:
    return await shout(text)


@session(state=Said)
async def talk(state: Said, message: Word) -> str:
    state.words.append(await shout(message.text))
    return state.words[-1]
