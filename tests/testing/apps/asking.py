"""Workflows that ask models, for the tests of scripts."""

import asyncio

from pydantic import BaseModel

from greenroom import LLM, Retry, workflow


class Brief(BaseModel):
    title: str
    bullets: list[str]


writer = LLM("writer", output=Brief, retry=Retry(attempts=5, initial=60.0))
namer = LLM("namer", retry=Retry(initial=60.0))


@workflow
async def brief(topic: str) -> Brief:
    return await writer(f"Write a brief on {topic}.")


@workflow
async def names(topics: list[str]) -> list[str]:
    return list(await asyncio.gather(*(namer(f"A name for {topic}, please.") for topic in topics)))
