"""Ask an app whether values are valid for it, and what it defines.

The app's own code answers, in a program worker. An answer may take long or end its worker, both of which are reported
to the caller. There is no timeout here: a worker is killed if one answer blocks its loop for ``BLOCKED_AFTER`` seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from greenroom.actors.program.source_location import dumped_place
from greenroom.messages.commands import Refused
from greenroom.messages.core.failures import ExitKind
from greenroom.messages.frames.worker import FromWorker, ToWorker
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, Lost, PoolKey, Unavailable
from greenroom.supervision.policy.liveness import BLOCKED_AFTER
from greenroom.supervision.tree import Tree

ASKED: Final = 3
"""Most workers that are asked, if each of them dies for another reason than taking too long."""
_TOO_LONG: Final[frozenset[ExitKind]] = frozenset({"blocked", "hung", "timeout"})

Frame: TypeAlias = Callable[[str], ToWorker]
"""Returns a question with the token that its answer repeats."""
Ask: TypeAlias = Callable[[str, Frame], Awaitable[FromWorker | Refused]]
"""Asks an app, and returns the answer, or a refusal with the reason why there is none."""


class AppQueries:
    """Asks apps. Coroutines of the reactor's loop.

    Args:
        tree: The supervision tree with the workers.
        mint: Returns a new token at each call.
    """

    def __init__(self, tree: Tree, mint: Callable[[], str]) -> None:
        """Keep the arguments."""
        self._tree = tree
        self._mint = mint

    async def ask(self, app: str, frame: Frame) -> FromWorker | Refused:
        """Ask a program worker of an app. Return the answer, or a refusal with the reason why there is none.

        A question changes nothing, so it is sent to another worker if its worker died. A question that took too long is
        not sent again.
        """
        for left in reversed(range(ASKED)):
            answer = await self._ask_one(app, frame)
            if not isinstance(answer, Lost):
                return answer
            if not left or (answer.charged and answer.exit.kind in _TOO_LONG):
                return Refused(code="invalid", message=_unanswered(app, answer))
        raise AssertionError

    async def _ask_one(self, app: str, frame: Frame) -> FromWorker | Lost | Refused:
        answer: asyncio.Future[FromWorker | Lost | Refused] = asyncio.get_running_loop().create_future()

        def hear(event: JobEvent) -> None:
            if answer.done():  # the caller was cancelled
                return
            match event:
                case Answered(message=message):
                    answer.set_result(message)
                case Lost():
                    answer.set_result(event)
                case Unavailable(reason=reason, pool=pool):
                    answer.set_result(Refused(code="no_workers" if pool else "invalid", message=reason))
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
