"""The table ``[tool.greenroom]`` of a project's ``pyproject.toml``."""

import os
from collections.abc import Collection
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.frozen import frozen
from greenroom.supervision.policy.worker_environment import Given, read_given
from greenroom.workflows.home import former_name

if TYPE_CHECKING:  # pydantic is large, and few projects have a table
    from greenroom.messages.options.call_limits import Breaker, ModelLimit
    from greenroom.messages.options.policy import Budget

FILE: Final = "pyproject.toml"


@frozen
class Project:
    """The table. Every key is optional.

    Attributes:
        env: Environment variables to pass to the app: ``NAME`` or ``NAME=VALUE``.
        import_timeout: Seconds that the import of an app may take.
        models: Limits of models, by name.
        breakers: Breakers of models and tools, by name; None for no breaker.
        budget: What all runs may use together.
        daily_budget: What all runs may use together on one day.
    """

    env: list[str] = field(default_factory=list[str])
    import_timeout: float | None = None
    models: "dict[str, ModelLimit]" = field(default_factory=dict[str, "ModelLimit"])
    breakers: "dict[str, Breaker | None]" = field(default_factory=dict[str, "Breaker | None"])
    budget: "Budget | None" = None
    daily_budget: "Budget | None" = None


def read_project(folder: Path | None = None) -> Project:
    """Return the table of the nearest ``pyproject.toml`` that has one, from a folder upwards; the defaults if none has.

    It can set any environment variable of the app. So the file has to belong to the user of this process, to root, or
    to the owner of the folder; another user's file, such as one in ``/tmp``, is ignored.

    Args:
        folder: Where to start; None means the working folder.

    Raises:
        DefinitionError: The table is not valid, or its file is not TOML.
    """
    try:
        start = Path(os.path.realpath(folder)) if folder is not None else Path.cwd()
        trusted = {0, os.geteuid(), start.stat().st_uid}
    except FileNotFoundError:  # the working folder was deleted
        return Project()
    for place in (start, *start.parents):
        table = _table(place / FILE, trusted)
        if table is not None:
            return _checked(table, place / FILE)
    return Project()


def given_to_apps(project: Project, given: Given) -> Given:
    """Return the variables that a project and an orchestrator pass to apps; those of the orchestrator win."""
    own = read_given(project.env)
    return Given(own.names | given.names, {**own.values, **given.values}, given.reserved)


def _table(path: Path, trusted: Collection[int]) -> object:
    """Return the table of a file; None if there is no trusted file, or it has no such table."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_uid not in trusted:
                return None
            text = file.read()
    except (OSError, UnicodeDecodeError):  # an unreadable file counts as missing
        return None
    if former_name.NAME not in text and former_name.TABLE not in text:  # then it need not even be TOML
        return None
    import tomllib  # noqa: PLC0415  for projects that have such a table

    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} cannot be read: {error}"
        raise DefinitionError(msg) from error
    tables = cast("dict[str, object]", tool if isinstance(tool, dict) else {})
    if former_name.NAME not in tables and former_name.TABLE in tables:
        former_name.tell(f"[tool.{former_name.TABLE}] in {path} is used: rename it to [tool.{former_name.NAME}]")
        return tables[former_name.TABLE]
    return tables.get(former_name.NAME)


def _checked(table: object, path: Path) -> Project:
    from greenroom.workflows.home.project_table import check_table  # noqa: PLC0415  for projects that have such a table

    checked = check_table(table, path)
    breakers = {name: breaker or None for name, breaker in checked.breakers.items()}
    return Project(checked.env, checked.import_timeout, checked.models, breakers, checked.budget, checked.daily_budget)
