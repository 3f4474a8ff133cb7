"""How apps are imported, from the orchestrator's options and the project's ``pyproject.toml``."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, get_args

from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.times import seconds
from greenroom.supervision.policy.worker_environment import Given, read_given
from greenroom.supervision.zygote.import_progress import IMPORT_TIMEOUT, SlowImports
from greenroom.workflows.home import former_name
from greenroom.workflows.home.project import given_to_apps, read_project

if TYPE_CHECKING:  # the first keeper starts before it is imported
    from greenroom.supervision.pool_config import Pool

MODEL_VARIABLE: Final = "GREENROOM_MODEL"
"""See ``actors/models/``, which is too much to import before the first keeper starts."""


@frozen
class Apps:
    """How apps are imported.

    Attributes:
        given: The environment variables that apps are given by name.
        timeout: Seconds that an import may take.
        slow: The imports that are slow now.
        needed: Variables that kinds of workers get by name, by app; see ``Environments``.
    """

    given: Given
    timeout: float
    slow: SlowImports = field(default_factory=SlowImports)
    needed: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict[str, dict[str, tuple[str, ...]]])


def read_apps(
    env: Iterable[str] | Mapping[str, str], timeout: float | timedelta | None, pools: "Mapping[str, Pool]"
) -> Apps:
    """Return how apps are imported, from the orchestrator's options and the project's ``pyproject.toml``.

    A variable that is given to some pools is withheld from the others. If it is given to all four kinds of pools, it is
    also set during the import, which happens once for all of them.

    Raises:
        DefinitionError: The project's table is wrong.
        TypeError: ``env`` or ``timeout`` has the wrong type.
        ValueError: An item of ``env`` names no variable, or ``timeout`` is not above 0.
    """
    limit = None if timeout is None else seconds(timeout, "import_timeout")
    if limit == 0:
        msg = f"import_timeout is a time above 0 s, not {timeout!r}"
        raise ValueError(msg)
    former_name.variable(MODEL_VARIABLE)  # workers read it; only this process can report the former name to a person
    project = read_project()
    given = given_to_apps(project, read_given(env))
    for_all = frozenset[str]()
    named = [frozenset(pool.env) for pool in pools.values()]
    if pools:
        from greenroom.messages.options.policy import WorkerKind  # noqa: PLC0415  the same

        if pools.keys() >= set(get_args(WorkerKind)):
            for_all = named[0].intersection(*named[1:])
    reserved = frozenset[str]().union(*named) - for_all
    return Apps(Given(given.names | for_all, given.values, reserved), limit or project.import_timeout or IMPORT_TIMEOUT)
