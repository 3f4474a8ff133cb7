"""The orchestrator and its client in asynchronous code."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel

from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.workflows.api.base import BaseOrchestrator
from greenroom.workflows.api.handles.async_run import AsyncRun
from greenroom.workflows.api.handles.async_schedule import AsyncSchedule
from greenroom.workflows.api.handles.async_session import AsyncSession
from greenroom.workflows.api.threads import in_thread
from greenroom.workflows.control.engine import GRACE

if TYPE_CHECKING:
    from greenroom.messages.approvals import ApprovalDecision
    from greenroom.messages.commands import Command, Reply
    from greenroom.messages.core.times import Seconds
    from greenroom.messages.events.schedules import Overlap, ScheduleRecord
    from greenroom.messages.pages import Page
    from greenroom.messages.policy import Budget
    from greenroom.messages.records import (
        ActorRecord,
        ApprovalRecord,
        DeadLetterRecord,
        RunRecord,
        RunStatus,
        SessionRecord,
        WorkerRecord,
    )
    from greenroom.metrics.figure_records import Metrics
    from greenroom.workflows.api.client.client import Client
    from greenroom.workflows.api.handles.run import Run
    from greenroom.workflows.api.handles.schedule import Schedule
    from greenroom.workflows.api.orchestrator import Orchestrator
    from greenroom.workflows.authoring.session import Handler
    from greenroom.workflows.authoring.workflow import Workflow

R = TypeVar("R")
S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)


class AsyncBaseOrchestrator:
    """What the twins have in common: the methods of ``Orchestrator`` and ``Client``, awaited.

    Names, arguments, results and errors are those of the plain ones, whose documentation holds here too. Handles that
    they give are twins as well. Waits for a run or a reply hold no thread, however many they are; everything else is
    done in a few threads. A command whose caller stops waiting is carried out all the same, once it has been begun.
    """

    def __init__(self, plain: BaseOrchestrator) -> None:
        """Made by ``async with Orchestrator(...)``, ``async with Client(...)`` and their ``aio``."""
        self._plain = plain
        self._call = plain.threads.call

    def __repr__(self) -> str:
        """Say whose twin it is."""
        return f"<{type(self).__name__} of {self._plain!r}>"

    # ------------------------------------------------------------ runs

    async def start(
        self,
        workflow: "Workflow[..., R]",
        /,
        *args: Any,
        id: str | None = None,  # noqa: A002
        budget: Any = None,
        **kwargs: Any,
    ) -> AsyncRun[R]:
        """Start a run, or find the one that ``id`` started before; see ``Orchestrator.start``."""
        run: Run[R] = await self._call(partial(self._plain.start, workflow, *args, id=id, budget=budget, **kwargs))
        return AsyncRun(run)

    async def start_app(
        self,
        app: str,
        workflow: str,
        arguments: Mapping[str, Json],
        *,
        id: str | None = None,  # noqa: A002
        budget: "Budget | None" = None,
    ) -> AsyncRun[Json]:
        """Start a run of a workflow that only workers import; see ``Orchestrator.start_app``."""
        return AsyncRun(await self._call(self._plain.start_app, app, workflow, arguments, id=id, budget=budget))

    async def get(self, run_id: str) -> AsyncRun[Any]:
        """Give the handle of a run that exists; see ``Orchestrator.get``."""
        return AsyncRun(await self._call(self._plain.get, run_id))

    async def runs(
        self,
        status: "RunStatus | None" = None,
        name: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> "Page[RunRecord]":
        """Give the newest runs first; see ``Orchestrator.runs``."""
        return await self._call(self._plain.runs, status, name, limit, cursor)

    # ------------------------------------------------------------ people

    async def approvals(self, run_id: str | None = None) -> "list[ApprovalRecord]":
        """Give the questions that wait for a person; see ``Orchestrator.approvals``."""
        return await self._call(self._plain.approvals, run_id)

    async def decide(
        self, approval: str, decision: "ApprovalDecision", args: Json = None, *, comment: str = "", by: str = ""
    ) -> None:
        """Decide what a run asks a person; see ``Orchestrator.decide``."""
        await self._call(self._plain.decide, approval, decision, args, comment=comment, by=by)

    # ------------------------------------------------------------ sessions

    def session(self, handler: "Handler[S, M, R]", key: str) -> AsyncSession[S, M, R]:
        """Give the handle on a session, at once; see ``Orchestrator.session``."""
        return self._plain.session(handler, key).aio

    async def sessions(
        self,
        name: str | None = None,
        limit: int = 100,
        status: "RunStatus | None" = None,
        cursor: str | None = None,
    ) -> "Page[SessionRecord]":
        """Give the sessions; see ``Orchestrator.sessions``."""
        return await self._call(self._plain.sessions, name, limit, status, cursor)

    async def dead_letters(self) -> "list[DeadLetterRecord]":
        """Give what was set aside and nobody has dealt with; see ``Orchestrator.dead_letters``."""
        return await self._call(self._plain.dead_letters)

    # ------------------------------------------------------------ schedules

    async def schedule(
        self,
        name: str,
        workflow: "Workflow[..., R]",
        /,
        *args: Any,
        cron: str | None = None,
        every: "Seconds | None" = None,
        timezone: str = "UTC",
        overlap: "Overlap" = "skip",
        catch_up: "Seconds" = 60.0,
        **kwargs: Any,
    ) -> AsyncSchedule[R]:
        """Have a workflow started again and again; see ``Orchestrator.schedule``."""
        put = partial(self._plain.schedule, name, workflow, *args, cron=cron, every=every, timezone=timezone, **kwargs)
        made: Schedule[R] = await self._call(partial(put, overlap=overlap, catch_up=catch_up))
        return made.aio

    async def get_schedule(self, name: str) -> AsyncSchedule[Any]:
        """Give the handle of a schedule that exists; see ``Orchestrator.get_schedule``."""
        return (await self._call(self._plain.get_schedule, name)).aio

    async def schedules(self) -> "list[ScheduleRecord]":
        """Give every schedule, by name."""
        return await self._call(self._plain.schedules)

    # ------------------------------------------------------------ control

    async def workers(self) -> "list[WorkerRecord]":
        """Give the worker processes of this moment."""
        return await self._call(self._plain.workers)

    async def resume_all(self, name: str | None = None, *, kind: Literal["run", "session"] = "run") -> list[str]:
        """Let every parked run go on, or every parked session; see ``Orchestrator.resume_all``."""
        return await self._call(self._plain.resume_all, name, kind=kind)

    async def kill(self, worker_id: str, signal: int = 9) -> None:
        """Send a signal to a worker; see ``Orchestrator.kill``."""
        await self._call(self._plain.kill, worker_id, signal)

    async def restart(self, worker_id: str) -> None:
        """End a worker's process and begin another in its place; see ``Orchestrator.restart``."""
        await self._call(self._plain.restart, worker_id)

    async def tree(self) -> "ActorRecord":
        """Give the supervision tree of this moment."""
        return await self._call(self._plain.tree)

    async def metrics(self) -> "Metrics":
        """Fold the journal to figures; see ``Orchestrator.metrics``."""
        return await self._call(self._plain.metrics)


class AsyncOrchestrator(AsyncBaseOrchestrator):
    """An ``Orchestrator`` for asyncio: what ``async with Orchestrator(...) as orchestrator`` gives.

    Its methods are those of ``Orchestrator`` by the same names, and whatever blocks there is awaited here. May be used
    on any loop, in any thread, beside the plain one.

    Attributes:
        plain: The same orchestrator for code that may block.
    """

    def __init__(self, plain: "Orchestrator") -> None:
        """See ``Orchestrator.aio``."""
        super().__init__(plain)
        self.plain = plain

    async def send(self, command: "Command") -> "Reply":
        """Carry out any command; see ``Orchestrator.send``."""
        return shown(await self.plain.until_sent(command))

    async def flush_output(self, timeout: "Seconds" = 2.0) -> None:  # noqa: ASYNC109  as the plain one has it
        """Wait until what workers have written is shown; see ``Orchestrator.flush_output``."""
        await self._call(self.plain.flush_output, timeout)

    async def leave(self, run_ids: Sequence[str] = ()) -> list[str]:
        """Ask whether this orchestrator can be closed without others missing it; see ``Orchestrator.leave``."""
        return await self._call(self.plain.leave, run_ids)

    async def close(self, grace: "Seconds" = GRACE) -> None:
        """Stop everything and let go of the journal; see ``Orchestrator.close``.

        Who is cancelled meanwhile leaves the steps no more time, and still returns only once all is closed.
        """
        closing = in_thread("greenroom-closing", partial(self.plain.close, grace))
        try:
            await asyncio.shield(asyncio.wrap_future(closing))
        except asyncio.CancelledError:
            self.plain.hurry()
            await asyncio.shield(asyncio.wrap_future(closing))
            raise


class AsyncClient(AsyncBaseOrchestrator):
    """A ``Client`` for asyncio: what ``async with Client(...) as client`` gives.

    Attributes:
        plain: The same client for code that may block.
    """

    def __init__(self, plain: "Client") -> None:
        """See ``Client.aio``."""
        super().__init__(plain)
        self.plain = plain

    async def send(self, command: "Command") -> "Reply":
        """Carry out any command; see ``Orchestrator.send``."""
        return await self.plain.until_sent(command)

    async def close(self) -> None:
        """Let go of all connections; see ``Client.close``."""
        await asyncio.shield(asyncio.wrap_future(in_thread("greenroom-closing", self.plain.close)))
