"""Which process is the orchestrator of a home: this one, or one that lives there already."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from greenroom.cli.command_group import NOTHING_SAID, Imports
from greenroom.cli.display.values import note
from greenroom.cli.settings import Settings
from greenroom.messages.core.errors import GreenroomError, HomeInUse, OrchestratorClosed, OrchestratorUnreachable

if TYPE_CHECKING:
    from greenroom.workflows.api.orchestrator import Orchestrator
    from greenroom.workflows.home.home import Home
    from greenroom.workflows.output.live_view import OutputOption

T = TypeVar("T")
U = TypeVar("U")

RETRY: Final = 0.05
"""Seconds between two attempts to become the orchestrator or to reach it."""
SETTLING: Final = 30.0
"""Seconds that an orchestrator may take from locking a home until it takes commands, or until it has ended."""
UNTOLD: Final = 2.0
"""Seconds of waiting after which the person is told what is waited for."""

MAPPED_BYTES: Final = 1024 * 1024
"""Size in bytes from which a block of memory returns to the kernel as soon as it is freed. Values may have 15 MB."""


def owner_name(home: "Home") -> str:
    """Return what to call the orchestrator that lives on a home."""
    pid = home.owner()
    return "the orchestrator of this journal" if pid is None else f"the orchestrator with pid {pid}"


def settle(settings: Settings, ask: Callable[[], T], live: Callable[[], U]) -> T | U:
    """Ask the orchestrator that lives on the home, or become it, whichever is possible first.

    Waits while another process holds the home and takes no commands: one that is starting or ending, or a short command
    such as ``greenroom db verify``. After some seconds a line on stderr says so.

    Args:
        settings: The home.
        ask: Sends commands to the orchestrator that lives there.
        live: Becomes the orchestrator.

    Raises:
        HomeInUse: The home or the journal belongs to a process that takes no commands.
    """
    from greenroom.workflows.control.access import contact

    began = time.monotonic()
    told = False
    while True:
        if contact.is_open(settings.home):
            try:
                return ask()
            except (OrchestratorClosed, OrchestratorUnreachable) as error:  # it is about to stop
                refused: GreenroomError = error
        else:
            try:
                return live()
            except HomeInUse as error:  # of a process that is about to take commands, or to stop
                refused = error
        waited = time.monotonic() - began
        if waited > SETTLING or is_anothers(settings.home):
            raise refused
        if waited > UNTOLD and not told:
            told = True
            note("another process holds the home or its journal and takes no commands; waiting until it ends")
        time.sleep(RETRY)


def is_anothers(home: "Home") -> bool:
    """Return whether the orchestrator that lives on the home has another journal than the one that was named."""
    from greenroom.workflows.control.access import contact
    from greenroom.workflows.home.home import Home

    return not home.is_meant() and contact.is_open(Home(home.path))


def open_orchestrator(
    settings: Settings, *, output: "OutputOption" = True, imports: Imports = NOTHING_SAID
) -> "Orchestrator":
    """Become the orchestrator of the named journal and home.

    A journal named without a home gets another home if its last one is in use by the orchestrator of another journal.

    Raises:
        HomeInUse: The journal or the home belongs to another orchestrator.
    """
    from greenroom.supervision.kernel.linux import map_blocks_from
    from greenroom.workflows.control.setup.app_options import read_apps
    from greenroom.workflows.control.setup.opening import Opening
    from greenroom.workflows.home.home import Home

    map_blocks_from(MAPPED_BYTES)  # only here: nothing can undo it, so a user's own process keeps its setting
    home = settings.home
    apps = read_apps(imports.env, imports.timeout, {})
    own_home = not (home.is_named and settings.directory is None and is_anothers(home))
    opening = Opening(home.journal, Home(home.path if own_home else None), own_home=own_home, given=apps.given)
    try:  # its first keeper has been started, and imports at the same time as this process
        from greenroom.workflows.api.orchestrator import ClaimedOrchestrator
    except BaseException:
        opening.close()
        raise
    return ClaimedOrchestrator(opening, apps, output)
