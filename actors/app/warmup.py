"""Warming up of the zygote: imports, first uses and caches, so that the workers forked from it inherit them."""

import asyncio
import importlib
from typing import Final

from greenroom.actors.failures.description import describe_exception
from greenroom.messages.codecs.codec import FROM_WORKER, HEADER, TO_WORKER
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import (
    Completed,
    Evaluate,
    Execute,
    Failed,
    FromWorker,
    Heartbeat,
    Judged,
    Ready,
    Resolution,
    Resolve,
    Return,
    ScheduleStep,
    StartProgram,
    Stop,
    ToWorker,
    Turn,
)
from greenroom.messages.options.policy import StepOptions

_MODULES: Final = (
    "worker.main",
    "worker.program_host",
    "worker.tool",
    "worker.models.llm",
    "worker.evaluator",
    "models.embedded.mock",
    "models.price",
)
_TOKEN: Final = "1:1"  # noqa: S105  the identity of an attempt, not a secret
_ARGUMENTS: Final[Json] = {"args": ["a", 1, 1.5, None], "kwargs": {"b": [True, {}]}}


def warm_up() -> None:
    """Import the modules of workers and use each message once. Starts no thread and leaves no file descriptor open."""
    for module in _MODULES:
        importlib.import_module(f"greenroom.actors.{module}")
    failure = _failure()
    for sent in _to_worker():
        TO_WORKER.decode(TO_WORKER.encode(sent)[HEADER.size :])
    for received in _from_worker(failure):
        FROM_WORKER.encode(received)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.wait_for(asyncio.sleep(0), 1))
    loop.close()


def _failure() -> Failure:
    try:
        raise ValueError("x")  # noqa: TRY301  raised to have a traceback
    except ValueError as error:
        return describe_exception(error)


def _to_worker() -> tuple[ToWorker, ...]:
    resolution = Resolution(key="k", kind="result", value=[1])
    return (
        Execute(
            run_id="r",
            key="k",
            name="n",
            step="m:n",
            attempt=1,
            token=_TOKEN,
            arguments=_ARGUMENTS,
            idempotency_key="i",
        ),
        Evaluate(
            run_id="r",
            key="k",
            attempt=1,
            token=_TOKEN,
            evaluator="m:n",
            subject=1,
            arguments=_ARGUMENTS,
        ),
        StartProgram(run_id="r", workflow="w", arguments={"a": 1}, started_at=0.0, history=(resolution,), known=("k",)),
        Resolve(run_id="r", resolution=resolution),
        Stop(),
    )


def _from_worker(failure: Failure) -> tuple[FromWorker, ...]:
    options = StepOptions()
    schedule = ScheduleStep(key="k", name="n", kind="tool", step="m:n", arguments=_ARGUMENTS, options=options)
    return (
        Ready(),
        Heartbeat(),
        Completed(token=_TOKEN, result={"a": [1]}, duration=0.1),
        Failed(token=_TOKEN, failure=failure, duration=0.1),
        Judged(token=_TOKEN, score=0.5),
        Turn(run_id="r", commands=(schedule, Return(result=1)), state={"a": 1}),
    )
