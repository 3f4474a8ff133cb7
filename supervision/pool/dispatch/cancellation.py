"""Ends jobs early, because their time is over or their owner withdraws them."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Final, Literal

from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import Abort, Evaluate, Execute
from greenroom.supervision.jobs import Lost, Withdraw
from greenroom.supervision.pool.dispatch.deadlines import Deadlines
from greenroom.supervision.pool.dispatch.job_table import JobTable
from greenroom.supervision.pool.dispatch.placement import Placement
from greenroom.supervision.pool.workers.pending_job import PendingJob

ABORT_GRACE: Final = 1.0
"""Seconds that code in a shared worker has to stop by itself once its time is over."""
ABORTABLE: Final = frozenset({Execute, Evaluate})
"""Frames of jobs that a worker can be asked to abort."""


class Cancellation:
    """Ends jobs early. Reactor thread only.

    Args:
        loop: The reactor's loop.
        table: The unfinished jobs of the pool.
        placement: Is told which worker takes no jobs for now.
        conclude: Removes a job that ends from its worker.
        shared: Whether a worker of the pool runs several jobs at once.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        table: JobTable,
        placement: Placement,
        conclude: Callable[[PendingJob], None],
        *,
        shared: bool,
    ) -> None:
        """Start without any deadline."""
        self._loop = loop
        self._table = table
        self._placement = placement
        self._conclude = conclude
        self._shared = shared
        self._deadlines = Deadlines(loop, self._due)

    def start_clock(self, pending: PendingJob) -> None:
        """Set the deadline of a job that was sent, if it has a time limit."""
        if pending.job.timeout is not None:
            self._deadlines.set(pending, pending.job.timeout)

    def stop_clock(self, pending: PendingJob) -> None:
        """Remove a job's deadline and timer."""
        self._deadlines.forget(pending)
        pending.stop_timer()

    def _due(self, pending: PendingJob) -> None:
        """Read the input that has arrived before an attempt's time counts as over.

        After a machine has slept, the deadline may have passed although the answer has arrived. Two turns of the loop
        are enough to read it. An answer cancels this timer.
        """
        pending.unmute()
        pending.timer = self._loop.call_later(0.0, self._listen, pending)

    def _listen(self, pending: PendingJob) -> None:
        pending.timer = self._loop.call_later(0.0, self._overrun, pending)

    def _overrun(self, pending: PendingJob) -> None:
        """End an attempt whose time is over. Any result that still arrives is dropped."""
        job = pending.job
        end = Exit(kind="timeout", detail=f"{job.label} had {job.timeout:g} s")
        asked = self._shared and type(job.frame) in ABORTABLE
        self._cut(pending, "overran", end, ABORT_GRACE if asked else 0.0)

    def withdraw(self, message: Withdraw) -> None:
        """Remove a job, or end it; its owner gets no further event."""
        pending = self._table.find(message.token)
        done = message.done or _nothing
        if pending is None:
            done()
            return
        pending.done = done
        if pending.slot is None or not pending.sent:
            self._table.queues.remove(message.token)
            self._conclude(pending)
            done()
        elif pending.job.streaming:
            if message.farewell is not None:
                pending.slot.tell(message.farewell)
            self._conclude(pending)
            done()
        else:
            end = Exit(kind="stopped", detail=f"{pending.job.label} was withdrawn")
            self._cut(pending, "withdrawn", end, message.grace)

    def _cut(self, pending: PendingJob, why: Literal["overran", "withdrawn"], end: Exit, grace: float) -> None:
        """Ask the worker to stop with a job, and end the worker if it does not within ``grace`` seconds."""
        slot = pending.slot
        if slot is None:
            return
        self.stop_clock(pending)
        pending.unmute()
        if pending.cut is None:
            slot.jobs.abort()
            self._placement.remove(slot)
        pending.cut, pending.end = why, end
        if grace > 0:
            slot.tell(Abort(token=pending.work))
            pending.timer = self._loop.call_later(grace, slot.kill, end)
        else:
            slot.kill(end)

    def report_end(self, pending: PendingJob, died: Exit | None = None) -> None:
        """Report the end of a job that was cut short, now that nothing of it runs any more.

        Args:
            pending: The job.
            died: How its worker ended, if the job did not stop by itself.
        """
        if pending.cut == "withdrawn":
            (pending.done or _nothing)()
        elif pending.end is not None:
            end = pending.end
            if died is not None and died.kind == "timeout":  # with the evidence of the dead process
                end = died.model_copy(update={"detail": end.detail})
            charged = died is None or not died.injected
            self._table.reply(pending.job, Lost(pending.job.token, end, charged=charged))


def _nothing() -> None:
    """Do nothing. Used if the owner gave no callback."""
