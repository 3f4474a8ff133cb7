"""What a project says of itself in the table ``[tool.greenroom]`` of its ``pyproject.toml``."""

import os
import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.fields import Limit
from greenroom.supervision.policy.worker_environment import Given, read_given
from greenroom.workflows.home import former_name

FILE: Final = "pyproject.toml"


class Project(BaseModel):
    """The table. Every key may be left out.

    Attributes:
        env: Environment variables that the app is given: ``NAME`` or ``NAME=VALUE``.
        import_timeout: Seconds that an app may take to be imported.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    env: list[str] = []
    import_timeout: Limit = None


def read_project(folder: Path | None = None) -> Project:
    """Read the nearest ``pyproject.toml`` with such a table, from a folder upwards; the defaults where there is none.

    It can set any variable of the app's. So a file above that belongs to a stranger, such as one in ``/tmp``, is none:
    it has to belong to whoever runs this, to root, or to the owner of the folder.

    Args:
        folder: Where to begin; None means the working folder.

    Raises:
        DefinitionError: The table holds what it cannot hold, or stands in a file that is no TOML.
    """
    try:
        start = Path(os.path.realpath(folder)) if folder is not None else Path.cwd()
        trusted = {0, os.geteuid(), start.stat().st_uid}
    except FileNotFoundError:  # the working folder is gone
        return Project()
    for place in (start, *start.parents):
        table = _table(place / FILE, trusted)
        if table is not None:
            return _checked(table, place / FILE)
    return Project()


def given_to_apps(project: Project, given: Given) -> Given:
    """Give what apps are given by a project and by whoever makes an orchestrator, who has the last word."""
    own = read_given(project.env)
    return Given(own.names | given.names, {**own.values, **given.values}, given.reserved)


def _table(path: Path, trusted: Collection[int]) -> object:
    """Give the table of a file; None where there is no such file of somebody trusted, or it has none."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_uid not in trusted:
                return None
            text = file.read()
    except (OSError, UnicodeDecodeError):  # nobody's business here who may read it
        return None
    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        if former_name.NAME not in text and former_name.TABLE not in text:  # another program will report it
            return None
        msg = f"{path} cannot be read: {error}"
        raise DefinitionError(msg) from error
    if not isinstance(tool, dict):
        return None
    tables = cast("dict[str, object]", tool)
    if former_name.NAME not in tables and former_name.TABLE in tables:
        former_name.tell(f"[tool.{former_name.TABLE}] in {path} is used: rename it to [tool.{former_name.NAME}]")
        return tables[former_name.TABLE]
    return tables.get(former_name.NAME)


def _checked(table: object, path: Path) -> Project:
    try:
        project = Project.model_validate(table)
        read_given(project.env)
    except ValidationError as error:
        faults = "; ".join(_sentence(fault) for fault in error.errors())
        msg = f"[tool.greenroom] in {path} is wrong: {faults}"
        raise DefinitionError(msg) from None
    except ValueError as error:
        msg = f"[tool.greenroom] in {path} is wrong: {error}"
        raise DefinitionError(msg) from None
    return project


def _sentence(fault: Any) -> str:
    place = ".".join(map(str, fault["loc"])) or "it"
    if fault["type"] != "extra_forbidden":
        return f"{place}: {fault['msg']}"
    known = get_close_matches(place, Project.model_fields, n=1, cutoff=0.4)
    hint = (
        f"did you mean `{known[0]}`?"
        if known
        else f"there are {', '.join(f'`{name}`' for name in Project.model_fields)}"
    )
    return f"there is no `{place}`; {hint}"
