"""What every route handler depends on: the orchestrator, the served apps, and the requests that wait."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from greenroom.dashboard.responses.large_responses import Outgoing, Parcel, ResponseBudget
from greenroom.dashboard.responses.problems import Refusal, refusal
from greenroom.messages.commands import App, Command, PutSchedule, Refused, Reply, ShowApp, StartRun
from greenroom.messages.records.records import WorkflowRecord
from greenroom.workflows.api.orchestrator import Orchestrator
from greenroom.workflows.api.waiting import wake
from greenroom.workflows.queries.reader import JournalQueries

P = ParamSpec("P")
T = TypeVar("T")


class Dependencies:
    """Created once per server. Its coroutines and ``close`` run on the server's loop.

    Args:
        orchestrator: The orchestrator that executes commands.
        apps: Paths of the files, or dotted names of the modules, whose workflows may be started. A request
            can never load anything else.
    """

    def __init__(self, orchestrator: Orchestrator, apps: Sequence[str]) -> None:
        """Start with no waiting requests."""
        self.orchestrator = orchestrator
        self.apps = tuple(dict.fromkeys(str(Path(app).absolute()) if app.endswith(".py") else app for app in apps))
        self.closing = False
        """Whether the server is closing: waiting requests are answered, and no new one waits."""
        self.outbox = ResponseBudget()
        self._waits: set[asyncio.Event] = set()
        self._contents: dict[str, App] = {}
        """Definitions of each app, cached: an app's code does not change once it is loaded."""

    @property
    def reads(self) -> JournalQueries:
        """Queries on the journal. They block: call them through ``look``."""
        return self.orchestrator.reads.for_elsewhere()

    async def send(self, command: Command) -> Reply:
        """Execute a command.

        Raises:
            Refusal: The command was refused, or names an app that is not served.
        """
        named: str | None = getattr(command, "app", None)
        if named or isinstance(command, StartRun | ShowApp):  # commands that make a worker load code
            command = command.model_copy(update={"app": self._find_app(named or "")})
        elif isinstance(command, PutSchedule):
            plan = command.plan.model_copy(update={"app": self._find_app(command.plan.app)})
            command = command.model_copy(update={"plan": plan})
        reply = await self.orchestrator.until_sent(command)
        if isinstance(reply, Refused):
            raise refusal(reply)
        return reply

    async def look(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking query in a thread."""
        return await run_in_threadpool(partial(question, *args, **kwargs))

    async def answer(self, make: Callable[[], list[bytes]], headers: Mapping[str, str] | None = None) -> Outgoing:
        """Answer with JSON that may be large. ``make`` returns its pieces, in a thread, once the budget has room.

        ``headers`` are read after that, so ``make`` may add headers.
        """
        parcel = Parcel(self.outbox)
        made = await parcel.fill(make, lambda pieces: sum(map(len, pieces)))
        made.reverse()

        async def body() -> AsyncGenerator[bytes]:
            while made:  # frees what has been sent
                yield made.pop()

        return Outgoing(parcel, body(), "application/json", {**(headers or {}), "Content-Length": str(parcel.size)})

    # ------------------------------------------------------------ workflows

    async def contents(self, file: str | None = None) -> list[App]:
        """Return the definitions of all served apps, or of the one that ``file`` names. Each app is loaded once.

        Raises:
            Refusal: An app cannot be loaded, or none has this name.
        """
        apps = self.apps if file is None else (self._find_app(file),)
        for app in apps:
            if app not in self._contents:
                reply = await self.send(ShowApp(app=app))
                assert isinstance(reply, App)
                self._contents[app] = reply
        return [self._contents[app] for app in apps]

    async def find_workflow(self, named: str) -> WorkflowRecord:
        """Return the workflow that ``NAME`` or ``FILE.py:NAME`` refers to.

        Raises:
            Refusal: No workflow has this name, or more than one has.
        """
        file, _, name = named.rpartition(":")
        every = [found for app in await self.contents(file or None) for found in app.workflows]
        found = [each for each in every if each.name == name]
        if not found:
            known = ", ".join(sorted(each.name for each in every)) or "none"
            raise Refusal("not_found", f"there is no workflow {named!r} among those served: {known}")
        if len(found) > 1:
            raise _ambiguous("workflow", name, [each.app for each in found])
        return found[0]

    async def find_session(self, name: str) -> str:
        """Return the app that defines a session's handler; empty if no served app does.

        Raises:
            Refusal: More than one app does.
        """
        found = [app.app for app in await self.contents() if name in app.sessions]
        if len(found) > 1:
            raise _ambiguous("session", name, found)
        return found[0] if found else ""

    def _find_app(self, named: str) -> str:
        found = [app for app in self.apps if is_called(app, named)]
        if len(found) != 1:
            what = "is not served here" if not found else "may mean more than one app"
            raise Refusal("not_found", f"{named!r} {what}; there is {', '.join(self.apps) or 'none'}")
        return found[0]

    # ------------------------------------------------------------ waiting

    @asynccontextmanager
    async def watching(self, run_id: str, *, end_only: bool) -> AsyncGenerator[asyncio.Event]:
        """Yield an event that is set on every change of a run, or at its end only, and when the server closes."""
        changed = asyncio.Event()
        self._waits.add(changed)
        watcher = partial(wake, asyncio.get_running_loop(), changed)
        unwatch = self.orchestrator.watch(run_id, watcher, end_only=end_only)
        try:
            yield changed
        finally:
            unwatch()
            self._waits.discard(changed)

    def close(self) -> None:
        """Wake all waiting requests, so that they end."""
        self.closing = True
        for changed in self._waits:
            changed.set()


def _ambiguous(kind: str, name: str, apps: Sequence[str]) -> Refusal:
    where = " or ".join(f"{app}:{name}" for app in apps)
    return Refusal("invalid", f"more than one {kind} is called {name!r}: say {where}")


def is_called(app: str, named: str) -> bool:
    """Return whether a name refers to an app: its path, any number of its last folders, or its module's dotted name.

    A script that imported the file knows it by a module's name, a script that runs it by its path.
    """
    if app.startswith("/") and named.startswith("/"):
        return os.path.realpath(app) == os.path.realpath(named)
    whole, part = (app, named) if app.startswith("/") else (named, app)
    return bool(named) and (app == named or f"/{_as_path(whole)}".endswith(f"/{_as_path(part)}"))


def _as_path(app: str) -> str:
    """Return the path that a dotted name stands for; a path is returned unchanged."""
    return app.removeprefix("./") if app.endswith(".py") else app.replace(".", "/") + ".py"


def _desk(request: Request) -> Dependencies:
    desk: Dependencies = request.app.state.desk
    return desk


AtDesk = Annotated[Dependencies, Depends(_desk)]
"""The dependencies of a route handler."""
