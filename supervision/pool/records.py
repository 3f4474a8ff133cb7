"""Records of workers and pools, for queries of the tree."""

from typing import Literal

from greenroom.messages.records.records import ActorRecord, WorkerRecord
from greenroom.supervision.jobs import PoolKey
from greenroom.supervision.kernel.proc_stats import resident_bytes
from greenroom.supervision.pool.workers.worker_slot import Slot
from greenroom.supervision.pool.workers.worker_supervisor import WorkerSupervisor


def worker_status(slot: Slot) -> Literal["starting", "idle", "busy", "stopping", "restarting", "stopped"]:
    """Return the status in a worker's record."""
    if slot.state in {"ready", "halting"} or (slot.state == "leaving" and slot.jobs):
        return "busy" if slot.jobs else "idle"
    if slot.state == "stopping":
        return "stopping"
    return "restarting" if slot.incarnation and slot.state in {"waiting", "down", "ending", "leaving"} else "starting"


def worker_record(key: PoolKey, slot: Slot) -> WorkerRecord:
    """Return the record of one worker and its current work."""
    pending = next(iter(slot.jobs), None)
    return WorkerRecord(
        id=slot.id,
        pool=key.name,
        kind=key.kind,
        pid=slot.pid,
        incarnation=slot.incarnation,
        status=worker_status(slot),
        run_id=pending.job.run_id if pending is not None else None,
        step=pending.job.label if pending is not None else None,
        restarts=slot.restarts,
        replacements=slot.replacements,
        rss_bytes=resident_bytes(slot.pid) if slot.pid is not None else None,
    )


def pool_status(supervisor: WorkerSupervisor, refusal: str | None) -> Literal["running", "short", "degraded"]:
    """Return whether a pool runs normally, has fewer workers than it should, or refuses jobs."""
    if refusal:
        return "degraded"
    return "short" if supervisor.shortage else "running"


def pool_record(supervisor: WorkerSupervisor, refusal: str | None, waiting: int) -> ActorRecord:
    """Return the record of one pool, as a node of the tree.

    Args:
        supervisor: Its workers.
        refusal: Why it refuses jobs; None if it does not.
        waiting: The length of its queue.
    """
    figures = (
        f"{waiting} jobs waiting, {supervisor.crashes} crashes of jobs, {supervisor.replacements} planned replacements"
    )
    return ActorRecord(
        id=supervisor.key.name,
        kind="pool",
        status=pool_status(supervisor, refusal),
        strategy=supervisor.policy.strategy,
        restarts=supervisor.restarts,
        escalations=supervisor.escalations,
        detail=refusal or supervisor.shortage or figures,
        children=tuple(
            ActorRecord(
                id=slot.id,
                kind=supervisor.key.kind,
                status=worker_status(slot),
                pid=slot.pid,
                restarts=slot.restarts,
                detail=", ".join(sorted({pending.job.label for pending in slot.jobs})),
            )
            for slot in supervisor.slots.values()
        ),
    )
