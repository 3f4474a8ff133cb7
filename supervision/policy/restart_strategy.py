"""Which workers are restarted when one dies: the strategies and restart types of Erlang's OTP."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from greenroom.messages.core.failures import Exit
from greenroom.messages.core.frozen import frozen

StrategyName: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
"""When a worker is restarted: always; only after an abnormal exit; never."""


@frozen
class Child:
    """A worker, as a strategy sees it."""

    id: str
    restart: Restart = "permanent"


@frozen
class Plan:
    """Actions after a death: end the workers in ``stop``, then start those in ``start``, each in the order given."""

    stop: tuple[str, ...] = ()
    """The siblings to end, last started first."""
    start: tuple[str, ...] = ()
    """The workers to start again, first started first."""


def is_normal(exit: Exit) -> bool:  # noqa: A002  the field's own name
    """Return whether a worker ended normally: it was told to, or it exited with code 0."""
    return exit.kind == "stopped" or (exit.kind == "exited" and exit.code == 0)


def is_restarted(restart: Restart, exit: Exit) -> bool:  # noqa: A002  the field's own name
    """Return whether a worker of this restart type starts again after such an exit."""
    return restart == "permanent" or (restart == "transient" and not is_normal(exit))


def plan(strategy: StrategyName, children: Sequence[Child], dead: str, exit: Exit) -> Plan:  # noqa: A002
    """Return which workers to end and which to start again after ``dead`` has ended by itself.

    ``one_for_one`` restarts the dead worker; ``one_for_all`` every worker; ``rest_for_one`` the dead one and those
    started after it. If the dead worker is not restarted, its siblings are left alone. A temporary sibling that is
    ended with the others does not start again.

    Args:
        strategy: The supervisor's strategy.
        children: The workers, in start order.
        dead: Id of the one that has ended; it must be among ``children``.
        exit: How it ended.

    Raises:
        ValueError: ``dead`` is not among the children.
    """
    ids = [child.id for child in children]
    place = ids.index(dead)
    if not is_restarted(children[place].restart, exit):
        return Plan()
    if strategy == "one_for_one":
        return Plan(start=(dead,))
    struck = children if strategy == "one_for_all" else children[place:]
    return Plan(
        stop=tuple(child.id for child in reversed(struck) if child.id != dead),
        start=tuple(child.id for child in struck if child.restart != "temporary"),
    )
