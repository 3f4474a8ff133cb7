"""Where the runs of an evaluation run: in an orchestrator of this process, or in the one that lives on the home."""

from typing import TYPE_CHECKING, Any, Protocol

from greenroom.messages.commands import CancelRun, StartRun
from greenroom.messages.refusals import check

if TYPE_CHECKING:
    from greenroom.messages.commands import Command
    from greenroom.workflows.api.orchestrator import Orchestrator
    from greenroom.workflows.home.home import Home
    from greenroom.workflows.queries.interface import Queries
    from greenroom.workflows.queries.reader import JournalQueries


class Host(Protocol):
    """Starts runs and waits for them. Thread-safe."""

    @property
    def reads(self) -> "Queries":
        """Reads of runs."""
        ...

    def send(self, command: "Command") -> Any:
        """Execute a command, and return the reply.

        Raises:
            GreenroomError: The command was refused.
        """
        ...

    def result(self, run_id: str, timeout: float | None) -> Any:
        """Wait for the end of a run, and return its result or raise its error; see ``Run.result``."""
        ...


class OwnHost:
    """An orchestrator of this process."""

    def __init__(self, orchestrator: "Orchestrator") -> None:
        """Use an open orchestrator."""
        self._orchestrator = orchestrator

    @property
    def reads(self) -> "Queries":
        """See ``Host``."""
        return self._orchestrator.reads

    def send(self, command: "Command") -> Any:
        """See ``Host``."""
        return check(self._orchestrator.send(command))

    def result(self, run_id: str, timeout: float | None) -> Any:
        """See ``Host``."""
        return self._orchestrator.wait_result(run_id, timeout)


class OtherHost:
    """The orchestrator of another process, followed in the journal."""

    def __init__(self, home: "Home", reads: "JournalQueries") -> None:
        """Use the orchestrator that lives on a home."""
        self._home = home
        self._reads = reads

    @property
    def reads(self) -> "Queries":
        """See ``Host``."""
        return self._reads

    def send(self, command: "Command") -> Any:
        """See ``Host``."""
        from greenroom.workflows.control.access.control_socket import ask

        return check(ask(self._home, command))

    def result(self, run_id: str, timeout: float | None) -> Any:
        """See ``Host``."""
        from greenroom.cli.hosting.other_process import RemoteRun

        return RemoteRun(self._reads, self._home, run_id).result(timeout)


def run(host: Host, app: str, workflow: str, arguments: dict[str, Any], run_id: str, timeout: float | None) -> Any:
    """Start a run, or find the one with this id, wait for its end, and return its result.

    A run that is not over in time is cancelled.

    Raises:
        TimeoutError: It was not over in time.
        GreenroomError: It could not be started, or did not complete.
    """
    host.send(StartRun(run_id=run_id, app=app, workflow=workflow, arguments=arguments))
    try:
        return host.result(run_id, timeout)
    except TimeoutError:
        host.send(CancelRun(run_id=run_id, reason="greenroom eval does not wait any longer", within=0.0))
        raise
