"""Asks a model of a provider once, on a loop of its own, and closes its connections."""

import asyncio
from typing import Any

from greenroom.actors.models import ModelReply, ModelRequest, provider
from greenroom.actors.worker.models.prompt import resolve_model


def ask(name: str, prompt: str = "hi", **request: Any) -> ModelReply:
    async def once() -> ModelReply:
        model = resolve_model(name, "LLM `w`")
        try:
            return await model.complete(ModelRequest(prompt, **request))
        finally:
            await close()

    return asyncio.run(once())


async def close() -> None:
    for client in provider._clients.pop(asyncio.get_running_loop(), {}).values():
        async with client:  # which closes its connections at the end
            pass
