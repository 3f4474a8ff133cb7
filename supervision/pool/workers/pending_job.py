"""The state of a job in a pool, from its submission to the event that ends it."""

from asyncio import Handle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from greenroom.messages.core.failures import Exit
from greenroom.messages.frames import worker as frames
from greenroom.messages.frames.worker import FromWorker
from greenroom.supervision.jobs import Job

if TYPE_CHECKING:
    from greenroom.supervision.pool.workers.worker_slot import Slot

_NAME_OF_WORK: Final[dict[type[Any], str]] = {
    frames.Execute: "token",
    frames.Evaluate: "token",
    frames.StartProgram: "run_id",
    frames.DescribeApp: "id",
    frames.CheckArguments: "id",
    frames.CheckResult: "id",
    frames.CheckEdit: "id",
    frames.CheckMessage: "id",
    frames.CheckSignal: "id",
}
"""The field that the answers repeat, by type of frame."""

_NAME_IN_ANSWER: Final[dict[type[Any], str]] = {
    frames.Progress: "token",
    frames.Emitted: "token",
    frames.Completed: "token",
    frames.Failed: "token",
    frames.Judged: "token",
    frames.Turn: "run_id",
    frames.AppDescribed: "id",
    frames.ArgumentsChecked: "id",
    frames.ResultChecked: "id",
    frames.MessageChecked: "id",
}

_ANSWERS: Final[dict[type[Any], frozenset[type[Any]]]] = {
    frames.Execute: frozenset({frames.Progress, frames.Emitted, frames.Completed, frames.Failed}),
    frames.Evaluate: frozenset({frames.Progress, frames.Emitted, frames.Judged}),
    frames.StartProgram: frozenset({frames.Turn}),
    frames.DescribeApp: frozenset({frames.AppDescribed}),
    frames.CheckArguments: frozenset({frames.ArgumentsChecked}),
    frames.CheckResult: frozenset({frames.ResultChecked}),
    frames.CheckEdit: frozenset({frames.ResultChecked}),
    frames.CheckMessage: frozenset({frames.MessageChecked}),
    frames.CheckSignal: frozenset({frames.MessageChecked}),
}


class PendingJob:
    """The state of one job in a pool. Reactor thread only."""

    __slots__ = (
        "answers",
        "avoid",
        "cut",
        "done",
        "end",
        "job",
        "mark",
        "muted",
        "released",
        "sent",
        "slot",
        "timer",
        "work",
    )

    def __init__(self, job: Job) -> None:
        """Create the state of an unassigned job.

        Raises:
            KeyError: The job's frame is of a type without answers.
        """
        self.job = job
        self.work: str = getattr(job.frame, _NAME_OF_WORK[type(job.frame)])
        """The name of this job in the worker's answers."""
        self.answers = _ANSWERS[type(job.frame)]
        """The types of message that a worker may send about this job."""
        self.slot: Slot | None = None
        """The worker of the job; None while it waits in the queue."""
        self.avoid = job.avoid
        """Pid of the process in which it should run only if no other is available soon."""
        self.released = not job.hold
        self.sent = False
        self.mark = 0
        """How many bytes the worker must have read in total to have begun it."""
        self.muted = False
        """Whether its worker is not read because of it."""
        self.timer: Handle | None = None
        """While the job waits: the end of its wait for another process than ``avoid``. After its deadline: the check
        for input that has arrived. Once it is ``cut``: the end of its grace period."""
        self.cut: Literal["overran", "withdrawn"] | None = None
        """Why its result is no longer needed. If set, messages of the worker about it are dropped."""
        self.end: Exit | None = None
        """With ``overran``: the exit that is reported for the attempt."""
        self.done: Callable[[], None] | None = None
        """With ``withdrawn``: called when nothing of the job runs any more."""

    def take_back(self) -> None:
        """Reset the job to unassigned, as its dead worker has never begun it."""
        self.slot, self.sent, self.mark, self.muted = None, False, 0, False
        self.cut = self.end = None

    def unmute(self) -> None:
        """Have its worker read again, if it is not read because of this job."""
        if self.muted and self.slot is not None:
            self.muted = False
            self.slot.mute(self.job.token, muted=False)

    def stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def name_in(message: FromWorker) -> str | None:
    """Return the name of the job that a worker's message is about, or None if it is about none."""
    field = _NAME_IN_ANSWER.get(type(message))
    return getattr(message, field) if field is not None else None
