"""A session that has a run of its own for each message."""

from pydantic import BaseModel

from greenroom import run, session, workflow


class Ask(BaseModel):
    text: str


class Nothing(BaseModel):
    pass


@workflow
async def echo(text: str) -> str:
    return text


@session(state=Nothing)
async def clerk(state: Nothing, message: Ask) -> str:
    return await run(echo, message.text)
