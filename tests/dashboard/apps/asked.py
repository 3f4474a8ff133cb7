"""A session whose answers take as long as a person does."""

from pydantic import BaseModel

from greenroom import approve, session


class Note(BaseModel):
    text: str


class Seen(BaseModel):
    texts: list[str] = []


@session(state=Seen)
async def desk(state: Seen, message: Note) -> str:
    """Let a person decide."""
    answer = await approve(message.text)
    state.texts.append(message.text)
    return answer.decision
