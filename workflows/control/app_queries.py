"""What commands ask an app before they are carried out: whether values fit it, and what it defines.

An app's own code answers, in a program worker. So an answer may take long, or be the end of its worker; whoever asks
hears of it either way. No time is counted here: a worker whose loop is held for ``health.BLOCKED_AFTER`` seconds by one
answer is ended for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from greenroom.actors.program.source_location import dumped_place
from greenroom.messages.core.failures import ExitKind
from greenroom.messages.frames.worker import FromWorker, ToWorker
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, Lost, PoolKey, Unavailable
from greenroom.supervision.policy.liveness import BLOCKED_AFTER
from greenroom.supervision.tree import Tree

ASKED: Final = 3
"""Workers that an answer may cost which die for another reason than taking too long."""
_TOO_LONG: Final[frozenset[ExitKind]] = frozenset({"blocked", "hung", "timeout"})

Frame: TypeAlias = Callable[[str], ToWorker]
"""Makes a question, given the token that its answer repeats."""
Ask: TypeAlias = Callable[[str, Frame], Awaitable[FromWorker | str]]
"""Asks an app, and gives the answer, or in a sentence why there is none."""


class AppQueries:
    """Asks apps. Coroutines of the reactor's loop.

    Args:
        tree: Has the workers.
        mint: Gives tokens.
    """

    def __init__(self, tree: Tree, mint: Callable[[], str]) -> None:
        """Know whom to ask."""
        self._tree = tree
        self._mint = mint

    async def ask(self, app: str, frame: Frame) -> FromWorker | str:
        """Ask a program worker of an app something; a string is why there was no answer.

        Asking changes nothing, so what a worker took into its death is asked of others. A question that held its worker
        for too long is not: it would only do so again.
        """
        for left in reversed(range(ASKED)):
            answer = await self._ask_one(app, frame)
            if not isinstance(answer, Lost):
                return answer
            if not left or (answer.charged and answer.exit.kind in _TOO_LONG):
                return _unanswered(app, answer)
        raise AssertionError

    async def _ask_one(self, app: str, frame: Frame) -> FromWorker | Lost | str:
        answer: asyncio.Future[FromWorker | Lost | str] = asyncio.get_running_loop().create_future()

        def hear(event: JobEvent) -> None:
            if answer.done():  # whoever asked has gone
                return
            match event:
                case Answered(message=message):
                    answer.set_result(message)
                case Lost():
                    answer.set_result(event)
                case Unavailable(reason=reason):
                    answer.set_result(reason)
                case Assigned():
                    pass

        token = self._mint()
        job = Job(token=token, run_id="", label="what is to be checked", frame=frame(token), reply=hear, pressing=True)
        self._tree.submit(PoolKey(app, "program", "program"), None, job)
        return await answer


def _unanswered(app: str, lost: Lost) -> str:
    place = dumped_place(lost.exit.stderr)
    at = f", at {place}" if place else ""
    if lost.charged and lost.exit.kind in _TOO_LONG:
        most = f"{BLOCKED_AFTER:g} s are the most that a check may hold its process"
        return f"the app {app} took too long to check this and was stopped{at}: {most}"
    return f"the app {app} cannot be asked: its process {lost.exit.sentence()}{at}"
