"""Where a definition stands in its author's code, so that another process can find the same definition."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from understudy.messages.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Site:
    """The place of one definition.

    Attributes:
        module: Name of its module that is the same in every process: a script goes by the stem of its file.
        qualname: Its name in the module.
        app: What a worker loads to get the module: the absolute path of a file, or the dotted name of a module in a
            package. None where the code is in no file, as at an interactive prompt.
        local: True where it is made inside a function, so that importing the module does not make it.
        scope: Identity of this import of the module; tells a second definition from a second import.
        line: Line of the file.
    """

    module: str
    qualname: str
    app: str | None
    local: bool
    scope: int
    line: int

    @property
    def ref(self) -> str:
        """The reference, ``module:qualname``."""
        return f"{self.module}:{self.qualname}"


def function_site(fn: Callable[..., Any]) -> Site:
    """Give the place of a function.

    Raises:
        DefinitionError: It is no function written in Python.
    """
    plain = inspect.unwrap(fn)
    if not isinstance(plain, FunctionType):
        msg = f"{fn!r} cannot be made a step or workflow: decorate a function"
        raise DefinitionError(msg)
    local = "<locals>" in plain.__qualname__
    return _site(plain.__globals__, plain.__qualname__, plain.__code__.co_firstlineno, local=local)


def caller_site(qualname: str, depth: int) -> Site:
    """Give the place of the code that is calling, for something made there that is called ``qualname``.

    Args:
        qualname: What is made.
        depth: 1 for the caller of the function that asks, 2 for the caller of that one, and so on.
    """
    frame = sys._getframe(depth + 1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  only frames know
    return _site(frame.f_globals, qualname, frame.f_lineno, local=frame.f_code.co_name != "<module>")


def _site(scope: Mapping[str, Any], qualname: str, line: int, *, local: bool) -> Site:
    module, app = _origin(scope)
    return Site(module, qualname, app, local, id(scope), line)


def _origin(scope: Mapping[str, Any]) -> tuple[str, str | None]:
    """Give the module and the app for a module's global names."""
    name = str(scope.get("__name__", "__main__"))
    spec = scope.get("__spec__")
    if spec is not None and name == "__main__":
        name = str(spec.name)  # run by `python -m`
    if "." in name or (spec is not None and spec.submodule_search_locations is not None):
        return name, name
    file = scope.get("__file__")
    if not isinstance(file, str) or not Path(file).exists():
        return name, None
    # A file loaded as an app may go by another name in sys.modules; its stem is what all processes agree on.
    return Path(file).stem, str(Path(file).absolute())
