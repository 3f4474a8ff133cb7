"""The first part of opening an orchestrator: own what only one may own, and start the first keeper.

This module imports little. So the keeper starts before the rest of an orchestrator is imported, and its zygote imports
what workers need meanwhile.
"""

import os
import sys
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from greenroom.supervision.kernel.concealment import CONCEALMENT
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.kernel.process_settings import SETTINGS
from greenroom.supervision.policy.worker_environment import Given
from greenroom.supervision.process import standard_streams
from greenroom.supervision.zygote.environments import Environments
from greenroom.supervision.zygote.keeper_process import FirstKeeper, Inheritance
from greenroom.workflows.control.setup.claims import claim_home, claim_journal, claim_workers, place_of
from greenroom.workflows.home.home import MEMORY, Home, OwnerLock

Durability: TypeAlias = Literal["full", "process"]

GRACE: Final = 2.0
"""Seconds that running steps have to end when an orchestrator is closed, unless the caller says otherwise."""
PREPARE: Final = "greenroom.actors.app.loader:prepare"
"""The function that every zygote calls before it knows its app."""


class Opening:
    """What an orchestrator owns before its parts are started.

    Args:
        journal: Path of the journal, ``":memory:"``, or None for the one of the home.
        home: The folder with the control socket.
        own_home: Whether to refuse to start if another orchestrator owns the home. If false, a home beside the journal
            is used then; with a journal in memory, other processes cannot reach the orchestrator.
        given: The environment variables that apps are given by name.

    Attributes:
        place: The journal's path, or ``MEMORY``.
        home: The home with the control socket, which other processes find by the journal.
        home_lock: The lock of the home; None if the home is another orchestrator's.
        generation: The lock that all its processes inherit.
        keeper: The first keeper, for the first app.
        closers: Functions that give everything back, in the order of the claims. They are called in reverse.

    Raises:
        HomeInUse: Another live orchestrator owns the journal or the home.
        JournalError: The journal's folder cannot be created.
    """

    generation: GenerationLock
    keeper: FirstKeeper

    def __init__(self, journal: str | os.PathLike[str] | None, home: Home, *, own_home: bool, given: Given) -> None:
        """Claim everything; give back what was claimed if one of the claims fails."""
        standard_streams.occupy()
        home.check()
        self.place = place_of(journal, home)
        self.home = home if journal is None or self.place == MEMORY else Home(home.path, self.place)
        self.home_lock: OwnerLock | None = None
        self.closers: list[Callable[[], object]] = []
        try:
            self._claim(own_home=own_home, given=given)
        except BaseException:
            self.close()
            raise

    def _claim(self, *, own_home: bool, given: Given) -> None:
        for setting in (*SETTINGS, CONCEALMENT):
            setting.hold()
            self.closers.append(setting.release)
        self.home, self.home_lock = claim_home(self.home, self.place, self.closers.append, required=own_home)
        lock = claim_journal(self.place, self.home, self.closers.append)
        self.generation = claim_workers(lock, self.closers.append)
        inheritance = Inheritance.of(sys.path, Environments(given).shared(), PREPARE)
        self.keeper = FirstKeeper(self.generation.token, inheritance, self.generation.fileno())
        self.closers.append(self.keeper.close)

    def close(self) -> None:
        """Give everything back, last claimed first. Blocks until the first keeper has ended. May be called again."""
        while self.closers:
            self.closers.pop()()
