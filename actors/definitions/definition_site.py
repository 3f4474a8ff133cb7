"""Where a definition stands in its author's code, so that another process can find the same definition.

A definition is found again where importing its app makes it again. That is what stands at the top level of a file, and
what a function makes that is called there: so the place of a definition is that of the line at the top level from which
it was made, whichever functions, comprehensions or other modules lie in between.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any, Final

from greenroom.messages.core.errors import DefinitionError

_OURS: Final = ("greenroom.actors.", "greenroom.workflows.")
_LOADERS: Final = frozenset({"_call_with_frames_removed", "exec_module"})
"""Functions that run a module's code: the import system's own, and those of other loaders."""
IN_FUNCTION: Final = "inside a function"
GUARDED: Final = 'under `if __name__ == "__main__"`'


@dataclass(frozen=True, slots=True)
class Site:
    """The place of one definition.

    Attributes:
        module: Name of its module that is the same in every process: a script goes by what its file is called.
        qualname: Its name in the module.
        app: What a worker loads to get the module: the absolute path of a file, or the dotted name of a module in a
            package. None where the code is in no file, as at an interactive prompt.
        file: Path of that file, None where there is none.
        hidden: Where it stands that importing the module does not make it; empty where it does.
        scope: Identity of this import of the module; tells a second definition from a second import.
        line: Line of the file.
        execution: Identity of the run of the module's code that makes it; None where no module is being run.
    """

    module: str
    qualname: str
    app: str | None
    file: str | None
    hidden: str
    scope: int
    line: int
    execution: object = field(default=None, compare=False, repr=False)

    @property
    def ref(self) -> str:
        """The reference, ``module:qualname``."""
        return f"{self.module}:{self.qualname}"


def function_site(fn: Callable[..., Any], name: str, *, own_app: bool = False) -> Site:
    """Give the place of a function that is being decorated.

    Args:
        fn: The function.
        name: What it will be called; it tells apart what one function has made.
        own_app: Whether workers have to load the module that decorates it, and not the one in which it is written.

    Raises:
        DefinitionError: It is no function written in Python.
    """
    plain = inspect.unwrap(fn)
    if not isinstance(plain, FunctionType):
        msg = f"{fn!r} cannot be made a step or workflow: decorate a function"
        raise DefinitionError(msg)
    scope, line, qualname, hidden = plain.__globals__, plain.__code__.co_firstlineno, plain.__qualname__, ""
    module = _module_frame()
    made = "<" in qualname  # in a function, or of a lambda: there may be several of one name
    if module is not None and (made or (own_app and module.f_globals is not scope)):
        scope, line = module.f_globals, module.f_lineno
    if made:
        qualname = f"{qualname}[{name}]"
    if module is None:
        hidden = IN_FUNCTION if made else ""
    elif _is_guarded(module):
        hidden = GUARDED
    return _site(scope, qualname, line, hidden, module)


def caller_site(qualname: str) -> Site:
    """Give the place of the code that is calling, for something made there that is called ``qualname``."""
    module, caller = _module_frame(), _caller()
    if module is None:
        return _site(caller.f_globals, qualname, caller.f_lineno, IN_FUNCTION, None)
    hidden = GUARDED if _is_guarded(module) else ""
    return _site(module.f_globals, qualname, module.f_lineno, hidden, module)


def _caller() -> FrameType:
    """Give the innermost frame that is not ours."""
    frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  only frames know
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(_OURS):
        frame = frame.f_back
    return frame


def _module_frame() -> FrameType | None:
    """Give the frame of the top level from which the calling code was reached; None where it runs at another time.

    That is a module being imported, whoever it calls. A script's top level counts for what the script makes itself, and
    for what a module makes that it calls: beyond that it may be the program that runs everything, such as pytest.
    """
    frame: FrameType | None = _caller()
    assert frame is not None  # there is always a caller
    scope, between = frame.f_globals, list[Mapping[str, Any]]()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            if frame.f_globals is scope or (frame.f_back and frame.f_back.f_code.co_name in _LOADERS):
                return frame
            main = frame.f_globals
            if main.get("__name__") == "__main__" and all(each is scope or each is main for each in between):
                return frame if "__file__" in main else None
        between.append(frame.f_globals)
        frame = frame.f_back
    return None


def _is_guarded(module: FrameType) -> bool:
    """Say whether a script is in a block that its import leaves out."""
    if module.f_globals.get("__name__") != "__main__":
        return False
    return any(first <= module.f_lineno <= last for first, last in _guards(module.f_code.co_filename))


@lru_cache(maxsize=8)
def _guards(file: str) -> tuple[tuple[int, int], ...]:
    """Give the lines of the blocks of a script that depend on its being run as one."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    tests = [node for node in tree.body if isinstance(node, ast.If)]
    return tuple(
        (node.body[0].lineno, node.body[-1].end_lineno or node.body[-1].lineno)
        for node in tests
        if any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
    )


def _site(scope: Mapping[str, Any], qualname: str, line: int, hidden: str, execution: FrameType | None) -> Site:
    module, app, file = _origin(scope)
    return Site(module, qualname, app, file, hidden, id(scope), line, _identity(execution))


def _identity(module: FrameType | None) -> object:
    """Give an object that stands for this run of a module's code, for as long as it goes on.

    Frames hold whatever they have called and been called by, so that of a module that has run is let go of.
    """
    if module is None:
        return None
    running: list[FrameType] = []
    frame: FrameType | None = module
    while frame is not None:
        running.append(frame)
        frame = frame.f_back
    _executions[:] = [known for known in _executions if known[0] in running]
    for known, identity in _executions:
        if known is module:
            return identity
    identity = object()
    _executions.append((module, identity))
    return identity


_executions: list[tuple[FrameType, object]] = []
"""The modules that are being run, and have made definitions. Written by whoever makes one."""


def _origin(scope: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Give the module, the app and the file for a module's global names."""
    name, file = str(scope.get("__name__", "__main__")), scope.get("__file__")
    path = str(Path(file).absolute()) if isinstance(file, str) and Path(file).exists() else None
    spec = scope.get("__spec__")
    if spec is not None and name == "__main__":
        name = str(spec.name)  # run by `python -m`
    if "." in name or (spec is not None and spec.submodule_search_locations is not None):
        return name, name, path
    if path is None:
        return name, None, None
    # A file loaded as an app may go by another name in sys.modules; its path is what all processes agree on.
    return module_of(Path(path))[1], path, path


def module_of(path: Path) -> tuple[Path, str]:
    """Give the folder from which a file can be imported, and its name as a module.

    Both follow from the ``__init__.py`` beside and above it, as pytest has it: ``/x/shop/tools.py`` is ``shop.tools``
    from ``/x`` where ``/x/shop`` is a package, and ``tools`` from ``/x/shop`` where it is none.
    """
    folder, parts = path.parent, [] if path.stem == "__init__" else [path.stem]
    if all(part.isidentifier() for part in parts):
        while folder.name.isidentifier() and (folder / "__init__.py").is_file():
            parts.insert(0, folder.name)
            folder = folder.parent
    return (folder, ".".join(parts)) if parts else (path.parent, path.stem)
