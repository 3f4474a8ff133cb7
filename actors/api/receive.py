"""Receiving of messages in workflow code."""

import asyncio
from types import UnionType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.values.conversion import faults, read_model, sentence
from greenroom.messages.core.times import Seconds, limit

M = TypeVar("M", bound=BaseModel)


async def receive(model: type[M], timeout: Seconds | None = None) -> M:  # noqa: ASYNC109  the contract's name
    """Wait for the next message of a type. ``Run.signal`` and ``greenroom send`` put messages into the run's mailbox.

    Messages of one type are received in order of arrival, including those that arrived before this call. The waiting
    run occupies no worker. A message that does not fit the model is recorded as refused, with every wrong field, and
    the wait continues.

    Args:
        model: A pydantic model; its name selects the messages.
        timeout: Longest wait in seconds; None or ``math.inf`` for no limit. The limit survives every process.

    Raises:
        TimeoutError: No message arrived in time.
        TypeError: ``model`` is not a pydantic model.
        RuntimeError: The caller does not run in a workflow.
    """
    port = program.get()
    if port is None:
        msg = "receive() is for workflow code: a step, and code that no run awaits, has no mailbox"
        raise RuntimeError(msg)
    _check(model)
    async with asyncio.timeout(limit(timeout, "the timeout of receive()")):
        return await _next(port, model)


def _check(model: object) -> None:
    """Check the model's type at run time, because callers need not be typed."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        msg = f"receive() takes a pydantic model such as `class Go(BaseModel): ...`, not {model!r}"
        if isinstance(model, UnionType):
            msg += ": give one model a field of that type, or await a receive() of each with asyncio.wait"
        raise TypeError(msg)


async def _next(port: ProgramPort, model: type[M]) -> M:
    while True:
        key, value = await port.receive(model.__name__)
        try:
            return read_model(model, value)
        except ValidationError as error:
            port.refuse(key, f"it does not fit {model.__name__}: {sentence(faults(error))}")
