"""Asking again until there is an answer, so that no single request has to last as long as the answer takes."""

import math
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, TypeGuard

from greenroom.messages.commands import AskSession, Command, Refused, Reply
from greenroom.messages.refusals import unanswered
from greenroom.workflows.api.client.http import ANSWER_TIMEOUT, LATE, Waiting
from greenroom.workflows.api.client.queries import GOES_ON
from greenroom.workflows.api.waiting import not_in_time

if TYPE_CHECKING:
    import httpx

ROUND: Final = 30.0
"""Seconds for which one request waits."""


class Rounds:
    """The requests for one command. A question that has a key or may take long is several; anything else is one.

    Iterate over the requests, send each within ``patience()``, and pass the reply to ``take``. A question of several
    requests goes on with the next one if its connection broke off while it waited; its key makes them one message.
    """

    def __init__(self, command: Command) -> None:
        """Start with a command that has not been sent."""
        self._command = command
        self.reply: Reply
        """The reply to the command, once the iteration has ended."""

    def __iter__(self) -> Iterator[Command]:
        """Yield the next request, until a reply is final or the time is over."""
        command = self._command
        if not _may_be_several(command):
            yield command
            return
        key = command.key or secrets.token_hex(16)
        longest = math.inf if command.timeout is None else command.timeout
        none = unanswered(f"{command.session}/{command.session_key}", longest)
        deadline = time.monotonic() + longest
        left = longest
        while left > 0:
            self.reply = none
            yield command.model_copy(update={"key": key, "timeout": min(ROUND, left)})
            if not _is_unanswered(self.reply):
                return
            left = deadline - time.monotonic()
        self.reply = none

    def patience(self) -> AbstractContextManager[None]:
        """Return what ends a request whose connection broke off while it waited, if another may follow."""
        return Waiting() if _may_be_several(self._command) else nullcontext()

    def take(self, reply: Reply) -> None:
        """Take the reply to the newest request."""
        self.reply = reply


class ResultRounds:
    """The requests for the result of a run, each of which waits for a while.

    Args:
        run_id: Id of the run.
        timeout: Most seconds to wait; None for no limit.
    """

    def __init__(self, run_id: str, timeout: float | None) -> None:
        """Take the time."""
        self._run_id = run_id
        self._timeout = timeout
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout

    def wait(self) -> float:
        """Return the seconds for which the next request is to wait."""
        return min(ROUND, max(0.0, self._deadline - time.monotonic()))

    def is_over(self, answer: "httpx.Response") -> bool:
        """Return whether the run was over at a response.

        Raises:
            TimeoutError: It was not, and the time is over.
        """
        if answer.status_code != GOES_ON:
            return True
        if time.monotonic() < self._deadline:
            return False
        record = answer.json()
        raise not_in_time(self._run_id, self._timeout, record["status"], record.get("reason"))


def _may_be_several(command: Command) -> TypeGuard[AskSession]:
    if not isinstance(command, AskSession):
        return False
    return command.key is not None or command.timeout is None or command.timeout > ROUND


def longest_wait(request: Command) -> float:
    """Return the seconds within which a server that is there responds to a request."""
    if isinstance(request, AskSession) and request.timeout is not None:
        return request.timeout + LATE
    return ANSWER_TIMEOUT


def _is_unanswered(reply: Reply) -> bool:
    return isinstance(reply, Refused) and reply.code == "timeout"
