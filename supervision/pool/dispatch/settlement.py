"""Settles the jobs of a worker that has died."""

from greenroom.messages.core.failures import Exit
from greenroom.supervision.jobs import Lost
from greenroom.supervision.policy.crash_attribution import Blame, blame, blame_for_backend
from greenroom.supervision.pool.dispatch.cancellation import Cancellation
from greenroom.supervision.pool.dispatch.job_table import JobTable
from greenroom.supervision.pool.dispatch.suspects import Suspects
from greenroom.supervision.pool.workers.pending_job import PendingJob
from greenroom.supervision.pool.workers.worker_slot import Slot, WorkerExit
from greenroom.supervision.pool.workers.worker_supervisor import WorkerSupervisor


class Settlement:
    """Charges jobs with the death of their worker, or returns them to the queue. Reactor thread only.

    Args:
        supervisor: The workers of the pool.
        table: The unfinished jobs of the pool.
        cancellation: Reports the end of jobs that were cut short.
        turns: Whether workers run one turn or question at a time, so that the job that held the loop is known.
        suspects: Receives the jobs of workers that died with several jobs.
        near_zygotes: Receives the jobs of workers that died with their zygote.
    """

    def __init__(
        self,
        supervisor: WorkerSupervisor,
        table: JobTable,
        cancellation: Cancellation,
        *,
        turns: bool,
        suspects: Suspects,
        near_zygotes: Suspects,
    ) -> None:
        """Keep the arguments."""
        self._supervisor = supervisor
        self._table = table
        self._cancellation = cancellation
        self._turns = turns
        self._suspects = suspects
        self._near_zygotes = near_zygotes

    def settle(self, slot: Slot, worker_exit: WorkerExit) -> Blame:
        """Report the end to the owners of a dead worker's jobs. Jobs that it never began return to the queue's head.

        Returns:
            The jobs that are to blame.
        """
        holder = slot.jobs.holder(worker_exit.read, slot.culprit)
        jobs = slot.jobs.take_all()
        begun = [pending for pending in jobs if pending.sent and pending.mark <= worker_exit.read]
        culprits = [pending.job.token for pending in begun if pending.cut is not None]
        end = _seen_by_jobs(slot, worker_exit, jobs, culprits)
        running, held_by = [pending.job.token for pending in begun], holder.job.token if holder is not None else None
        if end.kind == "backend_lost" and not end.injected:
            isolated_backends = self._supervisor.isolated_backends
            isolated = (
                slot.backend is not None
                and isolated_backends is not None
                and isolated_backends.lost_alone(slot.backend)
            )
            verdict = blame_for_backend(running, turns=self._turns, holder=held_by, isolated=isolated)
        else:
            verdict = blame(end, running, culprits=culprits, turns=self._turns, holder=held_by)
        for pending in reversed(jobs):
            if pending not in begun:
                self._take_back(pending, slot, end)
        for pending in begun:
            self._report_lost(pending, end, verdict)
        return verdict

    def _take_back(self, pending: PendingJob, slot: Slot, end: Exit) -> None:
        """Return a job that a dead worker never began to the head of its queue, unless its result is not needed."""
        if pending.cut == "withdrawn" or (pending.sent and pending.job.streaming):
            self._report_lost(pending, end, Blame())
            return
        self._cancellation.stop_clock(pending)
        pending.take_back()
        self._table.queues.put_first(pending, slot)

    def _report_lost(self, pending: PendingJob, end: Exit, verdict: Blame) -> None:
        job = pending.job
        self._cancellation.stop_clock(pending)
        self._table.remove(pending)
        if job.token in verdict.suspects:
            (self._near_zygotes if end.kind == "backend_lost" else self._suspects).add(job)
        if pending.cut is not None:
            self._cancellation.report_end(pending, end)
        else:
            self._table.reply(job, Lost(job.token, end, charged=job.token in verdict.charged))


def _seen_by_jobs(slot: Slot, worker_exit: WorkerExit, jobs: list[PendingJob], culprits: list[str]) -> Exit:
    """Return the exit that is reported to the jobs of a life."""
    end = worker_exit.end
    if worker_exit.ordered:
        return end.model_copy(update={"kind": "stopped"})
    if end.kind == "timeout" and slot.capacity > 1 and not culprits:
        waited = next((pending.job.label for pending in jobs if pending.cut == "overran"), "a job")
        detail = f"it did not even read {waited}, whose time was over"
        return end.model_copy(update={"kind": "blocked", "detail": detail})
    return end
