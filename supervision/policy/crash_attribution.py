"""Which jobs are to blame for a worker's death: charged jobs, suspects, or none."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from greenroom.messages.core.failures import Exit, ExitKind

NOBODYS_FAULT: Final[frozenset[ExitKind]] = frozenset({"stopped", "backend_lost", "orchestrator_lost"})
"""Ends that blame no code of the user's."""


@dataclass(frozen=True, slots=True)
class Blame:
    """What a death means for the jobs that were running, and for the worker's supervisor."""

    charged: frozenset[str] = frozenset()
    """Tokens of the jobs that count it as their own crash."""
    suspects: frozenset[str] = frozenset()
    """Tokens of the jobs of which one did it, though it is not known which."""
    counted: bool = False
    """Whether the death counts against the pool's restart budget: only if no job can be blamed for it. What a job does
    is bounded by that job's own limit of crashes, so a poisonous one never exhausts the pool of its neighbours."""


def blame(
    end: Exit,
    running: Collection[str],
    *,
    culprits: Collection[str] = (),
    turns: bool = False,
    holder: str | None = None,
) -> Blame:
    """Decide who is to blame.

    Args:
        end: How the worker ended.
        running: Tokens of the jobs that had been sent to it and not answered.
        culprits: Those for whose sake it was being ended. The others are bystanders.
        turns: True for workers that run one turn of one program at a time, so that it is known who held the loop.
        holder: For those: the program that did, if any.
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
    running: Collection[str], *, turns: bool = False, holder: str | None = None, apart: bool = False
) -> Blame:
    """Decide who is to blame for the death of the process that had forked a worker.

    Any job in any worker below it may have killed it, and so may an operator. All that ran are suspects, therefore, and
    a job that is one too often runs apart, below a zygote of its own. If that dies too, it is charged.

    Args:
        running: Tokens of the jobs that the worker had begun.
        turns: As for ``blame``.
        holder: As for ``blame``.
        apart: Whether the worker was the only one below its zygote.
    """
    near = frozenset(running) & {holder} if turns else frozenset(running)
    return Blame(charged=near) if apart else Blame(suspects=near)
