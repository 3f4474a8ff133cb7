"""Group restarts: workers of a pool that are ended one after another, and start again together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greenroom.messages.core.failures import Exit
from greenroom.supervision.pool.workers.worker_slot import Slot


@dataclass(eq=False, slots=True)
class GroupRestart:
    """Workers that start again together, in start order, when all of them are down."""

    slots: list[Slot]
    pending: list[Slot]
    """These workers and temporary siblings whose end is not confirmed yet, last started first. The first is ending."""
    delay: float
    why: str


class GroupRestarts:
    """The group restarts of one pool. Reactor thread only.

    Args:
        slots: The pool's workers by id, in start order.
        remove: Removes a worker that does not start again.
        restart: Starts workers again, in this order, after a delay in seconds.
    """

    def __init__(
        self,
        slots: dict[str, Slot],
        remove: Callable[[Slot], None],
        restart: Callable[[Sequence[Slot], float], None],
    ) -> None:
        """Begin without any."""
        self.under_way: list[GroupRestart] = []
        """Those whose workers have not all ended."""
        self._slots = slots
        self._remove = remove
        self._restart = restart

    def begin(self, dead: Slot, stop: tuple[str, ...], start: tuple[str, ...], delay: float) -> None:
        """End the siblings ``stop`` of a dead worker, then start the workers ``start`` again.

        The siblings get no further work. Group restarts that share a worker are merged.
        """
        why = f"it is restarted together with {dead.id}"
        group = GroupRestart([self._slots[id_] for id_ in start], [], delay, why)
        self.under_way.append(group)
        pending: set[Slot] = set()
        for sibling in (self._slots[id_] for id_ in stop):
            sibling.rest()
            sibling.halt()
            if sibling.state == "starting":  # it has no work to complete
                sibling.kill(Exit(kind="stopped", detail=why))
            if sibling.state != "down":
                pending.add(sibling)
            elif sibling.restart == "temporary":
                self._remove(sibling)
        for other in [other for other in self.under_way[:-1] if not set(other.slots).isdisjoint(group.slots)]:
            self.under_way.remove(other)
            pending.update(other.pending)
            group.delay = max(group.delay, other.delay)
            wanted = {*group.slots, *other.slots}
            group.slots = [slot for slot in self._slots.values() if slot in wanted]
        group.pending = [slot for slot in reversed(self._slots.values()) if slot in pending]
        self._go_on(group)

    def ended(self, slot: Slot) -> bool:
        """Return whether the end of a worker is one that a group restart waited for; if so, go on with that."""
        group = next((group for group in self.under_way if slot in group.pending), None)
        if group is None:
            return False
        group.pending.remove(slot)
        if slot not in group.slots:
            self._remove(slot)
        self._go_on(group)
        return True

    def forget(self, slot: Slot) -> None:
        """Remove a worker from every group restart."""
        for group in list(self.under_way):
            if slot in group.slots:
                group.slots.remove(slot)
            if slot in group.pending:
                group.pending.remove(slot)
                self._go_on(group)

    def start_none(self) -> None:
        """End the workers in order as before, but start none of them again."""
        for group in self.under_way:
            group.slots.clear()

    def _go_on(self, group: GroupRestart) -> None:
        """Shut down the next worker that must end. When all have ended, start the workers again in start order."""
        if group.pending:
            group.pending[0].leave(group.why)
            return
        self.under_way.remove(group)
        self._restart(group.slots, group.delay)
