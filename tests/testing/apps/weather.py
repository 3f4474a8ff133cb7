"""A workflow whose tools a test wants to replace."""

from pydantic import BaseModel

from greenroom import Fatal, Retry, tool, workflow


class Sky(BaseModel):
    place: str
    clouds: int


@tool(retry=Retry(attempts=3, initial=0.01, jitter=0.0), timeout=20)
def look(place: str) -> Sky:
    raise Fatal("nobody should look at the real sky of " + place)


@tool
def say(text: str) -> str:
    return f"really: {text}"


@workflow
async def report(place: str) -> str:
    sky = await look(place)
    return await say(f"{sky.clouds} clouds over {sky.place}")
