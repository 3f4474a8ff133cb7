"""Loading a user's app in a process that is there for it: never in the orchestrator."""

import faulthandler
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from understudy.messages.errors import DefinitionError
from understudy.supervision.control import Boot

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120  a prefix of names

DUMP_SHARE: Final = 0.5
"""Share of the time an import may take after which it says where it stands; the interpreter's start is not in it."""


def resolve(reference: str) -> Callable[..., Any]:
    """Import what a ``"module:function"`` names. Such references come from the orchestrator itself, never from data."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]  # what it is worth shows when it is called


def load_app(boot: Boot) -> str:
    """Import and warm up an app; give why that failed, as a sentence and the user's traceback, or an empty text.

    When it has taken half of its time, its stack is written to stderr, in case that it takes all of it and is ended.
    """
    faulthandler.enable(2)
    faulthandler.dump_traceback_later(DUMP_SHARE * boot.timeout, file=2)
    try:
        sys.argv[:] = boot.argv
        resolve(boot.preload)(boot.app)
    except DefinitionError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001  whatever an import raises, SystemExit too, is its failure to load
        return f"{boot.app} cannot be loaded:\n{_user_traceback(error)}"
    finally:
        faulthandler.cancel_dump_traceback_later()  # and with it the thread that waits: a zygote must have but one
    return ""


def _user_traceback(error: BaseException) -> str:
    """Format from the first frame that is neither ours nor the import system's; all of it where that leaves nothing."""
    frame = error.__traceback__
    while frame is not None and _is_machinery(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OURS)) or f"{os.sep}importlib{os.sep}" in filename
