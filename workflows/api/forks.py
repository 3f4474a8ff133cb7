"""What a fork of a process must not share with it: connections, and threads, which a fork has not."""

import os
import weakref
from typing import Final, Protocol


class Renewed(Protocol):
    """An object that begins anew in a fork."""

    def renew(self) -> None:
        """Replace what belongs to the process before the fork. Called in the fork, which has one thread.

        Whatever is replaced must be left as it is: a thread that the fork has not may hold its locks.
        """
        ...


_renewed: Final[weakref.WeakSet[Renewed]] = weakref.WeakSet()


def renew_in_forks(thing: Renewed) -> None:
    """Have an object renewed in every fork of this process, while it lives."""
    _renewed.add(thing)


def _renew_all() -> None:
    for thing in tuple(_renewed):
        thing.renew()


os.register_at_fork(after_in_child=_renew_all)
