"""Messages to a run, as its workflow's code takes them."""

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.values.conversion import faults, read_model, sentence
from greenroom.messages.core.times import Seconds, limit

M = TypeVar("M", bound=BaseModel)


async def receive(model: type[M], timeout: Seconds | None = None) -> M:  # noqa: ASYNC109  the contract's name
    """Wait for the next message of a type, as ``Run.signal`` and ``greenroom send`` put it into the run's mailbox.

    Messages of one type are taken in the order in which they came, also those that came before anybody asked. Nothing
    is held while the run waits. A message that does not fit the model is recorded as refused, with every field at
    fault, and the wait goes on.

    Args:
        model: A pydantic model; messages are told apart by its name.
        timeout: Seconds to wait at most, None or ``math.inf`` without a limit. The limit outlives every process.

    Raises:
        TimeoutError: No message came in time.
        TypeError: ``model`` is no pydantic model.
        RuntimeError: The code that asks runs in no workflow.
    """
    port = program.get()
    if port is None:
        msg = "receive() is for workflow code: a step, and code that no run awaits, has no mailbox"
        raise RuntimeError(msg)
    _check(model)
    async with asyncio.timeout(limit(timeout, "the timeout of receive()")):
        return await _next(port, model)


def _check(model: object) -> None:
    """Refuse what has no name and no fields: callers need not be typed."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        msg = f"receive() takes a pydantic model such as `class Go(BaseModel): ...`, not {model!r}"
        raise TypeError(msg)


async def _next(port: ProgramPort, model: type[M]) -> M:
    while True:
        key, value = await port.receive(model.__name__)
        try:
            return read_model(model, value)
        except ValidationError as error:
            port.refuse(key, f"it does not fit {model.__name__}: {sentence(faults(error))}")
