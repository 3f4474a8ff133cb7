"""Apps and what is defined in them, as they are typed on the command line: ``FILE.py``, ``FILE.py:NAME``, modules."""

import ast
import difflib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

import click

from greenroom.cli.inputs import is_utf8

Kind: TypeAlias = Literal["workflow", "session"]
MOST_NAMED: Final = 5
"""Most names to offer where one is missing."""


def parse_target(target: str, kind: Kind = "workflow") -> tuple[str, str]:
    """Split ``FILE.py:NAME``.

    Args:
        target: The argument.
        kind: What it names in the file, for the error.
    """
    file, colon, name = target.rpartition(":")
    if not name or not colon:
        app = find_app(file if colon else target, "FILE.py:NAME")
        named = [f"{target.removesuffix(':')}:{each}" for each in _defined(app, kind)]
        msg = f"{target!r} names no {kind}; write {' or '.join(named[:MOST_NAMED]) or 'FILE.py:NAME'}"
        raise click.BadParameter(msg, param_hint="FILE.py:NAME")
    return find_app(file, "FILE.py:NAME"), name


def _defined(app: str, kind: Kind) -> list[str]:
    """Return the names of a file's functions that are decorated as ``kind``, without running the file."""
    try:
        body = ast.parse(Path(app).read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    functions = (each for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return [each.name for each in functions if kind in map(_last_name, each.decorator_list)]


def _last_name(decorator: ast.expr) -> str:
    """Return ``workflow`` for ``@workflow``, ``@greenroom.workflow`` and ``@workflow(version=2)``."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def find_app(file: str, hint: str) -> str:
    """Return the app that was typed. A path becomes absolute, since workers do not share the working folder.

    ``package.module`` becomes the path of its file if the working folder has it, so that an app has one name however it
    is typed. Otherwise it stays as it is, for installed apps.

    Args:
        file: The argument.
        hint: The argument's name, for the error.
    """
    path = Path(file)
    if path.is_dir() and (path / "__init__.py").is_file():
        path = path / "__init__.py"
    if path.suffix != ".py" and not path.is_file() and all(part.isidentifier() for part in file.split(".")):
        found = _module_file(file)
        if found is not None:
            return str(found.resolve())
        if "." in file or _is_installed(file):
            return file
    if not path.is_file() and os.path.lexists(path):
        kind = "a folder, not a file" if path.is_dir() else "not a file" if path.exists() else "a link to nothing"
        msg = f"{file!r} is {kind}"
        raise click.BadParameter(msg, param_hint=hint)
    if not path.is_file():
        close = difflib.get_close_matches(
            path.name, [near.name for near in path.parent.glob("*.py") if near.is_file()], n=1
        )
        near = f"; did you mean {str(path.with_name(close[0]))!r}?" if close else f" in {Path.cwd()}"
        msg = f"there is no file {file!r}{near}"
        raise click.BadParameter(msg, param_hint=hint)
    if path.suffix != ".py":
        msg = f"{file!r} is not a Python file; its name has to end in .py"
        raise click.BadParameter(msg, param_hint=hint)
    app = str(path.resolve())
    if not is_utf8(app):
        msg = f"the path {app!r} holds bytes that are not UTF-8: rename it"
        raise click.BadParameter(msg, param_hint=hint)
    return app


def _module_file(name: str) -> Path | None:
    """Return the file of the working folder's module with exactly this name, None if there is none."""
    from greenroom.actors.definitions.definition_site import module_of

    place = Path.cwd().joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file() and module_of(file) == (Path.cwd(), name):
            return file
    return None


def _is_installed(name: str) -> bool:
    """Return whether a module without dots can be imported, without importing it."""
    from importlib.util import find_spec

    with suppress(ValueError, ImportError):
        return find_spec(name) is not None
    return False
