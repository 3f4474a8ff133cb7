"""Fakes of tools: functions of a test that run in the test's process, in place of the tools of a worker.

The worker asks over a Unix socket that an environment variable names. A request is the attempt's frame as one line of
JSON. The answer is one line: ``{"result": ...}``, ``{"failure": {...}}``, or ``{}`` if the tool has no fake.
"""

import json
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import FAKES_VARIABLE, Execute

VARIABLE: Final = FAKES_VARIABLE
"""Environment variable that names the socket. Read in the worker."""
NO_FAKE: Final = object()
"""Stands for the result of a tool without a fake."""

in_place: Final[dict[str, Callable[..., Any]]] = {}
"""The fakes of this process, by the tool's reference, for calls outside runs."""


class FakeFailed(Exception):  # noqa: N818  it carries a failure between processes
    """The fake of a tool raised; ``failure`` is the test process's description of it."""

    def __init__(self, failure: Failure) -> None:
        """Store the failure."""
        super().__init__(failure.message)
        self.failure = failure


def fakes() -> str | None:
    """Return the path of the socket of a test that replaces tools, or None. Read once per worker, as it starts."""
    return os.environ.get(VARIABLE) or None


def fake_result(path: str, message: Execute) -> Json | object:
    """Run an attempt by the fake of its tool; return ``NO_FAKE`` if it has none. Blocks.

    Args:
        path: See ``fakes``.
        message: The attempt.

    Raises:
        FakeFailed: The fake raised.
        ConnectionError: The test that provides the fakes has ended.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            msg = (
                f"the test that replaces tools has ended, and this worker was started for it ({error}): let the "
                "orchestrator be closed before its tool_fakes are"
            )
            raise ConnectionError(msg) from error
        connection.sendall(message.model_dump_json().encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        msg = "the test that replaces tools has ended"
        raise ConnectionError(msg)
    answer = json.loads(line)
    if "failure" in answer:
        raise FakeFailed(Failure.model_validate_json(json.dumps(answer["failure"])))
    return answer.get("result", NO_FAKE)  # type: ignore[no-any-return]
