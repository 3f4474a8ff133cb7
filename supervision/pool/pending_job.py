"""A job on its way through a pool, from its submission to the one event that ends it."""

from asyncio import Handle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from greenroom.messages.core.failures import Exit
from greenroom.messages.frames import worker as frames
from greenroom.messages.frames.worker import FromWorker
from greenroom.supervision.jobs import Job

if TYPE_CHECKING:
    from greenroom.supervision.pool.worker_slot import Slot

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
"""By type of frame: the field that its answers repeat."""

_NAME_IN_ANSWER: Final[dict[type[Any], str]] = {
    frames.Progress: "token",
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
    frames.Execute: frozenset({frames.Progress, frames.Completed, frames.Failed}),
    frames.Evaluate: frozenset({frames.Progress, frames.Judged}),
    frames.StartProgram: frozenset({frames.Turn}),
    frames.DescribeApp: frozenset({frames.AppDescribed}),
    frames.CheckArguments: frozenset({frames.ArgumentsChecked}),
    frames.CheckResult: frozenset({frames.ResultChecked}),
    frames.CheckEdit: frozenset({frames.ResultChecked}),
    frames.CheckMessage: frozenset({frames.MessageChecked}),
    frames.CheckSignal: frozenset({frames.MessageChecked}),
}


class PendingJob:
    """What a pool knows of one job. Written and read on the reactor's thread only."""

    __slots__ = ("answers", "avoid", "cut", "done", "end", "job", "mark", "released", "sent", "slot", "timer", "work")

    def __init__(self, job: Job) -> None:
        """Begin unassigned.

        Raises:
            KeyError: The job's frame is none that is answered.
        """
        self.job = job
        self.work: str = getattr(job.frame, _NAME_OF_WORK[type(job.frame)])
        """What the worker calls this job in its answers."""
        self.answers = _ANSWERS[type(job.frame)]
        """The types of message that a worker may send about this job."""
        self.slot: Slot | None = None
        """The worker that has it; None while it waits in the queue."""
        self.avoid = job.avoid
        """The process that it is to run in only if no other can be had soon."""
        self.released = not job.hold
        self.sent = False
        self.mark = 0
        """How many bytes the worker has to have read to have begun it."""
        self.timer: Handle | None = None
        """While it waits: the end of its patience for another process than ``avoid``. Once its time is over: the look
        for what has arrived, and once it is ``cut``, the end of the grace for stopping by itself."""
        self.cut: Literal["overran", "withdrawn"] | None = None
        """Why nobody waits for its result any more. From then on whatever the worker says of it is dropped."""
        self.end: Exit | None = None
        """With ``overran``: how the attempt is said to have ended."""
        self.done: Callable[[], None] | None = None
        """With ``withdrawn``: whom to tell that nothing of it runs any more."""

    def take_back(self) -> None:
        """Begin anew: its worker is dead and has never begun it."""
        self.slot, self.sent, self.mark = None, False, 0
        self.cut = self.end = None

    def stop_timer(self) -> None:
        """Forget what the timer was for."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def name_in(message: FromWorker) -> str | None:
    """Return the name of the work that a worker's message is about, or None where it is about none."""
    field = _NAME_IN_ANSWER.get(type(message))
    return getattr(message, field) if field is not None else None
