"""Workflows and sessions with something to say of what they take."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, GetJsonSchemaHandler

from greenroom import session, workflow


class Topic(BaseModel):
    name: str
    depth: int = Field(default=1, ge=1, description="How far to go.")


class Odd:
    """A type whose schema cannot be made."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler(Any)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        raise KeyError("no schema")


class Brief(BaseModel):
    title: str


class Say(BaseModel):
    text: str


class Reset(BaseModel):
    why: str = ""


class Memory(BaseModel):
    said: list[str] = []


@workflow
async def research(
    topic: Topic,
    until: date | None = None,
    style: Literal["short", "long"] = "short",
    limit: Annotated[int, Field(description="At most so many.")] = 3,
    odd: Odd | None = None,
) -> Brief:
    """Write a brief.

    More about it.

    Args:
        topic: What it is about,
            in as many words as needed.
        until: The last day
        style (str): How long it is: short or long.

    Returns:
        The brief.
    """
    return Brief(title=topic.name)


@session(state=Memory)
async def talk(state: Memory, message: Say | Reset) -> int:
    """Remember what is said."""
    state.said.append(getattr(message, "text", ""))
    return len(state.said)
