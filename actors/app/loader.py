"""Loading of an app: a user's file or module, with all its definitions. In worker processes and their zygote only."""

import faulthandler
import importlib
import importlib.util
import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

from typing_extensions import override

from greenroom.actors.app import importing
from greenroom.actors.app.import_advice import advice
from greenroom.actors.app.terminal import refuse_questions
from greenroom.actors.app.warmup import warm_up
from greenroom.actors.definitions.definition_site import module_of
from greenroom.actors.definitions.definitions import Definition as Prepared
from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.definitions.registry import all_definitions
from greenroom.actors.failures.description import describe_exception, explain
from greenroom.actors.failures.tracebacks import last_lines
from greenroom.actors.models.provider_names import provider_of, variables_of
from greenroom.actors.program.loop.deterministic_order import make_asyncio_deterministic
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.failures import HEADER
from greenroom.messages.frames.worker import Definition

NEW: Final = 2.0
"""Seconds for which a file counts as new: more than the second in which another change may leave no trace."""
_TAKEN: Final = sys.stdlib_module_names | {"greenroom"}


@cache
def prepare() -> None:
    """Import what workers use, and use it once. Called in the zygote before it knows its app.

    A second call does nothing.
    """
    make_asyncio_deterministic()
    warm_up()


def preload_to_fork(app: str) -> dict[str, tuple[str, ...]]:
    """Do as ``preload``, and warm up the libraries of the providers whose models the app names.

    Called in the zygote, from which workers are forked. In a new interpreter, a worker that needs a library imports it.
    """
    variables = preload(app)
    if names := _models():
        # The app's import is over. Dumping the stack of a thread that imports can crash the process, and such libraries
        # take seconds.
        faulthandler.cancel_dump_traceback_later()
        from greenroom.actors.app.provider_warmup import warm_up_providers  # noqa: PLC0415  for those apps alone

        warm_up_providers(names)
    return variables


def preload(app: str) -> dict[str, tuple[str, ...]]:
    """Import an app and prepare its definitions. Called in a process that has one thread.

    Args:
        app: Absolute path of a file, or dotted name of a module.

    Returns:
        Names of the environment variables that each kind of worker needs.

    Raises:
        DefinitionError: The app cannot be imported, or one of its definitions cannot run. The message holds the
            traceback of the user's code if there is one.
    """
    prepare()
    refuse_questions()
    load(app)
    faults = [fault for fault in map(_prepare, all_definitions()) if fault]
    if faults:
        raise DefinitionError("\n".join(faults))
    describe()
    return {"llm": variables} if (variables := variables_of(_models())) else {}


def _models() -> tuple[str, ...]:
    """Return the names of the models of providers that the app's definitions ask."""
    asked = {name for each in all_definitions() if isinstance(each, ModelDefinition) for name in each.asks}
    return tuple(sorted(name for name in asked if provider_of(name) is not None))


def _prepare(definition: Prepared) -> str:
    """Prepare a definition and return what is wrong with it. The user's types take part in building schemas."""
    try:
        definition.prepare()
    except DefinitionError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001  and they may raise anything
        return f"{definition.title} cannot be used: its types raised {explain(error)}"
    return ""


def load(app: str) -> None:
    """Import an app. The import of a script that starts an orchestrator ends there.

    Raises:
        DefinitionError: The app cannot be imported.
    """
    with _importing(app), _no_cache_of_new_files():
        if Path(app).is_absolute():
            _load_file(Path(app))
        else:
            importlib.import_module(app)


def describe() -> tuple[Definition, ...]:
    """Return the app's manifest: everything it defines.

    Raises:
        DefinitionError: Two workflows of one version, two sessions, or two tools with their own processes have the same
            name.
    """
    records = tuple(definition.record() for definition in all_definitions())
    alone = [record for record in records if record.kind in {"workflow", "session"} or record.pool]
    names = Counter((record.kind, record.name, record.version) for record in alone)
    twice = [f"{kind}s called `{name}`" for (kind, name, _), count in names.items() if count > 1]
    if twice:
        places = ", ".join(item.ref for item in alone if names[item.kind, item.name, item.version] > 1)
        msg = f"there are several {' and '.join(twice)} ({places}): give each a name of its own with `name=`"
        raise DefinitionError(msg)
    return records


@contextmanager
def _importing(app: str) -> Generator[None, None, None]:
    """Set up what code sees during an import, and turn every failure of it into a ``DefinitionError``."""
    importing.loading = True
    try:
        yield
    except importing.ImportEnded:
        pass
    except SystemExit as error:
        msg = (
            f"{app} ended while it was imported ({_exit_words(error)}): put what it does when run as a script under "
            f'`if __name__ == "__main__":`\n{advice(error, app)}{describe_exception(error).report()}'
        )
        raise DefinitionError(msg) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  whatever else user code raises while it is imported
        last, whole = last_lines(error).strip(), describe_exception(error).report()
        what = str(error) if isinstance(error, DefinitionError) else last  # whose sentence says it all
        msg = f"{app} cannot be imported: {what}\n{advice(error, app)}".rstrip()
        if whole.removeprefix(HEADER).strip() != last:
            msg += f"\n{whole}"
        raise DefinitionError(msg) from None  # the message holds everything about the cause that a reader needs
    finally:
        importing.loading = False


def _exit_words(error: SystemExit) -> str:
    """Return the exit code with which a script would have ended. What is no number is printed, and means code 1."""
    if error.code is None or isinstance(error.code, int):
        return f"exit code {int(error.code or 0) & 0xFF}"
    return f"exit code 1, saying {str(error.code)!r}"


@contextmanager
def _no_cache_of_new_files() -> Generator[None, None, None]:
    """Have Python neither read nor write the bytecode of files that were changed a moment ago.

    Python takes cached bytecode for that of a file if the file has the same size and the same second of its change. A
    file that is edited twice in a second would be imported as it was in between. Git's index has the same rule.
    """
    usual = SourceFileLoader.path_stats

    def path_stats(self: SourceFileLoader, path: str) -> Mapping[str, Any]:
        found = usual(self, path)
        if found["mtime"] > time.time() - NEW:
            raise OSError
        return found

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]
    try:
        yield
    finally:
        SourceFileLoader.path_stats = usual  # type: ignore[method-assign]


def _load_file(path: Path) -> ModuleType:
    """Import a file as the module of its stem; files beside it can import it."""
    if not path.is_file():
        msg = "there is no such file; put it back, or a link to where it is now"
        raise DefinitionError(msg)
    root, name = module_of(path)
    if path.stem == "__init__" and name != path.stem:
        name += ".__init__"  # a package is imported completely
    parent = None if root == path.parent else _import_package(root, name)  # a dot may also stand in a script's own name
    if parent is not None and path.stem == "__init__":
        return parent
    if str(path.parent) not in sys.path:
        # Import it as if it had been started as a script. Files of a package go by their full names first.
        sys.path.insert(len(sys.path) if parent else 0, str(path.parent))
    name = name if parent else path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known  # a file beside it has already imported it
    if known is not None or name in _TAKEN:
        name = f"app_{name}"  # importing must not replace a module that others use
    loader = None if path.suffix else _ScriptLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None or spec.loader is None:
        msg = "it is not a Python file, whose name ends in .py"
        raise DefinitionError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: annotations are looked up there, and files beside it may import it
    spec.loader.exec_module(module)
    if parent:
        setattr(parent, path.stem, module)
    return module


class _ScriptLoader(SourceFileLoader):
    """Loads a script whose name has no suffix. Its code is not cached: the cache goes by the name without suffix."""

    @override
    def path_stats(self, path: str) -> NoReturn:
        """Refuse to say how old the file is, which is what a cache needs to know."""
        raise OSError


def _import_package(root: Path, name: str) -> ModuleType | None:
    """Import the package that a module belongs to, for the module's relative imports.

    Return None if it belongs to none, or if another module in use has the package's name.
    """
    package, _, _ = name.rpartition(".")
    top = name.partition(".")[0]
    known = sys.modules.get(top)
    ours = known is None or getattr(known, "__file__", None) == str(root / top / "__init__.py")
    if not package or top in _TAKEN or not ours:
        return None
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(package)
