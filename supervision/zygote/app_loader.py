"""Import a user's app, in a zygote or a worker and never in the orchestrator."""

import contextlib
import faulthandler
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.secrets.withheld_hints import note_withheld
from greenroom.supervision.process.user_traceback import is_machinery, user_traceback

if TYPE_CHECKING:  # for annotations alone: the orchestrator imports this before its first keeper starts
    from greenroom.supervision.zygote.messages import Boot

EVERY: Final = 2.0
"""Seconds between two reports of the line that an import executes."""
SHARE: Final = 0.2
"""Share of an import's time limit after which it first reports, if that is sooner."""
_FIRST_WORD: Final = 3600.0
"""Most seconds after which an import without a pipe reports its line."""
_FRAME: Final = re.compile(r'  File "(.*)", line ')


class Import(NamedTuple):
    """How the import of an app ended."""

    failure: str = ""
    """Why it failed, as a sentence and the user's traceback; empty if it succeeded."""
    variables: Mapping[str, tuple[str, ...]] = {}
    """See ``Loaded``."""
    killed: bool = False
    """See ``LoadFailed``."""
    threaded: bool = False
    """See ``LoadFailed``."""


def resolve(reference: str) -> Callable[..., Any]:
    """Return the function that a ``"module:function"`` names. The orchestrator makes such references, never data."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]  # a wrong type shows when it is called


def load_app(boot: "Boot", stack: int = -1) -> Import:
    """Import and warm up an app.

    Args:
        boot: The app to load.
        stack: Descriptor to which the import writes its stack every two seconds. Without one, it is written to stderr
            once, after half of the time limit, in case the import is killed at the limit. Nothing is written if the app
            is not ``watched``, or if no further thread may be started: the app is not to blame for that.
    """
    faulthandler.enable(2)
    with contextlib.suppress(RuntimeError):  # no further thread is allowed
        if boot.watched and stack >= 0:
            os.set_blocking(stack, False)
            faulthandler.dump_traceback_later(interval(boot.timeout), repeat=True, file=stack)
        elif boot.watched:
            faulthandler.dump_traceback_later(min(SHARE * boot.timeout, _FIRST_WORD), file=2)
    note_withheld(boot.withheld)
    try:
        sys.argv[:] = boot.argv
        if boot.folder and boot.folder not in sys.path and not sys.flags.safe_path:
            sys.path.insert(0, boot.folder)
        variables = resolve(boot.preload)(boot.app)
    except DefinitionError as error:
        return Import(str(error))
    except BaseException as error:  # noqa: BLE001  any exception of an import, SystemExit included, means that it failed
        what = "".join(traceback.format_exception_only(error)).strip()
        return Import(f"{boot.app} cannot be loaded: {what}\n{user_traceback(error)}")
    finally:
        faulthandler.cancel_dump_traceback_later()  # also ends its thread: a zygote must have only one
    return Import(variables=variables)


def interval(timeout: float) -> float:
    """Return the seconds between reports of an import that may take ``timeout`` seconds."""
    return min(EVERY, SHARE * timeout)


def users_stack(dump: str) -> str:
    """Return the lines of faulthandler's dump of an import, without our frames and those of the import system."""
    return "\n".join(line for line in without_ours(dump).splitlines() if _FRAME.match(line))


def without_ours(text: str) -> str:
    """Return what an import wrote, without the lines of faulthandler about our frames and the import system's."""
    return "\n".join(line for line in text.split("\n") if not _is_ours(line))


def _is_ours(line: str) -> bool:
    found = _FRAME.match(line)
    return found is not None and (found[1] == "<string>" or is_machinery(found[1]))
