"""Commands of other processes, whose runs delay the close of an orchestrator."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from greenroom.messages.commands import (
    Accepted,
    Command,
    ForkRun,
    Refused,
    Reply,
    Resumed,
    ResumeRun,
    RetryRun,
    StartRun,
)

LEAVING: Final = "this orchestrator is about to end and takes nothing more; ask again once it has"
"""Refusal of commands that arrive too late."""


class Visitors:
    """Carries out commands of other processes, and records the runs that they continue. Reactor thread only."""

    def __init__(self, carry_out: Callable[[Command], Awaitable[Reply]], is_over: Callable[[str], bool]) -> None:
        """Start without runs. ``is_over`` returns whether a run needs no orchestrator; it may block."""
        self._carry_out = carry_out
        self._is_over = is_over
        self._runs: set[str] = set()
        self._leaving = False
        self._under_way = 0
        """Number of unanswered commands."""
        self._answered = asyncio.Event()

    async def carry_out(self, command: Command) -> Reply:
        """Carry out a command of another process."""
        if self._leaving:
            return Refused(code="closed", message=LEAVING)
        self._under_way += 1
        try:
            reply = await self._carry_out(command)
            self._remember(command, reply)
        finally:
            self._under_way -= 1
            self._answered.set()
        return reply

    def _remember(self, command: Command, reply: Reply) -> None:
        asked: tuple[str, ...] = ()
        if isinstance(reply, Accepted) and isinstance(command, (StartRun, ResumeRun, RetryRun, ForkRun)):
            asked = (reply.run_id or command.run_id,)
        elif isinstance(reply, Resumed):
            asked = reply.run_ids
        self._runs.update(run_id for run_id in asked if "/" not in run_id)  # sessions never end

    async def leave(self, run_ids: Sequence[str]) -> list[str]:
        """Return the awaited runs that are unfinished. If there is none, refuse all later commands."""
        self._runs.update(run_ids)
        while True:
            while self._under_way:
                self._answered.clear()
                await self._answered.wait()
            look = partial(self._find_over, frozenset(self._runs))
            self._runs -= await asyncio.get_running_loop().run_in_executor(None, look)
            if self._runs or self._under_way:
                if left := sorted(self._runs):
                    return left
                continue
            self._leaving = True
            return []

    def _find_over(self, run_ids: frozenset[str]) -> set[str]:
        return set(filter(self._is_over, run_ids))
