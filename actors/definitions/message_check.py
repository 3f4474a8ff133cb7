"""Whether a message to a run is one that anything in its app could take, as far as that can be told from outside.

What a workflow awaits is known only while it runs. But a message is told by the name of its model, so a name that
neither a model nor a word of the app's source has is a mistake, and so are fields that fit no model of the name.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from greenroom.actors.definitions.definitions import all_definitions, suggestion
from greenroom.actors.values.conversion import Faults, faults, read_model
from greenroom.actors.values.unknown_fields import extra_fields
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import MessageChecked

_NOT_OF_APPS: Final = ("greenroom.", "pydantic.", "pydantic_core.")
_WORD: Final = re.compile(r"\w+")


def check_signal(id_: str, name: str, value: Json) -> MessageChecked:
    """Answer whether anything in this app could take a message, or all that is wrong with it."""
    wrong = signal_faults(name, value)
    return MessageChecked(id=id_, name=name, faults=tuple(Fault(field=field, sentence=what) for field, what in wrong))


def signal_faults(name: str, value: Json) -> Faults:
    """Give what is wrong with a message, nothing where it may be taken; the place of an unknown name is ``type``."""
    models = [model for model in app_models() if model.__name__ == name]
    if not models:
        if any(name in _words(file, _written(file)) for file in _files()):
            return ()  # a model that is made while the workflow runs, maybe
        known = sorted({model.__name__ for model in app_models()})
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


def app_models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Give every model that the app and what it imports have defined."""
    for model in base.__subclasses__():
        if not model.__module__.startswith(_NOT_OF_APPS):
            yield model
        yield from app_models(model)


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
