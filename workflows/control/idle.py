"""Whether anything is under way in an orchestrator, and whether anybody waits: what a virtual clock goes by."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from greenroom.messages.commands import Reply
from greenroom.messages.core.message import Message
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.tree import Tree
from greenroom.workflows.clock import Clock, OrchestratorActivity
from greenroom.workflows.runs.message_router import MessageRouter
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.runs.watching.subscription import Resting, Subscription
from greenroom.workflows.scheduler.registry import Schedules

C = TypeVar("C", bound=Message)


class IdleMonitor:
    """Puts together what the parts say of themselves. Reactor's thread only, but for ``watch``.

    Whatever another thread still has to say, the journal's writer or its reader, is counted here until it has been
    heard on the reactor's own. So what is asked there, when nothing is ready any more, cannot be out of date.
    """

    def __init__(
        self, reactor: Reactor, runs: RunRegistry, schedules: Schedules, post: MessageRouter, tree: Tree, clock: Clock
    ) -> None:
        """Have the clock serve this orchestrator."""
        self._reactor = reactor
        self._runs = runs
        self._schedules = schedules
        self._post = post
        self._tree = tree
        self._clock = clock
        self._commands = 0
        """Commands that have not been answered."""
        self._resting = Resting() if clock.virtual else None
        """Who waits for a run, where the clock has to know."""
        clock.attach(OrchestratorActivity(reactor, self.idle, self.awaited))

    async def end(self) -> None:
        """Let the clock go."""
        self._clock.detach()

    async def command(self, carry_out: Callable[[C], Awaitable[Reply]], command: C) -> Reply:
        """Have a command carried out, which is under way until it is answered."""
        self._commands += 1
        try:
            return await carry_out(command)
        finally:
            self._commands -= 1

    def idle(self) -> bool:
        """Say whether nothing is under way; to wait for a session's reply is to wait."""
        commands = self._commands > self._post.asking
        return not (commands or self._runs.working() or self._schedules.working() or self._tree.working())

    def awaited(self) -> bool:
        """Say whether somebody waits for a reply, or for a run and has seen all that he was told of."""
        return bool(self._resting or self._post.asking)

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> Subscription:
        """Watch a run; see ``Subscription``. Any thread."""
        return Subscription(self._reactor, self._runs.watchers, self._resting, run_id, watcher, end_only=end_only)
