"""Fakes of tools: functions of a test, called in the test's own process in place of what a tool worker would run.

The worker asks over a Unix socket that an environment variable names. A request is the frame of the attempt as one line
of JSON; the answer is one line, ``{"result": ...}``, ``{"failure": {...}}``, or ``{}`` where the tool has no fake.
"""

import json
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Execute

VARIABLE: Final = "GREENROOM_FAKES"
"""Environment variable that names the socket. Read in the worker."""
NO_FAKE: Final = object()
"""Stands for the result of a tool that nobody has replaced."""

in_place: Final[dict[str, Callable[..., Any]]] = {}
"""The fakes of this process by the tool's reference, for calls outside of runs."""


class FakeFailed(Exception):  # noqa: N818  it carries an outcome from one process to the other
    """The fake of a tool has raised; ``failure`` says what, as the test's process has described it."""

    def __init__(self, failure: Failure) -> None:
        """Carry a failure."""
        super().__init__(failure.message)
        self.failure = failure


def fakes() -> str | None:
    """Give the socket of the test that replaces tools, where there is one. A worker asks once, as it begins."""
    return os.environ.get(VARIABLE) or None


def fake_result(path: str, message: Execute) -> Json | object:
    """Have an attempt done by the fake of its tool, ``NO_FAKE`` where it has none. Main thread of a tool worker.

    Args:
        path: See ``fakes``.
        message: The attempt.

    Raises:
        FakeFailed: The fake has raised.
        ConnectionError: The test that gives the fakes is over.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            msg = f"the test that replaces tools cannot be reached any more: {error}"
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
