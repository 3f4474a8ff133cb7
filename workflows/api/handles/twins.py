"""What makes the twins of handles. Imported once a program asks for a twin."""

from typing import TypeVar

from pydantic import BaseModel

from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.workflows.api.handles.async_run import AsyncRun
from greenroom.workflows.api.handles.async_schedule import AsyncSchedule
from greenroom.workflows.api.handles.async_session import AsyncSession
from greenroom.workflows.api.handles.run import Run
from greenroom.workflows.api.handles.schedule import Schedule
from greenroom.workflows.api.handles.session import Session, SessionHost

R = TypeVar("R")
S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)


class Twins:
    """Makes the twins of an orchestrator's or a client's handles. Thread-safe.

    A twin's module imports that of its handle. A handle reaches its twin through the orchestrator that it came from, so
    that neither module imports the other in a circle.
    """

    def __init__(self, host: SessionHost) -> None:
        """Make twins that use the threads of ``host``."""
        self._host = host

    def run(self, run: Run[R]) -> AsyncRun[R]:
        """Return the twin of a run."""
        return AsyncRun(run)

    def session(self, session: Session[S, M, R], definition: SessionDefinition) -> AsyncSession[S, M, R]:
        """Return the twin of a session of the handler with this definition."""
        return AsyncSession(session, self._host, definition)

    def schedule(self, schedule: Schedule[R]) -> AsyncSchedule[R]:
        """Return the twin of a schedule."""
        return AsyncSchedule(schedule, self._host.threads)
