"""Asking again until there is an answer, so that no single request has to last as long as the answer takes."""

import secrets
import time
from collections.abc import Iterator
from typing import Final

from greenroom.messages.commands import AskSession, Command, Refused, Reply
from greenroom.messages.refusals import unanswered

ROUND: Final = 30.0
"""Seconds for which one request waits."""


class Rounds:
    """The requests for one command. A question that may take long is several, with one key; anything else is one.

    Iterate over the requests, and pass the reply to each to ``take``.
    """

    def __init__(self, command: Command) -> None:
        """Start with a command that has not been sent."""
        self._command = command
        self.reply: Reply
        """The reply to the command, once the iteration has ended."""

    def __iter__(self) -> Iterator[Command]:
        """Yield the next request, until a reply is final or the time is over."""
        command = self._command
        if not isinstance(command, AskSession) or (command.timeout is not None and command.timeout <= ROUND):
            yield command
            return
        key = command.key or secrets.token_hex(16)
        deadline = None if command.timeout is None else time.monotonic() + command.timeout
        left = ROUND
        while left > 0:
            yield command.model_copy(update={"key": key, "timeout": min(ROUND, left)})
            if not (isinstance(self.reply, Refused) and self.reply.code == "timeout"):
                return
            left = ROUND if deadline is None else deadline - time.monotonic()
        assert command.timeout is not None
        self.reply = unanswered(f"{command.session}/{command.session_key}", command.timeout)

    def take(self, reply: Reply) -> None:
        """Take the reply to the newest request."""
        self.reply = reply
