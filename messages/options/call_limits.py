"""Limits of the calls of models and tools, from all runs and workers of an orchestrator. Plain data."""

from typing import TYPE_CHECKING

from pydantic import Field

from greenroom.messages.core.fields import Duration
from greenroom.messages.core.message import Message
from greenroom.messages.options.from_python import FromPython

if TYPE_CHECKING:
    from greenroom.messages.core.times import Seconds


class ModelLimit(Message, metaclass=FromPython):
    """Limits of the requests to one model, from all workers and runs of an orchestrator.

    Attributes:
        rpm: Most requests that start within a minute; None for no limit.
        tpm: Most tokens of requests that start within a minute, input and output; None for no limit. Before a request
            its tokens are estimated, afterwards the estimate is replaced by what it used.
        concurrency: Most requests at once; None for no limit.
    """

    rpm: int | None = Field(default=None, gt=0)
    tpm: int | None = Field(default=None, gt=0)
    concurrency: int | None = Field(default=16, gt=0)

    if TYPE_CHECKING:  # as it is given, by position too

        def __init__(self, rpm: int | None = None, tpm: int | None = None, concurrency: int | None = 16) -> None: ...


class Breaker(Message, metaclass=FromPython):
    """When calls of a failing model or tool are held back.

    After ``failures`` failures in a row, all within ``within`` seconds, the breaker opens: calls wait. After
    ``cooldown`` seconds one call is let through. If it succeeds the breaker closes, otherwise it stays open as long
    again. Failures of infrastructure count: crashes, time-outs, lost connections, and every error of a model that may
    be tried again.

    Attributes:
        failures: Failures in a row that open it.
        within: Seconds between the first and the last of them at most.
        cooldown: Seconds that it stays open.
    """

    failures: int = Field(default=10, ge=1)
    within: Duration = 60.0
    cooldown: Duration = 15.0

    if TYPE_CHECKING:  # accepted types, which are more than the stored ones

        def __init__(self, failures: int = 10, within: Seconds = 60.0, cooldown: Seconds = 15.0) -> None: ...
