"""Checks whether anything in an app could receive a message, as far as that can be known without running it.

Only a running workflow shows what it awaits. But messages are selected by the name of their model. So a name is a
mistake if it is neither a model nor a word of the app's source. Fields are a mistake if they fit no model of that name.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from greenroom.actors.definitions.registry import all_definitions, suggestion
from greenroom.actors.values.conversion import Faults, faults, read_model
from greenroom.actors.values.unknown_fields import extra_fields
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import MessageChecked

_NOT_OF_APPS: Final = ("greenroom.", "pydantic.", "pydantic_core.")
_WORD: Final = re.compile(r"\w+")


def check_signal(id_: str, name: str, value: Json) -> MessageChecked:
    """Check whether anything in this app could receive a message, and answer with everything that is wrong with it."""
    wrong = signal_faults(name, value)
    return MessageChecked(id=id_, name=name, faults=tuple(Fault(field=field, sentence=what) for field, what in wrong))


def signal_faults(name: str, value: Json) -> Faults:
    """Return what is wrong with a message; empty if it may be sent. An unknown name has the place ``type``."""
    models = [model for model in app_models() if model.__name__ == name]
    if not models:
        if any(name in _words(file, _written(file)) for file in _files()):
            return ()  # perhaps a model that is created while the workflow runs
        known = sorted({model.__name__ for model in app_models() if not _is_installed(model)})
        return (("type", f"nothing in the app is called {name!r}{suggestion(name, known)}"),)
    found: list[Faults] = []
    for model in models:
        try:
            wrong = extra_fields(read_model(model, value), value)
        except ValidationError as error:
            wrong = faults(error)
        if not wrong:
            return ()
        found.append(wrong)
    return min(found, key=len)


def app_models() -> Iterator[type[BaseModel]]:
    """Yield every model that the app, or a module imported by it, defines."""
    return (model for model in all_models() if not model.__module__.startswith(_NOT_OF_APPS))


def all_models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Yield every model of this process, those of this package and of pydantic included."""
    for model in base.__subclasses__():
        yield model
        yield from all_models(model)


def _is_installed(model: type[BaseModel]) -> bool:
    """Return whether a model belongs to an installed library, so that nobody is likely to mean it."""
    file = getattr(sys.modules.get(model.__module__), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def _files() -> set[str]:
    return {
        definition.fn.__code__.co_filename for definition in all_definitions() if hasattr(definition.fn, "__code__")
    }


def _written(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0


@cache
def _words(file: str, _written: int) -> frozenset[str]:
    try:
        return frozenset(_WORD.findall(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return frozenset()
