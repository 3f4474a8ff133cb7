"""Loading a user's app in a process that is there for it: never in the orchestrator."""

import os
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120  a prefix of names


def resolve(reference: str) -> Callable[..., Any]:
    """Import what a ``"module:function"`` names. Such references come from the orchestrator's own wiring, never from data."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]  # what it is worth shows when it is called


def load_app(app: str, preload: str) -> str:
    """Import and warm up an app; give why that failed, as a sentence and the user's traceback, or an empty text."""
    try:
        resolve(preload)(app)
    except BaseException as error:  # noqa: BLE001  whatever an import raises, SystemExit too, is its failure to load
        return f"{app} cannot be loaded:\n{_user_traceback(error)}"
    return ""


def _user_traceback(error: BaseException) -> str:
    """Format from the first frame that is neither ours nor the import system's; all of it where that leaves nothing."""
    frame = error.__traceback__
    while frame is not None and _is_machinery(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OURS)) or f"{os.sep}importlib{os.sep}" in filename
