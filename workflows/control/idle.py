"""Report to a virtual clock whether an orchestrator has unfinished work, and whether a caller waits."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from greenroom.messages.commands import Reply
from greenroom.messages.core.message import Message
from greenroom.supervision.loop.clock import Clock, OrchestratorActivity
from greenroom.supervision.loop.reactor import Reactor
from greenroom.workflows.runs.message_router import MessageRouter
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.runs.watching.subscription import Subscription, Waiters
from greenroom.workflows.scheduler.registry import ScheduleRegistry

C = TypeVar("C", bound=Message)


class IdleMonitor:
    """Asks the parts of an orchestrator whether they are idle. Reactor thread only, except ``watch``.

    Work of other threads, such as the journal's writer and reader, counts until its result has reached the reactor's
    thread. So the answer is up to date when the loop has nothing ready.
    """

    def __init__(
        self,
        reactor: Reactor,
        runs: RunRegistry,
        schedules: ScheduleRegistry,
        router: MessageRouter,
        working: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """Attach this orchestrator to the clock. ``working`` returns whether pools have work under way."""
        self._reactor = reactor
        self._runs = runs
        self._schedules = schedules
        self._router = router
        self._working = working
        self._clock = clock
        self._commands = 0
        """Number of commands that have not been answered."""
        self._waiters = Waiters() if clock.virtual else None
        """Owners of subscriptions that wait for a run; None if the clock is not virtual."""
        clock.attach(OrchestratorActivity(reactor, self.idle, self.awaited))

    async def end(self) -> None:
        """Detach this orchestrator from the clock."""
        self._clock.detach()

    async def command(self, carry_out: Callable[[C], Awaitable[Reply]], command: C) -> Reply:
        """Carry out a command, and count it until it is answered."""
        self._commands += 1
        try:
            return await carry_out(command)
        finally:
            self._commands -= 1

    def idle(self) -> bool:
        """Return whether there is no unfinished work. A command that waits for a session's reply does not count."""
        commands = self._commands > self._router.asking
        return not (commands or self._runs.working() or self._schedules.working() or self._working())

    def awaited(self) -> bool:
        """Return whether a caller waits for a reply, or waits for a run and has seen every change of it."""
        return bool(self._waiters or self._router.asking)

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> Subscription:
        """Watch a run; see ``Subscription``. Thread-safe."""
        return Subscription(self._reactor, self._runs.subscribers, self._waiters, run_id, watcher, end_only=end_only)
