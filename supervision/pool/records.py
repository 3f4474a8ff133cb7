"""Workers and pools as records, for people and programs that look at the tree."""

from typing import Literal

from greenroom.messages.records import ActorRecord, WorkerRecord
from greenroom.supervision.jobs import PoolKey
from greenroom.supervision.kernel.proc_stats import resident_bytes
from greenroom.supervision.pool.worker_slot import Slot
from greenroom.supervision.pool.worker_supervisor import WorkerSupervisor


def worker_status(slot: Slot) -> Literal["starting", "idle", "busy", "stopping", "restarting", "stopped"]:
    """Give a slot's state in the words of records."""
    if slot.state in {"ready", "halting"} or (slot.state == "leaving" and slot.flights):
        return "busy" if slot.flights else "idle"
    if slot.state == "stopping":
        return "stopping"
    return "restarting" if slot.incarnation and slot.state in {"waiting", "down", "ending", "leaving"} else "starting"


def worker_record(key: PoolKey, slot: Slot) -> WorkerRecord:
    """Describe one worker, and what it is doing for whom."""
    flight = next(iter(slot.flights.values()), None)
    return WorkerRecord(
        id=slot.id,
        pool=key.name,
        kind=key.kind,
        pid=slot.pid,
        incarnation=slot.incarnation,
        status=worker_status(slot),
        run_id=flight.job.run_id if flight is not None else None,
        step=flight.job.label if flight is not None else None,
        restarts=slot.restarts,
        replacements=slot.replacements,
        rss_bytes=resident_bytes(slot.pid) if slot.pid is not None else None,
    )


def pool_status(roster: WorkerSupervisor, refusal: str | None) -> Literal["running", "short", "degraded"]:
    """Say whether a pool is as it should be, cannot begin as many workers as it should, or has given up."""
    if refusal:
        return "degraded"
    return "short" if roster.shortage else "running"


def pool_record(roster: WorkerSupervisor, refusal: str | None, waiting: int) -> ActorRecord:
    """Describe one pool as a node of the tree.

    Args:
        roster: Its workers.
        refusal: Why it takes no jobs, if it does not.
        waiting: The length of its queue.
    """
    figures = f"{waiting} jobs waiting, {roster.crashes} crashes of jobs, {roster.replacements} planned replacements"
    return ActorRecord(
        id=roster.key.name,
        kind="pool",
        status=pool_status(roster, refusal),
        strategy=roster.policy.strategy,
        restarts=roster.restarts,
        escalations=roster.escalations,
        detail=refusal or roster.shortage or figures,
        children=tuple(
            ActorRecord(
                id=slot.id,
                kind=roster.key.kind,
                status=worker_status(slot),
                pid=slot.pid,
                restarts=slot.restarts,
                detail=", ".join(sorted({flight.job.label for flight in slot.flights.values()})),
            )
            for slot in roster.slots.values()
        ),
    )
