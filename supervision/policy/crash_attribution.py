"""Which jobs are to blame for a worker's death: charged jobs, suspects, or none."""

from collections.abc import Collection
from typing import Final

from greenroom.messages.core.failures import Exit, ExitKind
from greenroom.messages.core.frozen import frozen

NOBODYS_FAULT: Final[frozenset[ExitKind]] = frozenset({"stopped", "backend_lost", "orchestrator_lost"})
"""Kinds of exit for which no user code is to blame."""


@frozen
class Blame:
    """The responsibility of jobs for the death of their worker."""

    charged: frozenset[str] = frozenset()
    """Tokens of the jobs that are charged with the crash."""
    suspects: frozenset[str] = frozenset()
    """Tokens of jobs of which an unknown one is responsible."""
    counted: bool = False
    """Whether the death counts against the pool's restart intensity: only if no job can be blamed. A job that kills its
    workers reaches its own limit of crashes, so the pool never gives up for it."""


def blame(
    end: Exit,
    running: Collection[str],
    *,
    culprits: Collection[str] = (),
    turns: bool = False,
    holder: str | None = None,
) -> Blame:
    """Decide which jobs are to blame for the death of a worker.

    Args:
        end: How the worker ended.
        running: Tokens of the jobs that were sent to the worker and not answered.
        culprits: Tokens of the jobs because of which the worker was killed. The other jobs are bystanders.
        turns: True for workers that run one turn of one program at a time, so that the job on the loop is known.
        holder: Token of the job that held the loop of such a worker, if any.
    """
    if end.injected or end.kind in NOBODYS_FAULT:
        return Blame()
    if culprits:
        return Blame(charged=frozenset(culprits) & frozenset(running))
    if turns:
        return Blame(charged=frozenset({holder})) if holder in running and holder is not None else Blame(counted=True)
    if len(running) == 1:
        return Blame(charged=frozenset(running))
    return Blame(suspects=frozenset(running)) if running else Blame(counted=True)


def blame_for_backend(
    running: Collection[str], *, turns: bool = False, holder: str | None = None, isolated: bool = False
) -> Blame:
    """Decide which jobs of a worker are to blame for the death of its zygote.

    An operator, or a job in any worker of the zygote, may have killed it. So all running jobs become suspects. A job
    that is a suspect too often runs below its own zygote. If that zygote dies too, the job is charged.

    Args:
        running: Tokens of the jobs that the worker had begun.
        turns: As for ``blame``.
        holder: As for ``blame``.
        isolated: Whether the worker was the only one below its zygote, and no other zygote was lost with it.
    """
    near = frozenset(running) & {holder} if turns else frozenset(running)
    return Blame(charged=near) if isolated else Blame(suspects=near)
