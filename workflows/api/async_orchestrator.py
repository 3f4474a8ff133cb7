"""The orchestrator and its client in asynchronous code."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel
from typing_extensions import override

from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.workflows.api.base import BaseOrchestrator
from greenroom.workflows.api.handles.async_run import AsyncRun
from greenroom.workflows.api.handles.async_schedule import AsyncSchedule
from greenroom.workflows.api.handles.async_session import AsyncSession
from greenroom.workflows.api.handles.twin import Twin, awaited
from greenroom.workflows.api.threads import in_thread
from greenroom.workflows.control.setup.opening import GRACE

if TYPE_CHECKING:
    from greenroom.messages.commands import Command, Reply
    from greenroom.messages.core.times import Seconds
    from greenroom.messages.events.schedules import Overlap
    from greenroom.messages.options.policy import Budget
    from greenroom.workflows.api.client.client import Client  # noqa: F401  a base class names it
    from greenroom.workflows.api.handles.run import Run
    from greenroom.workflows.api.handles.schedule import Schedule
    from greenroom.workflows.api.orchestrator import Orchestrator  # noqa: F401  a base class names it
    from greenroom.workflows.authoring.session import Handler
    from greenroom.workflows.authoring.workflow import Workflow

PlainT = TypeVar("PlainT", bound=BaseOrchestrator)
R = TypeVar("R")
S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)


def _check(plain: object, twin: str) -> None:
    """Raise if a twin is not made for an object of its kind. Checked at run time, because callers need not be typed."""
    if not isinstance(plain, BaseOrchestrator):
        msg = f"{twin} is what `async with {twin.removeprefix('Async')}(...)` gives, with the same arguments"
        raise TypeError(msg)


class AsyncBaseOrchestrator(Twin[PlainT], Generic[PlainT]):
    """The methods of ``Orchestrator`` and ``Client``, awaited.

    Names, arguments, results and errors are those of the plain methods, whose documentation applies. Handles they
    return are twins as well. Waiting for a run or a reply holds no thread; everything else is done in a few threads.
    Cancelling the await of a command that has begun does not cancel the command.
    """

    def __init__(self, plain: PlainT) -> None:
        """Made by ``async with Orchestrator(...)``, ``async with Client(...)`` and their ``aio``."""
        _check(plain, type(self).__name__)
        super().__init__(plain, plain.threads)

    def __repr__(self) -> str:
        """Say whose twin it is."""
        return f"<{type(self).__name__} of {self.plain!r}>"

    @abstractmethod
    async def close(self) -> None:
        """Release what the plain object holds."""

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
        """Start a run, or return the run that ``id`` started before; see ``Orchestrator.start``."""
        run: Run[R] = await self._call(partial(self.plain.start, workflow, *args, id=id, budget=budget, **kwargs))
        return AsyncRun(run)

    async def start_app(
        self,
        app: str | PathLike[str],
        workflow: str,
        arguments: Mapping[str, Json] | None = None,
        *,
        id: str | None = None,  # noqa: A002
        budget: "Budget | None" = None,
    ) -> AsyncRun[Json]:
        """Start a run of a workflow that only workers import; see ``Orchestrator.start_app``."""
        return AsyncRun(await self._call(self.plain.start_app, app, workflow, arguments, id=id, budget=budget))

    async def get(self, run_id: str) -> AsyncRun[Any]:
        """Return the handle of an existing run; see ``Orchestrator.get``."""
        return AsyncRun(await self._call(self.plain.get, run_id))

    runs = awaited(BaseOrchestrator.runs)

    # ------------------------------------------------------------ people

    approvals = awaited(BaseOrchestrator.approvals)
    decide = awaited(BaseOrchestrator.decide)

    # ------------------------------------------------------------ sessions

    def session(self, handler: "Handler[S, M, R]", key: str) -> AsyncSession[S, M, R]:
        """Return the handle of a session, without waiting; see ``Orchestrator.session``."""
        return self.plain.session(handler, key).aio

    sessions = awaited(BaseOrchestrator.sessions)
    dead_letters = awaited(BaseOrchestrator.dead_letters)

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
        """Start a workflow again and again; see ``Orchestrator.schedule``."""
        put = partial(self.plain.schedule, name, workflow, *args, cron=cron, every=every, timezone=timezone, **kwargs)
        made: Schedule[R] = await self._call(partial(put, overlap=overlap, catch_up=catch_up))
        return made.aio

    async def get_schedule(self, name: str) -> AsyncSchedule[Any]:
        """Return the handle of an existing schedule; see ``Orchestrator.get_schedule``."""
        return (await self._call(self.plain.get_schedule, name)).aio

    schedules = awaited(BaseOrchestrator.schedules)

    # ------------------------------------------------------------ control

    workers = awaited(BaseOrchestrator.workers)
    resume_all = awaited(BaseOrchestrator.resume_all)
    kill = awaited(BaseOrchestrator.kill)
    restart = awaited(BaseOrchestrator.restart)
    tree = awaited(BaseOrchestrator.tree)
    metrics = awaited(BaseOrchestrator.metrics)


class AsyncOrchestrator(AsyncBaseOrchestrator["Orchestrator"]):
    """An ``Orchestrator`` for asyncio, as ``async with Orchestrator(...) as orchestrator`` returns it.

    It has the methods of ``Orchestrator`` under the same names; those that block there are awaited here. Thread-safe,
    on any loop, beside the plain one.

    Attributes:
        plain: The same orchestrator for code that may block.
    """

    async def send(self, command: "Command") -> "Reply":
        """Execute any command; see ``Orchestrator.send``."""
        return shown(await self.plain.until_sent(command))

    async def flush_output(self, timeout: "Seconds" = 2.0) -> None:  # noqa: ASYNC109  as the plain one has it
        """Wait until the output of workers so far is shown; see ``Orchestrator.flush_output``."""
        await self._call(self.plain.flush_output, timeout)

    async def leave(self, run_ids: Sequence[str] = ()) -> list[str]:
        """Ask whether this orchestrator can be closed while no other process needs it; see ``Orchestrator.leave``."""
        return await self._call(self.plain.leave, run_ids)

    @override
    async def close(self, grace: "Seconds" = GRACE) -> None:
        """Stop everything and close the journal; see ``Orchestrator.close``.

        Cancelling it ends the grace period of the steps; it still returns only once everything is closed.
        """
        closing = in_thread("greenroom-closing", partial(self.plain.close, grace))
        try:
            await asyncio.shield(asyncio.wrap_future(closing))
        except asyncio.CancelledError:
            self.plain.hurry()
            await asyncio.shield(asyncio.wrap_future(closing))
            raise


class AsyncClient(AsyncBaseOrchestrator["Client"]):
    """A ``Client`` for asyncio, as ``async with Client(...) as client`` returns it.

    Attributes:
        plain: The same client for code that may block.
    """

    async def send(self, command: "Command") -> "Reply":
        """Execute any command; see ``Orchestrator.send``."""
        return await self.plain.until_sent(command)

    @override
    async def close(self) -> None:
        """Close all connections; see ``Client.close``."""
        await asyncio.shield(asyncio.wrap_future(in_thread("greenroom-closing", self.plain.close)))
