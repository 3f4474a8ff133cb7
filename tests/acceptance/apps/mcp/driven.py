"""Workflows and a session for clients that drive an orchestrator from outside."""

from pydantic import BaseModel

from greenroom import approve, receive, session, tool, workflow


class Count(BaseModel):
    count: int = 0


class Said(BaseModel):
    text: str


@tool
def greeting(name: str) -> str:
    return f"hello {name}"


@workflow
async def greet(name: str) -> str:
    """Greet somebody."""
    return await greeting(name)


@workflow
async def release(version: str) -> str:
    decision = await approve("release", {"version": version})
    return f"{decision.decision} {decision.args['version']} by {decision.by}"


@workflow
async def waits() -> str:
    return (await receive(Said)).text


@workflow
async def long(megabytes: int) -> str:
    return "x" * (megabytes * 2**20)


@workflow
async def fails() -> None:
    msg = "there is no paper"
    raise ValueError(msg)


@session
async def chat(state: Count, message: Said) -> str:
    state.count += 1
    return f"{state.count}: {message.text}"
