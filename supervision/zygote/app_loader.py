"""Loading a user's app in a process that is there for it: never in the orchestrator."""

import faulthandler
import os
import re
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.secrets.withheld_hints import note_withheld
from greenroom.supervision.zygote.messages import Boot

EVERY: Final = 2.0
"""Seconds after which an import says where it stands, and then again and again."""
SHARE: Final = 0.2
"""Share of the time an import may take after which it says so where that is sooner."""
_FIRST_WORD: Final = 3600.0
"""Seconds after which an import that nobody listens to says where it stands at the latest."""
_FRAME: Final = re.compile(r'  File "(.*)", line ')
_OURS: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep  # noqa: PTH100, PTH120  a prefix of names


def resolve(reference: str) -> Callable[..., Any]:
    """Import what a ``"module:function"`` names. Such references come from the orchestrator itself, never from data."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]  # what it is worth shows when it is called


def load_app(boot: Boot, stack: int = -1) -> str:
    """Import and warm up an app; give why that failed, as a sentence and the user's traceback, or an empty text.

    Args:
        boot: What to load.
        stack: Descriptor where it says every two seconds where it stands. Without one it does so once on stderr, when
            it has taken half of its time, in case that it takes all of it and is ended.
    """
    faulthandler.enable(2)
    if stack >= 0:
        os.set_blocking(stack, False)
        faulthandler.dump_traceback_later(interval(boot.timeout), repeat=True, file=stack)
    else:
        faulthandler.dump_traceback_later(min(SHARE * boot.timeout, _FIRST_WORD), file=2)
    note_withheld(boot.withheld)
    try:
        sys.argv[:] = boot.argv
        if boot.folder and boot.folder not in sys.path and not sys.flags.safe_path:
            sys.path.insert(0, boot.folder)
        resolve(boot.preload)(boot.app)
    except DefinitionError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001  whatever an import raises, SystemExit too, is its failure to load
        return f"{boot.app} cannot be loaded:\n{_user_traceback(error)}"
    finally:
        faulthandler.cancel_dump_traceback_later()  # and with it the thread that waits: a zygote must have but one
    return ""


def interval(timeout: float) -> float:
    """Return the seconds after which an import that may take ``timeout`` says where it stands."""
    return min(EVERY, SHARE * timeout)


def _user_traceback(error: BaseException) -> str:
    """Format from the first frame that is neither ours nor the import system's; all of it where that leaves nothing."""
    frame = error.__traceback__
    while frame is not None and _is_machinery(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def users_stack(dump: str) -> str:
    """Return the lines of what faulthandler wrote of an import that are neither ours nor the import system's."""
    frames = [(found[1], line) for line in dump.splitlines() if (found := _FRAME.match(line))]
    return "\n".join(line for file, line in frames if file != "<string>" and not _is_machinery(file))


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OURS)) or f"{os.sep}importlib{os.sep}" in filename
