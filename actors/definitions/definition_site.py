"""Where a definition stands in its author's code, so that another process can find the same definition.

Importing the app must create the definition again. That holds for what stands at the top level of a file, and for what
functions create that are called there. So the place of a definition is the top-level line from which it was created, no
matter which functions, comprehensions or other modules lie in between.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any, Final

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.frozen import frozen

_OURS: Final = ("greenroom.actors.", "greenroom.workflows.", "greenroom.integrations.", "greenroom.tools.")
_LOADERS: Final = frozenset({"_call_with_frames_removed", "exec_module"})
"""Functions that run a module's code: the import system's own, and those of other loaders."""
IN_FUNCTION: Final = "inside a function"
GUARDED: Final = 'under `if __name__ == "__main__"`'
NO_FILE: Final = "at an interactive prompt, in a notebook, in an archive or in what was piped to Python"
SUFFIXES: Final = frozenset({".py", ""})
"""Suffixes of files that workers import. A script that is called by its name often has none."""


@frozen
class Site:
    """The place of one definition.

    Attributes:
        module: Name of its module, the same in every process. A script goes by the name of its file.
        qualname: Its name in the module.
        app: What a worker loads to import the module: the absolute path of a file, or the dotted name of a module in a
            package. None if the code is not in a file that workers could read.
        file: Path of that file; None if there is none.
        hidden: The reason why importing the module does not create the definition; empty if it does.
        scope: Identity of this import of the module. It distinguishes a second definition from a second import.
        line: Line of the file.
        execution: Identity of the execution of the module's code that creates it; None if no module is being executed.
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
    """Return the place of a function that is being decorated.

    Args:
        fn: The function.
        name: Name of the definition. It distinguishes definitions that one function creates.
        own_app: Whether workers load the module that decorates the function instead of the one that contains it.

    Raises:
        DefinitionError: It is not a function written in Python, or a method.
    """
    plain = inspect.unwrap(fn)
    if not isinstance(plain, FunctionType):
        msg = f"{fn!r} cannot be made a step or workflow: decorate a function"
        raise DefinitionError(msg)
    if _is_method(plain):
        msg = (
            f"{plain.__qualname__} is a method, and a worker has no object to call it on: decorate a function, and "
            "give it what it needs as arguments"
        )
        raise DefinitionError(msg)
    scope, line, qualname, hidden = plain.__globals__, plain.__code__.co_firstlineno, plain.__qualname__, ""
    module = _module_frame()
    made = "<" in qualname  # inside a function, or a lambda: several may share one name
    if module is not None and (made or (own_app and module.f_globals is not scope)):
        scope, line = module.f_globals, module.f_lineno
    if made:
        qualname = f"{qualname}[{name}]"
    if module is None:
        hidden = IN_FUNCTION if made else ""
    elif _is_guarded(module):
        hidden = GUARDED
    return _site(scope, qualname, line, hidden, module)


def _is_method(fn: FunctionType) -> bool:
    """Return whether a function is written in a class, and takes an instance or the class first.

    One that says what ``self`` is takes that from its caller as any other argument.
    """
    first = fn.__code__.co_varnames[0] if fn.__code__.co_argcount else ""
    owner = fn.__qualname__.rpartition(".")[0]
    in_class = bool(owner) and not owner.endswith("<locals>")
    return in_class and first in {"self", "cls"} and first not in fn.__annotations__


def caller_site(qualname: str) -> Site:
    """Return the place of the calling code, for something named ``qualname`` that it creates."""
    module, caller = _module_frame(), _caller()
    if module is None:
        return _site(caller.f_globals, qualname, caller.f_lineno, IN_FUNCTION, None)
    hidden = GUARDED if _is_guarded(module) else ""
    return _site(module.f_globals, qualname, module.f_lineno, hidden, module)


def _caller() -> FrameType:
    """Return the innermost frame that is not of this package."""
    frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  only frames know
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(_OURS):
        frame = frame.f_back
    return frame


def _module_frame() -> FrameType | None:
    """Return the frame of the top level from which the calling code was reached; None if it runs at another time.

    That frame is of a module being imported, whatever it calls. The top level of a script counts for what the script
    creates itself, and for what the modules create that it calls directly. Beyond that the script may be a program that
    runs everything, such as pytest.
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
    """Return whether a script is inside a block that an import skips."""
    if module.f_globals.get("__name__") != "__main__":
        return False
    return any(first <= module.f_lineno <= last for first, last in _guards(module.f_code.co_filename))


@lru_cache(maxsize=8)
def _guards(file: str) -> tuple[tuple[int, int], ...]:
    """Return the first and last lines of a script's blocks that run only when it is started as a script."""
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
    """Return an object that identifies this execution of a module's code while it lasts.

    A frame keeps alive the frames that it called and that called it, so the frames of finished modules are dropped.
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
"""Modules being executed that have created definitions. Written when a definition is created."""


def _origin(scope: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return the module, the app and the file for a module's global names."""
    name, file = str(scope.get("__name__", "__main__")), scope.get("__file__")
    path = str(Path(file).absolute()) if isinstance(file, str) and Path(file).is_file() else None
    spec = scope.get("__spec__")
    if spec is not None and name == "__main__":
        name = str(spec.name)  # run by `python -m`
    if "." in name or (spec is not None and spec.submodule_search_locations is not None):
        return name, name, path
    if path is None or Path(path).suffix not in SUFFIXES:
        return name, None, path
    # A file loaded as an app may have another name in sys.modules; all processes agree on its path.
    return module_of(Path(path))[1], path, path


def module_of(path: Path) -> tuple[Path, str]:
    """Return the folder from which a file can be imported, and its name as a module.

    Both follow from the ``__init__.py`` files beside and above it, as in pytest: ``/x/shop/tools.py`` is ``shop.tools``
    from ``/x`` if ``/x/shop`` is a package, and ``tools`` from ``/x/shop`` otherwise.
    """
    folder, parts = path.parent, [] if path.stem == "__init__" else [path.stem]
    if all(part.isidentifier() for part in parts):
        while folder.name.isidentifier() and (folder / "__init__.py").is_file():
            parts.insert(0, folder.name)
            folder = folder.parent
    return (folder, ".".join(parts)) if parts else (path.parent, path.stem)
